"""The port through which conversations are listed, read, deleted, exported. No I/O here; see `core.turns`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from dragoman.core.turns import ConversationRecord, TurnBrief, TurnRows, TurnTexts

T = TypeVar("T")
Whole = tuple[TurnBrief, TurnTexts]
"""A turn with its texts."""


@dataclass(frozen=True, slots=True)
class KeptDecision:
    """A decision document and its grounds (`control.grounds`), JSON values."""

    document: Mapping[str, Any]
    grounds: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Erasing:
    """How far the erasure of a person is: conversations and their turns gone, turns gone of the next one."""

    conversations: int
    turns: int
    here: int


class ConversationRows(TurnRows, Protocol):
    """A tenant's conversations inside one transaction."""

    def conversations(
        self, principal: str | None, before: str | None, most: int, pinned: bool | None = None
    ) -> Sequence[ConversationRecord]:
        """Conversations of a person, or of all, newest first; those older than the id `before`.

        `pinned`: of a person's those alone that are, or are not.
        """

    def count_conversations(self, principal: str, most: int) -> int:
        """How many conversations a person has, counted up to `most`."""

    def whole_path(self, start: str, most: int) -> list[Whole]:
        """From `start` towards the branch's first turn, newest first: at most `most`, bounded in bytes."""

    def whole_turns(self, conversation: str, after: int, most: int) -> list[Whole]:
        """Turns of a conversation as they were opened, those with a `seq` above `after`."""

    def leaf(self, turn: str) -> str:
        """The end of the newest branch through a turn; the turn itself where nothing follows."""

    def children(self, conversation: str, parents: Sequence[str]) -> list[tuple[str | None, str]]:
        """(parent, turn) of those that follow these, and of the first turns (parent None), oldest first."""

    def decision(self, name: str) -> KeptDecision | None:
        """A decision of the tenant that was kept with its grounds."""

    def statements(self, interventions: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Statements of reasons of the tenant, by intervention."""

    def running(self, conversation: str) -> list[TurnBrief]:
        """Turns of a conversation that are not over."""

    def remove_conversation(self, conversation: str) -> int:
        """Erase a conversation, its turns but those running, texts, salts and claims; how many turns.

        A running turn loses its texts, its salt and its conversation.
        """

    def remove_turns(self, conversation: str, most: int, size: int) -> tuple[int, bool]:
        """Erase turns that are over, with their claims: at most `most`, of about `size` bytes of text.

        Returns how many went, and whether more such turns may be left.
        """

    def removing(self, conversation: str) -> int | None:
        """How many turns are gone of a conversation that is being removed; None where it is not."""

    def keep_removing(self, record: ConversationRecord, gone: int) -> None:
        """Mark a conversation as being removed: it is nobody's until `remove_conversation` ends it."""

    def removing_of(self, principal: str) -> Sequence[str]:
        """Conversations that were a person's and are being removed."""

    def forget_some(self, principal: str, most: int) -> int:
        """Erase what else is kept of a person, at most `most` of each kind; how much it was.

        Claims with their answers, appeals; at last its use and the notices it was shown.
        """

    def erasing(self, principal: str) -> Erasing | None:
        """How far the erasure of a person is; None where none is on its way."""

    def keep_erasing(self, principal: str, so_far: Erasing | None) -> None:
        """Mark a person as being erased, or no longer."""

    def erased(self) -> None:
        """What was removed leaves the database's own log too, once this transaction is committed."""

    def stop(self, tag: str, notice: Mapping[str, str]) -> None:
        """End running turns that carry a tag, with the notice; relays forget what they know by it."""

    def act(self, entry: Mapping[str, Any], stop: str | None, notice: Mapping[str, str]) -> None:
        """Enter an act in control's own log; `stop` names a tag whose running turns end with the notice."""


class ConversationStore(Protocol):
    """Where conversations are kept. A future resolves when its transaction is durable."""

    def erasing(self) -> list[tuple[str, str]]:
        """(tenant, principal) of persons that are marked as being erased."""

    def removing(self) -> list[tuple[str, str]]:
        """(tenant, conversation) of those that are being removed."""

    def submit(self, tenant: str, work: Callable[[ConversationRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""

    def read(self, tenant: str, work: Callable[[ConversationRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
