"""Answers without a model: the best passage, its two best sentences, citations, or a plain "found nothing".

It quotes and never writes: every sentence of an answer stands word for word in a source it names.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from dragoman._native import analyse
from dragoman.knowledge.intent import asks_for_writing, content_terms, is_greeting, search_terms
from dragoman.knowledge.language import language_of, spoken
from dragoman.knowledge.model import Asker
from dragoman.knowledge.phrases import PHRASES
from dragoman.knowledge.search import Hit, terms_of
from dragoman.knowledge.shelf import Shelf

CANDIDATES = 5
"""Passages fetched for one question."""

MIN_COVERAGE = 0.28
"""Share of the question's information (idf of its content terms) that a passage must hold to be an answer.
On tests/golden/ask.toml what is out of scope reaches 0.22 and what is in scope has at least 0.33."""

SECOND_SOURCE = 0.6
"""A second passage is cited when its score is at least this share of the first's."""

MAX_QUESTION = 2_000
"""Code points of a question that are read: its end, where the question of a long message usually stands."""

FEW_TERMS = 1
CARRIED_TERMS = 2
NEIGHBOUR_SHARE = 0.25
K1, B = 1.2, 0.75

Outcome = Literal["answered", "nothing_found", "cannot_write", "greeting", "no_question"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A marker `[n]` in the answer's text: code points start..end, the sentence's page, the source."""

    number: int
    start: int
    end: int
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say: plain text with `[n]` markers, and where each marker points."""

    outcome: Outcome
    language: str
    text: str
    citations: tuple[Citation, ...] = ()
    hits: tuple[Hit, ...] = ()


def answer(
    shelf: Shelf, question: str, asker: Asker, locale: str | None = None, previous: str | None = None
) -> Answer:
    """The answer to `question` from what `asker` may read.

    `locale` (`en`, `zh`) decides only when the question has no letters; `previous` helps a short follow-up.
    """
    question = question.strip()[-MAX_QUESTION:]
    language = spoken(language_of(question)) if any(c.isalpha() for c in question) else (locale or "en")
    words = PHRASES[language]
    if not terms_of(question):
        return Answer("no_question", language, words["no_question"])
    if asks_for_writing(question):
        return Answer("cannot_write", language, words["cannot_write"])
    if is_greeting(question) or not (search_terms(question) or previous):
        return Answer("greeting", language, words["greeting"])
    hits = _ranked(shelf, question, asker)
    if not hits and previous and len(content_terms(question)) <= FEW_TERMS:
        question = _with_context(shelf, question, previous)
        hits = _ranked(shelf, question, asker)
    if not hits:
        return Answer("nothing_found", language, words["nothing_found"])
    return _composed(shelf, question, language, hits)


def _with_context(shelf: Shelf, question: str, previous: str) -> str:
    """The question with the weightiest content terms of the one before."""
    carried = sorted(content_terms(previous[-MAX_QUESTION:]), key=shelf.index.idf, reverse=True)[
        :CARRIED_TERMS
    ]
    return " ".join((question, *carried))


def _ranked(shelf: Shelf, question: str, asker: Asker) -> list[Hit]:
    """The passages worth showing, best first; none when the best covers too little of the question."""
    hits = shelf.search(search_terms(question), asker, CANDIDATES, language_of(question))
    if not hits or coverage(shelf, question, hits[0]) < MIN_COVERAGE:
        return []
    return [hit for hit in hits if hit.score >= hits[0].score * SECOND_SOURCE]


def coverage(shelf: Shelf, question: str, hit: Hit) -> float:
    """The share (by idf) of the question's content terms that stand in the passage, its title or headings."""
    weights = {term: shelf.index.idf(term) for term in content_terms(question)}
    total = sum(weights.values())
    if not total:
        return 0.0
    held = set(terms_of("\n".join((hit.title, *hit.passage.heading, hit.passage.text))))
    return sum(weight for term, weight in weights.items() if term in held) / total


def best_sentences(shelf: Shelf, question: str, hit: Hit, count: int = 2) -> list[int]:
    """Indices of the best sentences in reading order: BM25 plus a share of the neighbours'."""
    terms = [Counter(terms_of(hit.passage.sentence(i))) for i in range(len(hit.passage.sentences))]
    mean = sum(t.total() for t in terms) / max(1, len(terms))
    weights = {term: shelf.index.idf(term) for term in set(terms_of(question))}
    own = [_bm25(weights, sentence, mean) for sentence in terms]
    shared = [
        score + NEIGHBOUR_SHARE * (sum(own[max(0, i - 1) : i]) + sum(own[i + 1 : i + 2]))
        for i, score in enumerate(own)
    ]
    best = sorted(range(len(shared)), key=lambda i: (-shared[i], i))[:count]
    return sorted(best)


def _bm25(weights: dict[str, float], sentence: Counter[str], mean: float) -> float:
    norm = K1 * (1 - B + B * sentence.total() / mean) if mean else 1.0
    return sum(
        weight * count * (K1 + 1) / (count + norm)
        for term, weight in weights.items()
        if (count := sentence[term])
    )


class _Text:
    """The answer as it grows, with the markers' places."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.citations: list[Citation] = []

    def add(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    def mark(self, number: int, hit: Hit, sentence: int | None = None) -> None:
        marker = f"[{number}]"
        url = hit.url if sentence is None else f"{hit.url}s{sentence + 1}"
        self.citations.append(Citation(number, self.length, self.length + len(marker), _titled(hit), url))
        self.add(marker)


def _composed(shelf: Shelf, question: str, language: str, hits: list[Hit]) -> Answer:
    """Two sentences, the passage they stand in, a sentence of the next source, and the list of sources."""
    words = PHRASES[language]
    text = _Text()
    first, *others = hits
    quoted = best_sentences(shelf, question, first)
    for i in quoted:
        text.add(_flat(first.passage.sentence(i)) + " ")
        text.mark(1, first, i)
        text.add("\n")
    cited = [first]
    second = next((hit for hit in others if hit.passage.text != first.passage.text), None)
    if second is not None:
        cited.append(second)
        [i] = best_sentences(shelf, question, second, 1)
        text.add("\n" + words["see_also"] + _flat(second.passage.sentence(i)) + " ")
        text.mark(2, second, i)
        text.add("\n")
    if len(first.passage.sentences) > len(quoted):
        text.add("\n" + words["passage"].format(title=_titled(first)) + "\n")
        text.add("\n".join("> " + line for line in first.passage.text.split("\n")) + "\n")
    text.add("\n" + words["sources"] + "\n")
    for number, hit in enumerate(cited, 1):
        text.mark(number, hit)
        text.add(f" {_titled(hit)} — {hit.owner}, {words[hit.trust]}\n")
    return Answer("answered", language, "".join(text.parts).rstrip("\n"), tuple(text.citations), tuple(cited))


def _titled(hit: Hit) -> str:
    inner = [h for h in hit.passage.heading if h != hit.title]
    return " › ".join((hit.title, *inner))


def _flat(sentence: str) -> str:
    return " ".join(sentence.split())


def count_tokens(text: str) -> int:
    """Words, numbers and single characters of `text`."""
    return len(_tokens(text))


def cut_to_tokens(text: str, tokens: int) -> str:
    """The start of `text` that holds `tokens` of them."""
    places = _tokens(text)
    return text if len(places) <= tokens else text[: places[tokens - 1][1]]


def _tokens(text: str) -> list[tuple[int, int]]:
    """Places of the tokens: the analyser's terms without the pairs, which begin where a single one does."""
    places: list[tuple[int, int]] = []
    for _, start, end in analyse(text):
        if not places or start >= places[-1][1]:
            places.append((start, end))
    return places
