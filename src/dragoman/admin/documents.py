"""The organisation's documents: files in, by the ingestion of `dragoman ingest`; what is there; sources out.

A file is told to be there when it is stored, indexed and on record. A process of its own writes everything
(`knowledge/intake.py`), one change at a time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.admin.acts import Asked, Done
from dragoman.admin.context import AdminContext
from dragoman.admin.pages import Rows
from dragoman.admin.people import printable
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.twins import twins
from dragoman.admin.uploads import UPLOAD_FILES, UPLOAD_SAID
from dragoman.admin.view import AdminView
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.errors import RefusedError, UnavailableError
from dragoman.knowledge.documents import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_SAID, SUFFIXES
from dragoman.knowledge.engine import is_sample
from dragoman.knowledge.faults import Fault
from dragoman.knowledge.ingest import Held, Report
from dragoman.knowledge.language import spoken
from dragoman.knowledge.model import JURISDICTION, PUBLIC, SOURCE_ID, TRUST_TIERS, KnowledgeError, Source
from dragoman.knowledge.sources import DEFAULT_TENANT, UNSAID_LICENCE, Said, wanted_source

PAGE = "/setup/documents"
COLLECTION = "documents"
"""The source that files go to where nobody says which."""
MAX_SAID = 200
"""LIMIT: characters of what is said of a source."""
SHOWN_DOCUMENTS = 50
"""LIMIT: documents of a source that are listed by name."""
SHOWN_BYTES = 2 << 20
"""LIMIT: stored bytes read for that."""
DIGESTS_ENTERED = 500
"""LIMIT: files of one ledger entry; more files have further entries."""


READERS: dict[str, tuple[str, ...]] = {"tenant": (), "public": (PUBLIC,)}
"""Who reads a source beside its own tenant's people."""

_SEEN = {
    "too_large": Fault("too_large", limit=MAX_DOCUMENT_SAID),
    "unknown_kind": Fault("unknown_kind", what="{}", known=", ".join(SUFFIXES)),
}
"""What the page's script sees for itself before it sends a file."""


class NewDocuments(Asked):
    """Files for a collection (`files`, as many as there are) and what is said of it, else it stays."""

    collection: str | None = Field(default=None, max_length=MAX_SAID)
    tenant: str | None = Field(default=None, max_length=100)
    title: str | None = Field(default=None, max_length=MAX_SAID)
    owner: str | None = Field(default=None, max_length=MAX_SAID)
    licence: str | None = Field(default=None, max_length=MAX_SAID)
    jurisdictions: str | None = Field(default=None, max_length=1_000)
    trust: Literal["official", "operator", "community"] | None = None
    readers: Literal["tenant", "public"] | None = None


class WhichSource(Asked):
    """A source."""

    tenant: str = Field(min_length=1, max_length=128)
    source: str = Field(min_length=1, max_length=63)


class Samples(Asked):
    """Whether the sample documents are there."""

    wanted: Literal["yes", "no"]


class Taken(BaseModel):
    """The source, and each file by its place in the upload (`at`, from 0): `added`, `unchanged` or `failed`.

    One that failed has `code`, `message` and, where known, `line` and `column`; another has its `document`,
    `title`, number of `passages`, and under `ask` the address of the chat with a question about it.
    """

    source: str
    files: list[dict[str, Any]]


