"""The admin listener over its real port: coming in, staying in, roles, forms, freshness, attempts, the sweep."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragoman.admin import attempts, sessions
from dragoman.admin.build import admin_table
from dragoman.admin.site import AdminSite
from dragoman.admin.table import ANYONE, METRICS, AdminRoute, RouteTable
from dragoman.admin.table import Visitor as Visiting
from dragoman.control import bounded
from dragoman.control.app import Control
from dragoman.core.accounts import Act
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.settings_limits import Limit
from dragoman.stores.schema import ZONE_TENANT
from dragoman.testing.authenticator import FakeAuthenticator
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Visitor

CONFIG = """
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
[admin]
metrics_token_file = "scrape"
"""
NOTHING = Act(ZONE_TENANT, {"act": "test"})
SCRAPE = "a-token-for-the-scraper"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a")
    (folder / "scrape").write_text(SCRAPE + "\n", encoding="utf-8")
    text = CONFIG.format(listen=free_port(), admin=free_port())
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def control(folder: Path) -> Iterator[Control]:
    control = Control(folder / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


@pytest.fixture
def port(control: Control, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(attempts, "TRIES", 10_000)
    assert control.admin is not None
    return int(control.admin.origin.rpartition(":")[2])


@pytest.fixture
def visitor(port: int) -> Visitor:
    return Visitor(port)


def link(control: Control, role: str = OPERATOR, admin: str | None = None) -> str:
    return f"x#{control.core.people.invite('cli', role, None, admin).text}"


def came_in(control: Control, port: int, role: str = OPERATOR) -> Visitor:
    visitor = Visitor(port)
    assert visitor.enrol(link(control, role)).status == 200
    return visitor


def acts(control: Control) -> list[dict[str, Any]]:
    control.core.database.write(lambda _: None)  # what was begun before is durable by then
    with sqlite3.connect(control.settings.zone.data / "zone.db") as raw:
        return [json.loads(row[0]) for row in raw.execute("SELECT entry FROM outbox ORDER BY item")]


def make_stale(control: Control) -> None:
    """As if the last proof had been six minutes ago."""
    table = "UPDATE admin_sessions SET fresh_at = fresh_at - 360000"
    control.core.database.write(lambda c: c.exec_driver_sql(table))


def test_a_link_lets_in_once_and_a_passkey_ever_after(control: Control, visitor: Visitor) -> None:
    made = link(control)
    assert visitor.enrol(made).json() == {"next": "/"}
    first = visitor.cookie
    assert visitor.page("/").status == 200
    assert visitor.form("/logout").headers["location"] == "/login"
    assert visitor.cookie is None
    assert visitor.ask("GET", "/", cookie=f"{sessions.COOKIE}={first}").status == 401, (
        "ended, not only forgotten"
    )
    assert visitor.prove().json() == {"next": "/keys"}
    assert visitor.page("/keys").status == 200
    again = Visitor(visitor.port).enrol(made)
    assert (again.status, again.code) == (403, "link_over")
    assert {"admin.enrol", "admin.login", "admin.logout", "admin.refused"} <= {
        one.get("act") for one in acts(control)
    }


def test_the_cookie_changes_at_log_in_and_a_new_log_in_ends_the_old_one(control: Control, port: int) -> None:
    one = came_in(control, port)
    held = one.cookie
    other = Visitor(port)
    other.page("/login")
    anonymous = other.cookie
    assert anonymous is not None
    assert anonymous.startswith("a.")
    other.passkey = one.passkey
    assert other.prove().status == 200
    assert other.cookie not in {anonymous, held}
    assert one.ask("GET", "/admin/v1/status").status == 401
    assert other.ask("GET", "/admin/v1/status").status == 200


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "http://localhost:1"},
        {"host": "evil.example"},
        {"verified": False},
        {"counts": False},
        {"credential": b"another"},
        {"user": b"another"},
    ],
)
def test_an_answer_that_is_not_for_us_does_not_let_in(
    control: Control, port: int, lie: dict[str, Any]
) -> None:
    visitor = came_in(control, port)
    visitor.form("/logout")
    assert visitor.prove().status == 200
    visitor.form("/logout")
    visitor.passkey = replace(visitor.passkey, **lie)
    answer = visitor.prove()
    assert (answer.status, answer.code) == (401, "not_let_in")
    assert visitor.ask("GET", "/admin/v1/status").status == 401


def test_an_enrolment_that_is_not_for_us_leaves_the_link_and_nobody(control: Control, port: int) -> None:
    made, before = link(control), len(control.core.people.listing())
    for lie in ({"origin": "http://localhost:1"}, {"host": "evil.example"}, {"verified": False}):
        visitor = Visitor(port)
        visitor.passkey = FakeAuthenticator(**{"origin": visitor.origin, **lie})
        assert visitor.enrol(made).code == "not_let_in", lie
    assert len(control.core.people.listing()) == before
    assert Visitor(port).enrol(made).status == 200


def test_a_challenge_is_answered_once_and_by_its_own_browser(control: Control, port: int) -> None:
    visitor = came_in(control, port)
    visitor.form("/logout")
    visitor.page("/login")
    options = visitor.post("/login/options", {}).json()["options"]
    got = {"credential": visitor.passkey.get(options), "next": "/"}
    thief = Visitor(port)
    thief.page("/login")
    assert thief.post("/login/passkey", got).code == "not_let_in", "another browser's challenge"
    assert visitor.post("/login/passkey", got).status == 200
    visitor.page("/")
    assert visitor.form("/logout").status == 303
    replayed = Visitor(port)
    replayed.page("/login")
    assert replayed.post("/login/passkey", got).code == "not_let_in"


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"id": 1},
        {"id": "x" * 2_000},
        {"id": "KNOWN", "rawId": "!", "type": "public-key", "response": {}},
        {"id": "KNOWN", "rawId": "KNOWN", "type": "public-key", "response": {"clientDataJSON": "e30"}},
        {
            "id": "KNOWN",
            "rawId": "KNOWN",
            "type": "public-key",
            "response": {
                "clientDataJSON": "e30",
                "authenticatorData": "AA",
                "signature": "AA",
                "userHandle": 5,
            },
        },
    ],
)
def test_garbage_is_refused_plainly(control: Control, port: int, credential: dict[str, Any]) -> None:
    visitor = came_in(control, port)
    visitor.form("/logout")
    known = visitor.passkey.get({"challenge": "x"})["id"]
    visitor.page("/login")
    visitor.post("/login/options", {})
    sent = json.loads(json.dumps(credential).replace("KNOWN", known))
    answer = visitor.post("/login/passkey", {"credential": sent, "next": "/"})
    assert (answer.status, answer.code) == (401, "not_let_in")


def test_a_forged_ended_or_changed_cookie_is_nobodys(control: Control, port: int) -> None:
    visitor = came_in(control, port)
    good = visitor.cookie or ""
    row = control.core.database.read(
        lambda c: c.exec_driver_sql("SELECT verifier FROM admin_sessions").first()
    )
    forged = [
        good[:-1] + ("a" if good[-1] != "a" else "b"),
        f"s.{'0' * 43}",
        "a." + good[2:],
        row[0],
        "s.",
        "",
        "é",
    ]
    for value in forged:
        answer = visitor.ask(
            "GET", "/admin/v1/status", cookie=f"{sessions.COOKIE}={value}".encode().decode("latin-1")
        )
        assert answer.status == 401, value
    visitor.cookie = good
    assert visitor.ask("GET", "/admin/v1/status").status == 200
    for column, back in (("seen_at", 31 * 60_000), ("created_at", 13 * 3_600_000)):
        change = f"UPDATE admin_sessions SET {column} = {column} - {back}"
        control.core.database.write(lambda c, change=change: c.exec_driver_sql(change))
        assert visitor.ask("GET", "/admin/v1/status").status == 401, column
        undo = f"UPDATE admin_sessions SET {column} = {column} + {back}"
        control.core.database.write(lambda c, undo=undo: c.exec_driver_sql(undo))
        assert visitor.ask("GET", "/admin/v1/status").status == 200, "the control"


def test_no_table_holds_what_logs_in(control: Control, port: int) -> None:
    visitor = came_in(control, port)
    token = visitor.post("/admin/v1/tokens", {"title": "t"}).json()["text"]
    with sqlite3.connect(control.settings.zone.data / "zone.db") as raw:
        dump = "\n".join(raw.iterdump())
    assert (visitor.cookie or "") not in dump
    assert token not in dump


def test_a_change_of_role_or_a_removal_ends_the_log_in(control: Control, port: int) -> None:
    operator, other = came_in(control, port), came_in(control, port)
    admin = next(row["admin"] for row in operator.ask("GET", "/admin/v1/sessions").json()["rows"])
    assert operator.post("/admin/v1/people/role", {"admin": admin, "role": "auditor"}).status == 200
    assert other.ask("GET", "/admin/v1/status").status == 401
    assert other.prove().status == 200
    refused = other.post("/admin/v1/keys", {})
    assert (refused.status, refused.code) == (403, "wrong_role")
    assert operator.post("/admin/v1/people/remove", {"admin": admin}).status == 200
    assert other.ask("GET", "/admin/v1/status").status == 401
    assert other.prove().code == "not_let_in", "the passkey is gone too"
    assert any(
        one.get("act") == "admin.refused" and one["what"] == "role" and one["by"] == admin
        for one in acts(control)
    )


def test_a_change_asks_for_a_proof_of_the_last_minutes(control: Control, port: int) -> None:
    visitor = came_in(control, port)
    make_stale(control)
    refused = visitor.post("/admin/v1/keys", {"title": "late"})
    assert (refused.status, refused.code) == (403, "confirm_first")
    shown = visitor.form("/keys", title="late")
    assert shown.status == 403
    assert "/confirm?next=" in shown.body
    held = visitor.cookie
    assert visitor.prove("/confirm", "/confirm?next=/keys").json() == {"next": "/keys"}
    assert visitor.cookie != held, "the cookie changes with what it may"
    assert visitor.ask("GET", "/admin/v1/status", cookie=f"{sessions.COOKIE}={held}").status == 401
    assert visitor.post("/admin/v1/keys", {"title": "in time"}).status == 201
    titles = [row["title"] for row in visitor.ask("GET", "/admin/v1/keys").json()["rows"]]
    assert "in time" in titles
    assert "late" not in titles


def test_nobody_confirms_for_another(control: Control, port: int) -> None:
    visitor, other = came_in(control, port), came_in(control, port)
    visitor.passkey = other.passkey
    assert visitor.prove("/confirm").code == "not_let_in"


CROSS = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://127.0.0.1"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "cross-site"},
    {"x_csrf_token": ""},
    {"x_csrf_token": "0" * 43},
    {"content_type": "text/plain"},
    {"content_type": "application/x-www-form-urlencoded"},
]


@pytest.mark.parametrize("sent", CROSS)
def test_another_sites_page_changes_nothing(control: Control, port: int, sent: dict[str, str]) -> None:
    visitor = came_in(control, port)
    before = len(control.core.registry.keys(None))
    answer = visitor.post("/admin/v1/keys", {"title": "csrf"}, **sent)
    assert answer.status in {400, 403}
    assert len(control.core.registry.keys(None)) == before
    assert visitor.post("/admin/v1/keys", {"title": "mine"}).status == 201, "the control: our own page may"
    assert len(control.core.registry.keys(None)) == before + 1
    assert "access-control-allow-origin" not in answer.headers


def test_without_the_checks_the_same_requests_do_something(
    control: Control, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the two tests of forms and roles: what they refuse is possible otherwise."""
    visitor, auditor = came_in(control, port), came_in(control, port, AUDITOR)
    evil = {"origin": "http://evil.example", "x_csrf_token": ""}
    assert visitor.post("/admin/v1/keys", {"title": "no"}, **evil).code == "cross_origin"
    assert auditor.post("/admin/v1/keys", {"title": "no"}).code == "wrong_role"
    monkeypatch.setattr(AdminSite, "_same_origin", lambda *_: None)
    monkeypatch.setattr(AdminSite, "_own_form", lambda *_: None)
    assert visitor.post("/admin/v1/keys", {"title": "yes"}, **evil).status == 201
    monkeypatch.setattr(Visiting, "may", lambda *_: True)
    assert auditor.post("/admin/v1/keys", {"title": "yes"}).status == 201


