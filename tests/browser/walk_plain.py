"""The walk without JavaScript: what the chat does by its forms alone."""

from __future__ import annotations

import re
from typing import Any

from browser_visit import Visit
from walk_asking import objected
from walk_chat import CONVERSATION, LABEL, words_of
from walk_steps import Step, Walk

from dragoman.web.presets import load_presets
from promise import eventually


def asked(walk: Walk, visit: Visit, question: str) -> Any:
    """Ask, and open the page of the conversation it is kept in."""
    visit.ask(question)
    open_newest(walk, visit)
    return visit.page.locator(".answer").last


def open_newest(walk: Walk, visit: Visit) -> None:
    walk.open_list(visit.page)
    visit.page.locator("#others a").first.click()
    visit.page.wait_for_url(CONVERSATION)
    visit.page.wait_for_load_state("load")


def plain_answer(walk: Walk, visit: Visit) -> str:
    """Without JavaScript: asked by the form, answered with label and citation, and kept"""
    answer = asked(walk, visit, words_of(walk).cited)
    assert answer.locator(".label").inner_text() == LABEL[walk.language]
    answer.locator("a.cite").first.click()
    visit.page.locator("span:target").wait_for()
    marked = visit.page.locator("span:target").inner_text()
    assert words_of(walk).sentence in marked
    visit.page.go_back()
    return f"label, and a citation that opens “{marked}”"


def plain_list(walk: Walk, visit: Visit) -> str:
    """Without JavaScript: renamed, pinned, exported and deleted by forms"""
    page, t = visit.page, walk.t
    asked(walk, visit, words_of(walk).short)
    here = page.url
    page.locator("#manage > summary").click()
    page.fill("#manage [name=title]", "Lamps 灯")
    page.get_by_role("button", name=t["rename"]).click()
    page.locator("#title", has_text="Lamps 灯").wait_for()
    page.locator("#manage > summary").click()
    page.get_by_role("button", name=t["pin"], exact=True).click()
    page.locator("#pinned a", has_text="Lamps 灯").wait_for(state="attached")
    page.locator("#manage > summary").click()
    for ending in ("Markdown", "JSON", "HTML"):
        _, content = walk.saved(page, page.locator(".files a", has_text=ending))
        assert content
    walk.picture(page, "the_forms")
    page.locator(".sure summary").click()
    page.locator(".danger").click()
    page.locator("#starters").wait_for()
    assert page.request.get(here).status == 404
    return "all four done; 404 afterwards"


def plain_branches(walk: Walk, visit: Visit) -> str:
    """Without JavaScript: asked again, edited, and back to the first version"""
    page, t, words = visit.page, walk.t, words_of(walk)
    asked(walk, visit, words.short)
    page.locator(".again button").click()
    page.locator(".finished").wait_for()
    page.wait_for_load_state("load")
    open_newest(walk, visit)
    assert page.locator(".branches span").inner_text() == "2/2"
    page.locator(".edit").click()
    page.wait_for_url(re.compile("edit="))
    assert page.input_value("#q") == words.short
    visit.ask(words.other)
    open_newest(walk, visit)
    assert page.locator(".branches span").inner_text() == "3/3"
    page.get_by_label(t["version_before"]).click()
    page.locator(".branches span", has_text="2/3").wait_for()
    assert page.locator(".question p").inner_text() == words.short
    return "2/2, 3/3, and back to 2/3"


def plain_judgement(walk: Walk, visit: Visit) -> str:
    """Without JavaScript: an answer is judged with a reason"""
    page, t = visit.page, walk.t
    asked(walk, visit, words_of(walk).short)
    page.locator(".acts details.rate summary").click()
    page.locator(".acts [name=reason]").select_option("unhelpful")
    page.locator(".acts [name=note]").fill("9 W")
    page.get_by_role("button", name=t["bad_say"]).click()
    line = page.locator(".judged", has_text=t["bad_unhelpful"])
    line.wait_for()
    return str(line.inner_text())


def plain_search(walk: Walk, visit: Visit) -> str:
    """Without JavaScript: one's own conversations are searched"""
    page = visit.page
    asked(walk, visit, words_of(walk).short)
    word = {"en": "smallest", "zh": "最小"}[walk.language]

    def seen() -> bool:
        walk.open_list(page)
        page.get_by_role("searchbox").fill(word)
        page.get_by_role("searchbox").press("Enter")
        page.wait_for_url(re.compile("find="))
        page.wait_for_load_state("load")
        return bool(page.locator("#hits li").count())

    eventually("what was said is found", seen)
    return str(page.locator("#told").inner_text())


def plain_asking_as(walk: Walk, visit: Visit) -> str:
    """Without JavaScript: asked as somebody else, told why on a page of its own, and objected to"""
    page, t = visit.page, walk.t
    (berlin,) = [one for one in load_presets() if one.id == "berlin"]
    page.locator(".asking summary").click()
    page.get_by_role("button", name=berlin.title[walk.language]).click()
    page.locator(".asking summary strong", has_text=berlin.title[walk.language]).wait_for()
    answer = asked(walk, visit, words_of(walk).cited)
    assert "eu.gdpr.representative" in answer.inner_text()
    page.get_by_role("link", name=t["why_this"]).click()

    def proven() -> bool:
        page.reload()
        return bool(page.locator("[data-state=proven]").count())

    eventually("the turn is proven", proven)
    walk.picture(page, "why_page")
    page.locator("main a[href^='/appeal/dec_']").first.click()
    page.locator("h1", has_text=t["appeal_why"]).wait_for()
    return objected(walk, visit)


STEPS = (
    Step(plain_answer, script=False),
    Step(plain_asking_as, script=False),
    Step(plain_list, "house", script=False),
    Step(plain_branches, "house", script=False),
    Step(plain_judgement, "house", script=False),
    Step(plain_search, "house", script=False),
)
