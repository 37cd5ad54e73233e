"""Retention carried out: once a day what is due goes, class by class, in small steps beside turns.

A run begun is gone on with after a stop or a crash, and its end is an act in control's own log. The same run
and its report are verbs on `admin.sock`. What is due, and why, is `policy.retention`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from dragoman.accounts.sessions import SESSION_MS
from dragoman.assistants import removal
from dragoman.control.asgi import Answer, Request, Routes
from dragoman.control.loaded import Holder
from dragoman.control.questions import malformed
from dragoman.core.conversations import ConversationRows, ConversationStore
from dragoman.errors import DragomanError, RefusedError
from dragoman.events import EdgeFailed, RetentionPutOff, RetentionRun, emit, fault_place
from dragoman.ids import now_ms
from dragoman.policy.retention import Period, periods
from dragoman.stores.retention import Place, RetentionRows

EVERY_MS = 24 * 3_600_000
"""How long after a run's end the next one begins."""
LOOK_SECONDS = 60.0
"""How often it is looked whether one is to begin, or to be gone on with."""
JUMP_MS = 3_600_000
"""How far the clock may move against the machine's own between two looks; beyond it no run begins for a day,
so that a clock set wrong erases nothing before somebody notices."""
VERB_SECONDS = 15.0
"""LIMIT: how long one request to `admin.sock` runs; the command asks again until the run has ended."""

Stopping = Callable[[], bool]


def boot_ms() -> int:
    """Milliseconds since the machine started, those it slept too where it can tell."""
    return round(time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) * 1000)


@dataclass(frozen=True)
class Ran:
    """What became of a run: how many rows went by class, and whether it ended."""

    gone: dict[str, int]
    finished: bool

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"gone": self.gone, "finished": self.finished}


