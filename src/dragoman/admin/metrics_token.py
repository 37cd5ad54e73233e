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
from dragoman.sentences import Sentence, by_system

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
        try:
            token = self._read(self._file)
        except OSError as fault:
            why = by_system(fault)
            raise self._fault(f"cannot be read ({why})", f"无法读取（{why.zh}）") from fault
        if not LEAST_BYTES <= len(token) <= FILE_BYTES:
            size = f"{LEAST_BYTES} to {FILE_BYTES} bytes"
            raise self._fault(f"is not a token of {size}", f"不是 {LEAST_BYTES} 到 {FILE_BYTES} 字节的令牌")
        text = token.decode("utf-8", "replace")
        if is_cookie(text) or is_token(text):
            raise self._fault("holds an administrator's session or token", "其中是管理员的会话或令牌")

    def _fault(self, en: str, zh: str) -> ConfigError:
        where = f"admin.metrics_token_file {self._file}"
        return ConfigError(
            [
                Sentence(
                    f"{where}: {en}; write a random text of {LEAST_BYTES} to {FILE_BYTES} bytes into it, "
                    "readable by this account, or leave the setting out",
                    f"{where}：{zh}；请写入 {LEAST_BYTES} 到 {FILE_BYTES} 字节的随机文本并让本账户可读，"
                    "或不写该设置",
                )
            ]
        )

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
