"""The page `/start` in a browser of a served zone: by keys, on a phone, without cookies, and the way to it and from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_findings import DESK, both_schemes
from browser_visit import SLOW_MS, Visiting

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import Server, start

from dragoman.web.texts import TEXTS

pytestmark = pytest.mark.browser

CONFIG = """
[zones.eu]
address = "https://eu.lamps.example"
countries = ["DE", "FR"]
[sms]
url = "http://127.0.0.1:9/messages"
"""
NARROW = {"width": 375, "height": 812}
SHOTS = os.environ.get("ENTRY_SHOTS")
"""A folder to put pictures of the pages in, to be looked at."""


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = start(tmp_path_factory.mktemp("entry"), CONFIG)
    yield made
    assert made.stop() == 0


def picture(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def fits(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize(("language", "scheme", "size"), [("en", "light", DESK), ("zh", "dark", NARROW)])
@pytest.mark.parametrize("residence", ["DE", "SG", "CN"])
def test_the_page_and_its_answers_are_for_everybody(
    browser: Any, server: Server, language: str, scheme: str, size: dict[str, int], residence: str
) -> None:
    locale = {"en": "en-GB", "zh": "zh-CN"}[language]
    context = browser.new_context(locale=locale, viewport=size, java_script_enabled=True, color_scheme=scheme)
    context.set_default_timeout(SLOW_MS)
    page, t = context.new_page(), TEXTS[language]
    page.goto(f"{server.url}/start")
    assert page.locator("h1").inner_text() == t["start_title"]
    assert page.locator("#residence").input_value() == ""
    found = both_schemes(page, scheme)
    assert fits(page)
    picture(page, f"start-{language}-{size['width']}")
    page.locator("#residence").focus()
    page.select_option("#residence", residence)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("h2").first.wait_for()
    assert f"({residence})" in page.locator("h1").inner_text()
    go = page.locator(".go")
    leads = [one.get_attribute("href") for one in go.all()]
    own = f"{server.url}/?residence=SG"
    assert leads == {"DE": ["https://eu.lamps.example/?residence=DE"], "SG": [own], "CN": []}[residence]
    found += both_schemes(page, scheme)
    assert fits(page)
    picture(page, f"answer-{residence}-{language}-{size['width']}")
    assert context.cookies() == [], "nothing is kept of whoever asks"
    if residence == "SG":
        go.click()
        page.locator(".arrived").wait_for()
        found += both_schemes(page, scheme)
        assert fits(page)
        picture(page, f"arrived-{language}-{size['width']}")
        page.locator(".arrived a[href^='/signup']").click()
        page.locator("#phone").wait_for()
        assert page.locator("[name=residence]").get_attribute("value") == "SG"
        assert context.cookies(), "the control: the first page of the chat does set one"
    assert found == []
    context.close()


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_whom_another_zone_serves_is_led_to_the_page(
    visiting: Visiting, server: Server, language: str, *, script: bool
) -> None:
    t = TEXTS[language]
    with visiting(server.url, language, script=script) as visit:
        page = visit.page
        page.goto(f"{server.url}/?residence=DE")
        assert page.locator('.arrived a[href="/start"]').count() == 1
        form = page.locator("form.facts")
        page.locator(".asking summary").click()
        form.locator("[name=residence]").fill("DE")
        form.locator("[name=age]").fill("30")
        form.locator("button").click()
        page.locator(".asking summary", has_text="DE").wait_for()
        visit.ask({"en": "How do I return an item?", "zh": "怎么退货？"}[language])
        page.locator(".refusal").last.wait_for()
        link = page.locator('.refusal a[href="/start"]')
        assert link.inner_text() == t["start_link"]
        picture(page, f"routed-{language}-{script}")
        link.click()
        page.locator("#residence").wait_for()
        assert page.locator("h1").inner_text() == t["start_title"]
