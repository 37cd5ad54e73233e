"""Exported conversations: what somebody wrote stays inside its quotation, its label with it."""

from __future__ import annotations

import json
import time
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dragoman.assistants.export import Branch, _quoted, to_html, to_json, to_markdown
from dragoman.policy.duties import aigc

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "# A heading\n## You \u00b7 2026-01-01",
    "[x](javascript:alert(1)) [y](data:text/html,z) ![p](https://h.example/p.png)",
    "```\n<script>\n```\n<script>",
    "- ```\n<script>\n  ```\n<script>\n```",
    "1.\t```\n    <script>\n\t```\n<script>",
    "\t```\n<b>\n```\n\t```\n<b>",
    "~~~ <x>\n<script>",
    "a\r<script>\rb",
    "<!-- -->\n<?php ?>\n<![CDATA[x]]>",
    "<https://h.example/> <javascript:alert(1)>",
    "</article></body><form action=//h.example>",
    "\u202egnp.exe",
]
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "article", "h1", "h2", "p", "small", "code"),
    *("ul", "ol", "li", "div"),
}


def turn(asked: str, answered: str, **more: Any) -> dict[str, Any]:
    note = {"type": "url_citation", "url_citation": {"title": "Returns <b>", "url": "/sources/a/b#p1"}}
    message = {"role": "assistant", "content": f"[AI-generated] {answered}", "annotations": [note]}
    return {
        "created_at": 1_790_000_000,
        "state": "finished",
        "model": "dragoman",
        "messages": [{"role": "user", "content": asked}],
        "answer": {"choices": [{"index": 0, "message": message}]},
        "error": None,
        "dragoman": {"labels": [], "interventions": [{"id": "int_1", "url": "/v1/interventions/int_1"}]},
        **more,
    }


def branch(
    *turns: dict[str, Any], title: str | None = "Lamps", lang: str = "en", left_out: int = 0
) -> Branch:
    return Branch({"id": "cnv_x", "title": title}, turns, left_out, lang, 1_790_000_000_000)


LABELLED = {
    "labels": [
        {"kind": "label.visible", "rule_id": "cn.label.text", "text": "AI"},
        {
            "kind": "label.machine",
            "rule_id": "cn.label.machine",
            "machine": {"format": "aigc_cn", "fields": {**aigc('Lamps "& <b>"'), "ProduceID": "trn_1"}},
        },
    ],
    "interventions": [],
}
HTTP_ALONE = {
    "labels": [{"kind": "label.machine", "rule_id": "x", "machine": {"format": "http", "fields": {}}}],
    "interventions": [],
}
SEVEN = {
    "Label": "1",
    "ContentProducer": 'Lamps "& <b>"',
    "ProduceID": "cnv_x",
    "ReservedCode1": "",
    "ContentPropagator": "",
    "PropagateID": "",
    "ReservedCode2": "",
}


def test_a_file_with_a_labelled_answer_carries_the_seven_keys() -> None:
    """GB 45438-2025: one key `AIGC` whose value is JSON of exactly these keys, whatever the file."""
    labelled = branch(turn("a", "b", dragoman=HTTP_ALONE), turn("c", "d", dragoman=LABELLED))
    assert list(json.loads(to_json(labelled))["AIGC"].items()) == list(SEVEN.items())
    front, _, rest = to_markdown(labelled).removeprefix("---\n").partition("\n---\n")
    name, _, value = front.partition(": ")
    assert (name, json.loads(value)) == ("AIGC", SEVEN)
    assert rest.startswith("\n# Lamps\n")
    metas = [given for tag, given in Tags(to_html(labelled)).seen if tag == "meta"]
    (value,) = (given["content"] for given in metas if given.get("name") == "AIGC")
    assert value is not None
    assert json.loads(value) == SEVEN


@pytest.mark.parametrize("given", [HTTP_ALONE, {"labels": [], "interventions": []}])
def test_a_file_whose_answers_needed_none_carries_none(given: dict[str, Any]) -> None:
    plain = branch(turn("a", "b", dragoman=given))
    assert not any("AIGC" in made(plain) for made in (to_json, to_markdown, to_html))


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def html_tokens(markdown: str) -> list[str]:
    """HTML in a Markdown text, as a reader finds it that lets HTML through."""
    reader = MarkdownIt("commonmark")
    flat = [child for token in reader.parse(markdown) for child in [token, *(token.children or ())]]
    return [token.content for token in flat if token.type in {"html_block", "html_inline"}]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_page_holds_no_more_than_text(text: str) -> None:
    for tag, attributes in Tags(to_html(branch(turn(text, text), title=text))).seen:
        assert tag in ALLOWED, tag
        assert set(attributes) <= {
            "lang",
            "charset",
            "http-equiv",
            "content",
            "name",
            "class",
            "href",
            "start",
        }
        assert (attributes.get("href") or "https:").startswith(("http:", "https:"))


