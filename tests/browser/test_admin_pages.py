"""The admin pages in Chromium with a virtual authenticator: coming in, proving it, other sites, both languages."""

from __future__ import annotations

import datetime as dt
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_person import AUTHENTICATOR, WAIT_MS, Coming, coming_to
from axe_findings import DESK, PHONE, both_schemes, findings

from dragoman.admin.texts import TEXTS
from dragoman.admin.view import MENU
from dragoman.control.app import Control
from dragoman.ids import now_ms
from dragoman.stores import schema
from dragoman.stores.people_tables import evidence, people
from dragoman.stores.tenancy import rows_of
from dragoman.testing.oidc import FakeOidc, served_oidc
from dragoman.testing.ports import free_port

pytestmark = pytest.mark.browser

CONFIG = """
[deployment]
name = "Osmanthus Lane"
markets = ["DE", "KR"]
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
[admin.oidc]
issuer = "http://127.0.0.1:{oidc}"
client_id = "dragoman"
allow = [{{ role = "auditor", subject = "user-1" }}]
[[limits]]
id = "tokens.of.each.end.user.of.the.house"
each = "end_user"
unit = "tokens"
per = "month"
most = 9007199254740991
"""
STATEMENT = '{"intervention": "int_local_x", "text": {"en": "Why it was.", "zh": "理由。"}}'
STRANGER = """<!doctype html><meta charset="utf-8"><title>elsewhere</title>
<form method="post" action="{target}/keys"><input name="title" value="evil"><button>go</button></form>
<script>
fetch("{target}/admin/v1/keys", {{method: "POST", credentials: "include", headers: {{"content-type": "text/plain"}}, body: "{{}}"}})
  .then(() => document.title = "sent", () => document.title = "blocked");
</script>"""


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeOidc]:
    with served_oidc() as fake:
        yield fake