def test_the_form_token_is_the_sessions_own(control: Control, port: int) -> None:
    one, other = came_in(control, port), came_in(control, port)
    assert one.post("/admin/v1/keys", {}, x_csrf_token=other.csrf).code == "stale_form"


def test_everything_an_operator_does_is_entered_with_who(control: Control, port: int) -> None:
    visitor = came_in(control, port)
    key = visitor.post("/admin/v1/keys", {"title": "k"}).json()
    assert visitor.post("/admin/v1/keys/revoke", {"key": key["key"]}).json()["state"] == "revoked"
    assert visitor.post("/admin/v1/tenants", {"name": "acme-a"}).json()["slug"] == "acme-a"
    assert visitor.post("/admin/v1/tenants/suspend", {"tenant": "acme-a", "reason": "r"}).status == 200
    assert visitor.post("/admin/v1/tenants/resume", {"tenant": "acme-a"}).json()["state"] == "active"
    invited = visitor.post("/admin/v1/people/invite", {"role": "auditor", "name": "B"}).json()
    assert invited["link"].startswith(f"{visitor.origin}/enrol#")
    token = visitor.post("/admin/v1/tokens", {"title": "t", "role": "auditor", "days": 1}).json()
    assert visitor.post("/admin/v1/tokens/revoke", {"token": token["token"]}).status == 200
    assert visitor.post("/admin/v1/reload", {}).status == 200
    entries = acts(control)
    by = next(one["by"] for one in reversed(entries) if one.get("act") == "admin.login")
    mine = [one["act"] for one in entries if one.get("by") == by]
    wanted = ["key.create", "key.revoke", "tenant.create", "tenant.suspend", "tenant.resume", "admin.invite"]
    for act in [*wanted, "admin.token.create", "admin.token.revoke", "reload"]:
        assert act in mine
    told = json.dumps(entries)
    for secret in (key["text"], invited["link"].partition("#")[2], token["text"], visitor.cookie or "-"):
        assert secret not in told


