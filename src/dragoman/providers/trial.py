"""One trial turn against a provider before it is written into the configuration. Bounded; no redirects."""

from __future__ import annotations

import json
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

TRIAL_SECONDS = 60.0
ANSWER_LIMIT = 1 << 20
"""LIMIT: bytes of the trial's answer."""
_QUESTION = "Reply with the single word: ready"


@dataclass(frozen=True)
class Trial:
    """How the trial went. `problem` says what to do where it failed; `ms` is the whole time."""

    ok: bool
    status: int | None
    ms: int
    said: str | None
    problem: str | None


def try_turn(base_url: str, model: str, key: str | None) -> Trial:
    """Ask one short question at `base_url`/chat/completions."""
    begun = time.monotonic()
    url = urlsplit(base_url)
    body = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": _QUESTION}], "max_tokens": 16}
    )
    headers = {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
    }
    if key:
        headers["authorization"] = f"Bearer {key}"
    connection = _connection(url.scheme, url.hostname or "", url.port)
    try:
        connection.request("POST", f"{url.path.rstrip('/')}/chat/completions", body, headers)
        answer = connection.getresponse()
        raw = answer.read(ANSWER_LIMIT)
    except (OSError, HTTPException) as fault:
        return _failed(
            begun, None, f"{url.netloc} cannot be reached: {fault}. Check the address and the network"
        )
    finally:
        connection.close()
    if answer.status in (401, 403):
        return _failed(begun, answer.status, "the provider refused the key. Check the variable that holds it")
    if answer.status == 404:
        return _failed(
            begun, 404, f"no such path or model. The URL usually ends in /v1, and {model!r} must exist there"
        )
    if answer.status != 200:
        return _failed(
            begun, answer.status, f"the provider answered {answer.status}; a redirect is not followed"
        )
    said = _said(raw)
    if said is None:
        return _failed(begun, 200, "the answer is not in the form of OpenAI's chat completions")
    return Trial(ok=True, status=200, ms=_ms(begun), said=said, problem=None)


def _connection(scheme: str, host: str, port: int | None) -> HTTPConnection:
    if scheme == "https":
        return HTTPSConnection(host, port, timeout=TRIAL_SECONDS, context=ssl.create_default_context())
    return HTTPConnection(host, port, timeout=TRIAL_SECONDS)


def _said(raw: bytes) -> str | None:
    try:
        content = json.loads(raw)["choices"][0]["message"].get("content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None
    return "" if content is None else str(content)[:200]


def _failed(begun: float, status: int | None, problem: str) -> Trial:
    return Trial(ok=False, status=status, ms=_ms(begun), said=None, problem=problem)


def _ms(begun: float) -> int:
    return int((time.monotonic() - begun) * 1000)
