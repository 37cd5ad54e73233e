"""The one way in which the file is written: whole or not at all, checked before, never over somebody else's change."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.control import config_file
from dragoman.control.config_file import proposed, write
from dragoman.control.loaded import Loaded, read_all
from dragoman.control.reload import kept_out, waits
from dragoman.errors import ConfigError, StaleFileError
from dragoman.settings import load
from dragoman.settings_edit import Edit

TEXT = '# ours\n[zone]\ndata = "d" # here\n'
SEAT = [Edit(("deployment", "seat"), "DE")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "dragoman.toml"
    file.write_text(TEXT, encoding="utf-8")
    file.chmod(0o640)
    return file


def left(file: Path) -> set[str]:
    return {path.name for path in file.parent.iterdir()} - {"d"}


def test_what_was_shown_is_written_and_the_mode_stays(file: Path) -> None:
    change = proposed(file, SEAT)
    assert file.read_text() == TEXT, "nothing is written before"
    assert left(file) == {"dragoman.toml"}
    assert change.difference.splitlines()[3:] == [
        " # ours",
        " [zone]",
        ' data = "d" # here',
        "+",
        "+[deployment]",
        '+seat = "DE"',
    ]
    write(change)
    assert file.read_text() == change.after
    assert load(file).deployment.seat == "DE"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert left(file) == {"dragoman.toml"}


def test_a_file_that_was_changed_meanwhile_is_not_written_over(file: Path) -> None:
    change = proposed(file, SEAT)
    file.write_text(TEXT + "# theirs\n", encoding="utf-8")
    with pytest.raises(StaleFileError, match="meanwhile"):
        write(change)
    assert file.read_text() == TEXT + "# theirs\n"
    file.write_text(TEXT, encoding="utf-8")
    write(change)  # the control: the same file again


OTHER = """
import sys
from pathlib import Path
from dragoman.control import config_file
from dragoman.errors import ConfigError
from dragoman.settings_edit import Edit
config_file.LOCK_SECONDS = 0.0
try:
    config_file.write(config_file.proposed(Path(sys.argv[1]), [Edit(("deployment", "name"), "Theirs")]))
except ConfigError as fault:
    sys.exit("; ".join(fault.problems))
"""


def other_process(file: Path) -> subprocess.CompletedProcess[str]:
    """Another process changes the file, as `dragoman models add` does."""
    return subprocess.run([sys.executable, "-c", OTHER, str(file)], capture_output=True, text=True)


def meanwhile(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Do something when a write has looked at the file and not yet replaced it."""

    def read(*given: Any, **named: Any) -> Loaded:
        do()
        return read_all(*given, **named)

    monkeypatch.setattr(config_file, "read_all", read)


def test_two_processes_write_one_after_the_other(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, told = proposed(file, SEAT), list[subprocess.CompletedProcess[str]]()
    meanwhile(monkeypatch, lambda: told.append(other_process(file)))
    write(change)
    assert told[0].returncode == 1, "what is not written is not acknowledged"
    assert "locked by another" in told[0].stderr
    assert file.read_text() == change.after
    assert other_process(file).returncode == 0, "the control"
    assert (load(file).deployment.seat, load(file).deployment.name) == ("DE", "Theirs")


def test_what_an_editor_saves_at_the_last_moment_stays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = proposed(file, SEAT)
    meanwhile(monkeypatch, lambda: file.write_text(TEXT + "# theirs\n", encoding="utf-8"))
    with pytest.raises(StaleFileError):
        write(change)
    assert file.read_text() == TEXT + "# theirs\n"
    assert left(file) == {"dragoman.toml"}


def test_a_file_that_appeared_or_went_meanwhile_is_stale_too(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.toml"
    change = proposed(file, SEAT)
    assert change.digests["before"] is None
    file.write_text(TEXT, encoding="utf-8")
    with pytest.raises(StaleFileError):
        write(change)
    file.unlink()
    write(change)
    assert file.read_text() == '[deployment]\nseat = "DE"\n'
    assert stat.S_IMODE(file.stat().st_mode) == config_file.FILE_MODE


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (Edit(("deployment", "seat"), "Germany"), "deployment.seat"),
        (Edit(("deployment", "stage"), "public"), "zone.public_url"),
        (Edit(("models", "a", "provider"), "nobody"), "models.a.model: Field required"),
        (Edit(("providers", "a", "base_url"), "http://host/v1"), "loopback"),
    ],
)
def test_what_would_not_load_is_never_shown_as_a_change(file: Path, edit: Edit, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        proposed(file, [edit])
    assert left(file) == {"dragoman.toml"}


def test_a_change_that_cannot_be_put_in_place_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = proposed(file, SEAT)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        write(change)
    assert file.read_text() == TEXT
    assert left(file) == {"dragoman.toml"}


def test_what_waits_for_a_restart_is_told(file: Path) -> None:
    old = load(file)

    def of(*edits: Edit) -> tuple[str, ...]:
        return waits(old, proposed(file, edits).loaded.settings)

    assert of(*SEAT) == ()
    assert of(Edit(("zone", "listen"), "127.0.0.1:1")) == ("zone.listen",)
    assert of(Edit(("deployment", "name"), "New")) == ("deployment.name",)
    assert of(Edit(("admin", "session_hours"), 1)) == ("admin",)
    new = proposed(file, [Edit(("zone", "listen"), "127.0.0.1:1"), *SEAT]).loaded.settings
    assert set(kept_out(old, new)) == {"zone.listen"}
    moved = proposed(file, [Edit(("journal", "folder"), "elsewhere")]).loaded.settings
    assert kept_out(old, moved) == {
        "journal.folder": "journal.folder cannot change while the zone runs; restart `dragoman serve`"
    }
