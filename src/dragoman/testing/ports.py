"""Free ports on loopback, for tests and trials that start a whole Dragoman."""

from __future__ import annotations

import secrets
import socket

FIRST, LAST = 20_000, 32_000
"""Below the ports that systems give to outgoing connections, so that none of those takes one in between."""


def free_port() -> int:
    """Give a port that nobody listens on now, drawn so that two who ask at once rarely draw the same."""
    while True:
        port = FIRST + secrets.randbelow(LAST - FIRST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
