"""Takes files from a form as they come, `multipart/form-data`, into a folder: bounded, named by us alone.

What a client calls a file is only ever a name that people read; on disk a file is a number. An upload that is
not whole leaves nothing.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from dragoman.errors import RefusedError
from dragoman.knowledge.documents import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_SAID, SUFFIXES, suffix_of
from dragoman.knowledge.faults import Fault
from dragoman.knowledge.intake import Intake
from dragoman.visible import is_unseen

UPLOAD_BYTES = 32 << 20
"""LIMIT: bytes of one upload, all its files together."""
UPLOAD_SAID = f"{UPLOAD_BYTES >> 20} MiB"
UPLOAD_FILES = 1_000
"""LIMIT: files of one upload."""
UPLOAD_SECONDS = 120.0
"""LIMIT: seconds an upload may take to arrive."""
UPLOADS = 2
"""LIMIT: uploads taken at once; further ones are asked to come again."""
UPLOAD_FIELDS = 20
"""LIMIT: fields of an upload beside its files."""
FIELD_BYTES = 2_000
"""LIMIT: bytes of such a field."""
NAME_CHARS = 200
"""LIMIT: characters of a file's name with its folders; a longer one is cut at the front."""
DISCARDED_BYTES = 1 << 30
"""LIMIT: bytes of a refused upload that are read and thrown away, so that a browser gets to read why."""
DISCARD_SECONDS = 10.0
"""LIMIT: seconds for that."""
CHUNK = 256 << 10
"""Bytes given to the parser at once, in a thread."""
RETRY_SECONDS = 5

FILES = "files"
"""The field that holds files."""
_ESCAPED = {"%22": '"', "%0D": "\r", "%0A": "\n", "%0d": "\r", "%0a": "\n"}


@dataclass(slots=True)
class Upload:
    """An upload that is there: fields, files by the name that is shown, and files that were not kept and why.

    `names` has both in the order in which they came.
    """

    fields: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    failed: dict[str, Fault] = field(default_factory=dict)


