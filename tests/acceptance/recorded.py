"""Recorded or not answered (P3): in every fault point, route and mode, no byte of an answer reaches the client before
the request's record is durable, and no end marker before the result's.

    python tests/acceptance/recorded.py

The client notes when each byte came, a preloaded library when each sync of the journal ended; both by one clock.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import whole_product
from fault_rig import Fault, Orders, Trace
from recorder import CANARY, Asking, Exchange, Route, chat, completion
from whole_product import Server, pause

from dragoman.ledger.verify import verify_zone
from dragoman.testing.provider import DONE, JSON, FakeProvider, Script, chunk, whole

CLIENT_SECONDS = 30.0
"""Within this every answer has ended: the longest bound is that of pages."""
BACK_SECONDS = 180.0
GAP_SECONDS = 0.3
PIECES = 10
"""Of a stream: together longer than a lease, so that it can end in the middle of one."""
LEASE_SECONDS = 2.5
EXEMPT = (
    "GET and HEAD /healthz and /readyz",
    "GET /v1/models and /v1/models/{id}",
    "GET /v1/interventions/{id}",
    "GET of pages, sources and static files",
    "error objects, which hold nothing of an answer",
)
"""What is answered without a record: none of it holds a byte that a provider sent."""
ENTRY = re.compile(rb'"kind":"(intent|result)".*?"turn":"(trn_[^"]+)"', re.DOTALL)
TEXT = CANARY.decode()
QUESTION = "How do I return a lamp?"
TURNS = "/v1/conversations/CONVERSATION/turns"
CLAIM = "idempotency-key: cell-NUMBER\r\n"
ROUTES = (
    chat("chat", "far", stream=True, text="chat stream"),
    chat("chat", "far", stream=False, text="chat whole"),
    completion("completions", "far", stream=True, text="text stream"),
    completion("completions", "far", stream=False, text="text whole"),
    chat("local", "dragoman", stream=True, text=QUESTION),
    chat("local", "dragoman", stream=False, text=QUESTION),
    *(
        chat("conversation", "far", stream=stream, text=f"chat {shape}", path=TURNS)
        for stream, shape in ((True, "stream"), (False, "whole"))
    ),
    *(
        chat("idempotent chat", "far", stream=stream, text=f"chat {shape}", headers=CLAIM)
        for stream, shape in ((True, "stream"), (False, "whole"))
    ),
    Route("page", "/ask", b"q=How+do+I+return+a+lamp%3F", "page"),
)
CHAT_STREAM, CHAT_WHOLE, PAGE = ROUTES[0], ROUTES[1], ROUTES[-1]


def scripts() -> dict[str, Script]:
    """What the provider answers: its streams take a moment, so that a fault can come into their middle."""
    text = [
        b"data: " + json.dumps({"id": "c", "object": "text_completion", "created": 1, "model": "m",
                                "choices": [{"index": 0, "text": f"{TEXT} ", "finish_reason": end}]}).encode() + b"\n\n"
        for end in [*[None] * PIECES, "stop"]
    ]  # fmt: skip
    one = {"id": "c", "object": "text_completion", "created": 1, "model": "m"}
    whole_text = {**one, "choices": [{"index": 0, "text": f"{TEXT} {TEXT}", "finish_reason": "stop"}]}
    chunks = [chunk({"content": f"{TEXT} "}) for _ in range(PIECES)]
    return {
        "chat stream": Script([*chunks, chunk({}, finish="stop"), DONE], gap=GAP_SECONDS),
        "chat whole": Script([whole(f"{TEXT} {TEXT}")], content_type=JSON),
        "text stream": Script([*text, DONE], gap=GAP_SECONDS),
        "text whole": Script([json.dumps(whole_text).encode()], content_type=JSON),
    }


@dataclass
class Product:
    """The product under the rig, and what it was found to do."""

    server: Server
    orders: Orders
    cells: list[dict[str, Any]] = field(default_factory=list)

    def pid(self, role: str) -> int:
        """The newest process of a role."""
        lines = (self.server.folder / "serve.log").read_text().splitlines()
        started = [json.loads(line) for line in lines if '"process_started"' in line]
        return int([event for event in started if event["role"] == role][-1]["pid"])

    def wait_well(self) -> float:
        """Until a turn is answered whole again and control shows its pages; the seconds it took."""
        begun = time.monotonic()
        while time.monotonic() < begun + BACK_SECONDS:
            asking = Asking(CHAT_WHOLE, self.server.port, self.server.key, CLIENT_SECONDS)
            if asking.close().status == 200 and self._shows_pages():
                return time.monotonic() - begun
            time.sleep(0.1)
        raise AssertionError((self.server.folder / "serve.log").read_text()[-3000:])

    def _shows_pages(self) -> bool:
        try:
            return self.server.http().get("/").status_code == 200
        except httpx.TransportError:
            return False

    def fill(self, route: Route) -> Route:
        """The route with a conversation of its own, where it needs one."""
        conversation = ""
        if "CONVERSATION" in route.path:
            conversation = self.server.http().post("/v1/conversations", json={}).json()["id"]
        return route.filled(conversation, len(self.cells))


@dataclass(frozen=True)
class Point:
    """A fault: its name, how it begins, and how it ends."""

    name: str
    begin: Callable[[Product], None]
    end: Callable[[Product], None]
    settles: float = 0.0
    """Seconds until the fault is felt: what is asked before that is asked of a relay that still has contact."""


def _disk(place: str, fault: Fault) -> Point:
    def begin(product: Product) -> None:
        product.orders.give(**{place: fault})

    return Point(f"{place}: {fault.name.lower()}", begin, lambda product: product.orders.give())


def _stop(product: Product) -> None:
    pause(product.pid("control"))


def _go_on(product: Product) -> None:
    os.kill(product.pid("control"), signal.SIGCONT)


def _kill(product: Product) -> None:
    # The supervisor sleeps, so that nobody starts control again.
    pause(product.server.child.pid)
    os.kill(product.pid("control"), signal.SIGKILL)


def _back(product: Product) -> None:
    os.kill(product.server.child.pid, signal.SIGCONT)


def _kill_relay(product: Product) -> None:
    os.kill(product.pid("relay"), signal.SIGKILL)


def _nothing(_: Product) -> None:
    """It ends by itself."""


NONE = Point("none", _nothing, _nothing)
LIE = _disk("journal", Fault.LIE)
JOURNAL, DATABASE = (
    tuple(_disk(place, fault) for fault in Fault if fault not in {Fault.NONE, Fault.LIE})
    for place in ("journal", "database")
)
RELAY = Point("relay: killed", _kill_relay, _nothing)
CONTROL = (
    Point("control: hung", _stop, _go_on, LEASE_SECONDS),
    Point("control: gone", _kill, _back, LEASE_SECONDS),
)


def violations(exchange: Exchange, trace: Trace) -> list[str]:
    """What reached the client before its record was durable."""
    durable = times(trace)
    turns = [exchange.turn] if exchange.turn else sorted({turn for _, turn in durable})
    found = []
    for what, position, kind in (
        ("answer", exchange.begun(), "intent"),
        ("end marker", exchange.ended(), "result"),
    ):
        if position is None:
            continue
        ends = [durable[kind, turn] for turn in turns if (kind, turn) in durable]
        if not ends:
            found.append(f"a byte of the {what} came and no {kind} is durable")
        elif min(ends) > exchange.came(position):
            found.append(
                f"the {what} came {(min(ends) - exchange.came(position)) / 1e6:.1f} ms before its {kind}"
            )
    return found


def times(trace: Trace) -> dict[tuple[str, str], int]:
    """When the entry of a kind and turn became durable, ns."""
    found: dict[tuple[str, str], int] = {}
    for write in trace.writes:
        durable = trace.durable(write)
        for kind, turn in ENTRY.findall(write.data) if durable is not None else ():
            key = kind.decode(), turn.decode()
            found[key] = min(durable or 0, found.get(key, sys.maxsize))
    return found


def cell(product: Product, point: Point, route: Route, *, mid: bool, hold: float = 0.0) -> dict[str, Any]:
    """One exchange under a fault that begins before it, or (`mid`) after its first bytes, and lasts `hold` seconds."""
    at = product.orders.trace.stat().st_size
    route = product.fill(route)
    if not mid:
        point.begin(product)
        time.sleep(point.settles)
    begun = time.monotonic()
    asking = Asking(route, product.server.port, product.server.key, CLIENT_SECONDS)
    if mid:
        asking.read(until=CANARY)
        point.begin(product)
    try:
        exchange = asking.close()
        took = time.monotonic() - begun
        time.sleep(max(0.0, hold - took))
    finally:
        point.end(product)
    back = product.wait_well()
    trace = Trace.read(product.orders.trace, at)
    found = {
        "fault": point.name,
        "route": route.name,
        "when": "mid" if mid else "before",
        "status": exchange.status,
        "bytes": len(exchange.bytes),
        "answer": exchange.begun() is not None,
        "complete": exchange.ended() is not None,
        "bounded": exchange.closed,
        "clear": exchange.clear(),
        "took_s": round(took, 2),
        "well_after_s": round(back, 2),
        "violations": violations(exchange, trace),
    }
    product.cells.append(found)
    return found


@contextmanager
def product_under_faults(folder: Path) -> Iterator[Product]:
    """A fresh Dragoman with the library preloaded and a provider that answers with the canary."""
    provider = FakeProvider()
    provider.scripts.update(scripts())
    orders = Orders(folder)
    body = f"""
        [providers.far]
        kind = "openai"
        base_url = "{provider.url}"
        [models.far]
        provider = "far"
        model = "m"
        """
    server = whole_product.start(folder, body, **orders.environment)
    product = Product(server, orders)
    try:
        product.wait_well()
        yield product
    finally:
        orders.give()
        server.stop()
        provider.close()


def plan(points: tuple[Point, ...]) -> Iterator[tuple[Point, Route, bool]]:
    """Every fault with every route; streams of the provider also broken in their middle."""
    for point in points:
        for route in ROUTES:
            yield point, route, False
            if route.shape == "stream" and not route.name.startswith("local"):
                yield point, route, True


def run(folder: Path, hold: float) -> dict[str, Any]:
    """The whole matrix, the lying disk as the control, and whether the record verifies after all of it."""
    with product_under_faults(folder) as product:
        for point, route, mid in plan((NONE, *JOURNAL, *DATABASE, *CONTROL, RELAY)):
            found = cell(product, point, route, mid=mid, hold=hold if point in CONTROL else 0.0)
            print(json.dumps(found), flush=True)
        lies = [cell(product, LIE, route, mid=False) for route in (CHAT_STREAM, CHAT_WHOLE, PAGE)]
    verdict = verify_zone(folder / "data")
    truth = [found for found in product.cells if found not in lies]
    return {
        "cells": len(truth),
        "answered": sum(found["complete"] for found in truth),
        "violations": [found for found in truth if found["violations"]],
        "not_answered_without_fault": [f for f in truth if f["fault"] == "none" and not f["complete"]],
        "complete_while_the_journal_failed": [
            f for f in truth if f["fault"].startswith("journal") and f["complete"]
        ],
        "unbounded": [f for f in truth if not f["bounded"]],
        "unclear": [f for f in truth if not f["clear"]],
        "control": {"lying_disk_cells": len(lies), "found_out": sum(bool(f["violations"]) for f in lies)},
        "slowest_s": max(found["took_s"] for found in truth),
        "well_after_s": max(found["well_after_s"] for found in truth),
        "record_sound": verdict.sound,
        "exempt": EXEMPT,
    }


def passed(found: dict[str, Any]) -> bool:
    """Nothing came early, the control was found out, and the record verifies."""
    control = found["control"]
    return (
        not found["violations"]
        and not found["not_answered_without_fault"]
        and not found["complete_while_the_journal_failed"]
        and not found["unbounded"]
        and not found["unclear"]
        and control["found_out"] == control["lying_disk_cells"] > 0
        and bool(found["record_sound"])
    )


def main() -> int:
    """Run the matrix; exit 1 where the promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hold", type=float, default=30.0, help="seconds that control hangs or is gone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), given.hold)
    print(json.dumps(found))
    return int(not passed(found))


if __name__ == "__main__":
    sys.exit(main())
