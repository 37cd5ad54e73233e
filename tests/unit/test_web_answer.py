"""An answer's text as parts of a page: nothing is lost, only our own sources are linked."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.web.answer import blocks, interventions, label_and_rest


def note(url: str = "/sources/a/b#p1s2", title: str = "T") -> dict[str, Any]:
    return {
        "type": "url_citation",
        "url_citation": {"url": url, "title": title, "start_index": 0, "end_index": 3},
    }


def test_label_in_both_languages_and_no_marker_taken_for_one() -> None:
    assert label_and_rest("【AI 生成】你好") == ("AI 生成", "你好")
    assert label_and_rest("[AI-generated] Hello") == ("AI-generated", "Hello")
    assert label_and_rest("[1] Hello") == (None, "[1] Hello")
    assert label_and_rest("Hello") == (None, "Hello")


def test_the_nth_marker_takes_the_nth_citation() -> None:
    text = "One. [1]\nTwo. [1]\n\n> quoted\n> more\n\nSources:\n[1] T"
    found = blocks(text, [note("/sources/a/b#p1s1"), note("/sources/a/b#p1s2"), note("/sources/a/b#p1")])
    assert [b.kind for b in found] == ["paragraph", "quote", "paragraph"]
    assert [p.url for b in found for p in b.parts if p.url] == [
        "/sources/a/b#p1s1",
        "/sources/a/b#p1s2",
        "/sources/a/b#p1",
    ]
    assert found[1].parts[0].text == "quoted\nmore"


def test_no_marker_is_linked_when_a_rule_took_one_out() -> None:
    found = blocks("One. [1] Two.", [note(), note()])
    assert [p.url for b in found for p in b.parts] == [None]


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
    [block] = blocks("One. [1]", [note(url)])
    assert all(p.url is None for p in block.parts)


@given(st.text(alphabet="ab [1]>\n。【】", max_size=120), st.integers(0, 4))
def test_every_visible_character_is_kept(text: str, count: int) -> None:
    kept = "".join(p.text for b in blocks(text, [note()] * count) for p in b.parts)
    shown = "".join(line.removeprefix("> ") for line in text.split("\n"))
    assert "".join(kept.split()) == "".join(shown.split())


def test_interventions_are_read_and_malformed_ones_left_out() -> None:
    good = {"id": "int_local_1", "origin": "rule", "action": "redact", "rule": "op.demo"}
    again = {**good, "id": "int_local_2"}
    rows = [good, {"id": "../x"}, {"id": None}, 5, {**good, "rule": None}, again]
    found = interventions({"interventions": rows})
    assert [(i.urls, i.rule) for i in found] == [
        (("/v1/interventions/int_local_1", "/v1/interventions/int_local_2"), "op.demo"),
        (("/v1/interventions/int_local_1",), None),
    ]
    assert interventions(None) == interventions({}) == interventions({"interventions": 3}) == []
