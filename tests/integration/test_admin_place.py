"""Who administers from abroad is refused what people wrote, or lets the ledger have it; from here nothing changes."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dragoman.admin import attempts
from dragoman.admin.sessions import Limits, Sessions
from dragoman.control.app import Control
from dragoman.core.admins import AUDITOR
from dragoman.ids import now_ms
from dragoman.stores.schema import appeals
from dragoman.testing.mmdb import mmdb
from dragoman.testing.ports import free_port

HERE, ABROAD, NOWHERE = "198.51.100.7", "203.0.113.9", "192.0.2.1"
V6_ABROAD = "2001:db8:7::9"
APPEAL = "The lamp was blue"
CONFIG = """
[zone]
data = "d"
country = "SG"
admin_listen = "127.0.0.1:{admin}"
[edge]
address_files = ["places.mmdb"]
[admin]
listen = "127.0.0.1:{port}"
public_url = "https://admin.example.org"
trusted_proxies = ["127.0.0.2/32"]
{more}
"""
PERSONAL = ("/appeals", "/interventions", "/decisions", "/reviews")
NOT_PERSONAL = {
    *("", "account", "acts", "changes", "confirm", "documents", "enrol", "favicon.ico", "incidents", "keys"),
    *(
        "limits",
        "login",
        "logout",
        "metrics",
        "openapi.json",
        "packs",
        "people",
        "readiness",
        "reload",
        "rules",
    ),
    *("sessions", "setup", "simulation", "static", "status", "tenants", "timeline", "tokens", "usage"),
    "vocabulary",
}
"""The rest of the listener by the first word of its path: what the operator wrote and set up, who administers,
counts. An incident has the operator's own words, in which nobody is to be named."""


@dataclass
class Desk:
    """A served zone, asked by a machine token through a proxy."""

    control: Control
    port: int
    token: str

    def ask(self, path: str, address: str, **headers: str) -> tuple[int, str]:
        source = ("127.0.0.2", 0)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=source)
        with closing(connection):
            sent = {"host": "admin.example.org", "x-forwarded-for": address}
            connection.request(
                "GET", path, headers=sent | {"authorization": f"Bearer {self.token}"} | headers
            )
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def entries(self, act: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.control.settings.zone.data / "zone.db")) as raw:
            rows = [json.loads(row[0]) for row in raw.execute("SELECT entry FROM outbox ORDER BY item")]
        return [row for row in rows if row.get("act") == act]


Serving = Callable[..., Any]


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    monkeypatch.setattr(attempts, "TRIES", 10_000)

    @contextmanager
    def serve(more: str = "", country: str = 'country = "SG"') -> Iterator[Desk]:
        port = free_port()
        networks = {"198.51.100.0/24": "SG", "203.0.113.0/24": "FR", "2001:db8:7::/48": "FR"}
        records = {network: {"country": {"iso_code": code}} for network, code in networks.items()}
        (tmp_path / "places.mmdb").write_bytes(mmdb(records, int(time.time())))
        text = CONFIG.format(admin=free_port(), port=port, more=more).replace('country = "SG"', country)
        (tmp_path / "dragoman.toml").write_text(text, encoding="utf-8")
        control = Control(tmp_path / "dragoman.toml")
        control.open_admin()
        control.start()
        row: dict[str, Any] = {one.name: "x" for one in appeals.c if not one.nullable}
        row |= {"tenant": control.core.guest_tenant().tenant, "appeal": "one", "text": APPEAL, "at": now_ms()}
        row |= {"acknowledged": '{"en": "came", "zh": "收到"}'}
        control.core.database.write(lambda c: c.execute(appeals.insert().values(row)))
        sessions = Sessions(control.core.access, control.core.pepper, control.core.zone, Limits(1, 1, 0))
        yield Desk(control, port, sessions.create_token("cli", "machine", AUDITOR, 1).text)
        control.stop()

    return serve


def of_appeal(desk: Desk) -> str:
    return f"/admin/v1/appeals/{desk.control.core.guest_tenant().tenant}/one"


def test_abroad_what_people_wrote_is_refused_and_the_rest_is_not(serving: Serving) -> None:
    with serving() as desk:
        for path in (*PERSONAL, *(f"/admin/v1{path}" for path in PERSONAL), of_appeal(desk)):
            assert desk.ask(path, HERE)[0] == 200, path
            assert desk.ask(path, NOWHERE)[0] == 200, path
            for address in (ABROAD, V6_ABROAD):
                status, said = desk.ask(path, address)
                assert (status, "abroad" in said, APPEAL in said) == (403, True, False), path
        assert APPEAL in desk.ask(of_appeal(desk), HERE)[1]
        assert "shown in SG alone; you ask from FR" in desk.ask(of_appeal(desk), ABROAD)[1]
        chinese = {"accept-language": "zh", "accept": "text/html"}
        assert "仅可在 SG 境内查看" in desk.ask("/appeals", ABROAD, **chinese)[1]
        for path in ("/", "/keys", "/packs", "/admin/v1/status", "/admin/v1/usage"):
            assert desk.ask(path, ABROAD)[0] == 200, path
        assert desk.entries("staff.transfer") == []
        assert {one["what"] for one in desk.entries("admin.refused")} == {"abroad"}


def test_where_it_is_recorded_the_ledger_has_it_before_it_is_shown(serving: Serving) -> None:
    with serving('abroad = "record"') as desk:
        path = of_appeal(desk)
        assert desk.ask(path, HERE)[0] == 200
        assert desk.entries("staff.transfer") == []
        assert APPEAL in desk.ask(path, ABROAD)[1]
        (entry,) = desk.entries("staff.transfer")
        assert (entry["country"], entry["path"]) == ("FR", path)
        assert entry["by"].startswith("atk_local_")
        assert ABROAD not in json.dumps(entry), "a country, no address"


def test_an_unknown_place_is_abroad_only_where_that_is_stated(serving: Serving, tmp_path: Path) -> None:
    with serving('place_unknown = "abroad"') as desk:
        assert desk.ask("/appeals", HERE)[0] == 200
        for address in (NOWHERE, "unknown", "", ABROAD):
            assert desk.ask("/appeals", address)[0] == 403, address
        (tmp_path / "places.mmdb").write_bytes(b"broken")
        assert desk.ask("/appeals", HERE)[0] == 403, "a file that cannot be read makes every address unknown"


def test_without_a_country_of_the_zone_nobody_is_abroad(serving: Serving) -> None:
    with serving('place_unknown = "abroad"', country="") as desk:
        assert desk.ask("/appeals", ABROAD)[0] == 200


def test_every_route_about_people_asks_for_the_place(serving: Serving) -> None:
    with serving() as desk:
        assert desk.control.admin is not None
        shown = {
            route.path
            for route in desk.control.admin.table.routes
            if any(f"/{noun}" in route.path for noun in ("appeals", "interventions", "decisions", "reviews"))
            and (route.method == "GET" or "/reviews/" in route.path)
        }
        asked = {route.path for route in desk.control.admin.table.routes if route.personal}
        assert shown == asked
        assert len(asked) == 21


def test_whether_a_route_is_about_people_was_asked_of_each(serving: Serving) -> None:
    """A noun that is new fails here until it is said which it is."""
    with serving() as desk:
        assert desk.control.admin is not None
        nouns = {
            route.path.removeprefix("/admin/v1").split("/")[1] for route in desk.control.admin.table.routes
        }
        about_people = {one.removeprefix("/") for one in PERSONAL}
        assert not about_people & NOT_PERSONAL
        assert nouns == about_people | NOT_PERSONAL
