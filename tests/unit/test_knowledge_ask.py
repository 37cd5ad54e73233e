"""Questions to the shipped samples, and what a question wants."""

import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dragoman.knowledge.answer import best_sentences
from dragoman.knowledge.documents import parse
from dragoman.knowledge.engine import SAMPLES, Knowledge
from dragoman.knowledge.intent import asks_for_writing, content_terms
from dragoman.knowledge.language import language_of
from dragoman.knowledge.model import Asker, Source

ASKED = tomllib.loads(Path(__file__, "../../golden/ask.toml").resolve().read_text(encoding="utf-8"))["ask"]
ASKER = Asker("ten_local_a")


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory: pytest.TempPathFactory) -> Knowledge:
    return Knowledge(tmp_path_factory.mktemp("knowledge"))


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked["q"])
def test_the_samples_answer_and_decline(knowledge: Knowledge, asked: dict[str, Any]) -> None:
    given = knowledge.answer(asked["q"], ASKER)
    assert given.outcome == asked.get("outcome", "answered")
    if given.outcome != "answered":
        assert given.citations == ()
        assert (
            given.language == ("zh" if language_of(asked["q"]) == "zh" else "en")
            or given.outcome == "no_question"
        )
        return
    first = given.hits[0]
    assert f"{first.source}/{first.document}" == asked["from"]
    assert len(given.hits) <= 2


def test_every_sentence_said_stands_in_its_source(knowledge: Knowledge) -> None:
    for asked in ASKED:
        given = knowledge.answer(asked["q"], ASKER)
        for note in given.citations:
            assert given.text[note.start : note.end] == f"[{note.number}]"
            place = re.fullmatch(r"/sources/([a-z-]+)/([a-z-]+)#p(\d+)(?:s(\d+))?", note.url)
            assert place, note.url
            source, document, passage, sentence = place.groups()
            page = knowledge.document(source, document, ASKER)
            shown = page[int(passage) - 1].passage
            if sentence:
                said = given.text[: note.start].rsplit("\n", 1)[-1].strip()
                assert said.endswith(shown.sentence(int(sentence) - 1).strip())


HOW_TO_CONNECT = ("How do I connect a model?", "怎么接入模型？", "Write a poem", "写一首诗")
SENT_BACK = {
    "How do I send an item back?": ("Open your order", "drop the parcel"),
    "怎么退货？": ("打开订单", "代收点"),
}


@pytest.mark.parametrize("question", HOW_TO_CONNECT)
def test_who_is_told_how_to_connect_a_model_is_told_to_name_the_providers(
    knowledge: Knowledge, question: str
) -> None:
    said = knowledge.answer(question, ASKER).text
    assert "dragoman models add NAME --url URL --model MODEL --key-env VARIABLE" in said


@pytest.mark.parametrize("question", SENT_BACK)
def test_steps_are_said_from_the_first_one_on(knowledge: Knowledge, question: str) -> None:
    first = knowledge.answer(question, ASKER).text.partition("[1]")[0]
    assert all(words in first for words in SENT_BACK[question]), first


def test_there_are_about_forty_samples_in_both_languages(knowledge: Knowledge) -> None:
    documents = [d for s in SAMPLES for d in knowledge.shelf.documents(s)]
    assert len(documents) == 40
    assert {d.language for d in documents} == {"en", "zh"}
    assert sum(d.language == "zh" for d in documents) == 20
    assert {s.licence for s in SAMPLES} == {"Apache-2.0", "CC0-1.0"}


def test_samples_are_taken_off_when_they_are_not_wanted(tmp_path: Path) -> None:
    Knowledge(tmp_path)
    bare = Knowledge(tmp_path, samples=False)
    assert bare.shelf.sources() == []
    assert bare.answer("怎么退货", ASKER).outcome == "nothing_found"


def test_a_second_start_does_no_work(tmp_path: Path) -> None:
    Knowledge(tmp_path)
    stamp = (tmp_path / "indexed").stat()
    begun = time.process_time()
    Knowledge(tmp_path)
    assert time.process_time() - begun < 0.3
    assert (tmp_path / "indexed").stat().st_mtime_ns == stamp.st_mtime_ns


def test_a_short_follow_up_takes_the_topic_along(knowledge: Knowledge) -> None:
    alone = knowledge.answer("为什么？", ASKER)
    after = knowledge.answer("为什么？", ASKER, previous="优惠券怎么使用")
    assert alone.outcome == "greeting"
    assert after.hits[0].document == "coupons-zh"


def test_a_second_source_is_cited(knowledge: Knowledge, tmp_path: Path) -> None:
    mine = Knowledge(tmp_path, samples=False)
    source = Source("mine", ASKER.tenant, "Mine", "Me", "CC0-1.0")
    texts = {
        "a": "Zebra opening hours are nine to five.",
        "b": "The zebra opening is nine in summer. Bring water.",
    }
    mine.shelf.put(source, [parse("x.txt", text.encode(), name) for name, text in texts.items()])
    given = mine.answer("zebra opening hours", ASKER)
    assert [c.number for c in given.citations] == [1, 2, 1, 2]
    assert [h.document for h in given.hits] == ["a", "b"]
    assert best_sentences(mine.shelf, "bring water", given.hits[1], 1) == [1]


@pytest.mark.parametrize(
    "question",
    [
        "怎么写退货申请",
        "在哪里写发票抬头",
        "规则文件怎么写",
        "我写邮件给客服多久能回复",
        "How do I write a rule file?",
        "Where can I write a message to customer service?",
        "Do you translate your pages?",
        "操作步骤的截图在哪里",
    ],
)
def test_how_and_where_to_write_is_a_question(question: str) -> None:
    assert not asks_for_writing(question)


def test_intent_takes_linear_time_on_hostile_text() -> None:
    begun = time.process_time()
    for text in (
        "用" * 20_000,
        "请你" * 10_000 + "?",
        "please " * 5_000 + "x",
        "翻" * 20_000,
        "write " * 5_000,
    ):
        asks_for_writing(text)
        content_terms(text)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("怎么退货", "zh"),
        ("用 API 怎么退货呢", "zh"),
        ("What is 微信?", "en"),
        ("返品はできますか", "ja"),
        ("반품 되나요", "ko"),
        ("123", "en"),
    ],
)
def test_language_of_a_text(text: str, language: str) -> None:
    assert language_of(text) == language
