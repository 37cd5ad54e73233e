"""Control's part of the page of simulations: one replay at a time, by the verb, in a process of its own.

So a long replay takes neither the time nor the memory of the process that decides turns. Its report is kept
until the next one or the end of this process. A replay ends with its time or with `stop`; it changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from dragoman.admin.simulation_desk import DONE, FAILED, RUNNING, Simulation, SimulationDesk
from dragoman.control.loaded import Holder
from dragoman.errors import RefusedError
from dragoman.ids import now_ms

COMMAND = [sys.executable, "-P", "-m", "dragoman.cli", "simulate", "--json", "--progress", "--processes", "1"]
SIMULATION_SECONDS = 1800.0
"""LIMIT: seconds one replay may take."""
REPORT_BYTES = 64 << 20
"""LIMIT: bytes of a report."""
CHOICES_MOST = 200
"""LIMIT: folders of changed packs that are offered."""
_NICE = 10
"""How far it stands back behind turns (nice)."""
_PROGRESS = re.compile(r"(counting|deciding) (\d+)(?: of (\d+))?\s*")


class Simulations:
    """The replays of one zone."""

    def __init__(self, holder: Holder, clock: Callable[[], int] = now_ms) -> None:
        self._holder, self._clock = holder, clock
        self._lock = threading.Lock()
        self._current: Simulation | None = None
        self._child: subprocess.Popen[str] | None = None

    def desk(self) -> SimulationDesk:
        """What the pages get to see of it."""
        return SimulationDesk(self.choices, lambda: self._current, self.start, self.stop)

    def choices(self) -> list[str]:
        """Folders at `packs_next`, by name."""
        place = self._holder.loaded.settings.packs_next
        if place is None or not place.is_dir():
            return []
        return sorted(one.name for one in place.iterdir() if one.is_dir() and one.name[0] != ".")[
            :CHOICES_MOST
        ]

    def start(self, packs: str | None, as_of: str | None, by: str) -> None:
        """Begin a replay. Raises RefusedError."""
        if packs is None and as_of is None:
            raise _wrong("Choose packs, a date, or both.", "请选择规则包、日期，或两者。")
        if packs is not None and packs not in self.choices():
            raise _wrong("There are no such packs at packs_next.", "packs_next 处没有这些规则包。")
        with self._lock:
            if self._child is not None:
                text = {"en": "A simulation is running; wait for it.", "zh": "已有模拟在运行，请稍候。"}
                raise RefusedError(409, "simulation_running", text)
            out = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by the one who watches
            self._child = subprocess.Popen(
                [*COMMAND, *self._words(packs, as_of)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._child.pid, _NICE)
            self._current = Simulation(RUNNING, packs, as_of, by, self._clock())
        threading.Thread(target=self._watch, args=(self._child, out), daemon=True).start()

    def _words(self, packs: str | None, as_of: str | None) -> list[str]:
        loaded = self._holder.loaded
        words = ["--from", str(loaded.settings.zone.data)]
        if loaded.file is not None:
            words += ["--config", str(loaded.file)]
        if packs is not None:
            words += ["--packs", str(Path(str(loaded.settings.packs_next)) / packs)]
        return [*words, *(["--as-of", as_of] if as_of is not None else [])]

    def _watch(self, child: subprocess.Popen[str], out: IO[str]) -> None:
        late = threading.Timer(SIMULATION_SECONDS, _end, [child])
        late.daemon = True
        late.start()
        said = ""
        assert child.stderr is not None
        for line in child.stderr:
            if found := _PROGRESS.fullmatch(line):
                self._told(done=int(found[2]) if found[3] else 0, whole=int(found[3] or 0))
            else:
                said = line.strip()[:1000] or said
        status = child.wait()
        late.cancel()
        with out:
            out.seek(0)
            text = out.read(REPORT_BYTES + 1)
        with self._lock:
            if status == 0 and len(text) <= REPORT_BYTES:
                self._told(state=DONE, report=json.loads(text), ended=self._clock())
            else:
                why = said.removeprefix("dragoman: ") or f"it ended with status {status}"
                self._told(state=FAILED, problem=why, ended=self._clock())
            self._child = None

    def _told(self, **more: object) -> None:
        if self._current is not None:
            self._current = replace(self._current, **more)  # type: ignore[arg-type]

    def stop(self) -> None:
        """End what runs."""
        child = self._child
        if child is not None:
            _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    """End the process and all that it began, where it still runs."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def _wrong(en: str, zh: str) -> RefusedError:
    return RefusedError(400, "invalid_value", {"en": en, "zh": zh}, param="packs")
