"""What a result of a check is, and what checks may look at."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import sqlite3
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Protocol

from dragoman import _native
from dragoman.budgets.bounds import Prices, Way
from dragoman.decide.packs import PackSet
from dragoman.decide.world import World
from dragoman.ledger.texts import LANGUAGES, language
from dragoman.policy.duties import Means
from dragoman.settings import Settings

SEVERITIES = ("note", "warning", "error")


@dataclass(frozen=True)
class Result:
    """One thing that is wrong, and what to do. `code` is public API."""

    code: str
    severity: str
    text: dict[str, str]
    fix: str

    def said(self) -> str:
        """The sentence in the reader's language."""
        return self.text[language(None)]


@cache
def known() -> dict[str, dict[str, str]]:
    """Every result by code."""
    return tomllib.loads(resources.files(__package__).joinpath("results.toml").read_text("utf-8"))


def result(code: str, /, **values: object) -> Result:
    """A result with its places filled in; a value may be a text in each language."""
    return filled(code, known()[code], values)


def filled(code: str, row: Mapping[str, str], values: Mapping[str, object]) -> Result:
    """A result from its row of a table of results, with the places filled in."""
    text = {lang: row[lang].format_map(_in(lang, values)) for lang in LANGUAGES}
    return Result(code, row["severity"], text, row["fix"].format_map(values))


def _in(lang: str, values: Mapping[str, object]) -> dict[str, object]:
    return {name: one[lang] if isinstance(one, Mapping) else one for name, one in values.items()}


def package_version() -> str | None:
    """The installed package's version; None where it runs from its sources."""
    try:
        return metadata.version("dragoman")
    except metadata.PackageNotFoundError:
        return None


def free_bytes(path: Path) -> int:
    """Bytes that may be written below the nearest folder that exists."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def sync_ms(folder: Path) -> float:
    """The median of some durable writes, milliseconds."""
    trial = folder / f".doctor-{os.getpid()}"
    handle = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        times = []
        for _ in range(SYNCS):
            begun = time.perf_counter()
            os.write(handle, b"\0" * 4096)
            os.fsync(handle)
            times.append(time.perf_counter() - begun)
    finally:
        os.close(handle)
        trial.unlink()
    return sorted(times)[SYNCS // 2] * 1000


def most_files() -> int:
    """The hard limit of open files; processes raise their soft one to it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def answers(path: Path) -> bool:
    """Whether somebody accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


SYNCS = 9


@dataclass(frozen=True)
class Machine:
    """What the machine is like."""

    python: tuple[int, int] = sys.version_info[:2]
    sqlite: str = sqlite3.sqlite_version
    native: str = _native.__version__
    package: str | None = field(default_factory=package_version)
    files: int = field(default_factory=most_files)
    now_s: Callable[[], float] = time.time
    free: Callable[[Path], int] = free_bytes
    sync: Callable[[Path], float] = sync_ms
    user: int = field(default_factory=os.getuid)


class Reading(Protocol):
    """What was read of files, as control holds it (`control.loaded.Loaded`)."""

    @property
    def packs(self) -> PackSet:
        """Law, terms and platform rules."""

    @property
    def world(self) -> World:
        """The operator's own facts, and the models on offer."""

    @property
    def means(self) -> Means:
        """What the operator has set up for duties that need it."""

    @property
    def attempts(self) -> Mapping[str, Sequence[Way]]:
        """Per model name the ways to carry a turn."""

    @property
    def prices(self) -> Prices:
        """What models cost."""


@dataclass(frozen=True)
class Subject:
    """What is looked at. `loaded`: None where rules or packs do not load; `online`: providers are called."""

    settings: Settings
    loaded: Reading | None = None
    machine: Machine = field(default_factory=Machine)
    online: bool = False

    @property
    def data(self) -> Path:
        """The zone's data folder."""
        return self.settings.zone.data

    @property
    def served(self) -> bool:
        """Whether a control answers for this zone."""
        return answers(self.data / "run" / "admin.sock")
