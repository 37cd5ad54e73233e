"""One recorded facts document under two sets of packs: what it comes to, decided once for equal facts.

For `simulate`, in each of its processes. Pure: no clock, no I/O. It never guesses: where the record leaves
open what the packs want to know, and it matters, it says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dragoman.core.decision import Decision
from dragoman.core.facts import Facts, FactsError
from dragoman.decide.by_reads import ByReads
from dragoman.decide.changes import Change, change
from dragoman.decide.engine import decide
from dragoman.decide.generalise import DROPPED
from dragoman.decide.packs import PackSet
from dragoman.decide.recorded import Row, entry_of
from dragoman.decide.representatives import Cuts, Stand, stand_for
from dragoman.decide.vocabulary import check_known, check_name, is_known, known_names, named
from dragoman.decide.world import World

SAME, CHANGED, OPEN, NOT_UNDERSTOOD, WITHOUT_FACTS, WITHOUT_ENTRY = (
    "same", "changed", "open", "not_understood", "without_facts", "without_entry",
)  # fmt: skip
"""What a replayed turn comes to. `open`: the record does not say enough to tell."""
STATES = (SAME, CHANGED, OPEN, NOT_UNDERSTOOD, WITHOUT_FACTS, WITHOUT_ENTRY)

FACTS_KEPT = 50_000
"""LIMIT: facts documents whose verdict one process keeps at once."""
_DATED_ONLY = frozenset({"received_at"})
"""Read for deadlines alone, which are not compared."""


@dataclass(frozen=True, slots=True)
class Side:
    """Packs, and the world whose models they are asked about."""

    packs: PackSet
    world: World


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared: `old` as of the recorded instant, `new` as of `as_of` (ms UTC) or of the same."""

    old: Side
    new: Side
    as_of: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a facts document comes to.

    `why`: of what is open or not understood; `unread`: facts that the new packs ask for, the old did not, and
    the record does not hold.
    """

    state: str
    before: str | None = None
    change: Change | None = None
    why: str = ""
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """One span of a row: its verdict, where it belongs, and the outcome that was recorded."""

    verdict: Verdict
    turns: int
    turn: str | None
    place: str | None
    app: str | None
    recorded: str | None


@dataclass(slots=True)
class _Kept:
    since: int
    until: int | None
    verdict: Verdict


class Replay:
    """Decides each document twice, and equal ones once."""

    def __init__(self, asked: Asked) -> None:
        self._old, self._new, self._as_of = asked.old, asked.new, asked.as_of
        self._cuts: Cuts = _merged(asked.old.packs.cuts, asked.new.packs.cuts)
        self._known_before, self._known = known_names(asked.old.packs), known_names(asked.new.packs)
        self._kept: dict[str, _Kept] = {}
        self._by_reads: ByReads[Verdict] = ByReads()

    def row(self, row: Row) -> Iterable[Replayed]:
        """Each span of a row. Raises RecordError where its text is no document."""
        document = entry_of(*_place(row), row.raw)
        facts: Any = document.get("facts") if row.entry else document
        recorded = document.get("outcome") if row.entry else None
        if not isinstance(facts, Mapping):
            for span in row.spans:
                yield Replayed(Verdict(WITHOUT_FACTS), span.turns, span.turn, None, None, recorded)
            return
        key = json.dumps(facts, sort_keys=True, ensure_ascii=False)
        place, app = _text(facts, "residence") or _text(facts, "address_country"), _text(facts, "app")
        for span in row.spans:
            verdict = self._verdict(key, facts, span.at)
            yield Replayed(verdict, span.turns, span.turn, place, app, recorded)

    def _verdict(self, key: str, facts: Mapping[str, Any], at: int | None) -> Verdict:
        kept = self._kept.get(key)
        if kept is not None and (at is None or (kept.since <= at < (kept.until or at + 1))):
            return kept.verdict
        until: int | None = None
        try:
            stand = self._stand(facts, at)
        except FactsError as error:
            verdict = Verdict(NOT_UNDERSTOOD, why=str(error))
        else:
            verdict, until = self._decided(stand, recorded=at is not None)
        if len(self._kept) >= FACTS_KEPT:
            self._kept.clear()
        self._kept[key] = _Kept(at or 0, until, verdict)
        return verdict

    def _stand(self, facts: Mapping[str, Any], at: int | None) -> Stand:
        if at is None:  # a document as people write it: what it names has to be known
            one = Facts.parse(facts)
            check_known(one, self._known)
            return Stand((one,), ())
        stand = stand_for(facts, at, self._cuts)
        for path, kind, name in named(stand.variants[0]) if stand.variants else ():
            if is_known(kind, name, self._known_before):  # what is strange to both is decided as it was
                check_name(path, kind, name, self._known)
        return stand

    def _decided(self, stand: Stand, *, recorded: bool) -> tuple[Verdict, int | None]:
        """The verdict if it is the same whichever way the record is meant, and until when it holds."""
        found: list[Verdict] = []
        ends: list[int] = []
        for facts in stand.variants:
            verdict, until = self._both(facts, recorded=recorded)
            found.append(verdict)
            ends += [] if until is None else [until]
        end = min(ends, default=None)
        if len({(one.state, one.change) for one in found}) != 1:
            return Verdict(OPEN, why=", ".join(stand.split)), end
        sure = len({one.before for one in found}) == 1
        return found[0] if sure else replace(found[0], before=None), end

    def _both(self, facts: Facts, *, recorded: bool) -> tuple[Verdict, int | None]:
        found = self._by_reads.get(facts.values, facts.as_of)
        if found is not None:
            return found
        before = decide(facts, self._old.packs, self._old.world)
        later = facts if self._as_of is None else Facts(self._as_of, facts.values)
        after = decide(later, self._new.packs, self._new.world)
        ends = [before.holds_until, after.holds_until if self._as_of is None else None]
        until = min((end for end in ends if end is not None), default=None)
        other = change(before, after)
        unread = _unread(before, after, facts, recorded=recorded)
        verdict = Verdict(SAME if other is None else CHANGED, before.outcome, other, unread=unread)
        self._by_reads.put(facts.values, {*before.read, *after.read}, facts.as_of, until, verdict)
        return verdict, until


def _unread(before: Decision, after: Decision, facts: Facts, *, recorded: bool) -> tuple[str, ...]:
    """What only the new packs ask for and nobody knows; of a ledger also what it does without."""
    asked = set(after.read).difference(before.read)
    if recorded:
        asked |= DROPPED.intersection(after.read) - _DATED_ONLY
    return tuple(sorted(asked.difference(facts.values)))


def _merged(one: Cuts, other: Cuts) -> Cuts:
    return {path: tuple(sorted({*one.get(path, ()), *other.get(path, ())})) for path in {**one, **other}}


def _text(facts: Mapping[str, Any], path: str) -> str | None:
    value = facts.get(path)
    return value if isinstance(value, str) else None


def _place(row: Row) -> tuple[str, int]:
    """Log or file, and where in it, for what is said of a broken document."""
    name, _, number = row.id.rpartition(":")
    return (name, int(number)) if not row.entry else (row.id, 0)
