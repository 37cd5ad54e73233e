"""Evidence on `pages.sock`: handed in by whoever signed up, and what became of it. The relay says who asks.

A body comes whole before it is looked at, so many at once; what a client calls a file is a name to show.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message

from dragoman.accounts import evidence, texts
from dragoman.admin.uploads import shown_name
from dragoman.assistants.conversations import Person
from dragoman.control.durable import durable
from dragoman.control.v1_request import NO_STORE, Handler, answered, json_object, locale, raw_body
from dragoman.core.evidence import EvidenceRecord, EvidenceStore, File, Verifier
from dragoman.errors import RefusedError
from dragoman.ids import new_id, now_ms

PATH = "/v1/me/evidence"
BODY_BYTES = evidence.FILE_BYTES + (64 << 10)
"""Bytes of a body: a file, its text and what a form has around them."""
FIELDS = 3
"""Fields of a form beside its file."""
AT_ONCE = 2
"""LIMIT: bodies with evidence that are taken at once; further ones are asked to come again."""
RETRY_MS = 5_000
_FORM, _JSON = "multipart/form-data", "application/json"


class EvidenceRoutes:
    """The routes, over the store and whoever looks at evidence first."""

    def __init__(self, store: EvidenceStore, zone: str, verifier: Verifier) -> None:
        self._store = store
        self._zone = zone
        self._verifier = verifier
        self._open = 0

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
        async with self._place():
            kind, text, file = evidence.checked(*await _handed_in(request))
            now = now_ms()
            name = new_id("evd", self._zone, now)
            record = evidence.new_record(name, person.principal, kind, text, file, lang, now)
            await durable(
                self._store.submit(person.tenant, lambda rows: evidence.receive(rows, record, file))
            )
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
    async def _place(self) -> AsyncIterator[None]:
        if self._open >= AT_ONCE:
            raise texts.wait("uploads_busy", RETRY_MS)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


async def _handed_in(request: Request) -> tuple[Any, Any, File | None]:
    """Kind, text and file of a form, or kind and text of a JSON object. Raises RefusedError 400, 408, 413."""
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said == _JSON:
        given = json_object(await raw_body(request))
        if strange := sorted(set(given) - {"kind", "text"}):
            raise texts.invalid(strange[0][:64], "not a field of this request", "不是此请求的字段")
        return given.get("kind"), given.get("text"), None
    if said != _FORM:
        raise texts.invalid("content-type", f"{_FORM} or {_JSON}", f"须为 {_FORM} 或 {_JSON}")
    raw = await raw_body(request, BODY_BYTES)
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not boundary or not raw.rstrip().endswith(b"--" + boundary + b"--"):
        raise _broken()  # the parser takes a form that breaks off for a whole one

    async def again() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    try:
        async with Request(request.scope, again).form(max_files=1, max_fields=FIELDS) as form:
            sent = form.get("file")
            file = await _file(sent) if isinstance(sent, UploadFile) else None
            return form.get("kind"), form.get("text"), file
    except HTTPException as fault:
        raise _broken() from fault


def _broken() -> RefusedError:
    return texts.invalid("body", "a whole form, one file at most", "须为完整的表单，至多一个文件")


async def _file(sent: UploadFile) -> File | None:
    """A file of a form; None where its field was left empty."""
    data = await sent.read()
    name = shown_name(sent.filename or "")
    return File(name or "file", "", data) if data or name else None
