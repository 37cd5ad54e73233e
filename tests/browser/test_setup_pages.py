"""A newcomer sets a zone up by the setup pages alone: by keyboard, on a phone without JavaScript, to a model's answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from axe_findings import DESK, PHONE, both_schemes
from browser_visit import SLOW_MS

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import Server, start

from dragoman.testing.provider import DONE, JSON, FakeProvider, Script, chunk, whole

pytestmark = pytest.mark.browser

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
FILE = "# The shop's own file.\n"
TRIED, ASKED = "Reply with the single word: ready", "请只回答一个词：就绪"
"""What `models add` and a trial ask; what a test turn asks in Chinese."""


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with closing(FakeProvider()) as provider:
        provider.scripts[TRIED] = Script([whole("ready")], content_type=JSON)
        provider.scripts[ASKED] = Script([chunk({"content": "就绪"}), chunk({}, finish="stop"), DONE])
        yield provider


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start(tmp_path_factory.mktemp("setup"), FILE)
    yield server
    assert server.stop() == 0


class Seen:
    """A page, and what axe finds and what does not fit on it, wherever `look` was called."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.set_default_timeout(SLOW_MS)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def look(self, scheme: str) -> None:
        place = self.page.url.partition("/setup")[2]
        self.wrong += [f"{place}: {one}" for one in both_schemes(self.page, scheme)]
        width = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        self.wrong += [f"{place}: {width} px too wide"] if width > 0 else []

    def send(self, selector: str) -> None:
        with self.page.expect_navigation():
            self.page.click(selector)


def coming_in(context: Any, server: Server) -> Any:
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    page.goto(server.said["admin_link"])
    page.click("form[data-passkey] button")
    page.wait_for_selector(".menu", timeout=SLOW_MS)
    return page


def state(page: Any, line: str) -> str:
    return str(page.locator(f"#{line} h2 .light").get_attribute("class"))


def by_keyboard(seen: Seen, origin: str) -> None:
    """The list, a wrong field, the difference, and writing it, without a mouse."""
    page = seen.page
    page.goto(f"{origin}/setup")
    seen.look("light")
    assert "is-amber" in state(page, "organisation")
    page.focus("#organisation a.plain")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.focus("#f-contact")
    page.keyboard.type("mailto:appeals@example.org")
    page.keyboard.press("Tab")
    page.keyboard.type("Singapore")
    page.keyboard.press("Tab")
    page.keyboard.type("SG 100")
    page.focus("#f-seat")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    seen.look("light")
    assert page.locator("#f-seat").get_attribute("aria-invalid") == "true"
    assert page.locator("#f-contact").input_value() == "mailto:appeals@example.org", "nothing is lost"
    page.fill("#f-seat", "sg")
    page.focus("#f-seat")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    seen.look("light")
    page.focus(".difference")  # it scrolls by keyboard
    assert '+seat = "SG"' in page.locator(".difference").inner_text()
    page.focus(".choices .button")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "taken it up" in page.locator(".result").inner_text()


def with_a_model(seen: Seen, origin: str, provider: FakeProvider) -> None:
    """A model by its form: a pasted key is refused and not shown, then tried and written."""
    page = seen.page
    page.goto(f"{origin}/setup/model")
    page.fill("#f-model_name", "house")
    page.fill("#f-base_url", provider.url)
    page.fill("#f-upstream", "m-1")
    page.fill("#f-key_env", "sk-proj-0123456789abcdefghij")
    seen.send(".setting > button")
    assert page.locator("#f-key_env").input_value() == ""
    assert page.locator("#f-base_url").input_value() == provider.url
    seen.look("light")
    seen.send(".setting > button")
    seen.send(".choices .plain")
    assert "ready" in page.locator(".result").inner_text()
    seen.look("light")
    seen.send(".choices .button")
    assert "taken it up" in page.locator(".result").inner_text()


def without_script(seen: Seen, origin: str) -> None:
    """On a phone in Chinese: a test turn, a market, what keeps it out, and the filing that it asks for."""
    page = seen.page
    page.goto(f"{origin}/setup/model")
    seen.send(".models button")
    assert "就绪" in page.locator("#turn").inner_text()
    page.goto(f"{origin}/setup/markets")
    page.fill("#f-markets", "DE")
    seen.send(".setting > button")
    seen.send(".choices .button")
    page.goto(f"{origin}/setup")
    assert "is-red" in state(page, "markets")
    assert "eu.gdpr.representative" in page.locator("#markets").inner_text()
    page.goto(f"{origin}/setup/model")
    seen.send(".models button")
    assert "未向 house 提问" in page.locator("#turn").inner_text(), "decided as everybody's turns are"
    page.goto(f"{origin}/setup/markets")
    page.fill("#f-evidence_id", "representative.de")
    page.fill("#f-evidence_number", "R-2026-1")
    seen.send(".setting > button")
    seen.send(".choices .button")
    page.goto(f"{origin}/setup")
    assert "is-red" not in state(page, "markets")


def test_a_newcomer_sets_a_zone_up(browser: Any, server: Server, provider: FakeProvider) -> None:
    origin = f"http://localhost:{server.admin_port + 1}"
    context = browser.new_context(locale="en-GB", viewport=DESK)
    seen = Seen(coming_in(context, server))
    by_keyboard(seen, origin)
    with_a_model(seen, origin, provider)
    kept: dict[str, Any] = {"locale": "zh-CN", "viewport": PHONE, "storage_state": context.storage_state()}
    plain = browser.new_context(**kept, java_script_enabled=False)
    without_script(Seen(plain.new_page()), origin)
    plain.close()
    scripted = browser.new_context(**kept)  # axe is a script itself
    phone = Seen(scripted.new_page())
    for place in ("", "/organisation", "/markets", "/model", "/public"):
        phone.page.goto(f"{origin}/setup{place}")
        phone.look("dark")
    wrong = "\n".join([*seen.wrong, *phone.wrong])
    assert not wrong, wrong
    scripted.close()
    context.close()
    text = (server.folder / "dragoman.toml").read_text(encoding="utf-8")
    assert text.startswith(FILE)
    assert "[models.house]" in text
    assert '[deployment.evidence."representative.de"]\nnumber = "R-2026-1"' in text
    assert "sk-proj" not in text
    assert [one["messages"][-1]["content"] for one in provider.seen] == [TRIED, ASKED], (
        "each call was asked for"
    )