def test_pages_work_as_plain_forms(control: Control, port: int) -> None:
    visitor = came_in(control, port)
    made = visitor.form("/keys", title="from a form", tenant="default", end_users="none", expires_days="")
    assert made.status == 201
    assert 'class="secret">dragoman_local_' in made.body
    key = next(
        row for row in visitor.ask("GET", "/admin/v1/keys").json()["rows"] if row["title"] == "from a form"
    )
    assert key["expires_at"] is None
    assert visitor.form("/keys/revoke", key=key["key"]).headers["location"] == "/keys"
    assert visitor.form("/keys", title="x", tenant="default", surprise="1").status == 400
    token = visitor.form("/tokens", title="scraper", role="metrics", days="30")
    assert 'class="secret">dragomanadmin_local_' in token.body
    invited = visitor.form("/people/invite", name="B", role="auditor")
    assert f'class="secret">{visitor.origin}/enrol#' in invited.body
    for path in ("/keys", "/tokens", "/people", "/"):
        assert "secret" not in visitor.page(path).body, "shown once"


def test_a_token_is_a_machines_and_has_a_role_and_an_end(control: Control, port: int) -> None:
    visitor, machine = came_in(control, port), Visitor(port)
    made = {
        role: visitor.post("/admin/v1/tokens", {"title": role, "role": role}).json()
        for role in ("operator", "auditor", "metrics")
    }
    bearer = {role: f"Bearer {one['text']}" for role, one in made.items()}
    assert machine.ask("GET", "/admin/v1/status", authorization=bearer["auditor"]).status == 200
    sent = {"content_type": "application/json"}
    refused = machine.ask("POST", "/admin/v1/keys", "{}", authorization=bearer["auditor"], **sent)
    assert (refused.status, refused.code) == (403, "wrong_role")
    assert machine.ask("POST", "/admin/v1/keys", "{}", authorization=bearer["operator"], **sent).status == 201
    evil = machine.ask(
        "POST", "/admin/v1/keys", "{}", authorization=bearer["operator"], origin="http://e.example", **sent
    )
    assert evil.code == "cross_origin"
    for path, body in (
        ("tokens", '{"title": "heir", "role": "operator"}'),
        ("people/invite", '{"role": "operator"}'),
        ("people/role", '{"admin": "adm_local_x", "role": "operator"}'),
    ):
        made_by_it = machine.ask("POST", f"/admin/v1/{path}", body, authorization=bearer["operator"], **sent)
        assert (made_by_it.status, made_by_it.code) == (403, "person_only"), path
    assert machine.ask("GET", "/metrics", authorization=bearer["metrics"]).status == 200
    assert machine.ask("GET", "/admin/v1/status", authorization=bearer["metrics"]).status == 401
    both = visitor.ask("GET", "/admin/v1/status", authorization=bearer["auditor"])
    assert both.code == "two_credentials"
    token = made["auditor"]["token"]
    assert visitor.post("/admin/v1/tokens/revoke", {"token": token}).status == 200
    assert machine.ask("GET", "/admin/v1/status", authorization=bearer["auditor"]).code == "invalid_token"
    over = f"UPDATE admin_tokens SET expires_at = 1 WHERE token = '{made['operator']['token']}'"
    control.core.database.write(lambda c: c.exec_driver_sql(over))
    assert machine.ask("GET", "/admin/v1/status", authorization=bearer["operator"]).code == "invalid_token"


