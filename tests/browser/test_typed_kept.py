"""What is typed is not lost: two windows on one conversation, a lost or forged cookie, a paste that is too long."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser_visit import Visit, Visiting

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import start

from dragoman.testing.provider import DONE, FakeProvider, Script, chunk
from dragoman.web.chat import MAX_QUESTION
from dragoman.web.texts import TEXTS

pytestmark = pytest.mark.browser

CONFIG = """
[providers.fake]
base_url = "{provider}"
[models.dragoman]
provider = "fake"
model = "up"
"""
BOTH = [("en", True), ("zh", False)]
PASTE = ("很长的问题 and more " * 56 + "\n") * 100
"""About 100,000 characters, and more bytes. It is set, not typed: that takes Chromium seconds."""


@pytest.fixture(scope="module")
def origin(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    answer = Script([chunk({"content": "An answer."}), chunk({}, finish="stop"), DONE])
    with closing(FakeProvider(answer)) as provider:
        server = start(tmp_path_factory.mktemp("typed"), CONFIG.format(provider=provider.url))
        yield server.url
        assert server.stop() == 0


def asked(visit: Visit, question: str) -> str:
    """Ask, and open the conversation's own page, whose address is given."""
    visit.ask(question)
    visit.page.locator("#others a").first.click()
    visit.page.wait_for_selector("#main[data-conversation^=cnv_] .acts")
    return str(visit.page.url)


def sent(page: Any, question: str) -> None:
    page.fill("#q", question)
    page.click("#send")


def questions(page: Any) -> list[str]:
    return list(page.locator(".question p").all_inner_texts())


@pytest.mark.parametrize(
    ("language", "script", "beside"),
    [("en", True, True), ("zh", True, False), ("en", False, True), ("zh", False, False)],
)
def test_two_windows_on_one_conversation(
    visiting: Visiting, origin: str, language: str, *, script: bool, beside: bool
) -> None:
    t = TEXTS[language]
    with visiting(origin, language, script=script) as visit:
        address = asked(visit, "one")
        page, other = visit.page, visit.page.context.new_page()
        other.goto(address)
        sent(other, "two")
        other.locator(".finished").nth(1).wait_for()
        other.wait_for_load_state("load")
        page.evaluate("dispatchEvent(new Event('blur'))")  # headless windows all have the focus
        sent(page, "three")
        alert = page.locator("#problem")
        alert.wait_for()
        assert alert.inner_text().startswith(t["moved" if script else "moved_above"])
        assert page.input_value("#q") == "three"
        if beside:
            page.get_by_role("button", name=t["moved_beside"]).click()
        elif script:
            page.get_by_role("button", name=t["moved_show"]).click()
            page.locator(".question p", has_text="two").wait_for()
            page.wait_for_function("document.getElementById('q').value === 'three'")
            page.click("#send")
        else:
            assert questions(page) == ["one", "two"]
            page.click("#send")
        page.locator(".question p", has_text="three").wait_for()
        page.wait_for_selector(f".finished >> nth={1 if beside else 2}")
        page.goto(address)
        assert questions(page) == (["one", "three"] if beside else ["one", "two", "three"])
        if beside:
            page.get_by_label(t["version_before"]).click()
            page.locator(".question p", has_text="two").wait_for()
            assert questions(page) == ["one", "two"], "the other window's words are kept as well"


def test_a_window_that_nobody_left_asks_at_once(visiting: Visiting, origin: str) -> None:
    """The control: nothing in the way, and no request more."""
    with visiting(origin) as visit:
        asked(visit, "one")
        visit.requests.clear()
        sent(visit.page, "two")
        visit.page.locator(".acts").nth(1).wait_for()
        assert [one.rsplit("/", 1)[1].split("_")[0] for one in visit.requests] == ["turns"]
        visit.requests.clear()
        visit.page.evaluate("dispatchEvent(new Event('blur'))")
        sent(visit.page, "three")
        visit.page.locator(".acts").nth(2).wait_for()
        assert visit.page.locator("#problem").count() == 0
        kinds = [one.rsplit("/", 1)[1].split("_")[0] for one in visit.requests]
        assert kinds == ["cnv", "turns"], "who was elsewhere reads the conversation, not its texts"
        assert visit.complaints == []


def test_a_first_question_asks_no_more_of_who_was_elsewhere(visiting: Visiting, origin: str) -> None:
    """Nobody else can have asked in a conversation that is begun with it."""
    with visiting(origin) as visit:
        visit.page.evaluate("dispatchEvent(new Event('blur'))")
        before = len(visit.requests)
        asked(visit, "one")
        visit.page.locator(".acts").wait_for()
        sent = [one.rsplit("/", 1)[1] for one in visit.requests[before:] if "/v1/" in one]
        assert sent == ["conversations", "turns"]


