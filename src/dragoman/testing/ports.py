"""Free ports on loopback, for tests and trials that start a whole Dragoman."""

from __future__ import annotations

import secrets
import socket

FIRST, LAST = 20_000, 32_000
"""Below the ports that systems give to outgoing connections, so that none of those takes one in between."""


_given: set[int] = set()


def free_port() -> int:
    """Give a port that nobody listens on now: never twice in a process, rarely the same in two at once.

    The next port is free as well: a zone's admin listeners take two in a row.
    """
    while True:
        port = FIRST + 2 * secrets.randbelow((LAST - FIRST) // 2)
        if port not in _given and _is_free(port) and _is_free(port + 1):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