def test_the_page_test_sees_what_it_looks_for() -> None:
    assert ("script", {}) in Tags("<p><script>x</script>").seen, "the control"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_markdown_file_keeps_what_was_said_in_its_quotation(text: str) -> None:
    made = to_markdown(branch(turn(text, text), title=text))
    assert html_tokens(made) == []
    headings = [line for line in made.split("\n") if line.startswith("#")]
    assert len(headings) == 3, headings


def test_the_markdown_test_sees_what_it_looks_for() -> None:
    assert html_tokens("a <b>") == ["<b>"]
    assert html_tokens("> <script>x</script>") != []


PIECES = [
    "```",
    "~~~",
    "~~~~",
    "````",
    "<b>",
    "\n",
    "\n",
    " ",
    "  ",
    "\t",
    "- ",
    "1. ",
    "> ",
    "#",
    "a",
    "\\",
    "&",
    "`",
]


@settings(max_examples=1_000)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_html_passes_into_a_quotation(text: str) -> None:
    assert html_tokens(_quoted(text)) == [], text


def images(markdown: str) -> list[str]:
    """Addresses that a reader of a Markdown text would load."""
    flat = [child for token in MarkdownIt("commonmark").parse(markdown) for child in token.children or ()]
    return [str(token.attrs["src"]) for token in flat if token.type == "image"]


@pytest.mark.parametrize(
    "text",
    ["![p](https://h.example/?q=secret)", "![p][1]\n\n[1]: https://h.example/p", "\\\\![p](https://h.example)",
     "```\nx\n```\n![p](https://h.example)", "[![p](https://h.example)](https://h.example)"],
)  # fmt: skip
def test_who_opens_a_markdown_file_loads_nothing(text: str) -> None:
    assert images(text) != [], "the control"
    assert images(to_markdown(branch(turn(text, text), title=text))) == []


@pytest.mark.parametrize(
    ("url", "linked"),
    [
        ("https://h.example/a_b?x=1&y=*2#z~", "https://h.example/a_b?x=1&y=*2#z~"),
        ("https://h.example/ a>b`<script>", "https://h.example/%20a%3Eb%60%3Cscript%3E"),
        ("javascript:alert(document.domain)", None),
        ("data:text/html,<script>alert(1)</script>", None),
        ("https://h.example/\ud800", "https://h.example/?"),
    ],
)
def test_a_source_is_a_link_to_a_page_or_text(url: str, linked: str | None) -> None:
    note = {"type": "url_citation", "url_citation": {"title": "T", "url": url}}
    answer = {"choices": [{"index": 0, "message": {"content": "x", "annotations": [note]}}]}
    made = to_markdown(branch(turn("a", "b", answer=answer)))
    flat = [child for token in MarkdownIt().parse(made) for child in token.children or ()]
    found = [str(token.attrs["href"]) for token in flat if token.type == "link_open"]
    assert found == ([] if linked is None else [linked])
    assert f"<{linked}>" in made or linked is None
    assert html_tokens(made) == []


def test_many_lines_and_fences_take_no_longer_than_their_length() -> None:
    begun = time.process_time()
    for piece in ("\n", "```\n", "<\n", "![\n", "~~~x\n"):
        to_markdown(branch(turn("a", piece * ((1 << 20) // len(piece)))))
    assert time.process_time() - begun < 3.0


def test_code_stays_as_it_was_written() -> None:
    assert _quoted("Look:\n```html\n<p>x</p>\n```") == "> Look:\n> ```html\n> <p>x</p>\n> ```"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_each_form_has_label_sources_reasons_and_what_is_missing(lang: str) -> None:
    made = branch(turn("How long?", "Fourteen days [1]."), lang=lang, left_out=3)
    document = json.loads(to_json(made))
    assert (document["left_out"], document["turns"][0]["answer"]) == (3, made.turns[0]["answer"])
    for text in (to_markdown(made), to_html(made)):
        assert "AI-generated" in text
        assert "Fourteen days" in text
        assert "/sources/a/b" in text
        assert "int" in text.split("interventions")[-1]
        assert ("3 earlier turns" if lang == "en" else "较早的 3 轮") in text


def test_a_long_hostile_text_takes_no_longer_than_a_plain_one() -> None:
    begun = time.process_time()
    for text in ("[" * 200_000, "*a_" * 70_000, "![" * 100_000, "```\n" * 50_000, "|a" * 100_000):
        to_html(branch(turn(text, text)))
        to_markdown(branch(turn(text, text)))
    assert time.process_time() - begun < 5.0


def test_an_answer_that_did_not_come_to_its_end_says_so() -> None:
    error = {"message": {"en": "It was interrupted.", "zh": "已中断。"}}
    cut = turn("a", "b", state="interrupted", answer=None, error=error)
    running = turn("a", "b", state="running", answer=None)
    assert "It was interrupted." in to_markdown(branch(cut))
    assert "已中断。" in to_html(branch(cut, lang="zh"))
    assert "still being written" in to_markdown(branch(running))


def test_half_a_surrogate_pair_stops_no_file() -> None:
    for made in (to_json, to_markdown, to_html):
        assert made(branch(turn("\ud800", "x"))).encode("utf-8", "replace")
