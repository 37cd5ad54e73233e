"""HTTP/1.1 for a port of Python's own that strangers may reach: bounded in time, size and number."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""LIMIT: seconds until a request's head is there, from the connection or from the last answer on."""
CONNECTION_SECONDS = 300.0
"""LIMIT: seconds a connection may last."""
CONNECTIONS = 512
"""LIMIT: connections at once."""
CONNECTIONS_EACH = 64
"""LIMIT: connections of one address at once; loopback and proxies share one only with themselves."""
HEAD_BYTES = 32 << 10
"""LIMIT: bytes of a request's head."""

_open: Counter[str] = Counter()


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with a deadline for each head and for the whole connection, and a cap on connections."""

    def connection_made(self, transport: Any) -> None:
        """Take the connection where there is room."""
        self._peer = str((transport.get_extra_info("peername") or ("",))[0])
        self._counted = _open.total() < CONNECTIONS and _open[self._peer] < CONNECTIONS_EACH
        self._head: asyncio.TimerHandle | None = None
        if not self._counted:
            transport.abort()
            return
        _open[self._peer] += 1
        super().connection_made(transport)
        self._life = self.loop.call_later(CONNECTION_SECONDS, transport.abort)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Read; while no request is being answered a head is on its way."""
        if not self._counted:
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_is_there()
        else:
            self._await_head()

    def on_response_complete(self) -> None:
        """The next head may take its time from now on."""
        super().on_response_complete()
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if not self._counted:
            return
        _open[self._peer] -= 1
        if not _open[self._peer]:
            del _open[self._peer]
        self._life.cancel()
        self._head_is_there()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _head_is_there(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
