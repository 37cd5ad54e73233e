"""Who comes by a public port leaves no more rows than guests may ask; at one's own machine nobody is counted."""

from __future__ import annotations

import http.client
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from turns_control import Unix

from dragoman.accounts.newcomers import Newcomers
from dragoman.accounts.sessions import SESSION_MS
from dragoman.control.app import Control
from dragoman.control.core import DATABASE
from dragoman.control.relay_config import SESSION_COOKIE
from dragoman.control.retention import Retention
from dragoman.errors import RefusedError
from dragoman.ids import now_ms
from dragoman.settings_edge import GUEST_DAYS_LEAST
from dragoman.stores import retention
from dragoman.stores.retention import RetentionRows

LOCAL = '[zone]\ndata = "d"\n'
DAY_MS = 86_400_000
GUEST_DAYS = 10
PUBLIC = """
[deployment]
stage = "public"
[edge]
trusted_proxies = ["10.0.0.0/8"]
guest_turns_per_minute = 3
[zone]
data = "d"
public_url = "https://chat.example"
"""
COMING = 12


def ask(run: Path, cookie: str | None = None, accept: str = "text/html") -> http.client.HTTPResponse:
    """A question by the form without script, as the relay passes it on."""
    connection = Unix(run / "pages.sock")
    sent = {"dragoman-wire": "1", "accept": accept, "sec-fetch-site": "same-origin"}
    sent["content-type"] = "application/x-www-form-urlencoded"
    if cookie is not None:
        sent["cookie"] = f"{SESSION_COOKIE}={cookie}"
    connection.request("POST", "/ask", urlencode({"q": "How long?"}), sent)
    answer = connection.getresponse()
    answer.read()
    return answer


def kept(control: Control) -> int:
    with closing(sqlite3.connect(control.settings.zone.data / DATABASE)) as raw:
        return int(raw.execute("SELECT count(*) FROM principals").fetchone()[0])


# No relay runs here: the page of a question that stands alone says so as it grows, a conversation is not begun.
@pytest.mark.parametrize(("text", "most", "taken"), [(PUBLIC, 3, 200), (LOCAL, COMING, 503)])
def test_a_crowd_of_new_guests_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, most: int, taken: int
) -> None:
    monkeypatch.setattr("dragoman.control.app.check_administrator", lambda *_: None)
    (tmp_path / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(tmp_path / "dragoman.toml")
    control.start()
    try:
        run = control.settings.zone.data / "run"
        first = ask(run)
        cookie = str(first.getheader("set-cookie")).split("=", 1)[1].split(";")[0]
        statuses = [first.status, *(ask(run).status for _ in range(COMING - 1))]
        assert statuses == [taken] * most + [429] * (COMING - most)
        assert kept(control) == most
        assert ask(run, cookie).status == taken, "who is known goes on"
        assert ask(run, accept="application/json").status == (taken if most == COMING else 429)
    finally:
        control.stop()


OWNED = {
    "conversations": "(tenant, conversation, principal, created_at, changed_at, turns, metadata, pinned)"
    " VALUES (?, 'cnv', ?, 1, 1, 0, '{{}}', 0)",
    "claims": "(tenant, principal, name, kind, subject, body, ends_at) VALUES (?, ?, 'k', 'turn', 't', 'b', 1)",
    "interventions": "(tenant, principal, intervention, turn, at, origin, action, document)"
    " VALUES (?, ?, 'int', 't', {at}, 'rule', 'redact', '{{}}')",
    "appeals": "(tenant, principal, appeal, about, at, lang, state, text, salt, acknowledged)"
    " VALUES (?, ?, 'app', 'int', 1, 'en', 'received', 'x', 's', 'a')",
    "zone_meta": "(tenant, name, value) VALUES (?, 'erasing:' || ?, '{{}}')",
}


def guests(control: Control, names: list[str], at: int) -> str:
    """Guests with some use that rules remember; their tenant."""
    tenant = control.core.guest_tenant().tenant

    def work(c: sa.Connection) -> None:
        for name in names:
            values = (tenant, name, at)
            c.exec_driver_sql("INSERT INTO principals VALUES (?, ?, 'guest', 'c_1', ?)", values)
            c.exec_driver_sql("INSERT INTO uses VALUES (?, ?, 1, 1)", (tenant, name))
            c.exec_driver_sql("INSERT INTO notices_shown VALUES (?, ?, 'n', 'notice', 1)", (tenant, name))

    control.core.database.write(work)
    return tenant


def rows(control: Control, table: str) -> set[str]:
    with closing(sqlite3.connect(control.settings.zone.data / DATABASE)) as raw:
        return {row[0] for row in raw.execute(f"SELECT principal FROM {table}")}


def entries(control: Control) -> int:
    """How many are on their way to the ledger, or there."""
    query = "SELECT count(*) FROM outbox"
    return int(control.core.database.read(lambda c: c.exec_driver_sql(query).scalar_one()))


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Control]:
    (tmp_path / "dragoman.toml").write_text(
        f'[zone]\ndata = "d"\n[edge]\nguest_days = {GUEST_DAYS}\n', encoding="utf-8"
    )
    control = Control(tmp_path / "dragoman.toml")
    yield control
    control.core.close()


