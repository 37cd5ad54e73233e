"""Evidence on `pages.sock`: handed in by whoever signed up, and what became of it. The relay says who asks.

That the caller signed up is known before its body is read. A body comes whole and in time before it is looked
at, one of a person and so many at once; what a client calls a file is a name to show.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.accounts import evidence, texts
from dragoman.admin.uploads import shown_name
from dragoman.assistants.conversations import Person
from dragoman.assistants.turns import admit
from dragoman.control.durable import durable
from dragoman.control.v1_request import BODY_LIMIT, NO_STORE, Handler, answered, json_object, locale, raw_body
from dragoman.core.evidence import EvidenceRecord, EvidenceRows, EvidenceStore, File, Verifier
from dragoman.errors import RefusedError
from dragoman.ids import new_id, now_ms

PATH = "/v1/me/evidence"
BODY_BYTES = evidence.FILE_BYTES + (64 << 10)
"""Bytes of a body: a file, its text and what a form has around them."""
PARTS = 4
"""Parts of a form, its file among them."""
FIELD_BYTES = 8 << 10
"""Bytes of a field of a form: a text of `TEXT_CHARS` characters in UTF-8 has no more."""
HEAD_BYTES = 4 << 10
"""Bytes of what a part of a form says of itself."""
BODY_SECONDS = 60.0
"""LIMIT: seconds that a body with evidence may take to arrive."""
AT_ONCE = 8
"""LIMIT: bodies with evidence that are taken at once, one of a person; others are to come again."""
RETRY_MS = 5_000
_FORM, _JSON = b"multipart/form-data", b"application/json"
_CHARSETS = {b"", b"utf-8", b"utf8"}
_PART_ENDS = b"\r\n\r\n"


class EvidenceRoutes:
    """The routes, over the store and whoever looks at evidence first."""

    def __init__(self, store: EvidenceStore, zone: str, verifier: Verifier) -> None:
        self._store = store
        self._zone = zone
        self._verifier = verifier
        self._open: set[str] = set()

    def routes(self) -> list[BaseRoute]:
        """Control's `/v1` table of evidence."""
        table: list[tuple[str, Handler]] = [("POST", self.receive), ("GET", self.list)]
        return [Route(PATH, answered(handler, None), methods=[method]) for method, handler in table]

    async def receive(self, request: Request, person: Person) -> Response:
        """Hand in evidence of residence, age, real name or a guardian's consent: a text, a file, or both."""
        document = await self.taken(request, person, locale(request))
        return JSONResponse(document, 201, NO_STORE)

    async def list(self, _request: Request, person: Person) -> Response:
        """The caller's evidence, newest first, with what became of it."""
        return JSONResponse(await run_in_threadpool(self.listed, person), headers=NO_STORE)

    def listed(self, person: Person) -> dict[str, Any]:
        """A person's evidence as a list."""
        held = self._store.read(
            person.tenant, lambda rows: rows.evidence_of(person.principal, evidence.LISTED)
        )
        return {"object": "list", "data": [evidence.document(one) for one in held]}

    async def taken(self, request: Request, person: Person, lang: str) -> dict[str, Any]:
        """Keep what a request hands in and have it looked at; as its person reads it. Raises RefusedError."""
        who = person.principal
        await run_in_threadpool(self._store.read, person.tenant, lambda rows: _may_hand_in(rows, who))
        async with self._place(who):
            kind, text, file = evidence.checked(*await _handed_in(request))
            now = now_ms()
            name = new_id("evd", self._zone, now)
            record = await run_in_threadpool(evidence.new_record, name, who, kind, text, file, lang, now)
            await durable(self._store.submit(person.tenant, lambda rows: _receive(rows, record, file)))
            return evidence.document(await self._looked_at(person.tenant, record, file))

    async def _looked_at(self, tenant: str, record: EvidenceRecord, file: File | None) -> EvidenceRecord:
        """What a verifier decides at once; else the evidence waits for a person, as it does after a crash."""
        verdict = await self._verifier.look(record, file)
        if verdict is None:
            return record
        name, by = record.evidence, self._verifier.name
        return await durable(
            self._store.submit(tenant, lambda rows: evidence.decide(rows, name, verdict, by, now_ms()))
        )

    @asynccontextmanager
    async def _place(self, who: str) -> AsyncIterator[None]:
        if who in self._open or len(self._open) >= AT_ONCE:
            raise texts.wait("uploads_busy", RETRY_MS)
        self._open.add(who)
        try:
            yield
        finally:
            self._open.discard(who)


