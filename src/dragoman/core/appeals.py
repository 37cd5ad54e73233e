"""The port through which appeals are kept and read. No I/O here; see `core.conversations`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dragoman.core.conversations import ConversationRows

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AppealRecord:
    """An appeal as it is kept. Times are ms UTC.

    `about`: the id of an intervention, of a decision, or of a turn; `turn`: the turn it concerns,
    where that is known. `salt`: base64url, of the text's commitment in the ledger. `acknowledged`: JSON, what
    was said when it was received, in both languages; `answer_by`: by when an answer was promised, if it was.
    """

    appeal: str
    principal: str
    key: str | None
    about: str
    turn: str | None
    at: int
    lang: str
    state: str
    text: str
    contact: str | None
    salt: str
    acknowledged: str
    answer_by: int | None


class AppealRows(ConversationRows, Protocol):
    """A tenant's appeals, and what they may be about, inside one transaction."""

    def turn_of_intervention(self, intervention: str, principal: str) -> str | None:
        """The turn of an intervention that concerned this person."""

    def has_decision(self, decision: str) -> bool:
        """Whether a decision of this id is kept for the tenant: it names no person."""

    def appeal(self, name: str) -> AppealRecord | None:
        """An appeal of the tenant, whoever's it is."""

    def appeal_about(self, principal: str, about: str) -> AppealRecord | None:
        """A person's appeal about something."""

    def appeals(self, principal: str, before: str | None, most: int) -> Sequence[AppealRecord]:
        """A person's appeals, newest first; those older than the id `before`."""

    def count_appeals(self, principal: str | None, since: int, most: int) -> int:
        """How many appeals a person, or all without a key (None), have sent since (ms UTC), up to `most`."""

    def add_appeal(self, record: AppealRecord) -> None:
        """Keep a new appeal."""


class AppealStore(Protocol):
    """Where appeals are kept. A future resolves when its transaction is durable."""

    def submit(self, tenant: str, work: Callable[[AppealRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""

    def read(self, tenant: str, work: Callable[[AppealRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
