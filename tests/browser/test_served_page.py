"""The page of a real pair, relay and control, as `dragoman serve` starts it: the main job in a browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_visit import Visiting

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import start

pytestmark = pytest.mark.browser

RULES = """
[[rules]]
id = "op.word"
words = ["collection point", "代收点"]
action = "redact"
message = { en = "House rules.", zh = "内部规则。" }
placeholder = { en = "[gone]", zh = "[已去]" }
"""
QUESTION = {"en": "How do I send an item back?", "zh": "怎么退货？"}
SENTENCE = {"en": "drop the parcel at any", "zh": "打开订单，点击“退货”"}
LABEL = {"en": "AI-generated", "zh": "AI 生成"}
GONE = {"en": "[gone]", "zh": "[已去]"}


@pytest.fixture(scope="module")
def origin(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("s")
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    server = start(folder, 'rules = ["rules.toml"]')
    yield server.url
    assert server.stop() == 0


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_guest_gets_a_cited_labelled_answer_and_reads_why_it_was_changed(
    visiting: Visiting, origin: str, language: str, *, script: bool
) -> None:
    with visiting(origin, language, script=script) as visit:
        visit.ask(QUESTION[language])
        page = visit.page
        answer = page.locator(".answer .finished").inner_text()
        assert SENTENCE[language] in answer
        assert GONE[language] in answer
        assert page.locator(".answer .label").inner_text() == LABEL[language]
        assert "op.word" in page.locator(".intervention").first.inner_text()
        asking = page.url
        page.locator(".intervention a[href^='/appeal/']").first.click()
        page.wait_for_url("**/appeal/int_*")
        page.wait_for_load_state("load")
        assert "op.word" in page.locator("main").inner_text()
        if script:
            page.goto(asking)
            visit.ask(QUESTION[language])
        else:
            page.go_back()
        page.locator(".cite").first.click()
        page.wait_for_url("**/sources/osmanthus-lane/**")
        assert SENTENCE[language] in page.locator("span:target").inner_text()
        assert visit.complaints == []


def test_another_guest_cannot_read_the_reasons(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        visit.ask(QUESTION["en"])
        reasons = visit.page.locator(".intervention a[href^='/appeal/']").first.get_attribute("href")
        assert visit.page.goto(origin + reasons).status == 200
    with visiting(origin) as other:
        assert other.page.goto(origin + reasons).status == 404


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize(
    ("language", "myself", "title"), [("en", "myself", "A reader in Berlin"), ("zh", "本人", "柏林的读者")]
)
def test_a_guest_asks_as_somebody_else_and_as_itself_again(
    visiting: Visiting, origin: str, language: str, myself: str, title: str, *, script: bool
) -> None:
    with visiting(origin, language, script=script) as visit:
        page = visit.page
        who = page.locator(".asking summary strong")
        assert who.inner_text() == myself
        page.locator(".asking summary").press("Enter")
        page.get_by_role("button", name=title).click()
        page.wait_for_load_state("load")
        assert who.inner_text() == title
        page.locator(".asking summary").click()
        assert page.locator(".presets [aria-pressed]").inner_text() == title
        page.locator("[name=residence]").fill("sg")
        page.locator("[name=place]").fill("SG")
        page.locator("[name=phone]").fill("+65")
        page.locator(".facts button").click()
        page.wait_for_load_state("load")
        assert (
            who.inner_text()
            == {"en": "Singapore (SG), at home, 30, +65", "zh": "新加坡 (SG)、家庭、30、+65"}[language]
        )
        visit.ask(QUESTION[language])
        assert SENTENCE[language] in page.locator(".answer .finished").inner_text()
        page.locator(".asking summary").click()
        page.locator(".presets [name=as]").click()
        page.wait_for_load_state("load")
        assert who.inner_text() == myself
        assert visit.complaints == []


def test_a_fact_that_cannot_be_is_named(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        visit.page.locator(".asking summary").click()
        visit.page.locator("[name=residence]").fill("zz")
        visit.page.locator(".facts button").click()
        visit.page.wait_for_load_state("load")
        assert "Residence takes a country code" in visit.page.locator("main").inner_text()
        visit.complaints.clear()  # the browser tells of the 400