class Uploads:
    """Takes uploads for one listener."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._open = 0

    @asynccontextmanager
    async def received(
        self, request: Request, own_form: Callable[[str], None], kinds: tuple[str, ...] = SUFFIXES
    ) -> AsyncIterator[Upload]:
        """One upload, while its files are there. `own_form` raises for a form token that is not ours.

        `kinds`: endings of the names that are kept. `own_form` is asked with the fields that came before the
        first file. RefusedError: 400 for what is no upload, 408, 413 beyond a limit, 503 while others
        are taken.
        """
        boundary = await self._expected(request)
        if self._open >= UPLOADS:
            text = {
                "en": "Other files are being taken. Try again in a moment.",
                "zh": "正在接收其他文件，请稍后重试。",
            }
            raise RefusedError(503, "uploads_busy", text, extra={"retry_after_s": RETRY_SECONDS})
        self._open += 1
        try:
            folder = await run_in_threadpool(self._spooled)
            try:
                yield await _whole(request, _Parts(Path(folder.name), boundary, own_form, kinds))
            finally:
                await run_in_threadpool(folder.cleanup)
        finally:
            self._open -= 1

    def _spooled(self) -> TemporaryDirectory[str]:
        try:
            return self._intake.spool()
        except OSError as fault:
            raise not_stored(fault) from fault

    async def _expected(self, request: Request) -> bytes:
        """The boundary between parts, from the head alone: what is too large is refused before it is read."""
        kind, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary", b"")
        declared = request.headers.get("content-length", "0")
        if kind != b"multipart/form-data" or not boundary:
            refusal = _broken()
        elif not declared.isdigit() or int(declared) > UPLOAD_BYTES:
            refusal = too_large()
        else:
            return boundary
        await _discard(request)
        raise refusal


async def _whole(request: Request, parts: _Parts) -> Upload:
    """The upload when all of it is there."""
    try:
        await _read(request, parts)
        return await run_in_threadpool(parts.whole)
    except RefusedError:
        await _discard(request)
        raise
    finally:
        parts.close()


async def _read(request: Request, parts: _Parts) -> None:
    """Have every byte parsed, in a thread, within the bounds."""
    waiting, taken = bytearray(), 0
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for piece in request.stream():
                waiting += piece
                taken += len(piece)
                if taken > UPLOAD_BYTES:
                    raise too_large()
                if len(waiting) >= CHUNK:
                    await run_in_threadpool(parts.write, bytes(waiting))
                    waiting.clear()
    except TimeoutError:
        text = {
            "en": f"The files did not arrive within {UPLOAD_SECONDS:.0f} seconds. Send fewer at once.",
            "zh": f"文件未能在 {UPLOAD_SECONDS:.0f} 秒内到达，请减少一次上传的数量。",
        }
        raise RefusedError(408, "request_timeout", text) from None
    await run_in_threadpool(parts.write, bytes(waiting))


async def _discard(request: Request) -> None:
    """Read what is still on its way: a browser shows an answer only after it has sent everything."""
    if request.headers.get("expect", "").lower() == "100-continue":
        return
    left = DISCARDED_BYTES
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            async for piece in request.stream():
                left -= len(piece)
                if left < 0:
                    return
    except (TimeoutError, RuntimeError):  # it takes too long, or all was read before
        return


class _Parts:
    """The parts of one upload, written to a folder as the parser finds them. Used by one thread at a time."""

    def __init__(
        self, folder: Path, boundary: bytes, own_form: Callable[[str], None], kinds: tuple[str, ...]
    ) -> None:
        self.upload = Upload()
        self._kinds = kinds
        self._folder = folder
        self._own_form: Callable[[str], None] | None = own_form
        self._header = [bytearray(), bytearray()]
        self._disposition = b""
        self._name = ""
        self._value: bytearray | None = None
        self._file: IO[bytes] | None = None
        self._size = 0
        self._is_over = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_part_end": self._part_ends,
                    "on_end": self._ends,
                },
            )
        except FormParserError as fault:
            raise _broken() from fault

    def write(self, data: bytes) -> None:
        """Take more. RefusedError 400, 403, 413."""
        try:
            self._parser.write(data)
        except FormParserError as fault:
            raise _broken() from fault
        except OSError as fault:
            raise not_stored(fault) from fault

    def whole(self) -> Upload:
        """The upload, where its end was there. RefusedError 400 where it broke off."""
        if not self._is_over:
            raise _broken()
        self._show_form()
        return self.upload

    def close(self) -> None:
        """Close what is open."""
        if self._file is not None:
            self._file.close()

    def _part_begins(self) -> None:
        self._disposition, self._name, self._value, self._size = b"", "", None, 0

    def _header_ends(self) -> None:
        name, value = (bytes(part) for part in self._header)
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = [bytearray(), bytearray()]

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        field_name = options.get(b"name", b"").decode("utf-8", "replace")
        is_file, is_full = b"filename" in options, len(self.upload.fields) >= UPLOAD_FIELDS
        if is_file and field_name == FILES:
            self._file_begins(options[b"filename"].decode("utf-8", "replace"))
        elif is_file or is_full or not field_name:
            raise _broken()
        else:
            self._name, self._value = field_name, bytearray()

    def _file_begins(self, said: str) -> None:
        if not said:
            return  # a form whose file field was left empty
        self._show_form()
        count = len(self.upload.names)
        if count >= UPLOAD_FILES:
            text = {
                "en": f"At most {UPLOAD_FILES} files at once.",
                "zh": f"一次最多上传 {UPLOAD_FILES} 个文件。",
            }
            raise RefusedError(413, "too_many_files", text)
        name, suffix = shown_name(said), suffix_of(shown_name(said))
        fault = None
        if not name:
            name, fault = f"#{count + 1}", Fault("no_name")
        elif name in self.upload.names:
            name, fault = f"{name} #{count + 1}", Fault("same_name")
        elif suffix not in self._kinds:
            fault = Fault("unknown_kind", what=suffix, known=", ".join(self._kinds))
        self.upload.names.append(name)
        if fault is not None:
            self.upload.failed[name] = fault
            return
        self._name, path = name, self._folder / str(count)
        self._file = path.open("wb")
        self.upload.files[name] = path

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._value is not None:
            if self._size > FIELD_BYTES:
                raise _broken()
            self._value += data[start:end]
        elif self._file is not None and self._size > MAX_DOCUMENT_BYTES:
            self._file.close()
            self._file = None
            self.upload.files.pop(self._name).unlink()
            self.upload.failed[self._name] = Fault("too_large", limit=MAX_DOCUMENT_SAID)
        elif self._file is not None:
            self._file.write(data[start:end])

    def _part_ends(self) -> None:
        if self._value is not None:
            self.upload.fields[self._name] = self._value.decode("utf-8", "replace")
        if self._file is not None:
            self._file.close()
            self._file = None

    def _ends(self) -> None:
        self._is_over = True

    def _show_form(self) -> None:
        """Have the form's token checked, once, before a file is kept."""
        if self._own_form is not None:
            check, self._own_form = self._own_form, None
            check(self.upload.fields.pop("csrf", ""))


def shown_name(said: str) -> str:
    """A name that is safe to show and to keep: nothing invisible, nothing that turns text or climbs up."""
    text = re.sub("%(?:22|0[AaDd])", lambda escape: _ESCAPED[escape[0]], said)
    text = unicodedata.normalize("NFC", text).replace("\\", "/")
    seen = "".join(one for one in text if one not in "\r\n\t" and not is_unseen(one))
    parts = (" ".join(part.split()) for part in seen.split("/"))
    return "/".join(part for part in parts if part.strip(". "))[-NAME_CHARS:].lstrip("/ ")


def too_large() -> RefusedError:
    """More than one upload may hold."""
    text = {
        "en": f"At most {UPLOAD_SAID} at once, and {MAX_DOCUMENT_SAID} a file. Nothing of it was taken.",
        "zh": f"一次最多 {UPLOAD_SAID}，单个文件最多 {MAX_DOCUMENT_SAID}。未接收任何内容。",
    }
    return RefusedError(413, "body_too_large", text)


def not_stored(fault: OSError) -> RefusedError:
    """The disk does not take it."""
    why = fault.strerror or type(fault).__name__
    text = {
        "en": f"The files could not be stored ({why}). Nothing was taken.",
        "zh": f"文件无法保存（{why}）。未接收任何内容。",
    }
    return RefusedError(503, "not_stored", text)


def _broken() -> RefusedError:
    text = {
        "en": "The upload broke off or is not in the form of our page. Nothing was taken; send it again.",
        "zh": "上传中断，或不是本页面的格式。未接收任何内容，请重新上传。",
    }
    return RefusedError(400, "broken_upload", text)