def test_guests_who_are_due_and_own_nothing_are_forgotten(
    zone: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    now = now_ms()
    old, young = now - 11 * DAY_MS, now - 9 * DAY_MS
    due = [f"prn_due_{n}" for n in range(10)]
    tenant = guests(zone, [*due, *(f"prn_owns_{table}" for table in OWNED)], old)
    guests(zone, ["prn_young"], young)
    for table, values in OWNED.items():
        sql = f"INSERT INTO {table} {values.format(at=old + DAY_MS)}"
        owner = (tenant, f"prn_owns_{table}")
        zone.core.database.write(lambda c, sql=sql, owner=owner: c.exec_driver_sql(sql, owner))
    before = entries(zone)
    assert not zone.core.retention.run(lambda: True).finished, "who is asked to stop forgets nobody more"
    assert {"prn_young", *due} < rows(zone, "principals")
    assert zone.core.retention.run().gone["guests"] == len(due)
    left = {"prn_young", *(f"prn_owns_{table}" for table in OWNED)}
    assert rows(zone, "principals") == rows(zone, "uses") == rows(zone, "notices_shown") == left
    assert zone.core.retention.run().gone["guests"] == 0
    assert entries(zone) == before + 2, "an entry of each run, and nothing of a guest"


def test_nobody_is_forgotten_whose_cookie_may_still_work(zone: Control) -> None:
    assert GUEST_DAYS_LEAST * DAY_MS == SESSION_MS
    guests(zone, ["prn_1"], now_ms() - GUEST_DAYS * DAY_MS + 60_000)
    soon = Retention(
        zone.core.holder,
        RetentionRows(zone.core.database, "local"),
        zone.core.conversations,
        lambda: now_ms() + 120_000,
    )
    assert zone.core.retention.run().gone["guests"] == 0
    assert soon.run().gone["guests"] == 1


def test_a_step_is_small_and_the_thread_stops_between_two(zone: Control) -> None:
    count = 3 * retention.AT_ONCE
    guests(zone, [f"prn_{n:05d}" for n in range(count)], 1)
    asked: list[int] = []

    def stopping() -> bool:
        asked.append(len(rows(zone, "principals")))
        return asked[-1] < 2 * retention.AT_ONCE

    assert not zone.core.retention.run(stopping).finished
    assert sorted(set(asked)) == [count - 2 * retention.AT_ONCE, count - retention.AT_ONCE, count]
    assert zone.core.retention.run().gone["guests"] == count, "gone on with, and counted together"


def test_places_come_free_with_time() -> None:
    now = [0.0]
    door = Newcomers(lambda: 60, lambda: now[0])
    for _ in range(60):
        door.admit()
    with pytest.raises(RefusedError, match="Guests share"):
        door.admit()
    now[0] = 1.0
    door.admit()
    with pytest.raises(RefusedError):
        door.admit()
    now[0] = 10_000.0
    for _ in range(60):
        door.admit()
    with pytest.raises(RefusedError):
        door.admit()
