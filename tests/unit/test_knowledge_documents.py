"""Documents to passages: places hold, headings stay, formats read, what cannot be read says why."""

import contextlib
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.knowledge.documents import MAX_DOCUMENT_BYTES, parse
from dragoman.knowledge.faults import FaultError
from dragoman.knowledge.model import Document, KnowledgeError
from dragoman.knowledge.passages import MAX_PASSAGE, Block, cut, sentences


def spoken(text: str) -> list[str]:
    return [text[a:b] for a, b in sentences(text)]


def test_chinese_and_english_sentences() -> None:
    assert spoken("可以退货。真的吗？“当然！”好") == ["可以退货。", "真的吗？", "“当然！”", "好"]
    assert spoken("It costs 3.50 today. Ask Dr. Li, e.g. by mail. Fine!") == [
        "It costs 3.50 today.",
        "Ask Dr. Li, e.g. by mail.",
        "Fine!",
    ]


@given(st.text(alphabet="ab。. ！\n，退", max_size=200))
def test_sentences_lose_no_visible_character_and_do_not_overlap(text: str) -> None:
    spans = sentences(text)
    assert all(a < b for a, b in spans)
    assert all(x[1] <= y[0] for x, y in pairwise(spans))
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())


@given(st.lists(st.text(alphabet="ab。, ，退货\n", max_size=1500), max_size=6))
def test_passages_hold_all_text_within_the_limit(texts: list[str]) -> None:
    passages = cut(Block(t, (str(i // 2),)) for i, t in enumerate(texts))
    assert all(len(p.text) <= MAX_PASSAGE + 1 for p in passages)
    assert [p.number for p in passages] == list(range(1, len(passages) + 1))
    together = "".join("".join(p.text.split()) for p in passages)
    assert together == "".join("".join(t.split()) for t in texts)


def test_a_sentence_without_an_end_is_cut_at_a_comma() -> None:
    text = ("很长的一句话" * 40 + "，") * 4
    pieces = cut([Block(text)])
    assert len(pieces) >= 2
    assert all(p.text.endswith("，") for p in pieces)


def test_markdown_keeps_headings_and_tables_and_drops_markup() -> None:
    text = "---\ntitle: Fees\nlang: en\n---\n# Fees\n\nAll in *euro*.\n\n## Post\n\n| to | cost |\n|--|--|\n| home | 3 |\n\n- [free](https://x.example) over 50\n"
    document = parse("fees.md", text.encode(), "fees")
    assert (document.title, document.language) == ("Fees", "en")
    assert [(p.heading, p.text) for p in document.passages] == [
        (("Fees",), "All in euro."),
        (("Fees", "Post"), "to | cost\nhome | 3\nfree over 50"),
    ]


def test_a_line_break_in_chinese_source_is_no_space() -> None:
    assert parse("a.md", "第一行\n第二行 and\nmore".encode(), "a").passages[0].text == "第一行第二行 and more"


def test_html_leaves_out_scripts_and_navigation() -> None:
    text = "<html><head><title>x</title></head><body><nav>menu</nav><h1>Hours</h1><p>Open <b>daily</b><script>alert('<p>no')</script> 9&ndash;18</p><h2>Feast days</h2><p>Closed</body>"
    document = parse("hours.html", text.encode(), "hours")
    assert [(p.heading, p.text) for p in document.passages] == [
        (("Hours",), "Open daily 9–18"),
        (("Hours", "Feast days"), "Closed"),
    ]


def test_faq_table_takes_the_question_as_heading() -> None:
    document = parse("faq.csv", "问题,答案\n几点开门？,九点。\n,\n".encode("gb18030"), "faq")
    assert [(p.heading, p.text) for p in document.passages] == [(("几点开门？",), "九点。")]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.pdf", b"%PDF", "cannot read .pdf"),
        ("a.txt", b"\xff\x00\xfe", "not text"),
        ("a.md", b"---\ntitle: x\n---\n", "no text"),
        ("a.csv", b"x,y\n1,2\n", "must name the columns"),
        ("a.csv", b'question,answer\n"x', "well-formed"),
        ("a.txt", b"a" * (MAX_DOCUMENT_BYTES + 1), "larger than 20 MiB"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, data: bytes, why: str) -> None:
    with pytest.raises(KnowledgeError, match=why):
        parse(name, data, "a")


def test_a_document_survives_storage() -> None:
    document = parse("a.md", "# T\n一句。两句。".encode(), "a")
    assert Document.from_dict(document.as_dict()) == document


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("Öffnungszeiten täglich, für Gäste geöffnet".encode("cp1252"), "encoding"),
        ("café".encode("latin-1"), "encoding"),
        ("hello".encode("utf-16"), "utf16"),
        ("hello".encode("utf-16-be"), "encoding"),
        (b"\x00\x01", "encoding"),
    ],
)
def test_text_in_another_encoding_is_refused_rather_than_read_as_something_else(
    data: bytes, code: str
) -> None:
    with pytest.raises(FaultError) as caught:
        parse("a.txt", data, "a")
    assert caught.value.fault.code == code


@pytest.mark.parametrize("text", ["可以退货。", "櫻花茶館營業時間：上午九點。", "镕喆堃", "价格 €5 𠮷"])
def test_chinese_in_gb_18030_is_read(text: str) -> None:
    assert parse("a.txt", text.encode("gb18030"), "a").passages[0].text == text


@pytest.mark.parametrize(
    "unit", ["<div>", "<svg>", "<ul><li>", "<b>", "<table><tr><td>", "<!--", "<h1>", "</x>"]
)
def test_deep_html_is_read_or_refused_in_linear_time(unit: str) -> None:
    began = time.thread_time()
    with contextlib.suppress(FaultError):
        parse("deep.html", (unit * 50_000 + "words</p>").encode(), "deep")
    assert time.thread_time() - began < 5
