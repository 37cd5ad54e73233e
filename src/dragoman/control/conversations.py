"""Conversations on `pages.sock`: control's `/v1` table of them. The relay's headers say whose they are."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.assistants import conversations
from dragoman.assistants.conversations import PAGE, PAGE_MOST, Page, Person, wanted
from dragoman.assistants.export import FORMATS, Branch
from dragoman.assistants.feedback import Feedback, checked, keep
from dragoman.assistants.texts import invalid, refused
from dragoman.assistants.views import conversation_document, stream
from dragoman.control.durable import durable
from dragoman.control.turn_messages import KEY_CHARS
from dragoman.core.conversations import ConversationRows, ConversationStore
from dragoman.errors import RefusedError, UnavailableError
from dragoman.events import ConversationErased, emit
from dragoman.ids import kind_of, new_id, now_ms

BODY_LIMIT = 65_536
"""LIMIT: bytes of a request body about a conversation."""
CODE_POINTS = 2**53
_NEW = frozenset({"title", "metadata"})
_CHANGED = frozenset({"title", "metadata", "head", "pinned"})
_NO_STORE = {"cache-control": "no-store"}
_SCOPE = {
    "en": "This key may not read or write conversations: it lacks the scope turns.",
    "zh": "该密钥无权读写会话：缺少 turns 权限。",
}
_CREDENTIAL = {
    "en": "Send an API key: Authorization: Bearer dragoman_...",
    "zh": "请提供 API 密钥：Authorization: Bearer dragoman_...",
}

Handler = Callable[[Request, Person], Awaitable[Response]]


class ConversationRoutes:
    """The routes, over the store."""

    def __init__(
        self, store: ConversationStore, zone: str, guests: Callable[[], bool] = lambda: True
    ) -> None:
        """`guests`: whether who has no key may keep conversations: whoever comes by could fill the disk."""
        self._store = store
        self._zone = zone
        self._guests = guests

    def routes(self) -> list[BaseRoute]:
        """Control's `/v1` table of conversations. The relay serves POST .../turns itself."""
        one = "/v1/conversations/{conversation}"
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/v1/conversations", self.create),
            ("GET", "/v1/conversations", self.list),
            ("GET", one, self.read),
            ("PATCH", one, self.change),
            ("DELETE", one, self.delete),
            ("GET", f"{one}/export", self.export),
            ("GET", f"{one}/turns", self.turns),
            ("GET", f"{one}/turns/{{turn}}", self.turn),
            ("POST", f"{one}/turns/{{turn}}/stop", self.stop),
            ("PUT", f"{one}/turns/{{turn}}/feedback", self.give_feedback),
            ("DELETE", f"{one}/turns/{{turn}}/feedback", self.take_back_feedback),
        ]
        return [Route(path, _checked(handler), methods=[method]) for method, path, handler in table]

    async def create(self, request: Request, person: Person) -> Response:
        """A new conversation."""
        if person.key is None and not self._guests():
            raise refused("guest_conversations")
        raw = await _raw(request)
        want = wanted(_json(raw), _NEW)
        claim = _claim(request, raw)
        now = now_ms()
        name = new_id("cnv", self._zone, now)
        document = await durable(
            self._store.submit(
                person.tenant, lambda rows: conversations.create(rows, person, name, want, claim, now)
            )
        )
        return JSONResponse(document, 201, _NO_STORE)

    async def list(self, request: Request, person: Person) -> Response:
        """A page of the caller's conversations, newest first."""
        after = request.query_params.get("after")
        if after is not None and kind_of(after) != "cnv":
            raise invalid("after", "a conversation's id", "须为会话编号")
        limit, pinned = _limit(request), _truth(request, "pinned")
        found = await run_in_threadpool(
            self._store.read,
            person.tenant,
            lambda rows: conversations.listed(rows, person, after, limit, pinned),
        )
        return JSONResponse(found, headers=_NO_STORE)

    async def read(self, request: Request, person: Person) -> Response:
        """One conversation."""
        name = _name(request, "conversation")
        record = await run_in_threadpool(
            self._store.read, person.tenant, lambda rows: conversations.owned(rows, person, name)
        )
        return JSONResponse(conversation_document(record), headers=_NO_STORE)

    async def change(self, request: Request, person: Person) -> Response:
        """Rename, pin, set metadata, show another branch."""
        name = _name(request, "conversation")
        want = wanted(_json(await _raw(request)), _CHANGED)
        now = now_ms()
        document = await durable(
            self._store.submit(
                person.tenant, lambda rows: conversations.change(rows, person, name, want, now)
            )
        )
        return JSONResponse(document, headers=_NO_STORE)

    async def delete(self, request: Request, person: Person) -> Response:
        """Erase a conversation with its texts and salts."""
        name = _name(request, "conversation")
        document, turns = await durable(
            self._store.submit(person.tenant, lambda rows: conversations.delete(rows, person, name))
        )
        emit(ConversationErased(name, turns))
        return JSONResponse(document, headers=_NO_STORE)

    async def export(self, request: Request, person: Person) -> Response:
        """A branch as a file."""
        given = request.query_params.get("format", "json")
        if given not in FORMATS:
            raise invalid("format", f"one of {', '.join(FORMATS)}", f"须为 {'、'.join(FORMATS)} 之一")
        ending, media, made = FORMATS[given]
        name, through, now = _name(request, "conversation"), request.query_params.get("branch"), now_ms()

        def work(rows: ConversationRows) -> str:
            found = conversations.exported(rows, person, name, through)
            return made(Branch(*found, _locale(request), now))

        # Half of a surrogate pair, which a question may hold, has no form in a file.
        text = await run_in_threadpool(self._store.read, person.tenant, work)
        # The name comes from the path: an id, once the conversation was found by it.
        shown = {"content-disposition": f'attachment; filename="{name}.{ending}"'}
        return Response(
            text.encode("utf-8", "replace"),
            media_type=media,
            headers={**_NO_STORE, **shown, "x-content-type-options": "nosniff"},
        )

    async def turns(self, request: Request, person: Person) -> Response:
        """A page of a branch."""
        name, limit = _name(request, "conversation"), _limit(request)
        part = Page(request.query_params.get("branch"), request.query_params.get("before"), limit)
        found = await run_in_threadpool(
            self._store.read,
            person.tenant,
            lambda rows: conversations.branch(rows, person, name, part),
        )
        return JSONResponse(found, headers=_NO_STORE)

    async def turn(self, request: Request, person: Person) -> Response:
        """One turn; with `after` its stored answer as a stream."""
        whole, document = await self._turn(request, person)
        after = request.query_params.get("after")
        if after is None:
            return JSONResponse(document, headers=_NO_STORE)
        if not after.isascii() or not after.isdigit() or int(after[:17]) > CODE_POINTS:
            raise invalid("after", "how many code points are there already", "须为已收到的字符数")
        if conversations.is_running(whole):
            raise refused("turn_elsewhere")
        frames = "".join(stream(whole, int(after[:17])))
        return Response(frames, media_type="text/event-stream", headers=_NO_STORE)

    async def stop(self, request: Request, person: Person) -> Response:
        """A turn that does not run in the relay that asks: how it ended."""
        whole, document = await self._turn(request, person)
        if conversations.is_running(whole):
            raise refused("turn_elsewhere")
        told = {name: document[name] for name in ("id", "object", "conversation", "state", "status")}
        return JSONResponse(told, headers=_NO_STORE)

    async def give_feedback(self, request: Request, person: Person) -> Response:
        """Say of an answer that it was good or bad, and why; again: in place of what was said."""
        given = checked(_json(await _raw(request)))
        return await self._feedback(request, person, given)

    async def take_back_feedback(self, request: Request, person: Person) -> Response:
        """Take back what was said of an answer."""
        return await self._feedback(request, person, None)

    async def _feedback(self, request: Request, person: Person, given: Feedback | None) -> Response:
        name, turn, now = _name(request, "conversation"), _name(request, "turn"), now_ms()
        document = await durable(
            self._store.submit(person.tenant, lambda rows: keep(rows, person, (name, turn), given, now))
        )
        return JSONResponse(document, headers=_NO_STORE)

    async def _turn(self, request: Request, person: Person) -> Any:
        name, turn = _name(request, "conversation"), _name(request, "turn")
        return await run_in_threadpool(
            self._store.read, person.tenant, lambda rows: conversations.one_turn(rows, person, name, turn)
        )


