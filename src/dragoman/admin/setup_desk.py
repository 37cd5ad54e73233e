"""What the setup pages need of control, and the changes that were shown and wait to be written.

A change waits in memory, for the person it was shown to alone, for half an hour.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.checks.results import Subject
from dragoman.ids import now_ms
from dragoman.sentences import Sentence
from dragoman.settings import Settings
from dragoman.settings_edit import Edit

DRAFTS = 32
"""LIMIT: changes that wait at once; the oldest of whoever has most is forgotten."""
OWN_DRAFTS = 8
"""LIMIT: changes of one person, or machine's token, that wait at once; the oldest is forgotten."""
DRAFT_MS = 30 * 60_000
"""LIMIT: milliseconds a change waits."""


@dataclass(frozen=True)
class NewModel:
    """A model to add; `price`: a row of `[[prices]]`. `pack` None: by the address's host."""

    name: str
    base_url: str
    upstream: str
    key_env: str | None
    key_file: str | None
    pack: str | None
    price: Mapping[str, Any] | None


@dataclass(frozen=True)
class Proposal:
    """A change of the file as it would be written.

    `waits`: keys that need a restart; `keeps_out`: nothing is taken live until then. `overridden`: variables
    of the environment that stand above what is written.
    """

    file: str
    difference: str
    edits: tuple[Edit, ...]
    digests: Mapping[str, str | None]
    waits: tuple[str, ...]
    keeps_out: bool
    overridden: tuple[str, ...]
    put: Callable[[], None] = field(repr=False)
    """Write it. Raises ConfigError; its subclass `StaleFileError` where the file was changed meanwhile."""


@dataclass
class Draft:
    """A proposal shown to a person, and what became of it."""

    change: str
    by: str
    form: str
    proposal: Proposal
    ends: int
    model: NewModel | None = None
    offers: Mapping[str, Any] | None = None
    trial: Mapping[str, Any] | None = None
    written: bool = False
    live: bool = False
    """Written and taken up by the running zone."""
    anew: bool = False
    """Shown again, because the file was changed meanwhile."""


@dataclass(frozen=True)
class SetupDesk:
    """Control's part."""

    subject: Callable[[], Subject]
    """The reading in use."""
    stands: Callable[[], tuple[Settings, list[Sentence]]]
    """The settings that the file holds now, or those in use with why the file does not load."""
    waiting: Callable[[], tuple[str, ...]]
    """Keys of the file that wait for the next start."""
    propose: Callable[[Sequence[Edit]], Proposal]
    add_model: Callable[[NewModel], tuple[Proposal, Mapping[str, Any]]]
    """The change that adds a model, and where it may be offered."""
    try_model: Callable[[NewModel], Mapping[str, Any]]
    """Ask a model that is not in the file one question."""
    turn: Callable[[str, str], Awaitable[Mapping[str, Any]]]
    """Ask a model of the file one question in a language, as everybody's turns are."""
    take_up: Callable[[], bool]
    """Have the running zone read the file; whether it took it."""


class Drafts:
    """Changes that wait, each for the person it was shown to."""

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._held: OrderedDict[str, Draft] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, by: str, form: str, proposal: Proposal, **more: Any) -> Draft:
        """Keep a change; its name is not to be guessed."""
        draft = Draft(secrets.token_urlsafe(16), by, form, proposal, self._clock() + DRAFT_MS, **more)
        with self._lock:
            self._held[draft.change] = draft
            most, count = Counter(one.by for one in self._held.values()).most_common(1)[0]
            if count > OWN_DRAFTS or len(self._held) > DRAFTS:
                del self._held[next(name for name, one in self._held.items() if one.by == most)]
        return draft

    def get(self, by: str, change: str) -> Draft | None:
        """The change of this name, for the person it was shown to."""
        with self._lock:
            draft = self._held.get(change)
            if draft is None or draft.ends <= self._clock():
                self._held.pop(change, None)
                return None
            return draft if draft.by == by else None
