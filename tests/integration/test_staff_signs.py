"""A key that says it speaks for staff alone: what it does is counted, told to the operator, and entered in the ledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from turns_control import Relay, new_key, person

from dragoman.accounts.staff_signs import MOMENT_MS, PLACES_MOST, UNSTATED_STAFF, Sign, Use, signs
from dragoman.admin import attempts
from dragoman.checks import zone_checks
from dragoman.checks.results import Subject
from dragoman.control.app import Control
from dragoman.control.staff_watch import StaffWatch
from dragoman.core.admins import AUDITOR
from dragoman.ids import new_id, now_ms
from dragoman.stores.schema import decisions
from dragoman.stores.turn_tables import turns
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Visitor

CONFIG = """
[tenants.small]
staff = 3
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
"""


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    monkeypatch.setattr(attempts, "TRIES", 10_000)
    text = CONFIG.format(listen=free_port(), admin=free_port())
    (tmp_path / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(tmp_path / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


def relay_of(control: Control, made: dict[str, Any]) -> Relay:
    run = control.settings.zone.data / "run"
    return Relay(run, person(run, made["text"]), log=new_id("log", "local"))


def use(relay: Relay, users: int) -> None:
    """One turn for each of so many end users, in one conversation of each."""
    for n in range(users):
        name = relay.conversation()
        body = {"model": "dragoman", "messages": [{"role": "user", "content": "Hello"}], "user": f"u-{n}"}
        relay.turn(name, input=body)


def watch(control: Control) -> StaffWatch:
    core = control.core
    return StaffWatch(core.staff_use, core.holder, core._slug)


def doubted(control: Control) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db")) as raw:
        rows = [json.loads(row[0]) for row in raw.execute("SELECT entry FROM outbox ORDER BY item")]
    return [one for one in rows if one.get("act") == "key.doubted"]


def test_a_dishonest_key_is_told_and_an_honest_one_is_not(control: Control) -> None:
    run = control.settings.zone.data / "run"
    small, honest, declared = (
        new_key(run, tenant="small"),
        new_key(run, tenant="small"),
        new_key(run, tenant="small", end_users="declared"),
    )
    use(relay_of(control, honest), 3)
    assert watch(control).look() == 0, "three people of three"
    use(relay_of(control, small), 8)
    assert watch(control).look() == 1
    (found,) = control.core.staff_use.doubts()
    assert (found["key"], found["signs"]) == (
        small["key"],
        [
            {"sign": "users", "count": 8, "most": 3},
            {"sign": "conversations", "count": 8, "most": 6},
        ],
    )
    assert declared["key"] not in json.dumps(found)
    acts = doubted(control)  # of more than one look, where control's own came between
    assert {one["key"] for one in acts} == {small["key"]}
    assert {sign["sign"] for one in acts for sign in one["signs"]} == {"users", "conversations"}
    assert watch(control).look() == 1
    assert doubted(control) == acts, "the same sign is entered once"
    assert control.admin is not None
    visitor = Visitor(int(control.admin.origin.rpartition(":")[2]))
    assert visitor.enrol(f"x#{control.core.people.invite('cli', AUDITOR, None, None).text}").status == 200
    page = visitor.page("/").body
    assert "named 8 end users in 24 hours, more than 3" in page
    assert small["key"] in page
    assert "出现 8 个终端用户" in visitor.page("/?lang=zh").body
    assert page.count('role="note"') == 1, "the honest key is not told"
    (told,) = visitor.ask("GET", "/admin/v1/status").json()["doubts"]
    assert told["key"] == small["key"]
    (said,) = zone_checks.staff_keys(Subject(control.settings))
    assert said.code == "key_doubted"
    assert small["key"] in said.text["zh"]
    later = StaffWatch(
        control.core.staff_use, control.core.holder, control.core._slug, lambda: now_ms() + 86_400_000
    )
    assert later.look() == 0
    assert control.core.staff_use.doubts() == [], "it holds no longer"
    assert "named 8" not in visitor.page("/?lang=en").body


def test_places_are_those_of_the_decisions_that_turns_name(control: Control) -> None:
    made = new_key(control.settings.zone.data / "run", tenant="small")
    relay = relay_of(control, made)
    name = relay.conversation()
    for n in range(PLACES_MOST + 1):
        grounds = json.dumps({"facts": {"address_country": f"A{chr(65 + n)}"}})
        row = {"tenant": relay.who["tenant"], "decision": f"dec_local_{n:032x}", "at": now_ms()}
        row |= {"document": "{}", "grounds": grounds}
        control.core.database.write(lambda c, r=row: c.execute(decisions.insert().values(r)))  # type: ignore[misc]
        turn = relay.turn(name)["turn"]
        named = turns.update().where(turns.c.turn == turn).values(decision=row["decision"])
        control.core.database.write(lambda c, n=named: c.execute(n))  # type: ignore[misc]
        assert watch(control).look() == int(n == PLACES_MOST), n
    (found,) = control.core.staff_use.doubts()
    assert found["signs"] == [{"sign": "places", "count": PLACES_MOST + 1, "most": PLACES_MOST}]


def used(**columns: list[Any]) -> list[Use]:
    rows = zip(*columns.values(), strict=True)
    return [
        Use(
            **{
                "at": 0,
                "conversation": None,
                "user": None,
                "country": None,
                **dict(zip(columns, one, strict=True)),
            }
        )
        for one in rows
    ]


def test_the_signs_are_counted_at_their_bounds() -> None:
    people = UNSTATED_STAFF
    assert signs(used(user=[f"u{n}" for n in range(people)]), 10**6, None) == []
    over = signs(used(user=[f"u{n}" for n in range(people + 1)]), 0, None)
    assert over == [Sign("users", people + 1, people)]
    countries = [f"A{chr(65 + n)}" for n in range(PLACES_MOST + 1)]
    assert signs(used(country=countries[:-1] * 9), 0, 9) == []
    assert signs(used(country=countries), 0, 9) == [Sign("places", PLACES_MOST + 1, PLACES_MOST)]
    names = [f"c{n}" for n in range(5)]
    assert signs(used(at=[0] * 5, conversation=names), 0, 2) == [Sign("conversations", 5, 4)]
    apart = [n * (MOMENT_MS + 1) for n in range(5)]
    assert signs(used(at=apart, conversation=names), 0, 2) == [], "one after another is one person's"
    assert signs(used(at=[0] * 5, conversation=["c"] * 5), 0, 1) == []
    assert signs([], 500, 1) == []
    assert signs([], 501, 1) == [Sign("turns", 501, 500)]