def test_a_branch_that_another_window_left_is_gone_on_with(visiting: Visiting, origin: str) -> None:
    """The conversation ends elsewhere, but nothing follows this window's last turn."""
    with visiting(origin) as visit:
        address = asked(visit, "one")
        page, other = visit.page, visit.page.context.new_page()
        other.goto(address)
        sent(other, "two")
        other.locator(".acts").nth(1).wait_for()
        page.evaluate("dispatchEvent(new Event('blur'))")
        sent(page, "three")
        page.get_by_role("button", name=TEXTS["en"]["moved_beside"]).click()
        page.locator(".acts").nth(1).wait_for()
        other.evaluate("dispatchEvent(new Event('blur'))")
        sent(other, "four")
        other.locator(".acts").nth(2).wait_for()
        assert other.locator("#problem").count() == 0
        other.reload()
        assert questions(other) == ["one", "two", "four"]


@pytest.mark.parametrize(
    ("language", "script", "forged"), [("en", True, True), ("zh", True, False), ("zh", False, True)]
)
def test_a_cookie_that_is_lost_or_forged(
    visiting: Visiting, origin: str, language: str, *, script: bool, forged: bool
) -> None:
    t = TEXTS[language]
    with visiting(origin, language, script=script) as visit:
        address = asked(visit, "mine")
        page = visit.page
        (cookie,) = (one for one in page.context.cookies() if one["name"] == "dragoman_session")
        page.context.clear_cookies(name="dragoman_session")
        if forged:
            page.context.add_cookies([{**cookie, "value": cookie["value"][:-4] + "AAAA"}])
        sent(page, "typed")
        page.locator("#problem").wait_for()
        assert page.locator("#problem").inner_text().startswith(t["session_lost"])
        assert page.input_value("#q") == "typed"
        if script:
            page.get_by_role("button", name=t["begin_anew"]).click()
            page.wait_for_url(f"{origin}/")
            page.wait_for_function("document.getElementById('q').value === 'typed'")
        assert "mine" not in page.locator("#list").inner_text(), "it is another guest now"
        page.click("#send")
        page.wait_for_selector(".finished")
        assert questions(page) == ["typed"]
        assert page.get_by_role("alert").count() == 0
        visit.complaints.clear()
        assert page.goto(address).status == 404


@pytest.mark.parametrize(("language", "script"), BOTH)
def test_a_conversation_that_was_deleted_in_another_window(
    visiting: Visiting, origin: str, language: str, *, script: bool
) -> None:
    t = TEXTS[language]
    with visiting(origin, language, script=script) as visit:
        address = asked(visit, "mine")
        name = address.split("/c/")[1]
        gone = visit.page.request.delete(f"{origin}/v1/conversations/{name}", headers={"origin": origin})
        assert gone.ok
        sent(visit.page, "typed")
        visit.page.locator("#problem", has_text=t["gone"]).wait_for()
        assert visit.page.input_value("#q") == "typed"


@pytest.mark.parametrize(("language", "script"), BOTH)
def test_a_paste_that_is_too_long_stays(
    visiting: Visiting, origin: str, language: str, *, script: bool
) -> None:
    t = TEXTS[language]
    with visiting(origin, language, script=script) as visit:
        page = visit.page
        page.locator("#q").evaluate("(node, text) => { node.value = text; }", PASTE)
        page.click("#send")
        page.locator("#problem").wait_for()
        assert page.locator("#problem").inner_text() == t["too_long"].format(limit=MAX_QUESTION)
        assert page.input_value("#q").strip() == PASTE.strip()
        assert questions(page) == []
        sent(page, "x" * MAX_QUESTION)
        page.wait_for_selector(".finished")
        assert page.locator("#problem").count() == 0


def test_what_is_typed_stands_again_when_the_page_is_loaded_again(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        page = visit.page
        page.fill("#q", "half a quest")
        page.reload()
        page.wait_for_function("document.getElementById('q').value === 'half a quest'")
        page.fill("#q", "")
        page.reload()
        page.wait_for_selector("body.scripted")
        assert page.input_value("#q") == ""
        page.route("**/turns", lambda route: route.abort())
        sent(page, "not sent")
        page.locator(".finished [role=alert]").wait_for()
        page.wait_for_function("document.getElementById('q').value === 'not sent'")