@pytest.fixture(scope="module")
def control(browser: Any, provider: FakeOidc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder: Path = tmp_path_factory.mktemp("b")
    oidc = provider.issuer.rpartition(":")[2]
    text = CONFIG.format(listen=free_port(), admin=free_port(), oidc=oidc)
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


@pytest.fixture
def origin(control: Control) -> str:
    assert control.admin is not None
    return control.admin.origin


@pytest.fixture
def coming(browser: Any, origin: str) -> Coming:
    return coming_to(browser, origin)


def link(control: Control, role: str = "operator", admin: str | None = None) -> str:
    assert control.admin is not None
    return f"{control.admin.origin}/enrol#{control.core.people.invite('cli', role, None, admin).text}"


def titles(control: Control) -> list[str]:
    return [key["title"] for key in control.core.registry.keys(None)]


def make_stale(control: Control) -> None:
    control.core.database.write(
        lambda c: c.exec_driver_sql("UPDATE admin_sessions SET fresh_at = fresh_at - 360000")
    )


def test_a_person_enrols_logs_out_and_in_and_acts(control: Control, coming: Coming) -> None:
    made = link(control)
    with coming() as person:
        page = person.page
        person.enrol(made, "work laptop")
        assert "#" not in page.url
        cookie = next(c for c in page.context.cookies() if c["name"] == "__Host-dragoman_admin")
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
        page.goto(f"{person.origin}/account")
        assert "work laptop" in page.locator("main").inner_text()
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login", timeout=WAIT_MS)
        page.goto(f"{person.origin}/keys")
        page.wait_for_url("**/login?next=/keys", timeout=WAIT_MS)
        page.click("form[data-passkey] button")
        page.wait_for_url("**/keys", timeout=WAIT_MS)
        page.fill(".act [name=title]", "shop backend")
        page.click(".act button")
        page.wait_for_selector(".secret", timeout=WAIT_MS)
        assert page.locator(".secret").inner_text().startswith("dragoman_local_")
        assert "shop backend" in titles(control)
        assert person.complaints == []
    with coming() as other:
        other.page.goto(made)
        other.page.click("form[data-passkey] button")
        other.page.wait_for_selector("[data-status]:not([hidden])", timeout=WAIT_MS)
        assert "This link was used" in other.page.locator("[data-status]").inner_text()


def test_a_person_who_is_not_verified_does_not_come_in(control: Control, coming: Coming) -> None:
    with coming() as person:
        person.devtools.send(
            "WebAuthn.setUserVerified", {"authenticatorId": person.authenticator, "isUserVerified": False}
        )
        person.page.goto(link(control))
        person.page.click("form[data-passkey] button")
        person.page.wait_for_selector("[data-status]:not([hidden])", timeout=WAIT_MS)
        person.page.goto(f"{person.origin}/")
        person.page.wait_for_url("**/login?next=/", timeout=WAIT_MS)


def test_an_auditor_reads_and_changes_nothing(control: Control, coming: Coming) -> None:
    with coming() as person:
        page = person.page
        person.enrol(link(control, "auditor"))
        for path in ("", "keys", "tenants", "people", "sessions", "tokens", "usage", "interventions"):
            assert page.goto(f"{person.origin}/{path}").status == 200
            assert page.locator("main form").count() == 0
        before = titles(control)
        page.goto(f"{person.origin}/account")
        status = page.evaluate(
            """async () => (await fetch("/admin/v1/keys", {method: "POST", body: "{}", headers: {
                "content-type": "application/json",
                "x-csrf-token": document.querySelector("[data-csrf]").dataset.csrf}})).status"""
        )
        assert status == 403
        assert titles(control) == before


def test_a_change_asks_for_a_fresh_proof_and_goes_back_to_where_it_was(
    control: Control, coming: Coming
) -> None:
    with coming() as person:
        page = person.page
        person.enrol(link(control))
        make_stale(control)
        page.goto(f"{person.origin}/tenants")
        page.fill(".act [name=name]", "acme-b")
        page.click(".act button")
        page.wait_for_selector("code:text('confirm_first')", timeout=WAIT_MS)
        assert control.core.registry.tenant("acme-b") is None
        page.click(".button")
        page.wait_for_url("**/confirm?next=/tenants", timeout=WAIT_MS)
        page.click("form[data-passkey] button")
        page.wait_for_url("**/tenants", timeout=WAIT_MS)
        page.fill(".act [name=name]", "acme-b")
        page.click(".act button")
        page.wait_for_selector("td:text('acme-b')", timeout=WAIT_MS)
        assert control.core.registry.tenant("acme-b") is not None


def test_a_new_passkey_is_added_and_the_old_one_removed(control: Control, coming: Coming) -> None:
    with coming() as person:
        page = person.page
        person.enrol(link(control), "first one")
        second = person.devtools.send(
            "WebAuthn.addVirtualAuthenticator", {"options": {**AUTHENTICATOR, "transport": "usb"}}
        )
        assert second["authenticatorId"]
        page.goto(f"{person.origin}/account")
        page.fill("#title", "second one")
        page.click("form[data-passkey] button")
        page.wait_for_selector("td:text('second one')", timeout=WAIT_MS)
        page.click("button[aria-label='Remove: first one']")
        page.wait_for_selector("td:text('first one')", state="detached", timeout=WAIT_MS)
        assert page.locator("td form").count() == 0, "the last one stays"


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = STRANGER.format(target=self.server.target).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere(origin: str) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), _Elsewhere)
    server.target = origin  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_sites_page_changes_nothing(
    control: Control, coming: Coming, elsewhere: int, host: str
) -> None:
    """Another host, and another port of the same host, to which the browser does send the cookie."""
    with coming() as person:
        page = person.page
        person.enrol(link(control))
        before = titles(control)
        page.goto(f"http://{host}:{elsewhere}/")
        page.wait_for_function("document.title != 'elsewhere'", timeout=WAIT_MS)
        assert page.title() == "blocked"
        page.click("button")
        page.wait_for_url(f"{person.origin}/keys", timeout=WAIT_MS)
        assert page.locator("h1").inner_text() in {"That was not done", "Log in"}
        assert titles(control) == before
        page.goto(f"{person.origin}/keys")
        assert page.locator("h1").inner_text() == "Keys", "still logged in"


