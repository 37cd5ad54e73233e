"""What the page of simulations needs of control, and how a simulation stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RUNNING, DONE, FAILED = "running", "done", "failed"


@dataclass(frozen=True)
class Simulation:
    """One replay of the zone's record.

    `packs`: name of the changed packs, None for those in use; `as_of`: a day or None; times in ms UTC; `done`
    of `whole` turns, 0 while they are being counted; `report` once it is done.
    """

    state: str
    packs: str | None
    as_of: str | None
    by: str
    began: int
    ended: int | None = None
    done: int = 0
    whole: int = 0
    report: dict[str, Any] | None = None
    problem: str = ""


@dataclass(frozen=True)
class SimulationDesk:
    """Control's part. `start` raises RefusedError: 409 while one runs, 404 for packs that are not there."""

    choices: Callable[[], list[str]]
    """Names of the changed packs that the operator has put at `packs_next`."""
    current: Callable[[], Simulation | None]
    start: Callable[[str | None, str | None, str], None]
    """Packs, day, and who asks."""
    stop: Callable[[], None]
    """End the one that runs."""
