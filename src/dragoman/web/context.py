"""What the pages need of the process that mounts them, as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from dragoman.knowledge.engine import Knowledge
from dragoman.web.turn import TurnClient


class Guest(NamedTuple):
    """Whom a session cookie names."""

    tenant: str
    principal: str


@dataclass(frozen=True, slots=True)
class PagesContext:
    """`session` reads a cookie's value (None: not ours or over), `mint_session` makes one for a new guest.

    `keep_guest` keeps a guest, durably, who is about to ask by turn.sock. All may wait for the store: the
    pages call them in a thread. `model` is the model name that pages ask.
    """

    knowledge: Knowledge
    turns: TurnClient
    session: Callable[[str], Guest | None]
    mint_session: Callable[[], str]
    keep_guest: Callable[[Guest], None]
    model: str = "dragoman"
    name: str = "Dragoman"
    session_cookie: str = "dragoman_session"
    session_seconds: int = 604_800
    secure: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=())
    """Headers for every page beside the security ones."""
