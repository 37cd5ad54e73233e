"""The bearer token of `admin.metrics_token_file`: it reads the counters and nothing else.

The file is read whenever the token is asked for, so that a new one works at once; at the start it has to
be there.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from dragoman.admin.sessions import is_cookie, is_token
from dragoman.errors import ConfigError

FILE_BYTES = 4_096
"""LIMIT: bytes of the file; a longer one is refused."""
LEAST_BYTES = 16
"""LIMIT: bytes of the token at least."""


class MetricsToken:
    """The token of one file; no file: no token."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def check(self) -> None:
        """Raise ConfigError with what to do where the file is named and cannot serve."""
        if self._file is None:
            return
        advice = (
            f"write a random text of {LEAST_BYTES} to {FILE_BYTES} bytes into it, readable by this account, "
            "or leave the setting out"
        )
        where = f"admin.metrics_token_file {self._file}"
        try:
            token = self._read(self._file)
        except OSError as fault:
            raise ConfigError([f"{where}: cannot be read ({fault.strerror}); {advice}"]) from fault
        if not LEAST_BYTES <= len(token) <= FILE_BYTES:
            raise ConfigError([f"{where}: is not a token of {LEAST_BYTES} to {FILE_BYTES} bytes; {advice}"])
        text = token.decode("utf-8", "replace")
        if is_cookie(text) or is_token(text):
            raise ConfigError([f"{where}: holds an administrator's session or token; {advice}"])

    def is_this(self, text: str) -> bool:
        """Whether a caller sent the token. Takes as long for one wrong text as for any other."""
        if self._file is None:
            return False
        try:
            wanted = self._read(self._file)
        except OSError:
            return False
        # Digests have one length, so that the time does not tell the token's.
        return (
            _same(wanted, text.encode("utf-8", "surrogatepass")) and LEAST_BYTES <= len(wanted) <= FILE_BYTES
        )

    @staticmethod
    def _read(file: Path) -> bytes:
        with file.open("rb") as opened:
            return opened.read(FILE_BYTES + 1).strip()


def _same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(hashlib.sha256(one).digest(), hashlib.sha256(other).digest())
