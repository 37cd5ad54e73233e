"""Questions whose turns may still run: after a reload, those that are now refused are stopped.

Holds no text and no person, only what plans are made from. Bounded; when the bound was exceeded, everything
that carries the changed tag is stopped, because nobody can tell which turn is still allowed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.core.accounts import Change
from dragoman.errors import RefusedError
from dragoman.ids import now_ms

QUESTIONS = 2_000
"""LIMIT: questions remembered."""
TURN_MS = 1_860_000
"""How long a turn may run on a plan: the plan's cap and the longest total deadline."""

_CHANGED = {
    "en": "The rules changed while this answer was running, so it stops here. Ask again.",
    "zh": "回答进行中规则已变更，回答到此为止。请重新提问以了解现行规则。",
}

Planned = Callable[[Mapping[str, Any], int], dict[str, Any]]


@dataclass(frozen=True)
class _Live:
    question: Mapping[str, Any]
    attempts: frozenset[tuple[str, str]]
    at: int


class LiveQuestions:
    """Allowed questions of the last half hour, by the tag their plans carry."""

    def __init__(self, plan: Planned) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._live: OrderedDict[str, _Live] = OrderedDict()
        self._lost_until = 0

    def note(self, question: Mapping[str, Any], plan: Mapping[str, Any], now: int) -> None:
        """Remember an allowed question."""
        if not plan["attempts"]:
            return
        tag = plan["tags"][-1]
        with self._lock:
            held = self._live.pop(tag, None)
            attempts = _attempts(plan) | (held.attempts if held else frozenset())
            self._live[tag] = _Live(question, attempts, now)
            while len(self._live) > QUESTIONS:
                _, dropped = self._live.popitem(last=False)
                self._lost_until = max(self._lost_until, dropped.at + TURN_MS)

    def no_longer_allowed(self) -> list[Change]:
        """A `stop` for each live question that the reading in use refuses, in part or whole."""
        now = now_ms()
        with self._lock:
            for tag in [tag for tag, one in self._live.items() if one.at + TURN_MS < now]:
                del self._live[tag]
            live = dict(self._live)
            lost = self._lost_until > now
        changes = [change for tag, one in live.items() if (change := self._judged(tag, one, now)) is not None]
        if lost:
            changes.append(Change(("packs", "config"), "stop", _CHANGED))
        return changes

    def _judged(self, tag: str, one: _Live, now: int) -> Change | None:
        try:
            plan = self._plan(one.question, now)
        except RefusedError as refused:
            return Change((tag,), "stop", refused.text)
        with self._lock:
            if tag in self._live:
                self._live[tag] = _Live(one.question, _attempts(plan), one.at)
        if one.attempts <= _attempts(plan):
            return None
        return Change((tag,), "stop", plan["refusal"]["text"] if plan["refusal"] else _CHANGED)


def _attempts(plan: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((one["provider"], one["model"]) for one in plan["attempts"])
