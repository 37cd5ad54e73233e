"""What stored turns and conversations are made of, and the port through which they are kept. No I/O here.

`assistants` holds the rules, `stores.turns` the rows; what `TurnRows` does is inside one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

from dragoman.core.search import SearchRows

T = TypeVar("T")

RUNNING = frozenset({"opened", "closing"})
"""States of a turn that is not over. The others are `finished` and `interrupted`."""
REFUSED = frozenset({"refused", "denied"})
"""Statuses of a result whose answer is a notice: nothing of such a turn goes to a model again."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A `POST /turns` message (docs/wire.md), checked. `options`: the input without its messages, JSON."""

    turn: str
    log: str
    at: int
    tenant: str
    principal: str
    key: str | None
    conversation: str | None
    parent: str | None
    claim: str | None
    body: str | None
    question: Mapping[str, Any]
    plan: str
    decision: str
    stream: bool
    lang: str
    asked: str | None
    options: str | None
    room: int
    rules_in: str
    interventions: tuple[str, ...]
    salt: str
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class ConversationRecord:
    """A conversation as kept. `turns` counts all turns ever opened, `head` ends the branch that is shown."""

    tenant: str
    conversation: str
    principal: str
    key: str | None
    title: str | None
    metadata: str
    created_at: int
    changed_at: int
    head: str | None
    turns: int
    claim: str | None
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class TurnBrief:
    """A turn without its texts. `depth` is its place on its branch (1 the first), `seq` in its conversation.

    `tokens` estimates what it adds to what goes to a model, `size` is the bytes of its texts.
    `has_text` is False once its conversation was deleted while it ran.
    """

    tenant: str
    turn: str
    conversation: str | None
    seq: int
    depth: int
    parent: str | None
    principal: str
    log: str
    state: str
    status: str | None
    at: int
    deadline_ms: int
    changed_at: int
    lang: str
    stream: bool
    tokens: int
    size: int
    digest: str | None
    claim: str | None
    salt: str | None
    has_text: bool


@dataclass(frozen=True, slots=True)
class TurnTexts:
    """The texts of a turn, JSON each. `asked` and `rounds` are messages without the list's brackets.

    `rounds` is the place of server-side tool rounds, between question and answer; nothing writes it yet.
    """

    model: str
    plan: str
    decision: str
    key: str | None
    rules_in: str
    interventions: str
    options: str | None
    asked: str | None
    rounds: str | None
    replied: str | None
    answer: str | None
    result: str | None
    shown: str
    due: str
    context: str | None
    feedback: str | None = None


class PathTurn(NamedTuple):
    """A turn on the way from a branch's newest turn to its first, with what goes along of it.

    A tuple: each stored turn reads as many as its model's context holds.
    """

    turn: str
    depth: int
    state: str
    status: str | None
    lang: str
    tokens: int
    asked: str | None
    rounds: str | None
    replied: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """An idempotency key in use: by which turn or conversation, for which body, until when (ms UTC)."""

    principal: str
    name: str
    kind: str
    subject: str
    body: str
    ends_at: int
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """A person's use without a break: when it began and when its newest turn was opened (ms UTC)."""

    began_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Shown:
    """When a notice (`kind` notice or reminder) was last shown to a person, ms UTC."""

    notice: str
    kind: str
    at: int


