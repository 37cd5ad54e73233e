"""Reads a file or folder into a source: worker processes parse and hash, then the shelf changes atomically.

A file that fails is listed and never stops the others. Workers open no database and no index.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import multiprocessing
import os
import re
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from dragoman.knowledge.documents import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_SAID, SUFFIXES, parse
from dragoman.knowledge.faults import Fault, FaultError
from dragoman.knowledge.model import Document, KnowledgeError, Source
from dragoman.knowledge.shelf import Shelf

MAX_FILES = 200_000
"""LIMIT: files of one folder that `dragoman ingest` reads."""
MAX_WORKERS = 4
"""LIMIT: processes that read files."""
FILE_SECONDS = 120
"""LIMIT: seconds one of them may take over one file; then the file fails alone."""
WORKER_BYTES = 3 << 30
"""LIMIT: bytes of memory one of them may address; a file that needs more fails alone."""
FILE_CPU_SECONDS = 150
"""LIMIT: seconds of processor time one of them may take over one file; then the system ends it."""

_TOO_SLOW = Fault("too_slow", limit=str(FILE_SECONDS))
_DIED = Fault("died")

Outcome = Document | Fault | None
"""The document, why it cannot be read, or None: its bytes are known already."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an ingestion stands: `done` of `total` files, and the one just finished."""

    stage: str
    done: int
    total: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A document on the shelf: what a file became, or was already.

    `asks`: the first heading, which a question about it may start from.
    """

    document: str
    title: str
    language: str
    digest: str
    passages: int
    asks: str
    is_new: bool = False
    """Whether it was put there just now."""

    @classmethod
    def of(cls, document: Document, *, is_new: bool = False) -> Held:
        """What is told of a document."""
        passages = document.passages
        heading = next((passage.heading[-1] for passage in passages if passage.heading), "")
        return cls(
            document.id, document.title, document.language, document.digest, len(passages), heading, is_new
        )


@dataclass(slots=True)
class Report:
    """What came of it. `failed` maps file names to faults; `unchanged` files were known by digest.

    `held` maps the name of every other file to its document.
    """

    added: int = 0
    unchanged: int = 0
    passages: int = 0
    held: dict[str, Held] = field(default_factory=dict)
    failed: dict[str, Fault] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


class NothingReadError(KnowledgeError):
    """No file could be read; the shelf is as it was. `report` says why."""

    def __init__(self, report: Report) -> None:
        said = [f"{name}: {why.text['en']}" for name, why in list(report.failed.items())[:5]]
        super().__init__("nothing could be read: " + "; ".join(said))
        self.report = report


def ingest(
    shelf: Shelf,
    path: Path,
    source: Source,
    progress: Callable[[Progress], None] = lambda _: None,
    *,
    replace: bool = False,
) -> Report:
    """Adds the documents under `path` to `source`; documents with the same name are exchanged.

    Raises KnowledgeError when nothing could be read at all; then the shelf is unchanged.
    """
    report = Report()
    files = _files(path, report)
    if not files:
        raise KnowledgeError(f"{path}: no file to read; endings that can be read: {', '.join(SUFFIXES)}")
    return take(shelf, files, source, progress, report, replace=replace)


def take(  # noqa: PLR0913 - what `ingest` is given, with the files found
    shelf: Shelf,
    files: Mapping[str, Path],
    source: Source,
    progress: Callable[[Progress], None] = lambda _: None,
    report: Report | None = None,
    *,
    replace: bool = False,
) -> Report:
    """Adds files by name (`folder/returns.md`, which decides kind and document id) to `source`, or nothing.

    When it returns, every file under `held` is stored and indexed. NothingReadError where there is none.
    """
    report = report or Report()
    known = {d.id: Held.of(d) for d in shelf.documents(source)} if not replace else {}
    documents: list[Document] = []
    digests = {name: held.digest for name, held in known.items()}
    for done, (name, outcome) in enumerate(_parsed(files, digests), 1):
        if isinstance(outcome, Document):
            documents.append(outcome)
            report.added += 1
            report.passages += len(outcome.passages)
            report.held[name] = Held.of(outcome, is_new=True)
        elif outcome is None:
            report.unchanged += 1
            report.held[name] = known[document_id(name)]
        else:
            report.failed[name] = outcome
        progress(Progress("read", done, len(files), name))
    if not report.held:
        raise NothingReadError(report)
    progress(Progress("index", len(files), len(files)))
    if documents or replace or shelf.source(source.tenant, source.id) != source:
        shelf.put(source, documents, replace=replace)
    progress(Progress("done", len(files), len(files)))
    return report


def document_id(relative: str) -> str:
    """A URL-safe id from a path: a Markdown file's plain name, else its words and a digest's start."""
    stem, _, suffix = relative.rpartition(".")
    words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    if words == stem and suffix == "md" and len(words) <= 60:
        return words
    digest = hashlib.sha256(relative.encode()).hexdigest()[:8]
    return f"{words[:50].strip('-')}-{digest}".strip("-")


def _files(path: Path, report: Report) -> dict[str, Path]:
    """Files by their names relative to `path`, links not followed; other endings are listed as skipped."""
    if path.is_file():
        return {path.name: path}
    if not path.is_dir():
        raise KnowledgeError(f"{path}: there is no such file or folder")
    files = dict[str, Path]()
    for folder, subfolders, entries in os.walk(path, followlinks=False):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for entry in sorted(entries):
            full = Path(folder, entry)
            name = str(full.relative_to(path))
            if entry.startswith(".") or full.is_symlink() or full.suffix.lower() not in SUFFIXES:
                report.skipped.append(name)
            else:
                files[name] = full
            if len(files) > MAX_FILES:
                raise KnowledgeError(f"{path}: more than {MAX_FILES} files; ingest it in parts")
    return files


def _read(file: str, name: str, known: str | None) -> Outcome:
    """In the worker: read one file; `known` is the digest of the bytes that are on the shelf."""
    try:
        if Path(file).stat().st_size > MAX_DOCUMENT_BYTES:
            return Fault("too_large", limit=MAX_DOCUMENT_SAID)
        data = Path(file).read_bytes()
        if known == hashlib.sha256(data).hexdigest():
            return None
        return parse(name, data, document_id(name))
    except FaultError as error:
        return error.fault
    except MemoryError:
        return _DIED
    except (OSError, KnowledgeError, RecursionError) as error:
        return Fault("unreadable", what=str(error))


def _read_with(connection: Connection, read: Callable[[str, str, str | None], Outcome]) -> None:
    """In the worker: read what is given until the parent is gone."""
    _bound_memory()
    while True:
        try:
            order = connection.recv()
            _bound_time()
            connection.send(read(*order))
        except (EOFError, BrokenPipeError):
            return


def _bound_memory() -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = WORKER_BYTES if hard == resource.RLIM_INFINITY else min(WORKER_BYTES, hard)
    with contextlib.suppress(ValueError):  # a system that counts no addresses
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a worker that is ended leaves no document behind


def _bound_time() -> None:
    """Counted from now on: the system counts what the whole process took."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime) + FILE_CPU_SECONDS
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(
        resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
    )