def test_the_identity_provider_lets_in_whom_the_list_names(
    control: Control, coming: Coming, provider: FakeOidc
) -> None:
    with coming() as person:
        page = person.page
        provider.claims = {"sub": "stranger"}
        page.goto(f"{person.origin}/login?next=/keys")
        page.click("text=Log in with your organisation")
        page.wait_for_selector("code:text('not_let_in')", timeout=WAIT_MS)
        provider.claims = {}
        page.goto(f"{person.origin}/login?next=/keys")
        page.click("text=Log in with your organisation")
        page.wait_for_url("**/keys", timeout=WAIT_MS)
        assert page.locator(".who .state").inner_text() == "auditor"
        make_stale(control)
        page.goto(f"{person.origin}/confirm?next=/usage")
        page.click("text=Confirm with your organisation")
        page.wait_for_url("**/usage", timeout=WAIT_MS)
        assert provider.asked[-1]["prompt"] == "login"
        known = next(one for one in control.core.people.listing() if one["external"])
        control.core.people.remove(known["admin"], "cli", even_the_last=True)
        page.goto(f"{person.origin}/login")
        page.click("text=Log in with your organisation")
        page.wait_for_selector("code:text('not_let_in')", timeout=WAIT_MS)


def fill(control: Control) -> None:
    """Something in every table, with long names."""
    tenant = control.core.guest_tenant().tenant
    day = dt.datetime.now(dt.UTC).date().isoformat()
    usage = {"day": day, "key": "k", "app": "", "provider": "p", "upstream": "u", "currency": "SGD"}
    counted = dict.fromkeys(("turns", "input", "cached", "output", "unknown", "spend", "unpriced"), 10**12)

    def work(c: Any) -> None:
        rows = rows_of(c, tenant)
        rows.insert_missing(
            schema.usage_daily, [{**usage, **counted, "model": "a-long-name-of-a-model/with-parts"}]
        )
        one = {
            "intervention": "int_local_x",
            "turn": "trn",
            "principal": "prn",
            "at": now_ms(),
            "origin": "rule",
        }
        rows.insert_missing(
            schema.interventions,
            [{**one, "rule": "house.rule" * 8, "action": "redact", "document": STATEMENT}],
        )
        sent = {
            "appeal": "apl_local_x",
            "principal": "prn",
            "about": "int_local_x",
            "turn": "trn",
            "at": now_ms(),
        }
        sent |= {"lang": "en", "state": "received", "text": "word " * 200 + "w" * 300, "contact": "c" * 200}
        told = {"salt": "s", "acknowledged": '{"en": "Received.", "zh": "已收到。"}', "answer_by": now_ms()}
        rows.insert_missing(schema.appeals, [{**sent, **told}])
        of_person = {"person": "prn_local_x", "proved_at": 0, "recovery": "r", "created_at": 0}
        counts = dict.fromkeys(("sessions_from", "corrected_on", "corrections"), 0)
        rows.insert_missing(people, [{**of_person, **counts, "residence": "SG"}])
        handed = {"evidence": "evd_local_x", "person": "prn_local_x", "kind": "residence", "lang": "zh"}
        handed |= {"at": now_ms(), "state": "waiting", "text": "word " * 200 + "w" * 300, "salt": "c2FsdA"}
        file = {"file_name": "n" * 90 + ".pdf", "file_type": "application/pdf", "file_size": 9}
        rows.insert_missing(evidence, [{**handed, **file, "file_sha256": "0" * 64}])

    control.core.database.write(work)
    control.core.registry.create_key(tenant, "x" * 200)
    control.core.registry.revoke_key(control.core.registry.create_key(tenant).record.key)


PAGES = (
    "",
    "setup",
    "setup/documents",
    "readiness",
    "readiness/state?evidence=icp_filing",
    "packs",
    "packs?place=DE",
    "packs/eu",
    "packs/cn/cn.companion.reminder",
    "timeline?all=1",
    "decisions",
    "decisions?outcome=DENY&since=2026-01-01",
    "simulation",
    "interventions",
    "appeals",
    "reviews",
    "usage",
    "limits",
    "vocabulary",
    "vocabulary?q=us-ca",
    "keys",
    "tenants",
    "people",
    "sessions",
    "tokens",
    "account",
)


