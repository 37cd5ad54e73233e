"""The text of a configuration or rule file, bounded."""

from __future__ import annotations

from pathlib import Path

from dragoman.errors import ConfigError
from dragoman.sentences import Sentence, no_file_to_read

MAX_FILE_BYTES = 1 << 20
"""LIMIT: bytes of a configuration or rule file."""


def read_text(file: Path) -> str:
    """The file's text, its line ends as they are. Raises ConfigError."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([no_file_to_read(file, error)]) from error
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(
            [Sentence(f"{file}: larger than {MAX_FILE_BYTES} bytes", f"{file}：超过 {MAX_FILE_BYTES} 字节")]
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        said = Sentence(
            f"{file}: not UTF-8 at byte {error.start}", f"{file}：第 {error.start} 字节处不是 UTF-8"
        )
        raise ConfigError([said]) from error