class Documents:
    """The page and its twins in the API."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """Every route about documents."""
        api = "/admin/v1/documents"
        takes: dict[str, Any] = {"body": NewDocuments, "fresh": True, "files": True}
        yield AdminRoute("GET", PAGE, AUDITOR, self.page, "The documents.")
        yield AdminRoute("GET", api, AUDITOR, self.listing, "The sources and what they hold.", answer=Rows)
        yield AdminRoute("POST", PAGE, OPERATOR, self.take_form, "Add documents.", **takes)
        yield AdminRoute("POST", api, OPERATOR, self.take_api, "Add documents.", answer=Taken, **takes)
        for verb, body, do, says in (
            ("remove", WhichSource, self.remove, "Remove a source with its documents."),
            ("samples", Samples, self.samples, "Remove the sample documents, or put them back."),
        ):
            yield from twins(
                self._view, f"{PAGE}/{verb}", body, do, says, answer=Done, then=PAGE, api=f"{api}/{verb}"
            )

    async def page(self, call: Call, report: Mapping[str, Any] | None = None, status: int = 200) -> Response:
        """The form, what came of it, and what is there."""
        rows = await run_in_threadpool(self._rows)
        settings = self._context.settings()
        return self._view.page(
            call,
            "setup_documents",
            status,
            rows=rows,
            report=report,
            removed=sorted(self._context.knowledge.removed_samples()),
            names={one["tenant"]: one["slug"] for one in self._context.registry.tenants()},
            fresh=call.visitor.is_fresh(self._context.sessions.clock()),
            chat=settings.public_url(),
            unsaid={"owner": settings.deployment.name, "licence": UNSAID_LICENCE, "tenant": DEFAULT_TENANT},
            collection=COLLECTION,
            kinds=SUFFIXES,
            trusts=TRUST_TIERS,
            limits={"file": MAX_DOCUMENT_BYTES, "files": UPLOAD_FILES},
            sizes={"file": MAX_DOCUMENT_SAID, "bytes": UPLOAD_SAID},
            faults={name: fault.text[self._view.language(call.request)] for name, fault in _SEEN.items()},
        )

    async def listing(self, _call: Call) -> Response:
        """The sources with their first documents."""
        return self._view.json({"rows": await run_in_threadpool(self._rows)})

    async def take_form(self, call: Call) -> Response:
        """Files from the form of the page."""
        report = await run_in_threadpool(self._take, call)
        return await self.page(call, report, 200 if _has_any(report) else 422)

    async def take_api(self, call: Call) -> Response:
        """Files from a script or a machine."""
        report = await run_in_threadpool(self._take, call)
        return self._view.json(report, 200 if _has_any(report) else 422)

    def remove(self, call: Call) -> dict[str, Any]:
        """Remove a source. RefusedError 404 where there is none."""
        asked: WhichSource = call.body
        knowledge = self._context.knowledge
        found = [
            one for one in knowledge.shelf.sources() if (one.tenant, one.id) == (asked.tenant, asked.source)
        ]
        if not found:
            text = {"en": "No source has this id.", "zh": "没有这个编号的来源。"}
            raise RefusedError(404, "source_not_found", text)
        self._remove(call, found)
        return {"source": asked.source, "removed": True}

    def samples(self, call: Call) -> dict[str, Any]:
        """Remove the samples for good, or put them back."""
        wanted = call.body.wanted == "yes"
        if wanted:
            with self._entered(call, [{"act": "samples.restore"}]):
                self._context.intake.restore_samples()
        else:
            self._remove(call, [one for one in self._context.knowledge.shelf.sources() if is_sample(one)])
        return {"samples": wanted}

    def _remove(self, call: Call, sources: list[Source]) -> None:
        with self._entered(call, [_about("documents.remove", one) for one in sources]):
            self._context.intake.remove(sources)

    @contextmanager
    def _entered(self, call: Call, entries: list[dict[str, Any]]) -> Iterator[None]:
        """A change that the ledger has before it takes effect: whatever ends us, none is there unrecorded.

        Where it was not made, that is entered too.
        """
        self._enter(call, entries)
        try:
            yield
        except UnavailableError:
            self._enter(call, [{**entry, "act": f"{entry['act']}.failed"} for entry in entries])
            raise

    def _enter(self, call: Call, entries: list[dict[str, Any]]) -> None:
        """Durable when it returns."""
        for entered in [self._context.access.enter({**entry, "by": call.visitor.by}) for entry in entries]:
            entered.result()

    def _take(self, call: Call) -> dict[str, Any]:
        """Have the files ingested and entered; what came of each."""
        upload, language = call.upload, self._view.language(call.request)
        if not upload.files and not upload.failed:
            text = {"en": "Choose at least one file.", "zh": "请至少选择一个文件。"}
            raise RefusedError(400, "no_files", text, param="files")
        source = self._source(call.body)
        report = self._ingested(call, source, upload.files) if upload.files else Report()
        failed = {**upload.failed, **report.failed}
        told = {name: _failed(why, language) for name, why in failed.items()}
        told |= {name: self._held(source, held) for name, held in report.held.items()}
        files = [{"name": name, "at": at, **told[name]} for at, name in enumerate(upload.names)]
        return {"source": source.id, "files": files}

    def _ingested(self, call: Call, source: Source, files: Mapping[str, Path]) -> Report:
        """Have files ingested, entered by their bytes before; what could not be read is entered after."""
        digests = {name: _sha256(path) for name, path in files.items()}
        with self._entered(call, _of_files("documents.take", source, list(digests.values()))):
            report = self._context.intake.take(files, source)
        unread = [digests[name] for name in report.failed]
        self._enter(call, _of_files("documents.take.failed", source, unread))
        return report

    def _source(self, asked: NewDocuments) -> Source:
        """What the form says of the source. RefusedError 400 for what it cannot mean."""
        collection = " ".join((asked.collection or "").split()) or COLLECTION
        ident = source_id(printable("collection", collection, MAX_SAID))
        tenants = {name: one["tenant"] for one in self._context.registry.tenants() for name in _names(one)}
        if asked.tenant is not None and asked.tenant not in tenants:
            text = {"en": "There is no such tenant.", "zh": "没有这个租户。"}
            raise RefusedError(400, "invalid_value", text, param="tenant")
        wish = Said(
            ident,
            asked.tenant,
            _said("title", asked.title),
            _said("owner", asked.owner),
            _said("licence", asked.licence),
            jurisdictions=_places(asked.jurisdictions),
            trust=asked.trust,
            readers=READERS[asked.readers] if asked.readers else None,
        )
        shelf, settings = self._context.knowledge.shelf, self._context.settings()
        try:
            wanted = wanted_source(settings, shelf, lambda name: tenants.get(name, name), wish)
        except KnowledgeError as fault:
            text = {"en": f"{fault.message}.", "zh": f"对来源的说明无效（{fault.message}）。"}
            raise RefusedError(400, "invalid_value", text) from fault
        return replace(wanted, title=collection) if wanted.title == ident else wanted

    def _rows(self) -> list[dict[str, Any]]:
        """Every source with counts and its first documents, the samples last."""
        shelf = self._context.knowledge.shelf
        rows = []
        for source in sorted(shelf.sources(), key=lambda one: (is_sample(one), one.title)):
            documents, passages = shelf.counts(source)
            first = shelf.first_documents(source, SHOWN_DOCUMENTS, SHOWN_BYTES)
            rows.append(
                {
                    **source.as_dict(),
                    "is_sample": is_sample(source),
                    "documents": documents,
                    "passages": passages,
                    "first": [self._told(source, Held.of(one)) for one in first],
                }
            )
        return rows

    def _held(self, source: Source, held: Held) -> dict[str, Any]:
        return {"state": "added" if held.is_new else "unchanged", **self._told(source, held)}

    def _told(self, source: Source, held: Held) -> dict[str, Any]:
        """A document with where it is read and asked about."""
        chat = self._context.settings().public_url()
        told = {name: getattr(held, name) for name in ("document", "title", "language", "passages")}
        return {
            **told,
            "read": f"{chat}/sources/{quote(source.id)}/{quote(held.document)}",
            "ask": f"{chat}/?q={quote(question_about(held))}",
        }


def _about(act: str, source: Source) -> dict[str, Any]:
    """An entry about a source."""
    return {"act": act, "source": source.id, "of": source.tenant}


def _of_files(act: str, source: Source, digests: list[str]) -> list[dict[str, Any]]:
    """Entries about files of a source, so many files each."""
    parts = range(0, len(digests), DIGESTS_ENTERED)
    return [{**_about(act, source), "digests": digests[at : at + DIGESTS_ENTERED]} for at in parts]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_id(said: str) -> str:
    """A source's id from what people call it: an id is itself, other words get a digest."""
    if SOURCE_ID.fullmatch(said):
        return said
    words = re.sub(r"[^a-z0-9]+", "-", said.lower()).strip("-")[:50].strip("-")
    return f"{words}-{hashlib.sha256(said.encode()).hexdigest()[:8]}".strip("-")