def _work(connection: Connection) -> None:
    _read_with(connection, _read)


class _Worker:
    """A process that reads one file at a time; killed when it takes too long."""

    target = staticmethod(_work)

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=self.target, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.name = ""
        self.deadline = 0.0

    def give(self, file: str, name: str, known: str | None) -> None:
        """Start on a file."""
        self.name, self.deadline = name, time.monotonic() + FILE_SECONDS
        self.connection.send((file, name, known))

    def take(self) -> Outcome:
        """Receive the outcome; EOFError when the process has died."""
        outcome: Outcome = self.connection.recv()
        return outcome

    def stop(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _parsed(files: Mapping[str, Path], known: Mapping[str, str]) -> Iterator[tuple[str, Outcome]]:
    """Give each file's outcome as it comes; a worker that dies or hangs fails its own file only."""
    waiting = list(reversed(list(files)))
    workers = [_Worker() for _ in range(min(MAX_WORKERS, os.cpu_count() or 1, len(files)))]
    idle, busy = list(workers), list[_Worker]()
    try:
        while waiting or busy:
            while idle and waiting:
                name = waiting.pop()
                worker = idle.pop()
                worker.give(str(files[name]), name, known.get(document_id(name)))
                busy.append(worker)
            next_deadline = min(worker.deadline for worker in busy)
            ready = wait([w.connection for w in busy], max(0.0, next_deadline - time.monotonic()))
            now = time.monotonic()
            for worker in [w for w in busy if w.connection in ready or w.deadline <= now]:
                busy.remove(worker)
                outcome = _outcome(worker) if worker.connection in ready else _TOO_SLOW
                if outcome in (_TOO_SLOW, _DIED):
                    worker.stop()
                    workers.remove(worker)
                    fresh = _Worker()
                    workers.append(fresh)
                    idle.append(fresh)
                else:
                    idle.append(worker)
                yield worker.name, outcome
    finally:
        for worker in workers:
            worker.stop()


def _outcome(worker: _Worker) -> Outcome:
    try:
        return worker.take()
    except (EOFError, ConnectionResetError):
        return _DIED
