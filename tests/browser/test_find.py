"""The search of the list in Chromium: by keys, with and without JavaScript, in both languages, on a phone."""

from __future__ import annotations

import os
from typing import Any

import pytest
from axe_findings import DESK, PHONE, both_schemes
from browser_visit import SLOW_MS, Visit, Visiting
from test_chat import BOTH, origin, provider

from dragoman.assistants.finding import WANTED
from dragoman.web.kept import FOUND, TURNS
from dragoman.web.texts import TEXTS
from promise import eventually

pytestmark = pytest.mark.browser
__all__ = ["origin", "provider"]  # fixtures

QUESTION = {"en": "How hot is the kiln\u202e running?", "zh": "龍窯要燒到多少度？"}
WORD = {"en": "kilns", "zh": "龙窑"}
MARKED = {"en": "kiln", "zh": "龍窯"}


def told(visit: Visit, page: Any, path: str, **body: Any) -> Any:
    answer = page.request.post(
        f"{visit.origin}/v1/conversations{path}", data=body, headers={"origin": visit.origin}
    )
    assert answer.ok, answer.text()
    return answer


def talk(visit: Visit, title: str, *questions: str) -> tuple[str, list[str]]:
    """A conversation of this guest and its turns."""
    name = told(visit, visit.page, "", title=title).json()["id"]
    turns = []
    for question in questions:
        messages = [{"role": "user", "content": question}]
        answer = told(visit, visit.page, f"/{name}/turns", model="dragoman", stream=True, messages=messages)
        turns.append(answer.headers["dragoman-turn"])
    eventually("so many turns at once are read", lambda: read_in(visit))
    return name, turns


def read_in(visit: Visit) -> bool:
    """Whether a search of this guest leaves nothing out."""
    answer = visit.page.request.get(f"{visit.origin}/v1/conversations?q=a")
    assert answer.ok, answer.text()
    return bool(answer.json()["complete"])


def look_for(visit: Visit, word: str) -> Any:
    """By keys: to the list's search, the word, Enter."""
    page = visit.page
    page.get_by_role("searchbox").focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(word)
    page.keyboard.press("Enter")
    return page.locator("#hits li")


def sentence(visit: Visit, key: str, language: str, **values: object) -> None:
    text = TEXTS[language][key]
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    visit.page.get_by_role("status").filter(has_text=text).wait_for()


def kept_picture(page: Any, name: str) -> None:
    """For whoever wants to look: DRAGOMAN_PICTURES is a folder."""
    if folder := os.environ.get("DRAGOMAN_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


@pytest.mark.parametrize(("language", "script"), BOTH)
def test_found_followed_and_nothing_found(
    visiting: Visiting, origin: str, language: str, *, script: bool
) -> None:
    with visiting(origin, language, script=script) as visit:
        page, words = visit.page, TEXTS[language]
        page.set_viewport_size(DESK)
        visit.ask("warm up")  # a guest from here on
        name, turns = talk(visit, "A talk of long ago", QUESTION[language], *["Hello"] * (TURNS + 2))
        talk(visit, "Other kalpis", "Something else")
        page.goto(f"{origin}/?lang={language}")
        page.evaluate("window.stays = true") if script else None
        hits = look_for(visit, WORD[language])
        sentence(visit, "found_some", language, n=1)
        assert hits.count() == 1
        assert hits.locator("b").inner_text() == "A talk of long ago"
        assert hits.locator("mark").all_inner_texts() == [MARKED[language]]
        assert ("⟨U+202E⟩" in hits.inner_text()) == (language == "en"), "named, not obeyed"
        assert not page.locator("#kept").is_visible()
        if script:
            assert page.evaluate("window.stays"), "without loading the page"
        kept_picture(page, f"find-{language}-{script}")
        page.reload()
        assert hits.count() == 1, "the address holds it"
        page.keyboard.press("Tab") if page.evaluate("document.activeElement === document.body") else None
        hits.locator("a").focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/c/{name}?at={turns[0]}#{turns[0]}")
        assert page.locator(f"[id='{turns[0]}']").is_visible(), "though it is not on the newest page"
        assert page.get_by_role("link", name=words["later"]).is_visible()
        titled = look_for(visit, "kalpis").filter(has_text="Other kalpis")
        titled.wait_for()
        assert (titled.inner_text(), titled.locator("mark").all_inner_texts()) == ("Other kalpis", ["kalpis"])
        look_for(visit, "zzzzz")
        sentence(visit, "found_none", language, q="zzzzz")
        assert page.locator("#hits li").count() == 0
        look_for(visit, "?!")
        sentence(visit, "find_word", language)
        look_for(visit, "a b c d e f g h i j k")
        said = {"en": f"at most {WANTED} words", "zh": f"不得超过 {WANTED} 个"}
        page.get_by_role("status").filter(has_text=said[language]).wait_for()
        assert visit.complaints == [] or all("400" in one for one in visit.complaints)


@pytest.mark.parametrize("script", [True, False])
def test_more_hits_and_back_to_the_list(visiting: Visiting, origin: str, *, script: bool) -> None:
    with visiting(origin, script=script) as visit:
        page = visit.page
        page.set_viewport_size(PHONE)
        visit.ask("warm up")
        talk(visit, "Many", *[f"Lamp {n}" for n in range(FOUND + 3)])
        page.goto(origin)
        page.get_by_role("link", name=TEXTS["en"]["conversations"]).press("Enter")
        look_for(visit, "lamp")
        sentence(visit, "found_more", "en", n=FOUND)
        assert page.locator("#list").is_visible(), "the list stays open"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        kept_picture(page, f"find-phone-{script}")
        assert both_schemes(page, "light") == [] if script else True
        page.get_by_role("link", name=TEXTS["en"]["found_older"]).press("Enter")
        sentence(visit, "found_some", "en", n=FOUND + 3 if script else 3)
        assert page.locator("#hits li").last.inner_text().endswith("Lamp 0")
        if script:
            assert page.evaluate("document.activeElement.innerText").endswith("Lamp 2"), "read on from there"
            page.get_by_role("searchbox").press("Escape")
            assert page.get_by_role("searchbox").input_value() == ""
            assert page.locator("#list").is_visible(), "the search ends first"
        else:
            page.get_by_role("link", name=TEXTS["en"]["find_end"]).press("Enter")
        page.locator("#others a").first.wait_for()
        assert not page.locator("#found").is_visible()
        assert "find=" not in page.url
        if script:
            page.get_by_role("searchbox").press("Escape")
            assert not page.locator("#list").is_visible()


def test_a_dark_page_in_chinese(browser: Any, origin: str) -> None:
    """The search as it is seen at night, with what axe-core says of it."""
    context = browser.new_context(viewport=DESK, locale="zh-CN", color_scheme="dark")
    context.set_default_timeout(SLOW_MS)
    visit = Visit(context.new_page(), origin)
    visit.page.goto(origin)
    visit.ask("龍窯要燒到多少度，才能燒出青瓷那樣的顏色？")
    visit.page.goto(origin)
    look_for(visit, "青瓷")
    sentence(visit, "found_some", "zh", n=1)
    kept_picture(visit.page, "find-dark")
    assert both_schemes(visit.page, "dark") == []
    context.close()
