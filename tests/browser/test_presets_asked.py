"""Every preset of "asking as" with every model, asked on a served page: what is decided, shown, carried out, and from what."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser_visit import Visiting

from dragoman.testing.provider import JSON, FakeProvider, Script, whole
from dragoman.web.presets import load_presets

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
sys.path.append(str(Path(__file__).parents[1] / "golden"))
sys.path.append(str(Path(__file__).parents[1] / "unit"))
from preset_cells import GOLDEN, effects, expected
from test_docs_site import _tool
from whole_product import Server, start

pytestmark = pytest.mark.browser

tool = _tool("presets")
PRESETS = {one.id: one for one in load_presets()}
LANGUAGE = {"fresh": "en", "declared": "zh", "ready": "zh"}
"""In which language a person of this installation is shown it."""
QUESTION = "How do I return an item?"
ASK = """async ([models, text]) => {
  const post = (url, body) => fetch(url, {method: "POST", credentials: "same-origin",
    headers: {"content-type": "application/json"}, body: JSON.stringify(body)});
  const one = async (model) => {
    const made = await (await post("/v1/conversations", {})).json();
    const answer = await post(`/v1/conversations/${made.id}/turns`, {model, messages: [{role: "user", content: text}]});
    await answer.text();
    const turn = answer.headers.get("dragoman-turn");
    const told = await fetch(`/v1/conversations/${made.id}/turns/${turn}/passport`, {credentials: "same-origin"});
    return {conversation: made.id, passport: await told.json(), labels: answer.headers.get("ai-disclosure")};
  };
  return Object.fromEntries(await Promise.all(models.map(async (model) => [model, await one(model)])));
}"""
SAYS = {
    "refused": {
        "DENY": ("This request was not sent to any model.", "本次请求未发送给任何模型。"),
        "NOT_READY": ("the operator has not met a condition", "运营者尚未满足"),
        "STEP_UP": ("something about you has to be established", "须先确认您的某项信息"),
    },
    "shown": dict.fromkeys(("ALLOW", "ALLOW_WITH"), ("Not carried out", "未执行")),
}
LABEL = {"en": "AI-generated", "zh": "AI 生成"}
ANSWER = "You may return an unused item within 30 days"
NOTICES = {
    "cn.display": "模型名称与备案编号：dragoman · example",
    "eu.aiact.notice": "您正在与人工智能系统对话。",
    "cn.label.text": "AI生成",
}
"""What an answer says of the rules that ask for words, in Chinese, where the operator is ready."""


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeProvider]:
    with closing(FakeProvider(Script([whole("From the vendor.")], content_type=JSON))) as made:
        yield made


@pytest.fixture(scope="module")
def served(browser: Any, vendor: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One product; `installed` states what its operator states."""
    server = start(
        tmp_path_factory.mktemp("presets"), tool.models_toml(dict.fromkeys(tool.HOSTS, vendor.url))
    )
    yield server
    assert server.stop() == 0


def installed(server: Server, install: str) -> None:
    """Have the operator state what `install` says, from now on."""
    file = server.folder / "dragoman.toml"
    before = file.read_text(encoding="utf-8")
    rest = before
    for one in tool.INSTALLS.values():
        rest = rest.removeprefix(one)
    stated = tool.INSTALLS[install] + rest
    if stated != before:
        file.write_text(stated, encoding="utf-8")
        server.dragoman("reload")


def ask_as(page: Any, preset: str, language: str) -> None:
    page.locator(".asking summary").click()
    page.get_by_role("button", name=PRESETS[preset].title[language]).click()
    page.locator(".asking strong", has_text=PRESETS[preset].title[language]).wait_for()


def found_in(passport: dict[str, Any], carried: str) -> dict[str, Any]:
    """A passport in the members of a golden cell."""
    decision = passport["decision"]
    refused_by: dict[str, list[str]] = {}
    for rule in decision["rules"]:
        if rule["effect"] in tool.AGAINST:
            refused_by.setdefault(rule["rule_id"], []).append(rule["code"])
    duties = decision["obligations"]
    return {
        "outcome": decision["outcome"],
        "carried": carried,
        "refused_by": {rule: sorted(codes) for rule, codes in sorted(refused_by.items())},
        "due": sorted(one["rule_id"] for one in duties if not one["standing"]),
        "standing": sorted({one["rule_id"] for one in duties if one["standing"]}),
        "warns": sorted({tool._warning(one["code"], one["subject"]) for one in decision["warnings"]}),
        "step_up": decision["step_up"],
        "not_ready": decision["not_ready"],
    }


