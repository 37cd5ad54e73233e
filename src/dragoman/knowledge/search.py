"""The search index: tantivy over our analyser's terms. Derived data, one writer, rebuildable from the shelf.

Tenant, reader, jurisdiction and source are filtered inside the query, so nothing else is ever ranked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import tantivy

from dragoman._native import analyse
from dragoman.knowledge.model import (
    ANYWHERE,
    PUBLIC,
    Asker,
    Document,
    Passage,
    Source,
    Trust,
    passage_from_dict,
)

WRITER_HEAP_BYTES = 64 * 1024 * 1024
MAX_QUESTION_TERMS = 256
"""Distinct terms of a question that are searched; the rest is ignored."""

HEADING_WEIGHT = 2
"""How often a passage's title and headings count beside its text."""
LANGUAGE_BONUS = 1.0
"""BM25 points for a document in the question's language: less than one rare word."""

MAX_PAGE_PASSAGES = 2_000
"""Passages of one document that its page shows."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found, its BM25 score, and where it is from."""

    score: float
    tenant: str
    source: str
    source_title: str
    owner: str
    licence: str
    trust: Trust
    document: str
    title: str
    language: str
    passage: Passage

    @property
    def url(self) -> str:
        """The passage on its document's page."""
        return f"/sources/{self.source}/{self.document}#p{self.passage.number}"


def document_key(source: Source, document_id: str) -> str:
    """Name a document in the whole index."""
    return f"{source.tenant}/{source.id}/{document_id}"


def terms_of(text: str) -> list[str]:
    """Give the analyser's terms without their places."""
    return [term for term, _, _ in analyse(text)]


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
    for name in ("key", "source", "document", "language", "reader", "jurisdiction"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_bytes_field("body", stored=True)
    return builder.build()


class Index:
    """One folder of tantivy segments; readers see the last commit after `reload`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._schema = _schema()
        self._index = tantivy.Index(self._schema, path=str(folder), reuse=True)
        self._index.config_reader(reload_policy="manual")
        self.reload()

    def reload(self) -> None:
        """See the last commit."""
        self._index.reload()
        self._searcher = self._index.searcher()

    @property
    def passages(self) -> int:
        """How many passages are indexed."""
        return int(self._searcher.num_docs)

    def idf(self, term: str) -> float:
        """BM25's inverse document frequency over all passages; the highest for an unknown term."""
        found = self._searcher.doc_freq("terms", term)
        return math.log(1 + (self.passages - found + 0.5) / (found + 0.5))

    def search(self, terms: Sequence[str], asker: Asker, limit: int, language: str = "") -> list[Hit]:
        """The best `limit` passages that `asker` may read, best first; `language` breaks near ties."""
        wanted = list(dict.fromkeys(terms))[:MAX_QUESTION_TERMS]
        if not wanted or limit < 1:
            return []
        should = [(tantivy.Occur.Should, self._term("terms", term, "freq")) for term in wanted]
        same = tantivy.Query.const_score_query(self._term("language", language), LANGUAGE_BONUS)
        query = tantivy.Query.boolean_query(
            [
                (tantivy.Occur.Must, tantivy.Query.boolean_query(should)),
                (tantivy.Occur.Should, same),
                *self._filters(asker),
            ]
        )
        return self._found(query, limit)

    def document(self, source_id: str, document_id: str, asker: Asker) -> list[Hit]:
        """All passages of a document that `asker` may read, in order; the own tenant's before another's."""
        clauses = [
            (tantivy.Occur.Must, self._any(f, [v]))
            for f, v in (("source", source_id), ("document", document_id))
        ]
        query = tantivy.Query.boolean_query([*clauses, *self._filters(asker)])
        hits = self._found(query, MAX_PAGE_PASSAGES)
        tenants = {hit.tenant for hit in hits}
        owner = asker.tenant if asker.tenant in tenants else min(tenants, default="")
        return sorted((hit for hit in hits if hit.tenant == owner), key=lambda hit: hit.passage.number)

    def _found(self, query: tantivy.Query, limit: int) -> list[Hit]:
        searcher = self._searcher
        found = searcher.search(query, limit, count=False).hits
        return [_hit(float(score), json.loads(searcher.doc(at)["body"][0])) for score, at in found]

    def writer(self) -> IndexWriter:
        """Open the one writer; ValueError while another holds it."""
        return IndexWriter(self._index, self._schema)

    def _term(self, field: str, value: str, option: str = "basic") -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, field, value, option)

    def _filters(self, asker: Asker) -> list[tuple[tantivy.Occur, tantivy.Query]]:
        """Clauses that must match and add nothing to the score."""
        wanted = [
            ("reader", [PUBLIC, asker.tenant]),
            ("jurisdiction", [ANYWHERE] + ([asker.country] if asker.country else [])),
        ]
        if asker.sources:
            wanted.append(("source", list(asker.sources)))
        return [(tantivy.Occur.Must, self._any(field, values)) for field, values in wanted]

    def _any(self, field: str, values: list[str]) -> tantivy.Query:
        terms = [(tantivy.Occur.Should, self._term(field, value)) for value in values]
        return tantivy.Query.const_score_query(tantivy.Query.boolean_query(terms), 0.0)


class IndexWriter:
    """Collects changes that become visible together at `commit`, or not at all."""

    def __init__(self, index: tantivy.Index, schema: tantivy.Schema) -> None:
        self._schema = schema
        self._writer = index.writer(WRITER_HEAP_BYTES, num_threads=1)

    def clear(self) -> None:
        """Remove all passages."""
        self._writer.delete_all_documents()

    def remove(self, keys: Iterable[str]) -> None:
        """Remove the documents with these keys."""
        for key in keys:
            self._writer.delete_documents_by_term("key", key)

    def add(self, source: Source, document: Document) -> None:
        """Add a document's passages."""
        readers = list(dict.fromkeys([source.tenant, *source.readers]))
        for passage in document.passages:
            entry = tantivy.Document()
            context = " \n".join((document.title, *passage.heading) * HEADING_WEIGHT + (passage.text,))
            entry.add_text("terms", " ".join(terms_of(context)))
            entry.add_text("key", document_key(source, document.id))
            entry.add_text("source", source.id)
            entry.add_text("document", document.id)
            entry.add_text("language", document.language)
            for reader in readers:
                entry.add_text("reader", reader)
            for jurisdiction in source.jurisdictions:
                entry.add_text("jurisdiction", jurisdiction)
            entry.add_bytes("body", json.dumps(_body(source, document, passage), ensure_ascii=False).encode())
            self._writer.add_document(entry)

    def commit(self) -> None:
        """Make the changes durable and visible."""
        self._writer.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._writer.rollback()
        self._writer.wait_merging_threads()  # ends the writer, so that the next may open


def _body(source: Source, document: Document, passage: Passage) -> dict[str, Any]:
    return {
        "tenant": source.tenant,
        "source": source.id,
        "source_title": source.title,
        "owner": source.owner,
        "licence": source.licence,
        "trust": source.trust,
        "document": document.id,
        "title": document.title,
        "language": document.language,
        "passage": {
            "number": passage.number,
            "text": passage.text,
            "heading": passage.heading,
            "start": passage.start,
            "sentences": passage.sentences,
        },
    }


def _hit(score: float, body: dict[str, Any]) -> Hit:
    return Hit(score=score, **{**body, "passage": passage_from_dict(body["passage"])})
