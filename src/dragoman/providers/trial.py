"""One trial turn against a provider before it is written into the configuration. Bounded; no redirects."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

TRIAL_SECONDS = 60.0
"""LIMIT: seconds of the whole trial, once the host's addresses are known."""
ANSWER_LIMIT = 1 << 20
"""LIMIT: bytes of the trial's answer."""
_QUESTION = "Reply with the single word: ready"


@dataclass(frozen=True)
class Trial:
    """How the trial went. `problem` says what to do where it failed, `code` in a word; `ms`: the time."""

    ok: bool
    status: int | None
    ms: int
    said: str | None
    problem: str | None
    code: str | None = None


def try_turn(base_url: str, model: str, key: str | None, output_field: str = "max_tokens") -> Trial:
    """Ask one short question at `base_url`/chat/completions; `output_field` bounds the answer."""
    begun = time.monotonic()
    if key and not all("!" <= one <= "~" for one in key):
        return _failed("no_key", begun, None, "the key is not visible ASCII of one line")
    if not base_url.isascii():
        said = f"{base_url}: write other than ASCII percent-encoded, a host in punycode"
        return _failed("address", begun, None, said)
    url = urlsplit(base_url)
    body = {"model": model, "messages": [{"role": "user", "content": _QUESTION}], output_field: 16}
    try:
        status, raw = _asked(url, json.dumps(body), key)
    except _LateError:
        said = f"{url.netloc} did not answer in full within {TRIAL_SECONDS:.0f} s"
        return _failed("late", begun, None, said)
    except (OSError, HTTPException, UnicodeError) as fault:  # the last: no name of a host
        said = f"{url.netloc} cannot be reached: {fault}. Check the address and the network"
        return _failed("unreachable", begun, None, said)
    return _judged(begun, model, status, raw)


def _asked(url: SplitResult, body: str, key: str | None) -> tuple[int, bytes]:
    """Status and body. Raises OSError, HTTPException, or _LateError after the deadline."""
    headers = {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
    }
    if key:
        headers["authorization"] = f"Bearer {key}"
    line = _Line(url.scheme, url.hostname or "", url.port)
    try:
        line.connection.request("POST", f"{url.path.rstrip('/')}/chat/completions", body, headers)
        answer = line.connection.getresponse()
        raw = answer.read(ANSWER_LIMIT)
    except (OSError, HTTPException) as fault:
        if line.is_late:
            raise _LateError from fault
        raise
    finally:
        line.close()
    if line.is_late:  # what was cut may look like an end
        raise _LateError
    return answer.status, raw


def _judged(begun: float, model: str, status: int, raw: bytes) -> Trial:
    if status in (401, 403):
        said = "the provider refused the key. Check the variable that holds it"
        return _failed("key", begun, status, said)
    if status == 404:
        said = f"no such path or model. The URL usually ends in /v1, and {model!r} must exist there"
        return _failed("path", begun, status, said)
    if status != 200:
        said = f"the provider answered {status}; a redirect is not followed"
        return _failed("status", begun, status, said)
    text = _said(raw)
    if text is None:
        return _failed("form", begun, 200, "the answer is not in the form of OpenAI's chat completions")
    return Trial(ok=True, status=200, ms=_ms(begun), said=text, problem=None)


class _LateError(Exception):
    """The deadline has passed."""


class _Line:
    """A connection that is cut at the deadline, whatever it waits for."""

    def __init__(self, scheme: str, host: str, port: int | None) -> None:
        kind = HTTPSConnection if scheme == "https" else HTTPConnection
        self.connection = kind(host, port, timeout=TRIAL_SECONDS)
        self.connection.connect = self._connect  # type: ignore[method-assign]
        self._tls = ssl.create_default_context() if scheme == "https" else None
        self._deadline = time.monotonic() + TRIAL_SECONDS
        self._raw: socket.socket | None = None
        self._timer: threading.Timer | None = None

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._deadline

    def close(self) -> None:
        """End it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        self.connection.close()
        if self._raw is not None:
            self._raw.close()

    def _connect(self) -> None:
        host, port = self.connection.host, self.connection.port
        fault: OSError = OSError("the host has no address")
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._deadline = time.monotonic() + TRIAL_SECONDS
        for family, kind, _, _, address in addresses:
            opened = socket.socket(family, kind)
            opened.settimeout(max(0.001, self._deadline - time.monotonic()))
            try:
                opened.connect(address)
            except OSError as one:
                opened.close()
                fault = one
                continue
            self._raw = opened.dup()  # TLS takes the socket itself
            self._timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._cut)
            self._timer.daemon = True
            self._timer.start()
            self.connection.sock = (
                opened if self._tls is None else self._tls.wrap_socket(opened, server_hostname=host)
            )
            return
        raise fault

    def _cut(self) -> None:
        if self._raw is not None:
            with contextlib.suppress(OSError):
                self._raw.shutdown(socket.SHUT_RDWR)


def _said(raw: bytes) -> str | None:
    try:
        content = json.loads(raw)["choices"][0]["message"].get("content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None
    return "" if content is None else str(content)[:200]


def _failed(code: str, begun: float, status: int | None, problem: str) -> Trial:
    return Trial(ok=False, status=status, ms=_ms(begun), said=None, problem=problem, code=code)


def _ms(begun: float) -> int:
    return int((time.monotonic() - begun) * 1000)
