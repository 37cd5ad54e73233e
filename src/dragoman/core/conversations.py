"""The port through which conversations are listed, read, deleted, exported. No I/O here; see `core.turns`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from dragoman.core.turns import ConversationRecord, TurnBrief, TurnRows, TurnTexts

T = TypeVar("T")
Whole = tuple[TurnBrief, TurnTexts]
"""A turn with its texts."""


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

    def running(self, conversation: str) -> list[TurnBrief]:
        """Turns of a conversation that are not over."""

    def remove_conversation(self, conversation: str) -> int:
        """Erase a conversation, its turns but those running, texts, salts and claims; how many turns.

        A running turn loses its texts, its salt and its conversation.
        """

    def forget_person(self, principal: str) -> None:
        """Erase what else is kept of a person: claims with their answers, use, notices shown."""

    def act(self, entry: Mapping[str, Any], stop: str | None, notice: Mapping[str, str]) -> None:
        """Enter an act in control's own log; `stop` names a tag whose running turns end with the notice."""


class ConversationStore(Protocol):
    """Where conversations are kept. A future resolves when its transaction is durable."""

    def submit(self, tenant: str, work: Callable[[ConversationRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""

    def read(self, tenant: str, work: Callable[[ConversationRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
