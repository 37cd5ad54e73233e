"""The text of a configuration or rule file, bounded."""

from __future__ import annotations

from pathlib import Path

from dragoman.errors import ConfigError

MAX_FILE_BYTES = 1 << 20
"""LIMIT: bytes of a configuration or rule file."""


def read_text(file: Path) -> str:
    """The file's text, its line ends as they are. Raises ConfigError."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from error
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError([f"{file}: larger than {MAX_FILE_BYTES} bytes"])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{file}: not UTF-8 at byte {error.start}"]) from error
