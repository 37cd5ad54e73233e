"""A server that trusts whoever asks it, so that attacks on it succeed: what the tests of other sites are held against.

It also serves the attacker's own pages, and passes on what is posted to `/elsewhere?to=ADDRESS`.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SECRET = "what only its owner may read"
_PAGE = f'<!doctype html><meta charset="utf-8"><title>open</title><p>{SECRET}</p>'.encode()
_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3."""


class _Open(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""

    def do_GET(self) -> None:
        if self.headers.get("upgrade", "").lower() == "websocket":
            digest = hashlib.sha1(self.headers["sec-websocket-key"].encode() + _WEBSOCKET).digest()
            self.send_response(101)
            self.send_header("upgrade", "websocket")
            self.send_header("connection", "Upgrade")
            self.send_header("sec-websocket-accept", base64.b64encode(digest).decode())
            self.end_headers()
            self.close_connection = True
            return
        self._answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        where = parse_qs(urlsplit(self.path).query).get("to")
        self._answer(307 if where else 200, where[0] if where else None)

    do_DELETE = do_POST

    def do_OPTIONS(self) -> None:
        self._answer(200)

    def _answer(self, status: int, location: str | None = None) -> None:
        self.send_response(status)
        headers = {
            "access-control-allow-origin": self.headers.get("origin", "*"),
            "access-control-allow-credentials": "true",
            "access-control-allow-methods": "GET, POST, DELETE",
            "access-control-allow-headers": "content-type",
            "access-control-allow-private-network": "true",
            "content-type": "text/html",
            "content-length": str(len(_PAGE)),
            **({"location": location} if location else {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(_PAGE)


@contextmanager
def open_server() -> Iterator[int]:
    """Its port, while it serves on 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Open)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