def test_metrics_are_for_this_machine_or_a_token(visitor: Visitor) -> None:
    text = visitor.ask("GET", "/metrics").body
    for name in (
        "control_control_ready_total",
        "control_resident_bytes",
        "control_cpu_seconds_total",
        "control_writes_waiting",
    ):
        assert f"dragoman_{name}" in text
    assert visitor.ask("GET", "/metrics", authorization=f"Bearer {SCRAPE}").status == 200
    assert visitor.ask("GET", "/metrics", authorization="Bearer wrong").status == 401
    assert visitor.ask("GET", "/metrics", x_forwarded_for="127.0.0.1").status == 421


def test_beyond_the_tries_a_right_token_tells_nothing(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(text: str, path: str = "/metrics") -> int:
        return visitor.ask("GET", path, authorization=f"Bearer {text}").status

    assert (ask("wrong"), ask(SCRAPE)) == (401, 200)
    with monkeypatch.context() as fewer:
        fewer.setattr(attempts, "TRIES", 1)
        refused = visitor.ask("GET", "/metrics", authorization=f"Bearer {SCRAPE}")
        assert (refused.status, refused.code) == (429, "too_many_attempts")
        assert int(refused.headers["retry-after"]) > 0
        assert ask("wrong") == 429
        assert visitor.ask("GET", "/login").status == 200, "other ways in have tries of their own"
    assert (ask(SCRAPE), ask(SCRAPE, "/admin/v1/status")) == (200, 401), "it reads the counters alone"


def test_a_session_is_no_token_for_the_counters(control: Control, port: int) -> None:
    admin = came_in(control, port)
    stranger = Visitor(port)
    for text in (admin.cookie, f"{sessions.COOKIE}={admin.cookie}"):
        answer = stranger.ask("GET", "/metrics", authorization=f"Bearer {text}")
        assert (answer.status, answer.code) == (401, "invalid_token")


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost", "localhost:1", "LOCALHOST.evil:1", "localhost:1/@x"]
)
def test_other_names_are_not_answered(visitor: Visitor, host: str) -> None:
    for path in ("/login", "/metrics", "/static/page.css", "/nothing"):
        assert visitor.ask("GET", path, host=host).status == 421


