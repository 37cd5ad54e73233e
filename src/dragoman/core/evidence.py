"""Evidence that people hand in, who looks at it, and the port through which it is kept. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dragoman.core.people import PeopleRows, Verified

T = TypeVar("T")

WAITING, ACCEPTED, REJECTED = "waiting", "accepted", "rejected"
"""The states of evidence."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that was handed in: the name it is shown by, its media type, what it holds."""

    name: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """Evidence as it is kept, without its file. Times are ms UTC.

    `kind`: what it is of; `lang`: the language of whoever handed it in. `salt`: base64url, of the commitment
    in the ledger. `by`: who decided, an administrator's or a verifier's name; `reason`: why it was rejected,
    as its person reads it; `shows`: what was verified by it.
    """

    evidence: str
    person: str
    kind: str
    lang: str
    at: int
    state: str
    text: str
    file_name: str | None
    file_type: str | None
    file_size: int
    file_sha256: str | None
    salt: str
    decided_at: int | None = None
    by: str | None = None
    reason: str | None = None
    shows: tuple[Verified, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What somebody found in evidence: what it verifies; where that is nothing, why it is rejected."""

    verified: tuple[Verified, ...]
    reason: str | None = None


class Verifier(Protocol):
    """What looks at evidence once it is kept, before a person does."""

    @property
    def name(self) -> str:
        """Who decided, as the ledger names it."""

    async def look(self, record: EvidenceRecord, file: File | None) -> Verdict | None:
        """What the evidence comes to; None: a person has to look at it."""


class EvidenceRows(PeopleRows, Protocol):
    """A tenant's evidence with its people, inside one transaction."""

    def evidence(self, name: str) -> EvidenceRecord | None:
        """Evidence by its id."""

    def evidence_of(self, person: str, most: int) -> Sequence[EvidenceRecord]:
        """A person's evidence, newest first."""

    def kept_bytes(self) -> int:
        """Bytes of all files in the zone."""

    def add_evidence(self, record: EvidenceRecord, file: File | None) -> None:
        """Keep new evidence with its file."""

    def put_decided(self, record: EvidenceRecord) -> None:
        """Keep what was decided on evidence."""

    def file(self, record: EvidenceRecord) -> File | None:
        """The file of evidence."""


class EvidenceStore(Protocol):
    """Where evidence is kept."""

    def submit(self, tenant: str, work: Callable[[EvidenceRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""

    def read(self, tenant: str, work: Callable[[EvidenceRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