def _checked(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler for a caller the relay named; a refusal becomes OpenAI's error in the caller's language."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request, _person(request))
        except RefusedError as fault:
            return _error(request, fault)
        except UnavailableError as fault:
            text = {"en": fault.message, "zh": "暂时无法处理，请重试。"}
            return _error(request, RefusedError(503, fault.code, text))

    return endpoint


def _person(request: Request) -> Person:
    tenant, principal = (request.headers.get(f"dragoman-{name}") for name in ("tenant", "principal"))
    if not tenant or not principal:
        raise RefusedError(401, "missing_credential", _CREDENTIAL)
    if "turns" not in request.headers.get("dragoman-scopes", "").split(","):
        raise RefusedError(403, "insufficient_scope", _SCOPE)
    return Person(tenant, principal, request.headers.get("dragoman-key"))


def _name(request: Request, kind: str) -> str:
    return str(request.path_params[kind])[:256]


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", str(PAGE))
    number = int(given) if re.fullmatch("[0-9]{1,9}", given) else 0
    if not 1 <= number <= PAGE_MOST:
        raise invalid("limit", f"1 to {PAGE_MOST}", f"须为 1 到 {PAGE_MOST}")
    return number


def _truth(request: Request, name: str) -> bool | None:
    given = request.query_params.get(name)
    if given not in {None, "true", "false"}:
        raise invalid(name, "true or false", "须为 true 或 false")
    return None if given is None else given == "true"


def _claim(request: Request, raw: bytes) -> tuple[str, str] | None:
    """The idempotency key, and the digest of what it stands for."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_CHARS:
        raise invalid("Idempotency-Key", f"1 to {KEY_CHARS} characters", f"须为 1 到 {KEY_CHARS} 个字符")
    return key, "sha256:" + hashlib.sha256(b"/v1/conversations\n" + raw).hexdigest()


async def _raw(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_LIMIT:
            text = {"en": f"At most {BODY_LIMIT} bytes.", "zh": f"请求体不得超过 {BODY_LIMIT} 字节。"}
            raise RefusedError(413, "body_too_large", text)
        parts.append(part)
    return b"".join(parts)


def _json(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        text = {"en": "The body is not a JSON object.", "zh": "请求体不是 JSON 对象。"}
        raise RefusedError(400, "invalid_json", text)
    return value


def _locale(request: Request) -> str:
    return "zh" if request.headers.get("dragoman-locale") == "zh" else "en"


def _error(request: Request, fault: RefusedError) -> JSONResponse:
    error = {**fault.document()["error"], "message": fault.text[_locale(request)]}
    headers = dict(_NO_STORE)
    if fault.status in {429, 503}:
        headers["retry-after"] = "1"
    return JSONResponse({"error": error}, fault.status, headers)