def test_a_bare_address_leads_to_where_passkeys_work(visitor: Visitor) -> None:
    answer = visitor.ask("GET", "/login", host=f"127.0.0.1:{visitor.port}")
    assert (answer.status, answer.headers["location"]) == (307, f"{visitor.origin}/login")
    assert visitor.ask("GET", "/metrics", host=f"127.0.0.1:{visitor.port}").status == 200


@pytest.mark.parametrize(
    "next_",
    ["//evil.example", "http://evil.example", "/\\evil", "/nothing", "/login", "/admin/v1/status", ""],
)
def test_nobody_is_sent_to_another_site(control: Control, port: int, next_: str) -> None:
    visitor = came_in(control, port)
    assert visitor.ask("GET", f"/login?next={next_}", accept="text/html").headers["location"] == "/"
    options = visitor.post("/confirm/options", {}).json()["options"]
    body = {"credential": visitor.passkey.get(options), "next": next_}
    assert visitor.post("/confirm/passkey", body).json() == {"next": "/"}


def test_a_limit_that_cannot_be_kept_says_why_in_the_readers_language(control: Control, port: int) -> None:
    visitor, core = came_in(control, port), control.core
    limits = [
        Limit(id=f"of-{name}", model=name, unit="tokens", per="day", most=1) for name in ("gone", "dragoman")
    ]
    for one in limits:
        core.budgets.set_limit(
            core.registry.known_tenant("default").tenant, one, 0, NOTHING, core.book.forget
        )
    try:
        english, chinese = (visitor.page(f"/limits?lang={lang}").body for lang in ("en", "zh"))
        assert "cannot be kept</span> limits.of-gone.model: no model is called" in english
        assert "无法执行</span> limits.of-gone.model：没有名为" in chinese
        rows = {one["id"]: one["faults"] for one in visitor.ask("GET", "/admin/v1/limits").json()["rows"]}
        assert [set(one) for one in rows["of-gone"]] == [{"en", "zh"}]
        assert rows["of-dragoman"] == [], "the control"
    finally:
        for one in limits:
            core.budgets.remove_limit(one.id, NOTHING, core.book.forget)


