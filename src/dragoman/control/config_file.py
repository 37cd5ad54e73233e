"""The one way in which `dragoman.toml` is written: a change is shown, and what was shown is what is written.

It is checked as control would read it before a byte is written, and put in place whole, or not at all; never
where the file is another than the one it was made of.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.control.loaded import Loaded, read_all
from dragoman.control.rule_check import compile_rules
from dragoman.errors import ConfigError, StaleFileError
from dragoman.sentences import Sentence, by_system
from dragoman.settings import DEFAULT_FILE
from dragoman.settings_edit import Edit, difference, edited
from dragoman.settings_text import read_text

FILE_MODE = 0o600
"""The mode of a file that was not there."""
LOCK_SECONDS = 10.0
"""LIMIT: seconds that a write waits for another, of this process or of another."""


@dataclass(frozen=True)
class FileChange:
    """A change of the file: its texts, the difference (secrets masked), and how control would read it."""

    file: Path
    before: str | None
    """None: there was no file."""
    after: str
    difference: str
    loaded: Loaded

    @property
    def digests(self) -> dict[str, str | None]:
        """SHA-256 of both texts, as they stand in the file."""
        return {"before": None if self.before is None else _digest(self.before), "after": _digest(self.after)}


def place_of(file: Path | None) -> Path:
    """Where a change goes: the file in use, or the one that control would find."""
    return file or Path(DEFAULT_FILE).resolve()


def proposed(file: Path | None, edits: Sequence[Edit]) -> FileChange:
    """The change that these edits make of the file as it is now. Raises ConfigError naming every fault.

    Whether the keys that it names are there is asked when it is written: a difference does not tell.
    """
    target = place_of(file)
    before = _text(target)
    after = edited(before or "", edits)
    loaded = read_all(target, compile_rules, after, look_for_keys=False)
    return FileChange(target, before, after, difference(before or "", after, target.name), loaded)


def write(change: FileChange) -> None:
    """Put the change in place, durably. Raises StaleFileError where the file is another, or ConfigError."""
    try:
        with _alone(change.file.parent):
            _check_fresh(change)
            read_all(change.file, compile_rules, change.after)
            _put(change)
    except OSError as fault:
        why = by_system(fault)
        raise ConfigError(
            [
                Sentence(
                    f"{change.file} cannot be written: {why}; {_ADVICE}",
                    f"{change.file} 无法写入（{why.zh}）；{_ADVICE.zh}",
                )
            ]
        ) from fault


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One write at a time, of all processes: the folder is locked, which leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as fault:
                if time.monotonic() >= until:
                    raise ConfigError(
                        [
                            Sentence(
                                f"{folder} is locked by another that writes; try again",
                                f"{folder} 正被另一写入者锁定，请重试",
                            )
                        ]
                    ) from fault
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _check_fresh(change: FileChange) -> None:
    if _text(change.file) != change.before:
        raise StaleFileError(
            [
                Sentence(
                    f"{change.file} was changed meanwhile; look at the difference again",
                    f"{change.file} 其间已被更改，请重新查看差异",
                )
            ]
        )


def _put(change: FileChange) -> None:
    target, text = change.file, change.after
    draft = target.with_name(f".{target.name}.{os.getpid()}.new")
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else FILE_MODE
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(text.encode())
            os.fchmod(out.fileno(), mode)
            out.flush()
            os.fsync(out.fileno())
        _check_fresh(change)  # an editor locks nothing
        draft.replace(target)
    except (OSError, ConfigError):
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _text(target: Path) -> str | None:
    return read_text(target) if target.exists() else None


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


_ADVICE = Sentence(
    "let the account that runs Dragoman write the file and its folder, or change it by hand",
    "请让运行 Dragoman 的账户可写该文件及其文件夹，或手工修改",
)
