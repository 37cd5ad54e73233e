"""A step-up on the page: what is asked is stated by a form, counts as stated, and is taken back; with and without script."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_visit import Visit, Visiting

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import Server, start

from dragoman.web.texts import TEXTS

pytestmark = pytest.mark.browser

CONFIG = """
[deployment]
seat = "DE"
markets = ["DE"]
contact = "help@lamps.example"
"""
QUESTION = {"en": "How do I return an item?", "zh": "怎么退货？"}


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = start(tmp_path_factory.mktemp("step"), CONFIG)
    yield made
    assert made.stop() == 0


def last(visit: Visit) -> str:
    """The last finished answer as it is read."""
    visit.page.locator("#log[aria-busy=true]").wait_for(state="detached")
    return " ".join(visit.page.locator(".finished").last.inner_text().split())


def again(visit: Visit) -> str:
    """Ask the last question again in its place."""
    shown = visit.page.locator(".branches span")
    before = shown.last.inner_text() if shown.count() else ""
    visit.page.locator(".again button").last.click()
    visit.page.wait_for_load_state("load")
    if "/ask" in visit.page.url:  # the page that grew, without script
        visit.page.goto(visit.page.url.removesuffix("/ask"))
    visit.page.wait_for_function(
        "(before) => document.querySelector('.branches span')?.textContent !== before", arg=before
    )
    return last(visit)


def state(visit: Visit, **facts: str) -> None:
    form = visit.page.locator(".answer form[action='/declare']").last
    for name, value in facts.items():
        form.locator(f"[name={name}]").fill(value)
    form.locator("button").click()
    visit.page.locator(".asking summary", has_text=facts["age"]).wait_for()


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_step_up_is_answered_by_a_form_and_taken_back(
    visiting: Visiting, server: Server, language: str, *, script: bool
) -> None:
    t = TEXTS[language]
    with visiting(server.url, language, script=script) as visit:
        page = visit.page
        visit.ask(QUESTION[language])
        live = last(visit)
        for part in (
            t["outcome_STEP_UP"],
            "eu.gdpr.child",
            t["lifts"],
            t["why"],
            t["stating_age"],
            t["stating_what"],
        ):
            assert part in live
        assert t["stating_residence"] not in live, "only what is asked"
        if not script:
            page.locator("#others a").first.click()
            page.wait_for_url(re.compile("/c/"))
        else:
            page.reload()
            assert last(visit) == live, "the same after a reload"
        conversation = page.url
        state(visit, age="15")
        assert page.url.split("?")[0].split("#")[0] == conversation.split("?")[0], "back where it was asked"
        child = again(visit)
        assert t["lacks_guardian"] in child, "a child's age is no adult's, and no form gives consent"
        assert "help@lamps.example" in child
        assert t["stating_age"] not in child
        page.click(".asking summary")
        page.locator(".asking form[action='/declare'] button").click()
        page.wait_for_load_state("load")
        assert t["stated"] not in page.locator(".asking summary").inner_text()
        assert "eu.gdpr.child" in again(visit), "taken back, it is asked again"
        state(visit, age="34")
        answered = again(visit)
        assert "eu.gdpr.child" not in answered
        assert page.locator(".finished").last.locator(".cite").count() >= 1
        why = page.locator(".acts .why").last.get_attribute("href")
        page.goto(server.url + str(why))
        assert "declared" in page.locator(".passport").inner_text()