def seen(page: Any, wanted: dict[str, Any], cell: tuple[str, str, str], language: str) -> str:
    """What the page makes of a cell: `answered`, `shown` or `refused`; with its reasons, sources and ways out."""
    text = page.locator(".finished").evaluate("one => one.textContent")  # the notice, whole, is folded
    at = 0 if language == "en" else 1
    if wanted["carried"] == "answered":
        assert ANSWER in text
        assert page.locator(".answer .label").inner_text() == LABEL[language]
        for rule in wanted["shown"] if language == "zh" else ():
            assert NOTICES.get(rule, "") in page.locator(".answer").inner_text(), rule
        return "answered"
    assert ANSWER not in text
    assert SAYS[wanted["carried"]][wanted["outcome"]][at] in text, cell
    for rule in effects(*cell):
        source, article = GOLDEN["sources"][rule]
        assert f"{rule}: {source}" in text
        assert article in text
    for name in (*wanted["models"],):
        assert tool.MODELS[name] in text
    assert ("country of residence" if at == 0 else "居住国家或地区") in text or not wanted["step_up"]
    return "shown" if re.search("Not carried out|未执行", text) else "refused"


@pytest.mark.parametrize("install", tool.INSTALLS)
def test_every_preset_with_every_model(
    visiting: Visiting, served: Server, vendor: FakeProvider, install: str
) -> None:
    language, called = LANGUAGE[install], len(vendor.seen)
    installed(served, install)
    with visiting(served.url, language) as visit:
        page = visit.page
        for preset in PRESETS:
            ask_as(page, preset, language)
            told = page.evaluate(ASK, [list(tool.MODELS.values()), QUESTION])
            for name, model in tool.MODELS.items():
                cell = (install, preset, name)
                wanted = expected(*cell)
                passport = told[model]["passport"]
                carried = wanted["carried"]
                if install == "fresh" or carried != "shown":  # what is shown alone looks alike in both
                    page.goto(f"{served.url}/c/{told[model]['conversation']}")
                    carried = seen(page, wanted, cell, language)
                found = found_in(passport, carried)
                assert found == {part: wanted[part] for part in found}, cell
                assert passport["simulated"] is True
                lifted = " ".join(one["en"] for one in passport["decision"]["lifts"])
                assert all(tool.MODELS[name] in lifted for name in wanted["models"]), cell
                assert ("country of residence" in lifted) == bool(wanted["step_up"]), cell
                (provider,) = passport["providers"]
                assert provider["eligible"] is (wanted["carried"] == "answered")
        assert visit.complaints == []
    assert len(vendor.seen) == called, "nothing was sent to a vendor for a simulated person"


def test_the_vendor_is_called_for_who_is_not_simulated(served: Server, vendor: FakeProvider) -> None:
    """The control of the test above: the operator's own people, whose seat is stated."""
    installed(served, "ready")
    called = len(vendor.seen)
    asked = {"model": "openai", "messages": [{"role": "user", "content": "hello"}]}
    answer = served.http().post("/v1/chat/completions", json=asked)
    assert "From the vendor." in answer.text, answer.text
    assert len(vendor.seen) == called + 1


def test_who_is_asked_as_decides_which_documents_answer(
    visiting: Visiting, served: Server, tmp_path: Path
) -> None:
    """The simulated place and app, in answers and on the pages that they cite; a source for one country alone."""
    installed(served, "ready")
    (tmp_path / "quokka.md").write_text("# Quokka leave\n\nQuokka leave lasts nine days.\n", encoding="utf-8")
    served.dragoman(
        "ingest", str(tmp_path), "--source", "berlin", "--owner", "A test", "--licence", "CC0-1.0", "--jurisdiction", "DE"
    )  # fmt: skip
    asked = {"quokka": "How long does quokka leave last?", "pack": "What is a jurisdiction pack?"}
    reads = {"berlin": {"quokka", "pack"}, "vpn": {"pack"}, "shop-customer": set()}
    pages = {"quokka": "/sources/berlin/quokka", "pack": "/sources/dragoman/jurisdictions-en"}
    with visiting(served.url) as visit:
        page = visit.page
        for preset, finds in reads.items():
            ask_as(page, preset, "en")
            for word, question in asked.items():
                page.goto(served.url)
                visit.ask(question)
                cited = [link.get_attribute("href") for link in page.locator(".finished .cite").all()]
                assert any(link.startswith(pages[word]) for link in cited) == (word in finds), (
                    preset,
                    word,
                    cited,
                )
                read = page.request.get(served.url + pages[word], headers={"accept": "text/html"})
                assert read.status == (200 if word in finds else 404), (preset, word)
        page.goto(served.url)
        visit.ask(QUESTION)
        assert "/sources/osmanthus-lane/" in page.locator(".finished .cite").first.get_attribute("href")
