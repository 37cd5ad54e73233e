"""One window: the load runs, and the CPU of the system's whole tree is read before and after.

A window ends when the tree is quiet again, so that work put off to later is counted where it was caused.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import end_users
import processes
from cells import Cell
from systems import System

LOAD_S = 180.0
"""LIMIT: seconds the load may take beyond its window."""


@dataclass(frozen=True)
class Window:
    """What one window showed. CPU in ms; `refused` says why it must not count."""

    system: str
    answered: int
    per_second: float
    cpu_per_request: float
    provider_cpu_per_request: float
    load_cpu_ms: float
    refused: str | None
    report: dict[str, Any]
    roles: dict[str, float] = field(default_factory=dict)
    """CPU per request of each process that has a role, where the system says which is which."""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def closed(programs: Path, system: System, provider: System, cell: Cell) -> Window:
    """A closed-loop window of a cell."""
    load: dict[str, Any] = {
        "model": system.prefix + cell.model,
        "stream": cell.stream,
        "connections": cell.connections,
        "seconds": cell.seconds,
        "history_bytes": cell.history_bytes,
        "expect_chars": cell.expect_chars,
        "warm": 1 if cell.name == "paced" else 20,
    }
    if not cell.new_users:
        return run(programs, system, provider, load)
    with tempfile.TemporaryDirectory() as folder:
        file = end_users.write(Path(folder) / "tokens", system.user_secret)
        load["tokens"] = (str(file), end_users.HEADER)
        if system.user_key:
            load["headers"] = [("authorization", f"Bearer {system.user_key}")]
        window = run(programs, system, provider, load)
    if system.user_key and window.answered > end_users.A_WINDOW - load["warm"] * cell.connections:
        return replace(window, refused="more requests than new users")
    return window


def open_loop(
    programs: Path, system: System, provider: System, *, model: str, stream: bool, rate: float, seconds: float
) -> Window:
    """A window of requests that start at a fixed rate."""
    load = {
        "model": system.prefix + model,
        "stream": stream,
        "connections": 64,
        "seconds": seconds,
        "rate": rate,
        "warm": 2,
        "expect_chars": 80,
    }
    return run(programs, system, provider, load)


def leaks(
    programs: Path, system: System, provider: System, *, model: str, stream: bool, phrase: str
) -> Window:
    """A few answers with the phrase planted, every frame decoded."""
    load = {
        "model": system.prefix + model,
        "stream": stream,
        "connections": 2,
        "seconds": 30,
        "each": 3,
        "phrase": phrase,
    }
    return run(programs, system, provider, load, settle=False)


def run(
    programs: Path, system: System, provider: System, load: Mapping[str, Any], *, settle: bool = True
) -> Window:
    """Runs the load with these settings at the system."""
    way = {"address": system.address, "path": system.path, "tls": system.tls}
    config = {"headers": system.headers, **load, **way, "wait": True}
    with subprocess.Popen(
        [str(programs / "load"), json.dumps(config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        ready = process.stdout.readline().strip() == "ready"
        if settle:
            system.tree.quiet()
        roles_before = _by_role(system)
        before, provider_before = system.tree.cpu_ms(), provider.tree.cpu_ms()
        text = ""
        if ready:
            text, _ = process.communicate("\n", timeout=LOAD_S + float(load["seconds"]))
    if not ready or process.returncode != 0:
        return _refused(system.name, f"the load ended with status {process.returncode}")
    report = json.loads(text)
    quiet = system.tree.quiet() if settle else True
    cpu, provider_cpu = system.tree.cpu_ms() - before, provider.tree.cpu_ms() - provider_before
    window = _window(system, report, cpu, provider_cpu, quiet=quiet)
    count = max(window.answered, 1)
    shares = {role: (ms - roles_before[role]) / count for role, ms in _by_role(system).items()}
    return replace(window, roles=shares)


def _by_role(system: System) -> dict[str, float]:
    return {role: processes.cpu_ms(pid) for role, pid in system.roles.items()}


def _window(
    system: System, report: dict[str, Any], cpu: float, provider_cpu: float, *, quiet: bool
) -> Window:
    answered = int(report["answered"])
    refused = None
    if report["errors"]:
        refused = f"{report['errors']} errors: {report['error_kinds']} {str(report['error_sample'])[:200]}"
    elif not answered:
        refused = "nothing was answered"
    elif not quiet:
        refused = "the system was still working 10 s after the window"
    elif not system.tree.alive():
        refused = "the system ended"
    count = max(answered, 1)
    own = float(report["own_cpu_ms"])
    return Window(
        system.name,
        answered,
        float(report["per_second"]),
        cpu / count,
        provider_cpu / count,
        own,
        refused,
        report,
    )


def _refused(name: str, why: str) -> Window:
    return Window(name, 0, 0.0, 0.0, 0.0, 0.0, why, {})
