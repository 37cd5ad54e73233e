"""Which rows of a person move to another zone, and that a row from elsewhere is one of these."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dragoman.stores.people_tables import evidence, evidence_files, people
from dragoman.stores.schema import appeals, decisions, interventions, statements
from dragoman.stores.tenancy import COUNTER_MAX
from dragoman.stores.turn_tables import conversations, notices_shown, turns, uses

RUNNING = turns.c.state.in_(("opened", "closing"))
"""Turns that are not over: none of them moves."""
_BLOB = "base64"

Row = dict[str, Any]
"""Values of a row by column; of bytes `{"base64": ...}` on the way."""
Condition = Callable[[str, str], sa.ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Moved:
    """A table of which a person's rows move: by `key`, those that meet `mine(tenant, person)`, some at once.

    `owner` names the person. `left`: columns that do not move; `shared`: rows that are others' too.
    `states`: what its column `state` may say, where it has one.
    """

    table: sa.Table
    key: str
    mine: Condition
    at_once: int
    owner: str | None = None
    left: frozenset[str] = frozenset()
    shared: bool = False
    states: tuple[str, ...] = ()

    @property
    def columns(self) -> list[sa.Column[Any]]:
        """The columns that move."""
        return [one for one in self.table.columns if one.name != "tenant" and one.name not in self.left]


def _own(tenant: str, person: str) -> sa.Select[Any]:
    return sa.select(conversations.c.conversation).where(
        conversations.c.tenant == tenant, conversations.c.principal == person
    )


def _own_turns(column: sa.Column[Any], tenant: str, person: str) -> sa.Select[Any]:
    return sa.select(column).where(turns.c.tenant == tenant, turns.c.conversation.in_(_own(tenant, person)))


def _decided(tenant: str, person: str) -> sa.ColumnElement[bool]:
    about = sa.select(appeals.c.about).where(appeals.c.tenant == tenant, appeals.c.principal == person)
    named = decisions.c.decision
    return named.in_(_own_turns(turns.c.decision, tenant, person)) | named.in_(about)


def _explained(tenant: str, person: str) -> sa.ColumnElement[bool]:
    own = sa.select(interventions.c.intervention).where(
        interventions.c.tenant == tenant, interventions.c.principal == person
    )
    return statements.c.intervention.in_(own)


def _handed_in(tenant: str, person: str) -> sa.ColumnElement[bool]:
    own = sa.select(evidence.c.evidence).where(evidence.c.tenant == tenant, evidence.c.person == person)
    return evidence_files.c.evidence.in_(own)


def _of(column: sa.Column[Any]) -> Condition:
    return lambda _tenant, person: column == person


MOVED = (
    Moved(decisions, "decision", _decided, 50, shared=True),
    Moved(interventions, "intervention", _of(interventions.c.principal), 200, "principal", shared=True),
    Moved(statements, "intervention", _explained, 200, shared=True),
    # A claim is an answer kept for a day, for a repeat at the old zone.
    Moved(
        conversations, "conversation", _of(conversations.c.principal), 200, "principal", frozenset({"claim"})
    ),
    Moved(
        turns,
        "turn",
        lambda tenant, person: turns.c.conversation.in_(_own(tenant, person)) & ~RUNNING,
        20,
        "principal",
        frozenset({"claim"}),
        states=("finished", "interrupted"),
    ),
    Moved(
        evidence,
        "evidence",
        _of(evidence.c.person),
        100,
        "person",
        states=("waiting", "accepted", "rejected"),
    ),
    Moved(evidence_files, "evidence", _handed_in, 1),
    Moved(appeals, "appeal", _of(appeals.c.principal), 100, "principal", states=("received",)),
    Moved(uses, "principal", _of(uses.c.principal), 1, "principal"),
    Moved(notices_shown, "notice", _of(notices_shown.c.principal), 500, "principal"),
    # Number and recovery code are digests keyed by the old zone: made anew. The last: it makes the person.
    Moved(
        people,
        "person",
        _of(people.c.person),
        1,
        "person",
        frozenset({"phone", "regions", "kind", "stands_for", "prefix", "country", "recovery"}),
    ),
)
"""In the order in which rows can be put in: what others refer to first. `shared` rows stay in the old zone
for as long as their own retention says, and go along as they are."""
BY_NAME = {one.table.name: one for one in MOVED}
"""The same by the table's name."""


class StrangeRowError(ValueError):
    """A row that no export of this version holds."""


def encoded(value: Any) -> Any:
    """A value as a line of JSON holds it."""
    return {_BLOB: base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    written = value.get(_BLOB)
    if len(value) != 1 or not isinstance(written, str):
        raise StrangeRowError("a value of no kind that is written")
    return base64.b64decode(written, validate=True)


def _fits(column: sa.Column[Any], value: Any) -> bool:
    """Whether a value is one of its column's type. Raises ValueError for text that cannot be written."""
    if value is None:
        return bool(column.nullable)
    if type(value) is not column.type.python_type:  # a bool is an int to isinstance
        return False
    if isinstance(value, str):
        value.encode()
    return not isinstance(value, int) or abs(value) <= COUNTER_MAX


def made(table: str, row: Row, person: str) -> tuple[Moved, Row]:
    """A row of the new zone's. Raises StrangeRowError."""
    moved = BY_NAME.get(table)
    if moved is None or moved.table is people:
        raise StrangeRowError(f"{table[:40]} is no table that moves")
    return moved, owned(moved, row, person)


def owned(moved: Moved, row: Row, person: str) -> Row:
    """A row with its values decoded and its person's new name. Raises StrangeRowError."""
    if set(row) != {one.name for one in moved.columns}:
        raise StrangeRowError(f"a row of {moved.table.name} has other columns than this version's")
    values = {}
    for column in moved.columns:
        strange = f"a row of {moved.table.name} has another kind of value in {column.name} than the column"
        try:
            values[column.name] = _decoded(row[column.name])
            fits = _fits(column, values[column.name])
        except ValueError as fault:
            raise StrangeRowError(strange) from fault
        if not fits:
            raise StrangeRowError(strange)
    if moved.states and values["state"] not in moved.states:
        raise StrangeRowError(f"a row of {moved.table.name} is in a state in which none moves")
    return {**values, **({moved.owner: person} if moved.owner else {})}


def person_row(row: Row, person: str) -> Row:
    """The row of `people` without what is made anew. Raises StrangeRowError."""
    return owned(BY_NAME[people.name], row, person)