@pytest.mark.parametrize(("language", "width", "script"), [("en", 1280, True), ("zh", 375, False)])
def test_the_menu_leads_to_every_page_by_keyboard(
    control: Control, coming: Coming, language: str, width: int, *, script: bool
) -> None:
    """Each group is one step from everywhere, each page one more; the way one came is marked, also without script."""
    with coming(viewport={"width": width, "height": 800}) as person:
        person.enrol(link(control))
        page = person.page
        if not script:
            person.devtools.send("Emulation.setScriptExecutionDisabled", {"value": True})
        page.goto(f"{person.origin}/?lang={language}")
        menu = page.locator(".menu")
        for group, inside in MENU.items():
            follow(page, menu.locator("ul").first.get_by_role("link", name=TEXTS[language][f"menu_{group}"]))
            for one in inside:
                name = TEXTS[language][f"menu_{one}" if len(inside) == 1 else f"page_{one}"]
                follow(page, menu.locator("ul").last.get_by_role("link", name=name, exact=True))
                assert page.url.removeprefix(person.origin) == ("/" if one == "home" else f"/{one}")
                marked = menu.locator("[aria-current=page]")
                assert marked.all_inner_texts() == [name]
                if len(inside) > 1:
                    groups = menu.locator("[aria-current=true]").all_inner_texts()
                    assert groups == [TEXTS[language][f"menu_{group}"]]
                assert menu.bounding_box()["height"] < 170, "the page itself is seen"
        page.goto(f"{person.origin}/account")
        assert menu.locator("ul").count() == 1
        assert menu.locator("[aria-current]").count() == 0
        assert person.complaints == []


def follow(page: Any, to: Any) -> None:
    """Follow a link as a keyboard does."""
    to.focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_pages_fit_phone_and_desk_in_both_languages(
    control: Control, coming: Coming, width: int, language: str
) -> None:
    fill(control)
    with coming(viewport={"width": width, "height": 800}) as person:
        page = person.page
        person.enrol(link(control))
        tenant = control.core.guest_tenant().tenant
        cases = (f"appeals/{tenant}/apl_local_x", f"reviews/{tenant}/evd_local_x")
        for path in (*PAGES, *cases, "confirm?next=/"):
            sign = "&" if "?" in path else "?"
            assert page.goto(f"{person.origin}/{path}{sign}lang={language}").status == 200
            assert page.evaluate("document.documentElement.lang")[:2] == language
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, (path, wide)
        assert person.complaints == []


@pytest.mark.parametrize(("language", "scheme", "size"), [("en", "light", DESK), ("zh", "dark", PHONE)])
def test_axe_finds_nothing(
    control: Control, coming: Coming, language: str, scheme: str, size: dict[str, int]
) -> None:
    fill(control)
    found: list[str] = []
    with coming(viewport=size, color_scheme=scheme) as person:
        page = person.page
        for path in ("login", "enrol"):
            page.goto(f"{person.origin}/{path}?lang={language}")
            found += findings(page)
        page.goto("about:blank")  # from the same page only the link's fragment would change
        person.enrol(link(control))
        case = f"reviews/{control.core.guest_tenant().tenant}/evd_local_x"
        for path in (*PAGES, case, "confirm?next=/", "nothing"):
            page.goto(f"{person.origin}/{path}")
            found += [f"{path}: {one}" for one in findings(page)]
        page.goto(f"{person.origin}/interventions")
        page.locator("td a").first.click()
        page.wait_for_url("**/int_local_x", timeout=WAIT_MS)
        found += findings(page)
        page.goto(f"{person.origin}/")
        found += both_schemes(page, scheme)
        page.goto(f"{person.origin}/keys")
        found += both_schemes(page, scheme)
        page.click(".act button")
        page.wait_for_selector(".secret", timeout=WAIT_MS)
        found += findings(page)
        make_stale(control)
        page.goto(f"{person.origin}/keys")
        page.click(".act button")
        page.wait_for_selector("code:text('confirm_first')", timeout=WAIT_MS)
        found += findings(page)
    assert found == []


def test_everything_is_reached_by_keyboard(control: Control, coming: Coming) -> None:
    with coming() as person:
        page = person.page
        person.enrol(link(control))
        page.goto(f"{person.origin}/keys")
        wanted = page.evaluate("document.querySelectorAll('a,button,input:not([type=hidden]),select').length")
        seen = set()
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            seen.add(
                page.evaluate(
                    "[...document.querySelectorAll('a,button,input,select')].indexOf(document.activeElement)"
                )
            )
        assert len(seen - {-1}) == wanted
