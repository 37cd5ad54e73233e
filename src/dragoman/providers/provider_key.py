"""The key that a provider's settings name, where control asks the provider. The relay reads its own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dragoman.settings_providers import Provider

KEY_FILE_BYTES = 4_096
"""LIMIT: bytes of a file that holds a provider's key."""


class NoKeyError(Exception):
    """There is no key where the settings say."""


def read_key(provider: Provider) -> str | None:
    """The key; None where the settings name none. Raises NoKeyError."""
    if provider.key_env is not None:
        return key_of_env(provider.key_env)
    return None if provider.key_file is None else key_in(Path(os.path.realpath(provider.key_file)))


def key_of_env(name: str) -> str:
    """The key in an environment variable. Raises NoKeyError."""
    key = os.environ.get(name)
    if not key:
        raise NoKeyError(f"there is no variable {name}")
    return key


def key_in(path: Path) -> str:
    """The one line of a regular file; a link is not followed. Raises NoKeyError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise NoKeyError("it is not a regular file")
            raw = os.read(handle, KEY_FILE_BYTES + 1)
        finally:
            os.close(handle)
    except OSError as fault:
        raise NoKeyError(f"the file cannot be read: {fault.strerror or type(fault).__name__}") from fault
    key = raw.strip()
    if len(raw) > KEY_FILE_BYTES or not key or any(not 32 <= one <= 126 for one in key):
        raise NoKeyError(f"the file is not one line of visible ASCII of at most {KEY_FILE_BYTES} bytes")
    return key.decode("ascii")
