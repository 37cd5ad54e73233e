"""An answer's text as parts of a page: nothing is lost, only our own sources are linked."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.decision import NOT_CARRIED_OUT, OUTCOMES, STEP_UP_SIGNALS
from dragoman.core.outcomes import HAPPENED
from dragoman.web.answer import body, interventions, label_and_rest, refusal
from dragoman.web.nodes import Element, Node
from dragoman.web.texts import LANGUAGES, TEXTS


def note(url: str = "/sources/a/b#p1s2", title: str = "T") -> dict[str, Any]:
    return {
        "type": "url_citation",
        "url_citation": {"url": url, "title": title, "start_index": 0, "end_index": 3},
    }


def elements(nodes: Iterable[Node]) -> Iterator[Element]:
    for node in nodes:
        if isinstance(node, Element):
            yield node
            yield from elements(node.children)


def cited(nodes: Iterable[Node]) -> list[str]:
    return [one.attrs["href"] for one in elements(nodes) if one.attrs.get("class") == "cite"]


def said(nodes: Iterable[Node]) -> str:
    return "".join(node if isinstance(node, str) else said(node.children) for node in nodes)


def test_label_in_both_languages_and_no_marker_taken_for_one() -> None:
    assert label_and_rest("【AI 生成】你好") == ("AI 生成", "你好")
    assert label_and_rest("[AI-generated] Hello") == ("AI-generated", "Hello")
    assert label_and_rest("[1] Hello") == (None, "[1] Hello")
    assert label_and_rest("Hello") == (None, "Hello")


def test_the_nth_marker_takes_the_nth_citation() -> None:
    text = "One. [1]\nTwo. [1]\n\n> quoted\n> more\n\nSources:\n[1] T"
    found = body(text, [note("/sources/a/b#p1s1"), note("/sources/a/b#p1s2"), note("/sources/a/b#p1")])
    assert [one.name for one in found if isinstance(one, Element)] == ["p", "blockquote", "p"]
    assert cited(found) == ["/sources/a/b#p1s1", "/sources/a/b#p1s2", "/sources/a/b#p1"]
    assert said(found) == "One.\u00a0[1]\nTwo.\u00a0[1]quoted\nmoreSources:\n[1] T"


def test_no_marker_is_linked_when_a_rule_took_one_out() -> None:
    assert cited(body("One. [1] Two. [2]", [note(), note()])) == ["/sources/a/b#p1s2"] * 2
    assert cited(body("One. [1] Two.", [note(), note()])) == []


def test_markers_in_code_and_in_links_are_none() -> None:
    found = body("`a[1]` [see [2]](https://x.example/) One. [3]\n\n    b[4]", [note("/sources/a/b#p3")])
    assert cited(found) == ["/sources/a/b#p3"]


@pytest.mark.parametrize(
    "url",
    [
        "https://x.example/",
        "javascript:alert(1)",
        "//x.example/sources/a/b",
        "/sources/a/b/c",
        "/sources/a/..%2f",
        "",
    ],
)
def test_foreign_links_are_never_made(url: str) -> None:
    assert not list(elements(body("One. [1]", [note(url)])))[1:]


@given(st.text(alphabet="ab [1]。【】", max_size=120), st.integers(0, 4), st.booleans())
def test_every_visible_character_of_plain_text_is_kept(text: str, count: int, plain: bool) -> None:
    assert "".join(said(body(text, [note()] * count, plain=plain)).split()) == "".join(text.split())


def test_interventions_are_read_and_malformed_ones_left_out() -> None:
    message, source = (
        {"en": "Not here.", "zh": "此处不可。"},
        {"title": "House rules", "url": "https://x.example/1"},
    )
    good = {
        "id": "int_local_1",
        "origin": "rule",
        "action": "redact",
        "rule": "op.demo",
        "lane": "/choices/0",
    }
    good |= {"message": message, "source": source}
    again = {**good, "id": "int_local_2"}
    rows = [good, {"id": "../x"}, {"id": None}, 5, {**good, "rule": None}, again]
    found = interventions({"interventions": rows})
    assert [(i.ids, i.rule) for i in found] == [
        (("int_local_1", "int_local_2"), "op.demo"),
        (("int_local_1",), None),
    ]
    assert (found[0].message, found[0].source) == (message, ("House rules", "", "https://x.example/1"))
    assert interventions(None) == interventions({}) == interventions({"interventions": 3}) == []


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"origin": "rule", "action": "redact", "lane": "/choices/0/message/content"}, "changed"),
        ({"origin": "rule", "action": "refuse", "lane": "/choices/0/message/content"}, "refused"),
        ({"origin": "rule", "action": "redact", "lane": "/messages/0/content"}, "changed_asked"),
        ({"origin": "rule", "action": "refuse", "lane": ""}, "refused_asked"),
        ({"origin": "vendor", "action": "refuse", "lane": "/choices/0"}, "vendor"),
        ({"origin": "change", "action": "stop", "lane": "/choices/0"}, "ended"),
        ({}, "changed"),
    ],
)
def test_each_intervention_has_its_sentence_in_both_languages(row: dict[str, str], what: str) -> None:
    (found,) = interventions({"interventions": [{"id": "int_local_1", **row}]})
    assert found.what == what
    for language in LANGUAGES:
        assert TEXTS[language][what]


@pytest.mark.parametrize("message", [None, "x", {"en": "only"}, {"en": 1, "zh": 2}])
@pytest.mark.parametrize(
    "source", [None, "x", {}, {"title": ""}, {"title": "T", "url": "javascript:alert(1)"}]
)
def test_what_is_malformed_is_not_shown_and_no_foreign_scheme_linked(message: object, source: object) -> None:
    (found,) = interventions({"interventions": [{"id": "int_local_1", "message": message, "source": source}]})
    assert found.message is None
    assert found.source in {None, ("T", "", None)}


def test_a_refusal_names_its_rules_with_their_sources() -> None:
    reason = {"title": {"en": "Filing", "zh": "备案"}, "rule_id": "xx.gate",
              "citation": {"source": "Measures", "article": "17", "url": "https://law.example/17"}}  # fmt: skip
    told = {"decision": "dec_local_1", "reasons": [reason, {"title": None}, 5]}
    found = refusal(told)
    assert found is not None
    assert found.rules == ((reason["title"], "xx.gate", ("Measures", "17", "https://law.example/17")),)
    assert (found.outcome, found.lifts, found.step_up) == ("DENY", (), ())
    both = {"en": "your age", "zh": "您的年龄"}
    more = {"outcome": "STEP_UP", "lifts": [both, {"en": "half"}, 5], "step_up": ["age_reliable", 5]}
    more_found = refusal({**told, **more})
    assert more_found is not None
    assert (more_found.outcome, more_found.lifts) == ("STEP_UP", (both,))
    assert more_found.step_up == ("age_reliable",)
    for none in (None, {}, {**told, "reasons": []}, {**told, "decision": "../x"}):
        assert refusal(none) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_outcome_and_each_signal_has_its_sentence(language: str) -> None:
    for outcome in (*OUTCOMES, NOT_CARRIED_OUT.upper()):
        if outcome not in {"ALLOW", "ALLOW_WITH"}:
            assert TEXTS[language][f"outcome_{outcome}"] == HAPPENED[outcome][language]
    for signal in STEP_UP_SIGNALS:
        assert TEXTS[language][f"lacks_{signal}"]