class Retention:
    """The zone's retention, by the reading in use."""

    def __init__(
        self,
        holder: Holder,
        rows: RetentionRows,
        conversations: ConversationStore,
        clock: Callable[[], int] = now_ms,
        since_boot: Callable[[], int] = boot_ms,
    ) -> None:
        """`since_boot`: milliseconds on a clock that no one sets and that counts suspension."""
        self._holder = holder
        self._rows = rows
        self._conversations = conversations
        self._clock = clock
        self._since_boot = since_boot
        self._seen = clock(), since_boot()
        self._not_before = 0
        self._busy = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="retention", daemon=True)

    def start(self) -> None:
        """Begin to look once a minute."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its step; what is left is gone on with after the next start."""
        self._ending.set()
        self._thread.join()

    def report(self) -> dict[str, Any]:
        """Each class: how long it is kept, by which rule and source, how much there is, what is due."""
        now = self._clock()
        found = [self._reported(one, now) for one in self._periods(now)]
        run = self._rows.run()
        return {"as_of": now, "last_run": run.get("finished"), "classes": found}

    def run(self, stopping: Stopping = lambda: False) -> Ran:
        """Remove what is due, or go on with a run that was left. RefusedError 409 where one is on its way."""
        if not self._busy.acquire(blocking=False):
            raise RefusedError(
                409,
                "retention_running",
                {
                    "en": "A run is on its way already. Ask again in a moment.",
                    "zh": "已有一次清理正在进行，请稍后再试。",
                },
            )
        try:
            return self._run(stopping)
        finally:
            self._busy.release()

    def is_due(self) -> bool:
        """Whether a run is to begin, or to be gone on with. Called at each look."""
        now, boot = self._clock(), self._since_boot()
        moved = (now - self._seen[0]) - (boot - self._seen[1])
        self._seen = now, boot
        if abs(moved) > JUMP_MS:
            self._not_before = boot + EVERY_MS
            emit(RetentionPutOff(round(moved / 60_000)))
        last: int = self._rows.run().get("finished", 0)
        return boot >= self._not_before and now - last >= EVERY_MS

    def _run(self, stopping: Stopping) -> Ran:
        began, kept = time.monotonic(), self._rows.run()
        if "began" not in kept:
            kept = {"began": self._clock(), "gone": {}, "done": [], "place": []}
        gone: dict[str, int] = kept["gone"]
        now = self._clock()
        todo = self._periods(now)
        for one in todo:
            name, before = one.of.name, _before(one, now)
            if name in kept["done"] or before is None:
                continue
            place: Place | None = kept["place"]
            while place is not None:
                if stopping():
                    return Ran(gone, finished=False)
                since = time.monotonic()
                went, place = self._step(name, before, place, stopping)
                gone[name] = gone.get(name, 0) + went
                kept["place"] = place or []
                if place is not None:
                    self._rows.keep_run(kept)
                    self._ending.wait(time.monotonic() - since)
            kept["done"].append(name)
            self._rows.keep_run(kept)
        self._rows.keep_run({"finished": self._clock()}, _entry(kept["began"], todo, gone))
        emit(RetentionRun(sum(gone.values()), round((time.monotonic() - began) * 1000)))
        return Ran(gone, finished=True)

    def _step(self, name: str, before: int, place: Place, stopping: Stopping) -> tuple[int, Place | None]:
        if name != "conversations":
            done = self._rows.step(name, before, place)
            return done.gone, done.place
        due, then = self._rows.quiet(before, place)
        gone, last = 0, place
        for tenant, conversation in due:
            if stopping():
                return gone, last
            gone += self._erase(tenant, conversation, before)
            last = [tenant, conversation]
        return gone, then

    def _erase(self, tenant: str, conversation: str, before: int) -> int:
        """Erase a conversation that is still as quiet as it was when it was found: 1, or 0."""

        def begin(rows: ConversationRows) -> tuple[bool, int | None]:
            record = rows.conversation(conversation)
            if record is None or record.changed_at > before or rows.running(conversation):
                return False, 0
            return True, removal.begin(rows, conversation)

        since = time.monotonic()
        is_due, turns = self._conversations.submit(tenant, begin).result()
        if turns is None:
            removal.finish(self._conversations, tenant, conversation)
        self._ending.wait(time.monotonic() - since)
        return int(is_due)

    def days(self) -> dict[str, int | None]:
        """Days for which each class is kept now; None: without end."""
        return {one.of.name: one.days for one in self._periods(self._clock())}

    def _periods(self, now: int) -> tuple[Period, ...]:
        loaded = self._holder.loaded
        return periods(loaded.settings, loaded.packs, loaded.world, now)

    def _reported(self, one: Period, now: int) -> dict[str, Any]:
        found = self._rows.look(one.of.name, _before(one, now))
        return {
            "class": one.of.name,
            "title": dict(one.of.title),
            "days": one.days,
            "rule": one.rule,
            "source": one.citation.to_dict() if one.citation else None,
            "setting": one.of.setting,
            "count": found.kept,
            "oldest": found.oldest,
            "due": found.due,
            "law": [asked.to_dict() for asked in one.law],
        }

    def _loop(self) -> None:
        """The thread's edge: what could not be done now is gone on with at the next look."""
        while not self._ending.wait(LOOK_SECONDS):
            try:
                if self.is_due():
                    self.run(self._ending.is_set)
            except (DragomanError, SQLAlchemyError) as fault:
                emit(EdgeFailed("retention", type(fault).__name__, fault_place(fault)))

    def added_to(self, routes: Routes) -> Routes:
        """The table with these verbs in it."""
        routes.on("GET", "/admin/v1/retention", self.show)
        routes.on("POST", "/admin/v1/retention/run", self.run_some)
        return routes

    async def show(self, _request: Request) -> Answer:
        """The report."""
        return 200, await run_in_threadpool(self.report)

    async def run_some(self, request: Request) -> Answer:
        """Run for a while; `finished` says whether the run has ended."""
        if await request.json():
            raise malformed("nothing is to be said here")
        until = time.monotonic() + VERB_SECONDS
        ran = await run_in_threadpool(self.run, lambda: self._ending.is_set() or time.monotonic() >= until)
        return 200, ran.to_dict()


def _before(one: Period, now: int) -> int | None:
    """Up to when rows of a class are due; a guest's cookie lives as long as it lives."""
    before = one.before(now)
    return before if before is None or one.of.name != "guests" else min(before, now - SESSION_MS)


def _entry(began: int, todo: tuple[Period, ...], gone: dict[str, int]) -> dict[str, Any]:
    """The act that control's own log gets of a run: periods and numbers."""
    rows = [
        {"class": one.of.name, "days": one.days, "rule": one.rule, "gone": gone.get(one.of.name, 0)}
        for one in todo
    ]
    return {"act": "retention.run", "began": began, "classes": rows}
