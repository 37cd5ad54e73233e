"""The CLI's way to state: `admin.sock`, or where control is down the same application under the lock."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from dragoman.control.relay_config import run_folder
from dragoman.errors import DragomanError, UnavailableError
from dragoman.settings import Settings

TIMEOUT_S = 30.0
TAKEN = 75
"""Exit code of `dragoman.control.once` where another process holds the lock: EX_TEMPFAIL of sysexits.h."""
TRIES = 3
"""Control that starts takes the lock and then listens: who finds the lock taken finds its socket next time.
Once more for a verb of somebody else that held it."""


class AdminError(DragomanError):
    """The application refused; `status` and `document` are its answer."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        error = document.get("error", {})
        super().__init__(str(error.get("message", {}).get("en", "refused")))
        self.code = str(error.get("code", "refused"))
        self.status = status
        self.document = document


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class AdminClient:
    """Verbs on one zone's state."""

    def __init__(self, settings: Settings, file: Path | None) -> None:
        self._socket = run_folder(settings) / "admin.sock"
        self._file = file

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, timeout_s: float = TIMEOUT_S
    ) -> dict[str, Any]:
        """The answer's document. Raises AdminError for a refusal, UnavailableError without an answer."""
        for _ in range(TRIES):
            try:
                status, document = self._over_socket(method, path, body, timeout_s)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                taken, status, document = self._under_lock(method, path, body)
                if not taken:
                    break
            except OSError as fault:
                raise UnavailableError(f"{self._socket}: {fault.strerror or fault}") from fault
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise AdminError(status, document)
        return document

    def _over_socket(
        self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float
    ) -> tuple[int, dict[str, Any]]:
        connection = _UnixConnection(self._socket, timeout_s)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(
                method, path, payload, {"dragoman-wire": "1", "content-type": "application/json"}
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def _under_lock(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[bool, int, dict[str, Any]]:
        """Whether another process held the lock; status and document."""
        asked = {
            "config": str(self._file) if self._file else None,
            "method": method,
            "path": path,
            "body": body,
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dragoman.control.once"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, TAKEN):
            failed = done.stderr.strip()[-500:]
            raise UnavailableError(f"control is down and its application failed: {failed}")
        answer = json.loads(done.stdout)
        return done.returncode == TAKEN, int(answer["status"]), dict(answer["body"] or {})