def test_attempts_are_limited(control: Control, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    came_in(control, port)  # which forgives what this address tried before
    monkeypatch.setattr(attempts, "TRIES", 3)
    visitor = Visitor(port)
    visitor.page("/login")
    seen = [visitor.post("/enrol/options", {"link": "0" * 43}) for _ in range(8)]
    assert {one.status for one in seen} == {403, 429}
    last = seen[-1]
    assert last.code == "too_many_attempts"
    assert 1 <= int(last.headers["retry-after"]) <= attempts.WINDOW_MS // 1000
    monkeypatch.setattr(attempts, "TRIES", 10_000)
    assert visitor.enrol(link(control)).status == 200, "the control"


@pytest.mark.skipif(sys.platform == "darwin", reason="one loopback address only")
def test_attempts_on_one_account_are_limited_whatever_the_address(
    control: Control, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = came_in(control, port)
    monkeypatch.setattr(attempts, "TRIES", 6)
    seen = []
    for number in range(2, 12):
        stranger = Visitor(port, source=f"127.0.0.{number}")
        stranger.passkey = replace(person.passkey, verified=False)
        seen.append(stranger.prove().code)
    assert seen[:6] == ["not_let_in"] * 6
    assert set(seen[6:]) == {"too_many_attempts"}


# --- the sweep, made from the route table ------------------------------------------------------------------


def routes(control: Control) -> list[AdminRoute]:
    assert control.admin is not None
    return list(control.admin.table.routes)


def concrete(path: str) -> str:
    return path.replace("{tenant}", "ten_local_x").replace(
        "{name}", "page.css" if "static" in path else "int_x"
    )


def state(control: Control) -> str:
    """The file, and every table but the outbox and the sessions, which reading and refusals may touch."""
    with sqlite3.connect(control.settings.zone.data / "zone.db") as raw:
        lines = [line for line in raw.iterdump() if '"outbox"' not in line and '"admin_sessions"' not in line]
    file = control.settings.zone.data.parent / "dragoman.toml"
    return "\n".join([*lines, file.read_text(encoding="utf-8"), str(file.stat().st_mtime_ns)])


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def test_without_a_credential_no_route_tells_or_does_anything(control: Control, visitor: Visitor) -> None:
    before, swept = state(control), 0
    table = {(route.method, route.path): route for route in routes(control)}
    for path in sorted({route.path for route in routes(control)}):
        for method in METHODS:
            route = table.get(("GET" if method == "HEAD" else method, path))
            if route is not None and route.role in {ANYONE, METRICS}:
                continue
            for accept in ("text/html", "application/json"):
                answer = visitor.ask(
                    method, concrete(path), b"{}", accept=accept, content_type="application/json"
                )
                swept += 1
                led = answer.status == 303 and answer.headers["location"].startswith("/login?next=/")
                assert answer.status == 401 or led, (method, path, answer.status)
    assert swept > 2 * len(METHODS) * 30
    assert state(control) == before
    assert visitor.ask("GET", "/nothing", accept="application/json").status == 401, (
        "what is not there neither"
    )


def test_an_auditor_changes_nothing(control: Control, port: int) -> None:
    auditor = came_in(control, port, AUDITOR)
    before, swept = state(control), 0
    for route in routes(control):
        if route.asks:
            assert auditor.post(route.path, {}).code == "invalid_value", "asked, and told what is missing"
        elif route.changes and not route.own:
            body: Any = {} if route.is_api else None
            answer = auditor.post(route.path, body) if route.is_api else auditor.form(route.path)
            assert (answer.status, answer.code) == (403, "wrong_role"), route.path
            swept += 1
        elif route.method == "GET" and route.role == AUDITOR:
            assert auditor.ask("GET", concrete(route.path)).status in {200, 303, 404}, route.path
    assert swept > 20
    assert state(control) == before


def test_every_route_is_described(control: Control, port: int) -> None:
    told = came_in(control, port).ask("GET", "/admin/v1/openapi.json").json()
    described = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert described == {(r.method, r.path) for r in routes(control) if r.path.startswith("/admin/v1/")}
    assert len(described) > 20
    text = json.dumps(told)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in told["components"]["schemas"]
    operations = [one["operationId"] for methods in told["paths"].values() for one in methods.values()]
    assert len(operations) == len(set(operations))


def test_a_route_without_a_thought_about_its_role_does_not_start(control: Control) -> None:
    async def endpoint(_call: Any) -> Any:
        raise AssertionError

    for wrong in (
        {"role": ""},
        {"role": "everybody"},
        {"method": "POST", "role": AUDITOR},
        {"method": "POST", "role": ANYONE},
        {"method": "DELETE", "role": METRICS},
        {"role": ANYONE, "fresh": True},
        {"role": AUDITOR, "asks": True},
        {"method": "POST", "role": ANYONE, "asks": True},
        {"method": "POST", "role": METRICS, "asks": True},
    ):
        made = {"method": "GET", "path": "/x", "endpoint": endpoint, "says": "x", **wrong}
        with pytest.raises(ValueError, match="/x"):
            AdminRoute(**made)
    fine = AdminRoute("POST", "/x", OPERATOR, endpoint, "x")
    with pytest.raises(ValueError, match="twice"):
        RouteTable([fine, fine])
    assert admin_table is not None


@pytest.mark.parametrize(
    "target",
    [
        "//keys",
        "/keys/",
        "/./keys",
        "/login/../keys",
        "/%6beys",
        "/keys%00",
        "/keys?x",
        "/KEYS",
        "http://localhost/keys",
        "/static/..%2fkeys",
        "*",
    ],
)
def test_no_spelling_of_a_path_goes_round_the_table(port: int, target: str) -> None:
    with socket.create_connection(("127.0.0.1", port), 30) as raw:
        raw.sendall(f"GET {target} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65_536), b""))
    assert answer.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400", b"HTTP/1.1 404")), answer[:200]
    assert b"<table>" not in answer


def test_an_answer_does_not_wait_for_an_acknowledgement(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    taken = []
    for _ in range(30):
        began = time.perf_counter()
        connection.request("GET", "/login", headers={"host": f"localhost:{port}", "accept": "text/html"})
        connection.getresponse().read()
        taken.append(time.perf_counter() - began)
    connection.close()
    assert min(taken) < 0.035, "a stall of 40 ms is in every one of them"


def test_a_slow_head_is_ended(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", port), 30) as slow:
        slow.sendall(b"GET /login HTTP/1.1\r\nhost: localhost\r\n")
        assert slow.recv(100) == b""


def test_a_large_body_is_refused(control: Control, port: int) -> None:
    visitor = came_in(control, port)
    answer = visitor.post("/admin/v1/keys", {"title": "x" * 70_000})
    assert (answer.status, answer.code) == (413, "body_too_large")
