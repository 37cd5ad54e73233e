"""The errors Dragoman raises on purpose, each with a stable code and a sentence in English and Chinese.

DragomanError
├── RefusedError        a caller's request is refused; becomes the wire's error object
├── ConfigError    the configuration cannot be used; names file, line and what to write instead
└── UnavailableError    this process cannot do it now (lock held, peer gone); try again or elsewhere
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.sentences import Sentence

Text = Mapping[str, str]
"""`{"en": ..., "zh": ...}`: what a person reads, in every shipped language."""

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    421: "invalid_request_error",
    426: "invalid_request_error",
    503: "server_error",
}


class DragomanError(Exception):
    """Base of the tree; `code` is public API."""

    code = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RefusedError(DragomanError):
    """A request that is refused: HTTP status, stable code, parameter and text for the caller."""

    def __init__(
        self,
        status: int,
        code: str,
        text: Text,
        *,
        param: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(text["en"])
        self.status = status
        self.code = code
        self.text = dict(text)
        self.param = param
        self.extra = dict(extra or {})

    def document(self) -> dict[str, Any]:
        """The wire's error object (docs/wire.md, "Errors inside")."""
        kind = ERROR_TYPES.get(self.status, "server_error")
        return {
            "error": {
                "type": kind,
                "code": self.code,
                "param": self.param,
                "message": self.text,
                **self.extra,
            }
        }


class ConfigError(DragomanError):
    """The configuration cannot be used; `problems` holds one sentence per fault."""

    code = "config_invalid"

    def __init__(self, problems: list[Sentence]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StaleFileError(ConfigError):
    """The file was changed since the difference was shown."""

    code = "stale_file"


class UnavailableError(DragomanError):
    """This process cannot do it now: another holds the lock, or the peer does not answer."""

    code = "unavailable"
