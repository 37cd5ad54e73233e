"""The frozen values of the knowledge: a source, a document, its passages, who is asking.

They are what ingestion writes, the index holds and answers cite. They hold no file handles and read nothing.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from dragoman.errors import DragomanError

Trust = Literal["official", "operator", "community"]
TRUST_TIERS: tuple[Trust, ...] = ("official", "operator", "community")

SHARED_TENANT = "shared"
"""The tenant of what ships with Dragoman; every tenant's people may read its public sources."""

ANYWHERE = "*"
PUBLIC = "public"

SOURCE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
JURISDICTION = re.compile(r"\*|[A-Z]{2}(-[A-Z0-9]{1,3})?")


class KnowledgeError(DragomanError):
    """What the knowledge refuses, in words for the person who asked for it."""

    code = "knowledge_refused"


@dataclass(frozen=True, slots=True)
class Source:
    """Documents of one owner under one licence, the jurisdictions and the tenants that may use them."""

    id: str
    tenant: str
    title: str
    owner: str
    licence: str
    jurisdictions: tuple[str, ...] = (ANYWHERE,)
    trust: Trust = "operator"
    readers: tuple[str, ...] = ()
    """`public`, or tenant ids beside the owner; empty: only the owning tenant."""

    def __post_init__(self) -> None:
        if not SOURCE_ID.fullmatch(self.id):
            raise KnowledgeError(f"source id {self.id!r}: use 1 to 63 of a-z, 0-9 and '-'")
        if not _TENANT.fullmatch(self.tenant):
            raise KnowledgeError(f"tenant {self.tenant!r} is not an id")
        if self.trust not in TRUST_TIERS:
            raise KnowledgeError(f"trust {self.trust!r}: use one of {', '.join(TRUST_TIERS)}")
        if not self.jurisdictions or not all(JURISDICTION.fullmatch(j) for j in self.jurisdictions):
            raise KnowledgeError(f"jurisdictions {self.jurisdictions!r}: use ISO 3166 codes, or '*' alone")
        if not all(reader == PUBLIC or _TENANT.fullmatch(reader) for reader in self.readers):
            raise KnowledgeError(f"readers {self.readers!r}: use 'public' or tenant ids")

    def as_dict(self) -> dict[str, Any]:
        """Give the form in which it is stored."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Source:
        """Read the stored form."""
        lists = {name: tuple(row[name]) for name in ("jurisdictions", "readers")}
        return cls(**{**row, **lists})


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, cut at paragraph and heading edges.

    `start`: the code point of the document's plain text where it begins; `sentences`: (start, end) in `text`.
    """

    number: int
    text: str
    heading: tuple[str, ...]
    start: int
    sentences: tuple[tuple[int, int], ...]

    def sentence(self, index: int) -> str:
        """Give one sentence of the text."""
        start, end = self.sentences[index]
        return self.text[start:end].strip()


@dataclass(frozen=True, slots=True)
class Document:
    """One document as passages; `id` is unique in its source, `digest` is SHA-256 of the file's bytes."""

    id: str
    title: str
    language: str
    digest: str
    passages: tuple[Passage, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give the form in which it is stored."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Document:
        """Read the stored form."""
        return cls(**{**row, "passages": tuple(passage_from_dict(p) for p in row["passages"])})


def passage_from_dict(row: dict[str, Any]) -> Passage:
    """Read the stored form."""
    return Passage(
        number=row["number"],
        text=row["text"],
        heading=tuple(row["heading"]),
        start=row["start"],
        sentences=tuple((start, end) for start, end in row["sentences"]),
    )


@dataclass(frozen=True, slots=True)
class Asker:
    """Who searches: only their tenant's and public sources, allowed where they are, are looked at.

    `country` None (unknown place) finds only what may be used anywhere. `sources` narrows to these ids.
    """

    tenant: str
    country: str | None = None
    sources: tuple[str, ...] = field(default=())

    def elsewhere(self, country: str | None, source: str | None) -> Asker:
        """The same asker at another place, answered from one source alone where one is named."""
        return replace(self, country=country, sources=(source,) if source else ())
