"""The page in the system's Chromium: with and without JavaScript, in both languages; nothing leaves its origin."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_visit import SLOW_MS, Visit, Visiting

from dragoman.testing.ports import free_port
from dragoman.testing.site import STEPS
from dragoman.web.texts import TEXTS

pytestmark = pytest.mark.browser
QUESTION = {"en": "How long do I have to return an item?", "zh": "怎么退货？"}
SENTENCE = {"en": "You may return an unused item within 30 days", "zh": "打开订单，点击“退货”"}
LABEL = {"en": "AI-generated", "zh": "AI 生成"}
ALL = 1_000_000
"""More pieces than an answer has."""


@pytest.fixture(scope="module")
def site_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def origin(browser: Any, site_folder: Path) -> Iterator[str]:
    port, folder = free_port(), site_folder
    command = [sys.executable, "-m", "dragoman.testing.site", str(port), str(folder), "0.02"]
    server = subprocess.Popen(command)
    try:
        _wait_for(port, folder / "turn.sock", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture
def allow(site_folder: Path) -> Iterator[Callable[[int], None]]:
    """Say how many pieces of an answer "step by step" the site may have sent so far."""
    file = site_folder / STEPS

    def write(pieces: int) -> None:
        whole = file.with_suffix(".new")
        whole.write_text(str(pieces), encoding="ascii")
        whole.replace(file)

    yield write
    file.unlink(missing_ok=True)


def _wait_for(port: int, sock: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "the site ended at once"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and sock.exists():
                return
        time.sleep(0.1)
    pytest.fail("the site did not start in 60 s")


@pytest.fixture
def visit(visiting: Visiting, origin: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    language, script = getattr(request, "param", ("en", True))
    with visiting(origin, language, script=script) as it:
        yield it


BOTH = [(language, script) for language in ("en", "zh") for script in (True, False)]


@pytest.mark.parametrize(("visit", "language"), [(b, b[0]) for b in BOTH], indirect=["visit"])
def test_an_answer_with_citations_and_label(visit: Visit, language: str) -> None:
    visit.ask(QUESTION[language])
    page = visit.page
    answer = page.locator(".answer .finished")
    assert SENTENCE[language] in answer.inner_text()
    assert page.locator(".answer .label").inner_text() == LABEL[language]
    assert page.locator(".question").inner_text().endswith(QUESTION[language])
    assert not page.locator(".draft").is_visible()
    page.locator(".cite").first.click()
    page.wait_for_url("**/sources/osmanthus-lane/**")
    marked = page.locator("span:target")
    assert marked.is_visible()
    assert SENTENCE[language] in marked.inner_text()
    assert visit.complaints == []


@pytest.mark.parametrize("visit", [("en", True), ("en", False)], indirect=True)
def test_the_answer_is_seen_while_it_grows(visit: Visit, allow: Callable[[int], None]) -> None:
    """The site holds every piece back until this test has seen the one before it."""
    page = visit.page
    page.fill("#q", "What is a jurisdiction pack, step by step?")
    page.click("#send", no_wait_after=True)
    page.locator(".draft").wait_for(state="attached")  # it stays until the last piece, which is not sent yet
    seen = 0
    for pieces in (1, 3, 5):
        allow(pieces)
        seen = _longer_draft(page, seen)
        assert page.locator(".finished").count() == 0, "it ended while pieces were held back"
    allow(ALL)
    page.wait_for_selector(".finished")


def _longer_draft(page: Any, than: int) -> int:
    """Wait until the draft has more than `than` characters; how many it has."""
    until = time.monotonic() + SLOW_MS / 1000
    while time.monotonic() < until:
        length = sum(map(len, page.locator(".draft").all_text_contents()))  # waits for nothing
        if length > than:
            return length
        time.sleep(0.02)
    pytest.fail(f"the draft has not grown beyond {than} characters: the text is kept until it is whole")


@pytest.mark.parametrize("visit", [("en", True)], indirect=True)
def test_keyboard_stop_and_status(visit: Visit, allow: Callable[[int], None]) -> None:
    page = visit.page
    allow(1)
    page.focus("#q")
    page.keyboard.type("What is Dragoman, step by step?")
    page.keyboard.press("Enter")
    page.locator(".draft").wait_for(state="visible")
    assert page.locator("#status").text_content() == TEXTS["en"]["answering"]
    assert page.locator("#send").inner_text() == TEXTS["en"]["stop"]
    page.keyboard.press("Escape")
    page.wait_for_selector(".finished")
    assert TEXTS["en"]["stopped"] in page.locator("[role=alert]").inner_text()
    assert page.evaluate("document.activeElement.id") == "q"
    ask_again = "How do I return an item?"
    page.keyboard.type(ask_again)
    page.keyboard.press("Shift+Enter")
    assert page.locator(".question").count() == 1
    page.keyboard.press("Enter")
    page.locator(".finished").nth(1).wait_for()
    status = page.locator("#status").text_content()
    assert status.startswith(TEXTS["en"]["done"])
    assert page.locator("#log").get_attribute("aria-busy") == "false"


@pytest.mark.parametrize("visit", [("en", True), ("en", False)], indirect=True)
def test_model_text_is_never_markup(visit: Visit) -> None:
    title = visit.page.title()
    visit.ask("script")
    visit.page.wait_for_timeout(200)
    assert visit.page.title() == title
    assert visit.page.locator(".answer script, .answer img, .answer .cite").count() == 0
    assert "<script>" in visit.page.locator(".finished").inner_text()


@pytest.mark.parametrize("visit", [("en", True), ("zh", False)], indirect=True)
def test_an_intervention_and_a_break_are_shown(visit: Visit) -> None:
    visit.ask("redact returns item 退货")
    link = visit.page.locator(".intervention a")
    assert link.get_attribute("href") == "/appeal/int_local_0192"
    assert "op.demo" in visit.page.locator(".intervention").inner_text()
    visit.page.goto(visit.origin)
    visit.ask("break off return item 退货")
    alert = visit.page.locator(".finished [role=alert]").inner_text()
    assert alert in {TEXTS["en"]["broken"], TEXTS["zh"]["broken"]}


@pytest.mark.parametrize("visit", [("en", True), ("en", False)], indirect=True)
def test_starters_ask(visit: Visit) -> None:
    visit.page.click("#starters button:first-of-type")
    visit.page.wait_for_selector(".finished")
    assert SENTENCE["en"] in visit.page.locator(".finished").inner_text()


@pytest.mark.parametrize("visit", [("zh", True)], indirect=True)
def test_enter_while_composing_sends_nothing(visit: Visit) -> None:
    page = visit.page
    page.fill("#q", "怎么退货")
    page.evaluate(
        "document.getElementById('q').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    )
    assert page.locator(".question").count() == 0
    assert page.input_value("#q") == "怎么退货"


def test_phone_and_dark_pages_do_not_overflow(browser: Any, origin: str) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 360, "height": 640}, color_scheme=scheme)
        page = context.new_page()
        page.set_default_timeout(SLOW_MS)
        for path in ("/", "/sources/dragoman/models-en", "/nothing"):
            page.goto(origin + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            ground, ink = page.evaluate(
                "(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))"
            )
            assert _contrast(ground, ink) >= 7
        context.close()


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(v) / 255 for v in colour[4:-1].split(",")]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_recorder_sees_a_foreign_request(browser: Any, origin: str) -> None:
    """Negative control: a page that asks elsewhere is noticed."""
    context = browser.new_context()
    page = context.new_page()
    it = Visit(page, origin)
    page.on("request", lambda r: it.requests.append(r.url))
    page.route("http://elsewhere.invalid/**", lambda route: route.abort())
    with page.expect_request("http://elsewhere.invalid/**", timeout=SLOW_MS):
        page.set_content("<img src=http://elsewhere.invalid/x.png>", wait_until="commit")
    assert it.foreign() == ["http://elsewhere.invalid/x.png"]
    context.close()
