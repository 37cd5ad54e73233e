"""Stored turns on `plan.sock`: opened, their outcomes, a relay's recovery; and the sweep that gives turns up.

Each message is one durable transaction. The sweep measures silence and age on a clock that no one sets.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from dragoman.assistants.context import DEFAULT_CONTEXT_TOKENS
from dragoman.assistants.opening import OPENED, open_turn
from dragoman.assistants.turns import (
    abandon_turn,
    close_turn,
    drop_claim,
    finish_turn,
    interrupt,
    recover,
)
from dragoman.budgets.allotments import run_over
from dragoman.control import turn_messages
from dragoman.control.asgi import Answer, Request
from dragoman.control.durable import durable
from dragoman.control.loaded import Holder
from dragoman.control.questions import malformed
from dragoman.control.residual import Residuals
from dragoman.core.turns import TurnRows, TurnStore, ZoneRows
from dragoman.errors import DragomanError
from dragoman.events import ClaimsExpired, EdgeFailed, TurnsGivenUp, emit, fault_place
from dragoman.ids import now_ms
from dragoman.ledger.logs import JOURNAL, is_copy
from dragoman.settings_limits import CONTEXT_MAX

SWEEP_SECONDS = 5.0
"""How often turns are looked at whose log is silent or whose time is over."""
EXPIRE_ROUNDS = 12
"""Every how many rounds idempotency keys are looked through: once a minute."""
GRACE_SECONDS = 120.0
"""How long past its deadline a turn may still be closed by a relay that is in contact."""
EXPIRED_AT_ONCE = 500
"""LIMIT: idempotency claims that one transaction of the sweep drops."""


class Watch:
    """Opened turns and each log's last contact, on a clock that never jumps. In memory, rebuilt at start."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._contact: dict[str, float] = {}
        self._opened: dict[str, tuple[str, str, float, float]] = {}

    def contact(self, log: str) -> None:
        """A relay of this log was heard."""
        self._contact[log] = self._clock()

    def opened(self, tenant: str, turn: str, log: str, deadline_ms: int) -> None:
        """A turn runs."""
        with self._lock:
            self._opened.setdefault(turn, (tenant, log, deadline_ms / 1000, self._clock()))

    def over(self, turn: str) -> None:
        """A turn does not run any more."""
        with self._lock:
            self._opened.pop(turn, None)

    def lost(self) -> list[tuple[str, str]]:
        """(tenant, turn) of those whose log is silent longer than their deadline, or who are past it."""
        now = self._clock()
        with self._lock:
            running = list(self._opened.items())
        return [
            (tenant, turn)
            for turn, (tenant, log, deadline, since) in running
            if now - max(self._contact.get(log, self._began), since) > deadline
            or now - since > deadline + GRACE_SECONDS
        ]