def question_about(held: Held) -> str:
    """A question that the document answers: its first one, or one about its title and first heading.

    The title is among them: a heading such as Opening hours is of many.
    """
    if held.asks.endswith(("?", "？")):
        return held.asks
    about = held.title if held.asks in {"", held.title} else f"{held.title}: {held.asks}"
    return f"关于{about}，请告诉我" if spoken(held.language) == "zh" else f"What about {about}?"


def _said(name: str, text: str | None) -> str | None:
    """What is said of the source, where anything is."""
    return printable(name, text.strip(), MAX_SAID) if text and text.strip() else None


def _names(tenant: Mapping[str, Any]) -> tuple[str, str]:
    return str(tenant["slug"]), str(tenant["tenant"])


def _places(said: str | None) -> tuple[str, ...] | None:
    """Places as people write them: codes between commas or spaces; None where nothing is said."""
    places = tuple(dict.fromkeys(re.findall(r"[^\s,;，；、]+", (said or "").upper())))
    if wrong := [place for place in places if not JURISDICTION.fullmatch(place)]:
        text = {
            "en": f"{wrong[0]} is no place: use codes of ISO 3166, such as DE or US-CA, or * for anywhere.",
            "zh": f"{wrong[0]} 不是地区：请使用 ISO 3166 代码，例如 DE 或 US-CA；不限地区用 *。",
        }
        raise RefusedError(400, "invalid_value", text, param="jurisdictions")
    return places or None


def _failed(why: Fault, language: str) -> dict[str, Any]:
    place = {"line": why.line, "column": why.column}
    return {"state": "failed", "code": why.code, "message": why.text[language], **place}


def _has_any(report: Mapping[str, Any]) -> bool:
    return any(one["state"] != "failed" for one in report["files"])
