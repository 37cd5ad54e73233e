"""Documents that are never read to their end: the change fails in its time, and no process stays behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import UnavailableError
from dragoman.knowledge import ingest, intake
from dragoman.knowledge.intake import Intake
from dragoman.knowledge.model import Source
from promise import SLOW_SECONDS, eventually

SOURCE = Source(id="help", tenant="ten_a", title="Help", owner="Us", licence="CC0-1.0")


class Endless:
    """A file whose bytes never come: whoever reads it waits for as long as this holds the other end."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._end = -1

    def is_begun(self) -> bool:
        """Whether a worker reads it; it then waits."""
        try:
            self._end = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as fault:
            if fault.errno != errno.ENXIO:  # nobody reads it yet
                raise
            return False
        return True

    def is_left(self) -> bool:
        """Whether nobody reads it any more."""
        try:
            os.write(self._end, b".")
        except BrokenPipeError:
            return True
        return False

    def close(self) -> None:
        if self._end >= 0:
            os.close(self._end)


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Endless]:
    file = Endless(tmp_path / "endless.txt")
    yield file
    file.close()


def test_a_worker_that_never_ends_fails_its_change_alone_and_is_not_left_running(
    tmp_path: Path, endless: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(threading.Timer):
        """Late as soon as a worker waits, however slow it was to begin."""

        def __init__(self, _seconds: float, function: Any, args: Any) -> None:
            super().__init__(0, lambda: (eventually("a worker reads", endless.is_begun), function(*args)))

    way, ended = Intake(tmp_path / "k"), list[object]()

    def take() -> None:
        try:
            ended.append(way.take({"endless.txt": endless.path}, SOURCE))
        except UnavailableError as fault:
            ended.append(fault)

    with monkeypatch.context() as patch:
        patch.setattr(intake.threading, "Timer", Late)  # type: ignore[attr-defined]
        taking = threading.Thread(target=take, daemon=True)
        taking.start()
        taking.join(SLOW_SECONDS)
    assert [type(one) for one in ended] == [UnavailableError], "the change failed in its time"
    eventually("the worker ended", endless.is_left)
    good = tmp_path / "good.txt"
    good.write_text("tea", encoding="utf-8")
    assert list(way.take({"good.txt": good}, SOURCE).held) == ["good.txt"]


def test_the_workers_end_with_whoever_gave_the_order(tmp_path: Path, endless: Endless) -> None:
    code = (
        "import sys; from pathlib import Path; from dragoman.knowledge.intake import Intake; "
        "from dragoman.knowledge.model import Source; "
        "Intake(Path(sys.argv[1])).take({'endless.txt': Path(sys.argv[2])}, Source.from_dict("
        f"{SOURCE.as_dict()!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "k"), str(endless.path)]) as control:
        eventually("a worker reads", endless.is_begun)
        control.kill()
    eventually("the worker ended", endless.is_left)


def _spin(file: str, name: str, known: str | None) -> object:
    while name == "spins.txt":
        pass
    return ingest._read(file, name, known)


def _work_short(connection: object) -> None:
    ingest.FILE_CPU_SECONDS = 1
    ingest._read_with(connection, _spin)  # type: ignore[arg-type]


def test_the_system_ends_a_worker_that_takes_too_much_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(ingest._Worker):
        target = staticmethod(_work_short)

    files = {name: tmp_path / name for name in ("spins.txt", "good.txt")}
    for file in files.values():
        file.write_text("tea", encoding="utf-8")
    monkeypatch.setattr(ingest, "_Worker", Short)
    outcomes = dict(ingest._parsed(files, {}))
    assert outcomes["spins.txt"] == ingest._DIED
    assert not isinstance(outcomes["good.txt"], ingest.Fault)