def _may_hand_in(rows: EvidenceRows, who: str) -> None:
    admit(rows, who)
    evidence.check_room(rows, who, now_ms())


def _receive(rows: EvidenceRows, record: EvidenceRecord, file: File | None) -> None:
    admit(rows, record.person)
    evidence.receive(rows, record, file)


async def _handed_in(request: Request) -> tuple[Any, Any, File | None]:
    """Kind, text and file of a form, or kind and text of a JSON object. Raises RefusedError 400, 408, 413."""
    said, options = parse_options_header(request.headers.get("content-type"))
    if said not in {_FORM, _JSON} or options.get(b"charset", b"").lower() not in _CHARSETS:
        kinds = f"{_FORM.decode()} or {_JSON.decode()}, in UTF-8"
        raise texts.invalid("content-type", kinds, "须为 multipart/form-data 或 application/json，UTF-8 编码")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await raw_body(request, BODY_BYTES if said == _FORM else BODY_LIMIT)
    except TimeoutError:
        raise texts.refused("request_timeout") from None
    if said == _JSON:
        given = json_object(raw)
        if strange := sorted(set(given) - {"kind", "text"}):
            raise texts.invalid(strange[0][:64], "not a field of this request", "不是此请求的字段")
        return given.get("kind"), given.get("text"), None
    fields = await run_in_threadpool(_form, raw, options.get(b"boundary", b""))
    file = fields.get("file")
    return fields.get("kind"), fields.get("text"), file if isinstance(file, File) else None


def _form(raw: bytes, boundary: bytes) -> dict[str, str | File | None]:
    """The parts of a form by name: a text in UTF-8, or a file, None where it was left empty.

    Raises RefusedError 400 for what breaks off, has a name twice or more than a form of ours has. In the time
    that a search for the boundary takes, whatever the bytes are.
    """
    before, *parts = (b"\r\n" + raw).split(b"\r\n--" + boundary, PARTS + 1)
    if not boundary or before or not parts or parts.pop().rstrip() != b"--":
        raise _broken()
    found: dict[str, str | File | None] = {}
    for part in parts:
        ends = part.find(_PART_ENDS, 0, HEAD_BYTES)
        if ends < 0:
            raise _broken()
        options = _disposition(part[:ends])
        data = part[ends + len(_PART_ENDS) :]
        name, is_file = _text(options.get(b"name", b"")), b"filename" in options
        if not name or name in found or (len(data) > FIELD_BYTES and not is_file):
            raise _broken()
        found[name] = _file(options[b"filename"], data) if is_file else _text(data)
    return found


def _disposition(head: bytes) -> dict[bytes, bytes]:
    """What a part says of itself: its name, and a file's."""
    first, *lines = head.split(b"\r\n")
    for line in lines if not first.strip() else ():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            return parse_options_header(value.decode("latin-1"))[1]
    raise _broken()


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _broken() from None


def _file(said: bytes, data: bytes) -> File | None:
    name = shown_name(said.decode("utf-8", "replace"))
    return File(name or "file", "", data) if data or name else None


def _broken() -> RefusedError:
    return texts.invalid(
        "body", "a whole form in UTF-8, one file at most", "须为完整的 UTF-8 表单，至多一个文件"
    )
