"""Incidents and the reports on them that law asks for. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OPEN, REPORTED, NOT_DUE = "open", "reported", "not_due"
"""States of a report: to be made, made, judged not to be due here."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report that a rule asks for, and what became of it. `stage`, `authority`: by language.

    `due_at`: ms UTC, None where law states no time; `binding`: False for what is only advised.
    `note`: the authority's reference, or why it is not due.
    """

    n: int
    rule_id: str
    stage: Mapping[str, str] | None
    authority: Mapping[str, str] | None
    due_at: int | None
    binding: bool
    state: str = OPEN
    at: int | None = None
    by: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Became:
    """What became of a report: state, when (ms UTC), by whom, the reference or the reason."""

    state: str
    at: int
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident. `known_at`: when the operator came to know, from where clocks run; times are ms UTC."""

    incident: str
    triggers: tuple[str, ...]
    known_at: int
    about: str
    opened_at: int
    opened_by: str
    reports: tuple[Report, ...]
    closed_at: int | None = None

    def overdue(self, now: int) -> int:
        """How many binding reports should have been made by an instant (ms UTC)."""
        late = (one.due_at for one in self.reports if one.state == OPEN and one.binding)
        return sum(due is not None and due < now for due in late)

    def entry(self) -> Mapping[str, Any]:
        """What the ledger says of its opening: no word of what happened."""
        return {"incident": self.incident, "triggers": list(self.triggers), "known_at": self.known_at}
