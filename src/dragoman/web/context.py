"""What the pages need of the process that mounts them, as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dragoman.accounts.declared import NOTHING, Declared
from dragoman.accounts.simulated import Simulated
from dragoman.accounts.texts import nothing_simulated
from dragoman.core.appeals import AppealStore
from dragoman.knowledge.engine import Knowledge
from dragoman.web.desk import Desk, Hearing
from dragoman.web.entry import Entry
from dragoman.web.guest import Guest
from dragoman.web.kept import Kept
from dragoman.web.placement import Placed
from dragoman.web.turn import TurnClient

__all__ = ["Guest", "PagesContext"]


def _nothing_simulated(_guest: Guest, _simulated: Simulated | None) -> None:
    raise nothing_simulated()


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
    appeals: AppealStore | None = None
    """Appeals, to be read: what is sent goes to the relay. None: nobody appeals here."""
    statement: Callable[[str, str, str], Mapping[str, Any] | None] = lambda _tenant, _principal, _id: None
    """The statement of reasons of a tenant's principal by the id of an intervention or a decision."""
    simulate: Callable[[Guest, Simulated | None], None] = _nothing_simulated
    """Have a guest pretend, durably. Raises RefusedError where nothing may be simulated."""
    simulated: Callable[[Guest], Simulated | None] = lambda _: None
    """What a guest pretends to be."""
    simulates: Callable[[], bool] = lambda: False
    """Whether guests may pretend here at all."""
    declare: Callable[[Guest, Declared | None], None] = lambda _guest, _declared: None
    """Keep, durably, what a guest states of itself; None: nothing any more. Raises RefusedError."""
    declares: Callable[[Guest], bool] = lambda _: True
    """Whether a guest may state anything: a person who signed up has an account for that."""
    declared: Callable[[Guest], Declared] = lambda _: NOTHING
    """What a guest stated of itself."""
    contact: Callable[[], str | None] = lambda: None
    """How the operator is reached, None where it did not say."""
    placed: Callable[[Mapping[str, Any]], Placed | None] = lambda _: None
    """Where an address (`country`, `kind`, `peer`) places a guest; None where guests may pretend."""
    entry: Entry | None = None
    """Which zone serves whom; None: there is no page to ask it."""
    signup: Desk | None = None
    """Takes people in. None: nobody ever signs up here."""
    evidence: Hearing | None = None
    """Takes evidence of who signed up."""
    kept_days: Callable[[], Mapping[str, int | None]] = dict
    """Days for which each class of `policy.retention` is kept now; None: without end."""
    kept: Kept | None = None
    """The conversations of guests; None where there are none at all."""
    keeps: Callable[[], bool] = lambda: False
    """Whether guests may keep conversations here; they ask without any where they may not."""
    model: str = "dragoman"
    writes: Callable[[], bool] = lambda: False
    """Whether a language model stands behind `model`, and not the built-in one that only quotes."""
    name: str = "Dragoman"
    session_cookie: str = "dragoman_session"
    session_seconds: int = 604_800
    secure: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=())
    """Headers for every page beside the security ones."""