@dataclass(frozen=True, slots=True)
class Due:
    """A duty of a turn: what is shown with its answer. `kind` as in decisions; `notice` None for a label.

    `machine`: a machine label's `format` and `fields`; an empty `ProduceID` stands for the turn's id.
    """

    kind: str
    rule_id: str
    notice: str | None
    text: Mapping[str, str] | None
    machine: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A decision to keep for the turns that name it. `at`: ms UTC.

    `made` gives the decision document and its grounds; it is called only where they are not kept yet.
    """

    decision: str
    at: int
    made: Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]]


@dataclass(frozen=True)
class Residual:
    """What the rules that read `turn.*` come to, and everything due with the turn's answer.

    `entry` is of a decision that differs from the plan's, else None; `kept` is the turn's in any case.
    Turns share one, so its texts are made once.
    """

    notices: Sequence[Mapping[str, Any]]
    refusal: Mapping[str, Any] | None
    due: Sequence[Due]
    decision: str
    entry: Mapping[str, Any] | None
    kept: Kept | None

    @cached_property
    def shown_text(self) -> str:
        """What the answer to `POST /turns` says of it, as a turn keeps it."""
        shown = {"notices": list(self.notices), "refusal": self.refusal, "entry": self.entry}
        return json.dumps(shown, ensure_ascii=False)

    @cached_property
    def due_text(self) -> str:
        """What is due, as a turn keeps it."""
        return json.dumps([asdict(one) for one in self.due], ensure_ascii=False)


class TurnRows(Protocol):
    """A tenant's turns, conversations and claims inside one transaction."""

    @property
    def search(self) -> SearchRows:
        """The index by which conversations are found."""

    def conversation(self, conversation: str) -> ConversationRecord | None:
        """A conversation of the tenant, whoever owns it."""

    def add_conversation(self, record: ConversationRecord) -> None:
        """Keep a new conversation."""

    def change_conversation(self, conversation: str, values: Mapping[str, Any]) -> None:
        """Change columns of a conversation."""

    def turn(self, turn: str) -> TurnBrief | None:
        """A turn without its texts."""

    def texts(self, turn: str) -> TurnTexts | None:
        """The texts of a turn."""

    def add_turn(self, brief: TurnBrief, texts: TurnTexts) -> None:
        """Keep a new turn."""

    def change_turn(self, turn: str, values: Mapping[str, Any]) -> None:
        """Change columns of a turn."""

    def remove_turn(self, turn: str) -> None:
        """Forget a turn."""

    def newest(self, conversation: str) -> str | None:
        """The turn of a conversation that was opened last."""

    def path(self, start: str, tokens: int, most: int) -> list[PathTurn]:
        """From `start` towards the first turn, newest first: until `tokens` are exceeded, at most `most`."""

    def claim(self, principal: str, name: str) -> Claim | None:
        """An idempotency key in use."""

    def add_claim(self, claim: Claim) -> None:
        """Take an idempotency key into use."""

    def remove_claim(self, principal: str, name: str) -> None:
        """Give an idempotency key back."""

    def use(self, principal: str) -> Use | None:
        """A person's newest use."""

    def keep_use(self, principal: str, use: Use) -> None:
        """Keep a person's newest use."""

    def shown(self, principal: str) -> list[Shown]:
        """The notices a person was shown, each when last."""

    def keep_shown(self, principal: str, shown: Shown) -> None:
        """Note that a notice was shown."""

    def keep_decision(self, kept: Kept) -> None:
        """Keep a decision with its grounds, once however many turns name it."""

    def leaving(self, principal: str) -> str | None:
        """Why a person may not go on here: `being_erased`, `being_moved`; None where it may."""


class ZoneRows(Protocol):
    """Turns of every tenant inside one transaction: what concerns a log or the clock, not a person."""

    def of(self, tenant: str) -> TurnRows:
        """One tenant's rows."""

    def unfinished(self, log: str | None = None) -> list[TurnBrief]:
        """Turns that are not over, of a log or of all."""

    def expired(self, now: int, most: int) -> list[tuple[str, Claim]]:
        """(tenant, claim) of claims that are over, at most `most`."""

    def erase(self) -> None:
        """What is removed in this transaction leaves the database's own log too, once it is committed."""


class TurnStore(Protocol):
    """Where turns are kept. A future resolves when its transaction is durable."""

    def submit(self, tenant: str, work: Callable[[TurnRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""

    def submit_zone(self, work: Callable[[ZoneRows], T]) -> Future[T]:
        """Run on every tenant's rows in a durable transaction."""

    def read(self, tenant: str, work: Callable[[TurnRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