class TurnDesk:
    """The endpoints of stored turns."""

    def __init__(
        self,
        store: TurnStore,
        residuals: Residuals,
        holder: Holder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._residuals = residuals
        self._holder = holder
        self.watch = Watch(clock)
        self._recovered: Counter[str] = Counter()
        """How often each log was recovered: by which run of its relay a message was sent."""

    def contact(self, log: str | None) -> None:
        """A relay of this log was heard."""
        if log and len(log) <= turn_messages.MAX_ID:
            self.watch.contact(log)

    async def open(self, request: Request) -> Answer:
        """`POST /turns`."""
        message = turn_messages.opening(await request.json(), self._context_tokens)
        self.watch.contact(message.log)
        decide, now, run = self._residuals.decide, now_ms(), self._recovered[message.log]

        def work(rows: TurnRows) -> bytes:
            if self._recovered[message.log] != run:
                raise run_over()  # nobody would carry it: who sent it is dead
            return open_turn(rows, message, now, decide)

        answer = await durable(self._store.submit(message.tenant, work))
        if answer.startswith(OPENED):
            self.watch.opened(message.tenant, message.turn, message.log, message.deadline_ms)
        return 200, answer

    async def outcome(self, request: Request) -> Answer:
        """`PUT /turns/{id}/outcome`; 204 only when durable."""
        turn, _, rest = request.rest.partition("/")
        if rest != "outcome" or not turn or len(turn) > turn_messages.MAX_ID:
            raise malformed("the path is /turns/{id}/outcome")
        body = turn_messages.outcome(await request.json())
        now = now_ms()

        def work(rows: TurnRows) -> None:
            if body["state"] == "closing":
                close_turn(rows, turn, body, now)
            elif body["state"] == "finished":
                finish_turn(rows, turn, body["digest"], now)
            else:
                abandon_turn(rows, turn)

        await durable(self._store.submit(body["tenant"], work))
        self.watch.over(turn)
        return 204, None

    async def recover(self, request: Request) -> Answer:
        """`POST /turns/recover`."""
        log, intents = turn_messages.recovery(await request.json())
        self.watch.contact(log)
        self._recovered[log] += 1
        now, settings = now_ms(), self._holder.loaded.settings
        copied = await asyncio.to_thread(
            is_copy, settings.journal.folder or settings.zone.data / JOURNAL, log
        )
        work = self._store.submit_zone(lambda zone: recover(zone, log, intents, now, copied=copied))
        closing = await durable(work)
        return 200, {"closing": closing}

    def _context_tokens(self, model: str) -> int:
        """The least context of a model and its fallbacks: whichever of them answers, the question fits."""
        models = self._holder.loaded.settings.models
        named = models.get(model)
        if named is None:
            return DEFAULT_CONTEXT_TOKENS
        chain = [named, *(models[other] for other in named.fallbacks)]
        stated = (one.context_tokens or one.max_input_tokens or DEFAULT_CONTEXT_TOKENS for one in chain)
        return min(CONTEXT_MAX, *stated)


@dataclass(frozen=True)
class Chore:
    """Work that is done every so many rounds of the sweep, first in the first; it is told when to stop."""

    rounds: int
    work: Callable[[Callable[[], bool]], object]


class TurnSweep:
    """Gives up turns that are lost and drops idempotency claims that are over, on a thread of its own."""

    def __init__(
        self,
        store: TurnStore,
        watch: Watch,
        clock: Callable[[], int] = now_ms,
        chores: Sequence[Chore] = (),
    ) -> None:
        """`chores` are done besides, on the same thread."""
        self._store = store
        self._watch = watch
        self._clock = clock
        self._chores = chores
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="turn-sweep", daemon=True)

    def start(self) -> None:
        """Remember the turns an earlier process left running, then sweep."""
        left = self._store.submit_zone(lambda zone: zone.unfinished()).result()
        for turn in left:
            if turn.state == "opened":
                self._watch.opened(turn.tenant, turn.turn, turn.log, turn.deadline_ms)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def sweep(self) -> tuple[int, int]:
        """One round: (turns given up, claims dropped)."""
        return self._give_up(), self._expire()

    def _give_up(self) -> int:
        lost, now, given = self._watch.lost(), self._clock(), 0

        def work(rows: TurnRows, turn: str) -> bool:
            found = rows.turn(turn)
            if found is None or found.state != "opened":
                return False
            interrupt(rows, found, now)
            return True

        for tenant, turn in lost:
            given += self._store.submit(tenant, lambda rows, turn=turn: work(rows, turn)).result()  # type: ignore[misc]
            self._watch.over(turn)
        if given:
            emit(TurnsGivenUp(given))
        return given

    def _expire(self) -> int:
        now, dropped = self._clock(), 0

        def work(zone: ZoneRows) -> int:
            found = zone.expired(now, EXPIRED_AT_ONCE)
            for tenant, claim in found:
                drop_claim(zone.of(tenant), claim)
            if found:
                zone.erase()
            return len(found)

        while some := self._store.submit_zone(work).result():
            dropped += some
        if dropped:
            emit(ClaimsExpired(dropped))
        return dropped

    def _run(self) -> None:
        """The thread's edge: what could not be done now is tried again with the next round."""
        rounds = 0
        while not self._stopping.wait(SWEEP_SECONDS):
            rounds += 1
            try:
                self._give_up()
                if rounds % EXPIRE_ROUNDS == 0:
                    self._expire()
                for chore in self._chores:
                    if rounds % chore.rounds == 1:
                        chore.work(self._stopping.is_set)
            except (DragomanError, SQLAlchemyError) as fault:
                emit(EdgeFailed("turn_sweep", type(fault).__name__, fault_place(fault)))
