"""Runs stored turns while the file system refuses to write beyond a size: one JSON line of what came of it.

A process of its own: the limit (RLIMIT_FSIZE) holds for every file of the process, and its signal has to be ignored.
A write that would pass it fails in the middle, with EFBIG, wherever it happens: in a statement, a commit or a checkpoint.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dragoman.assistants import conversations as rules
from dragoman.assistants.opening import open_turn
from dragoman.assistants.turns import close_turn, finish_turn
from dragoman.control import turn_messages
from dragoman.core.turns import Residual
from dragoman.errors import RefusedError
from dragoman.ids import new_id, now_ms
from dragoman.stores import schema
from dragoman.stores.conversations import SqlConversations
from dragoman.stores.database import ERASED, Database
from dragoman.stores.migrate import migrate
from dragoman.stores.tenancy import rows_of

sys.path.insert(0, str(Path(__file__).parent))
from turns_control import Relay, answer_record

STEP = 1_400
"""Bytes between two limits: each page of 4,096 bytes is met at several places."""
WAYS = 80
STEPS = ("open", "closing", "finished", "create")
NOTHING = Residual([], None, (), "dec_local_" + "0" * 32, None, None)
TENANT, PRINCIPAL = new_id("ten", "local"), new_id("prn", "local")


class Zone:
    """A database with one person's conversation, and what it said was done."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "zone.db"
        migrate(self.file)
        self.database = Database(self.file)
        self.store = SqlConversations(self.database, "local")
        self.person = rules.Person(TENANT, PRINCIPAL)
        who = {"tenant": TENANT, "principal": PRINCIPAL, "key": None}
        same = {"app": None, "end_users": "none", "class": "c", "scopes": ["turns"]}
        self.relay = Relay(folder, {**who, **same})
        self.full_at = ("", 0)
        self.done: list[tuple[str, str]] = []
        self.failed: list[tuple[str, str]] = []
        self.database.write(
            lambda c: rows_of(c, TENANT).insert(
                schema.tenants, slug="t", title="T", state="active", created_at=0, changed_at=0
            )
        )
        self.name = self.conversation()

    def before(self, step: str) -> None:
        """The disk is full from here on, where this is the step it is to be full at."""
        if step == self.full_at[0]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.full_at[1], resource.RLIM_INFINITY))

    def emptied(self) -> None:
        """The log of pages begins at nothing, so that a limit of its size is met at once."""

        def work(connection: sa.Connection) -> None:
            connection.info[ERASED] = True

        self.database.write(work)

    def conversation(self) -> str:
        name = new_id("cnv", "local")
        want = rules.Wanted(title="x" * 100)
        self.before("create")
        self.write("create", name, lambda r: rules.create(r, self.person, name, want, None, now_ms()))
        return name

    def write(self, step: str, subject: str, work: Any) -> bool:
        """Whether it was done; a fault of the disk is noted, everything else is one of ours."""
        try:
            self.store.submit(TENANT, work).result()
        except (sa.exc.OperationalError, sa.exc.DatabaseError):
            self.failed.append((step, subject))
            return False
        self.done.append((step, subject))
        return True

    def turn(self) -> None:
        message = self.relay.message(self.name, "y" * 3_000, parent="root")
        opening = turn_messages.opening(message, lambda _: 8_192)
        record = json.dumps(answer_record("z" * 3_000))
        digest = self.relay.digest(opening.turn, record)
        body = {"digest": digest, "answer": record, "result": self.relay.result(opening.turn)}
        if not self.write(
            "open", opening.turn, lambda r: open_turn(r, opening, now_ms(), lambda *_: NOTHING)
        ):
            return
        self.before("closing")
        if not self.write("closing", opening.turn, lambda r: close_turn(r, opening.turn, body, now_ms())):
            return
        self.before("finished")
        self.write("finished", opening.turn, lambda r: finish_turn(r, opening.turn, digest, now_ms()))

    def states(self, database: Database) -> dict[str, str]:
        """What is kept, by turn."""
        store = SqlConversations(database, "local")

        def look(rows: Any) -> dict[str, str]:
            found = rows.whole_turns(self.name, 0, 100_000)
            return {brief.turn: brief.state for brief, _ in found}

        return store.read(TENANT, look)


def check(zone: Zone, database: Database) -> None:
    """Everything acknowledged is there, nothing that failed is, and the file is whole."""
    states = zone.states(database)
    expected: dict[str, str] = {}
    for step, subject in zone.done:
        if step != "create":
            expected[subject] = {"open": "opened"}.get(step, step)
    assert states == expected, "kept is what was acknowledged"
    assert database.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar_one()) == "ok"
    conversations = {s for step, s in zone.done if step == "create"}
    store = SqlConversations(database, "local")
    kept = store.read(
        TENANT, lambda rows: {r.conversation for r in rows.conversations(PRINCIPAL, None, 100_000)}
    )
    assert kept == conversations


def main() -> None:
    """Fail at many places, then work again, then open the file anew."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    zone = Zone(Path(sys.argv[1]))
    for way in range(WAYS):
        zone.emptied()
        zone.full_at = (STEPS[way % len(STEPS)], way // len(STEPS) * STEP)
        for _ in range(2):
            zone.turn()
            zone.conversation()
        zone.full_at = ("", 0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        zone.turn()
        assert zone.done[-1][0] == "finished", "it works again as soon as there is room"
        check(zone, zone.database)
    zone.database.close()
    again = Database(zone.file)
    check(zone, again)
    again.close()
    refused = sorted({step for step, _ in zone.failed})
    print(json.dumps({"done": len(zone.done), "failed": len(zone.failed), "steps": refused}))


if __name__ == "__main__":
    try:
        main()
    except RefusedError as fault:
        sys.exit(f"a rule refused: {fault.code}")
