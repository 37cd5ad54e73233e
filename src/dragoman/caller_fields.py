"""Which of a caller's header fields an operator may let through to a provider.

Never its credentials, nor what frames or forwards a request; the relay refuses the same names.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_NEVER = frozenset({
    "authorization", "x-api-key", "api-key", "cookie", "host", "content-type", "content-length", "accept",
    "content-encoding", "accept-encoding", "user-agent", "expect", "connection", "keep-alive", "te",
    "trailer", "proxy-authenticate", "proxy-authorization", "proxy-connection", "transfer-encoding",
    "upgrade", "forwarded", "via", "x-real-ip",
})  # fmt: skip


def may_pass(name: str) -> bool:
    """Whether a field of this name may go to a provider."""
    lower = name.lower()
    ours = lower in _NEVER or lower.startswith(("dragoman-", "x-forwarded-"))
    return _NAME.fullmatch(name) is not None and not ours
