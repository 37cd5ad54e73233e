"""What was done to an answer and why, before and after a reload, and objecting to it: both languages, no script too."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser_visit import Visit, Visiting

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import Server, start

from dragoman.testing.provider import DONE, FakeProvider, Script, chunk
from dragoman.web.texts import TEXTS

pytestmark = pytest.mark.browser

CONFIG = """
rules = ["rules.toml"]
[deployment]
contact = "appeals@lamps.example"
appeal_answer_days = 14
[providers.fake]
base_url = "{provider}"
[models.dragoman]
provider = "fake"
model = "up"
[providers.far]
base_url = "https://api.openai.com/v1"
[models.far]
provider = "far"
model = "far-1"
"""
RULES = """
[[rules]]
id = "op.word"
words = ["plum", "李子"]
action = "redact"
message = { en = "House rules on fruit.", zh = "水果内部规则。" }
placeholder = { en = "[gone]", zh = "[已去]" }
source = { title = "Rules on fruit", url = "https://lamps.example/fruit" }
[[rules]]
id = "op.never"
words = ["forbidden fruit", "禁果"]
action = "refuse"
message = { en = "Not here.", zh = "此处不行。" }
"""
WHY = {"en": "House rules on fruit.", "zh": "水果内部规则。"}
NOT_HERE = {"en": "Not here.", "zh": "此处不行。"}
STATED = {"en": "answers within 14 days", "zh": "承诺在 14 天内答复"}
FAR = """async (model) => {
  const send = (url, body) => fetch(url, {method: "POST", credentials: "same-origin",
    headers: {"content-type": "application/json"}, body: JSON.stringify(body)});
  const made = await (await send("/v1/conversations", {})).json();
  const body = {model, messages: [{role: "user", content: "Is it far?"}]};
  await (await send(`/v1/conversations/${made.id}/turns`, body)).text();
  return `/c/${made.id}`;
}"""


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("appeals")
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    end = [chunk({}, finish="stop"), DONE]
    with closing(FakeProvider(Script([chunk({"content": "A lamp."}), *end]))) as provider:
        provider.scripts["fruit"] = Script([chunk({"content": "A pl"}), chunk({"content": "um."}), *end])
        provider.scripts["no"] = Script([chunk({"content": "A forbidden fruit."}), *end])
        made = start(folder, CONFIG.format(provider=provider.url))
        yield made
        assert made.stop() == 0


def boxes(visit: Visit) -> list[str]:
    """What stands beside the answers, as it is read."""
    return [" ".join(one.split()) for one in visit.page.locator(".intervention").all_inner_texts()]


def asked(visit: Visit, question: str, count: int) -> None:
    """Ask, and wait for that many finished answers."""
    visit.page.fill("#q", question)
    visit.page.click("#send")
    visit.page.locator(".finished").nth(count - 1).wait_for()
    visit.page.wait_for_load_state("load")


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_was_done_is_said_with_rule_and_source_and_one_objects(
    visiting: Visiting, server: Server, language: str, script: bool
) -> None:
    t = TEXTS[language]
    with visiting(server.url, language, script=script) as visit:
        page = visit.page
        asked(visit, "plain", 1)
        assert boxes(visit) == [], "the control: nothing was done, nothing is said"
        asked(visit, "fruit", 2)
        asked(visit, "no", 3)
        asked(visit, "Is a plum fruit?", 4)
        asked(visit, "A forbidden fruit?", 5)
        live = boxes(visit)
        said = ("changed", "refused", "changed_asked", "refused_asked")
        why = (WHY, NOT_HERE, WHY, NOT_HERE)
        for box, key, words in zip(live, said, why, strict=True):
            for part in (t[key], words[language], t["rule"], t["source_of"], t["why"]):
                assert part in box, key
        source = page.locator(".intervention a[href='https://lamps.example/fruit']").first
        assert source.inner_text() == "Rules on fruit"
        (here,) = re.findall(r"/c/cnv_[^/?#]+", page.url)
        page.goto(server.url + here)
        assert boxes(visit) == live, "the same after a reload, with the question that a rule stopped"
        assert page.locator(".question p").last.inner_text() == "A forbidden fruit?"
        address = page.locator(".intervention a[href^='/appeal/']").first.evaluate("a => a.href")
        object_to(visit, address, language)
    with visiting(server.url, language, script=script) as stranger:
        assert stranger.page.goto(address).status == 404, "the control: somebody else's"


def object_to(visit: Visit, address: str, language: str) -> None:
    """Read the reasons, send nothing, then words; what comes is the acknowledgement, the second time too."""
    page, t = visit.page, TEXTS[language]
    assert page.goto(address).status == 200
    assert page.locator("h1").inner_text() == t["appeal_why"]
    assert WHY[language] in page.locator(".intervention").inner_text()
    page.fill("#text", " ")
    page.click("form[action^='/appeal/'] button")
    page.locator("#problem", has_text=t["appeal_empty"]).wait_for()
    page.fill("#text", "It was a pear.\nNot a <b>plum</b>.")
    page.fill("#contact", "li@example.org")
    page.click("form[action^='/appeal/'] button")
    page.locator("h1", has_text=t["appeal_sent"]).wait_for()
    said = page.locator("main").inner_text()
    for part in (STATED[language], "appeals@lamps.example", "Not a <b>plum</b>.", "li@example.org"):
        assert part in said
    assert re.search(r"apl_local_[0-9a-f-]{36}", page.url)
    sent = page.url
    page.goto(address)
    assert page.locator("h1").inner_text() == t["appeal_sent"], "it is received once"
    assert page.locator("#text").count() == 0
    page.click("main a[href^='/c/']")
    page.wait_for_url("**/c/**")
    assert page.goto(sent).status == 200


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_decision_that_refused_names_its_rules_and_leads_to_an_appeal(
    visiting: Visiting, server: Server, language: str
) -> None:
    t = TEXTS[language]
    with visiting(server.url, language) as visit:
        page = visit.page
        here = page.evaluate(FAR, "dragoman")
        page.goto(server.url + here)
        assert boxes(visit) == [], "the control"
        page.goto(server.url + page.evaluate(FAR, "far"))
        (box,) = boxes(visit)
        for part in (t["outcome_STEP_UP"], t["decided"], t["lifts"], t["objecting"], t["whole_notice"]):
            assert part in box
        assert page.locator(".intervention dd a[href^='https://']").count() >= 1
        notice = page.locator(".refusal details")
        assert not notice.locator("p").first.is_visible(), "the notice, whole, is folded"
        notice.locator("summary").click()
        assert notice.locator("p", has_text="dec_local_").first.is_visible()
        page.click(".intervention a[href^='/appeal/dec_']")
        page.locator("h1", has_text=t["appeal_why"]).wait_for()
        assert page.locator(".intervention strong").count() >= 1
        page.fill("#text", "I live elsewhere.")
        page.click("form[action^='/appeal/'] button")
        page.locator("h1", has_text=t["appeal_sent"]).wait_for()
