"""What control's `/v1` routes share: who asks, the body, its idempotency key, how a refusal is told."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dragoman.assistants.claims import Key
from dragoman.assistants.conversations import PAGE, PAGE_MOST, Person
from dragoman.assistants.texts import invalid
from dragoman.control.turn_messages import KEY_CHARS
from dragoman.errors import RefusedError, UnavailableError

BODY_LIMIT = 65_536
"""LIMIT: bytes of a request body about a conversation, or of an appeal."""
NO_STORE = {"cache-control": "no-store"}
_SCOPE = {
    "en": "This key lacks the scope {scope}. Ask for a key that has it.",
    "zh": "该密钥缺少 {scope} 权限，请申请具有该权限的密钥。",
}
_CREDENTIAL = {
    "en": "Send an API key: Authorization: Bearer dragoman_...",
    "zh": "请提供 API 密钥：Authorization: Bearer dragoman_...",
}

Endpoint = Callable[[Request], Awaitable[Response]]
Handler = Callable[[Request, Person], Awaitable[Response]]


def refusing(endpoint: Endpoint) -> Endpoint:
    """The endpoint; a refusal becomes OpenAI's error in the caller's language."""

    @functools.wraps(endpoint)  # its sentence goes into docs/routes.md
    async def told(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RefusedError as fault:
            return refused(request, fault)
        except UnavailableError as fault:
            text = {"en": fault.message, "zh": "暂时无法处理，请重试。"}
            return refused(request, RefusedError(503, fault.code, text))

    return told


def answered(handler: Handler, scope: str | None) -> Endpoint:
    """The handler for a caller the relay named, with the scope it needs (None: none); else it refuses."""

    @functools.wraps(handler)
    async def endpoint(request: Request) -> Response:
        return await handler(request, _person(request, scope))

    return refusing(endpoint)


def lacking(scope: str) -> RefusedError:
    """A caller whose key may not do it, or who has none."""
    return RefusedError(
        403, "insufficient_scope", {lang: text.format(scope=scope) for lang, text in _SCOPE.items()}
    )


def _person(request: Request, scope: str | None) -> Person:
    tenant, principal = (request.headers.get(f"dragoman-{name}") for name in ("tenant", "principal"))
    if not tenant or not principal:
        raise RefusedError(401, "missing_credential", _CREDENTIAL)
    if scope is not None and scope not in request.headers.get("dragoman-scopes", "").split(","):
        raise lacking(scope)
    return Person(tenant, principal, request.headers.get("dragoman-key"))


def name_in(request: Request, kind: str) -> str:
    """A name in the path, cut where it cannot be one."""
    return str(request.path_params[kind])[:256]


def limit(request: Request) -> int:
    """How many of a listing are asked for."""
    given = request.query_params.get("limit", str(PAGE))
    number = int(given) if re.fullmatch("[0-9]{1,9}", given) else 0
    if not 1 <= number <= PAGE_MOST:
        raise invalid("limit", f"1 to {PAGE_MOST}", f"须为 1 到 {PAGE_MOST}")
    return number


def truth(request: Request, name: str) -> bool | None:
    """A parameter that is `true`, `false` or not there."""
    given = request.query_params.get(name)
    if given not in {None, "true", "false"}:
        raise invalid(name, "true or false", "须为 true 或 false")
    return None if given is None else given == "true"


def claim(request: Request, kind: str, raw: bytes, now: int) -> Key | None:
    """The idempotency key of a request that makes a `kind`, with the digest of what it stands for."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_CHARS:
        raise invalid("Idempotency-Key", f"1 to {KEY_CHARS} characters", f"须为 1 到 {KEY_CHARS} 个字符")
    digest = hashlib.sha256(f"{request.url.path}\n".encode() + raw).hexdigest()
    return Key(kind, key, f"sha256:{digest}", now)


async def raw_body(request: Request, most: int = BODY_LIMIT) -> bytes:
    """The body, of `most` bytes at most. Raises RefusedError 413."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            text = {"en": f"At most {most} bytes.", "zh": f"请求体不得超过 {most} 字节。"}
            raise RefusedError(413, "body_too_large", text)
        parts.append(part)
    return b"".join(parts)


def json_object(raw: bytes) -> dict[str, Any]:
    """A body's JSON object. Raises RefusedError 400."""
    try:
        value = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        text = {"en": "The body is not a JSON object.", "zh": "请求体不是 JSON 对象。"}
        raise RefusedError(400, "invalid_json", text)
    return value


def locale(request: Request) -> str:
    """The caller's language."""
    return "zh" if request.headers.get("dragoman-locale") == "zh" else "en"


def refused(request: Request, fault: RefusedError) -> JSONResponse:
    """A refusal as OpenAI's error, in the caller's language."""
    error = {**fault.document()["error"], "message": fault.text[locale(request)]}
    headers = dict(NO_STORE)
    if fault.status in {429, 503}:
        headers["retry-after"] = str(fault.extra.get("retry_after", 1))
    return JSONResponse({"error": error}, fault.status, headers)
