"""Installs the pinned peers, each in its own environment under build/peers; a missing one is reported, not fatal."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "peers"
PINS = Path(__file__).with_name("peers.toml")
INSTALL_S = 900
"""LIMIT: seconds an installation may take."""


@dataclass(frozen=True)
class Peer:
    """An installed peer: its Python and its version, or why it is missing."""

    name: str
    python: Path
    version: str | None
    missing: str | None = None


def pins() -> dict[str, dict[str, Any]]:
    """The tables of peers.toml."""
    return tomllib.loads(PINS.read_text(encoding="utf-8"))


def installed(name: str) -> str | None:
    """The installed version, read from the peer's own environment."""
    code = f"import importlib.metadata as m; print(m.version({pins()[name]['package']!r}))"
    try:
        done = subprocess.run([str(_python(name)), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def obtain(name: str) -> Peer:
    """The peer, installed now if it is not there with the pinned requirement."""
    pin = pins()[name]
    stamp = FOLDER / name / "pins.txt"
    wanted = "\n".join(pin["pip"])
    version = installed(name)
    if version and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return Peer(name, _python(name), version)
    print(f"  installing {wanted} (once; a minute or two) ...", flush=True)
    for command in (
        [sys.executable, "-m", "venv", str(FOLDER / name)],
        [str(_python(name)), "-m", "pip", "install", "-q", *pin["pip"]],
    ):
        why = _run(command)
        if why:
            return Peer(name, _python(name), None, why)
    stamp.write_text(wanted, encoding="utf-8")
    return Peer(name, _python(name), installed(name))


def _python(name: str) -> Path:
    return FOLDER / name / "bin" / "python"


def _run(command: list[str]) -> str | None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or ["installation failed"])[-1]
