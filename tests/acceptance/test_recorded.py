"""A few cells of the matrix of `recorded.py`, the lying disk among them, which has to be found out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clock_jumps import DAY, ask
from fault_rig import POSSIBLE, Fault
from recorded import (
    CHAT_STREAM,
    CHAT_WHOLE,
    CONTROL,
    JOURNAL,
    LIE,
    NONE,
    PAGE,
    ROUTES,
    Product,
    cell,
    product_under_faults,
)

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="needs Linux and a C compiler")
HANG, SYNC_ERROR = (
    next(p for p in JOURNAL if p.name.endswith(f.name.lower())) for f in (Fault.HANG, Fault.SYNC_ERROR)
)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product_under_faults(tmp_path_factory.mktemp("recorded")) as made:
        yield made


@pytest.mark.parametrize("route", [r for r in ROUTES if r is not CHAT_STREAM], ids=lambda r: r.name)
def test_every_route_is_recorded_before_it_answers(product: Product, route) -> None:
    found = cell(product, NONE, route, mid=False)
    assert found["complete"], found
    assert found["violations"] == []


@pytest.mark.parametrize(
    ("point", "route", "mid"),
    [(HANG, CHAT_WHOLE, False), (SYNC_ERROR, CHAT_STREAM, True), (CONTROL[0], CHAT_WHOLE, False)],
    ids=["journal hangs before", "sync fails in the middle", "control hangs"],
)
def test_what_cannot_be_recorded_is_not_answered(product: Product, point, route, mid) -> None:
    found = cell(product, point, route, mid=mid)
    assert not found["complete"], found
    assert found["violations"] == []
    assert found["answer"] is mid, "what came before the fault was recorded, and nothing after it"


@pytest.mark.parametrize("route", [CHAT_WHOLE, PAGE], ids=lambda r: r.name)
def test_a_disk_that_lies_is_found_out(product: Product, route) -> None:
    assert cell(product, LIE, route, mid=False)["violations"]


@pytest.mark.parametrize("days", [400, -400])
def test_a_jump_of_the_wall_clock_stops_nothing(product: Product, days: int) -> None:
    before = ask(product, product.server.key).turn
    try:
        product.orders.give(wall_seconds=days * DAY)
        after = ask(product, product.server.key)
        assert after.ended() is not None, after.bytes[:500]
        assert after.turn != before
        key = product.server.key
        wrong = ask(product, key[:-1] + ("y" if key.endswith("x") else "x"))
        assert wrong.status == 401, "the control: a clock lets nobody in"
    finally:
        product.orders.give()
    assert ask(product, product.server.key).ended() is not None
