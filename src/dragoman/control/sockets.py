"""Control's Unix sockets: each on a thread and event loop of its own, for our own uid alone."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dragoman.control.asgi import App
from dragoman.errors import ConfigError
from dragoman.sentences import Sentence

START_SECONDS = 10.0
STOP_SECONDS = 5
BACKLOG = 1024
MAX_PATH = 100
"""LIMIT: bytes of a Unix socket's path on every system we know."""

_DARWIN_LOCAL_PEERCRED = 1


class SameUserProtocol(HttpToolsProtocol):
    """HTTP for peers of our own uid; any other is closed before it sends a byte."""

    def connection_made(self, transport: Any) -> None:
        """Check the peer, then speak HTTP."""
        if peer_uid(transport.get_extra_info("socket")) != os.geteuid():
            transport.abort()
            return
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """A refused peer was never connected."""
        if getattr(self, "transport", None) is not None:
            super().connection_lost(exc)


class QuietServer(uvicorn.Server):
    """A server that sleeps until it is asked to end; the library's own looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ended = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve. What the library's tick does besides (dates, request limits) is not used here."""
        self.server_state.default_headers = list(self.config.encoded_headers)
        await self._ended.wait()

    def end(self) -> None:
        """End; called on the server's loop."""
        self.should_exit = True
        self._ended.set()


class SocketServer:
    """One application on one Unix socket, in a thread of its own."""

    def __init__(self, path: Path, app: App, listening: socket.socket | None = None) -> None:
        """`listening`: what `listen(path)` gave, where callers already queue."""
        self.path = path
        config = uvicorn.Config(
            app,
            http=SameUserProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=300,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._server = QuietServer(config)
        self._socket = listening or listen(path)
        self._thread = threading.Thread(target=self._run, name=path.stem, daemon=True)
        self.loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Serve; returns when the socket answers."""
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(START_SECONDS / 0.005)):
            if self._server.started:
                return
            waited.wait(0.005)
        raise ConfigError(
            [Sentence(f"{self.path}: the socket did not start", f"{self.path}：套接字未能启动")]
        )

    def stop(self) -> None:
        """Finish open requests and remove the socket."""
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self._server.end)
        self._thread.join(STOP_SECONDS + 1)
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])


def peer_uid(sock: socket.socket) -> int | None:
    """The uid at the other end of a Unix socket, or None where the system does not tell."""
    if sys.platform == "darwin":
        raw = sock.getsockopt(0, _DARWIN_LOCAL_PEERCRED, 12)
        return int(struct.unpack("=II", raw[:8])[1])
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])


def listen(path: Path) -> socket.socket:
    """Bind a path for our own uid; who connects waits until it is served."""
    if len(os.fsencode(path)) > MAX_PATH:
        raise ConfigError(
            [
                Sentence(
                    f"{path}: too long for a Unix socket (at most {MAX_PATH} bytes); shorten zone.data",
                    f"{path}：作为 Unix 套接字过长（最多 {MAX_PATH} 字节）；请缩短 zone.data",
                )
            ]
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(os.fspath(path))
    path.chmod(0o600)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock
