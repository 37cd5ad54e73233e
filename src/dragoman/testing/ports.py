"""Free ports on loopback, for tests and trials that start a whole Dragoman."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Give a port that nobody listens on now; somebody may a moment later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
