"""Files of the operator's own evidence: added under a piece of evidence, given out to be saved, removed.

They are forms of the readiness pages. What evidence there is, its number and last day stand in the
configuration alone; a file only goes along with it and changes no decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.admin.acts import Asked
from dragoman.admin.context import AdminContext
from dragoman.admin.pages import nothing
from dragoman.admin.readiness import STATE, known_evidence
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.twins import twins
from dragoman.admin.view import AdminView
from dragoman.core.admins import OPERATOR
from dragoman.errors import RefusedError

PAGE, API = "/readiness/files", "/admin/v1/readiness/files"
KINDS = (".pdf", ".png", ".jpg", ".jpeg")


class NewFile(Asked):
    """Files (`files`) of a piece of evidence, by the name that the rules use."""

    evidence: str = Field(min_length=1, max_length=100)


class WhichFile(Asked):
    """A file of evidence."""

    filing: str = Field(min_length=1, max_length=128)


class Kept(BaseModel):
    """The evidence with its files: `filing` (id), `name`, `size` in bytes, `sha256`, `at` (ms UTC), `by`."""

    evidence: str
    files: list[dict[str, Any]]


class FilingPages:
    """The routes about files of evidence."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """Forms of the page and their twins in the API."""
        yield AdminRoute(
            "GET", "/readiness/file/{name}", OPERATOR, self.file, "A file of evidence, to be saved."
        )
        for path, body, do, says in (
            ("", NewFile, self.add, "Keep files of a piece of evidence."),
            ("/remove", WhichFile, self.remove, "Remove a file of evidence."),
        ):
            yield from twins(
                self._view,
                f"{PAGE}{path}",
                body,
                do,
                says,
                answer=Kept,
                then=lambda done: f"{STATE}?evidence={quote(done['evidence'], safe='')}",
                api=f"{API}{path}",
                files=not path,
                kinds=KINDS,
            )

    async def file(self, call: Call) -> Response:
        """The file; that it was given out stands in the ledger."""
        name = call.names["name"]
        found = await run_in_threadpool(self._context.filings.read, name, call.visitor.by)
        if found is None:
            raise nothing()
        return self._view.saved(*found)

    def add(self, call: Call) -> dict[str, Any]:
        """Keep what came. RefusedError 400 for what is not known or no such file, 409 where it is full."""
        evidence = known_evidence(self._context.packs(), call.body.evidence)
        upload = call.upload
        for why in upload.failed.values():
            raise RefusedError(400, "invalid_value", dict(why.text), param="files")
        if not upload.files:
            text = {"en": "Choose a file.", "zh": "请选择文件。"}
            raise RefusedError(400, "no_files", text, param="files")
        files = {name: path.read_bytes() for name, path in upload.files.items()}
        self._context.filings.add(evidence, files, call.visitor.by)
        return self._of(evidence)

    def remove(self, call: Call) -> dict[str, Any]:
        """Remove a file. RefusedError 404 where there is none."""
        evidence = self._context.filings.remove(call.body.filing, call.visitor.by)
        if evidence is None:
            raise nothing()
        return self._of(evidence)

    def _of(self, evidence: str) -> dict[str, Any]:
        return {"evidence": evidence, "files": self._context.filings.by_evidence().get(evidence, [])}
