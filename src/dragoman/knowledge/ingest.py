"""Reads a file or folder into a source: worker processes parse and hash, then the shelf changes atomically.

A file that fails is listed and never stops the others. Workers open no database and no index.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from dragoman.knowledge.documents import MAX_DOCUMENT_BYTES, SUFFIXES, parse
from dragoman.knowledge.model import Document, KnowledgeError, Source
from dragoman.knowledge.shelf import Shelf

MAX_FILES = 200_000
MAX_WORKERS = 4
FILE_SECONDS = 120
"""Longest a worker may take over one file."""

_TOO_SLOW = f"reading it took longer than {FILE_SECONDS} s"
_DIED = "reading it ended the worker process; it may need too much memory"

Outcome = Document | str | None
"""The document, why it cannot be read, or None: its bytes are known already."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an ingestion stands: `done` of `total` files, and the one just finished."""

    stage: str
    done: int
    total: int
    name: str = ""


@dataclass(slots=True)
class Report:
    """What came of it. `failed` maps file names to reasons; `unchanged` files were known by digest."""

    added: int = 0
    unchanged: int = 0
    passages: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


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
    known = {d.id: d.digest for d in shelf.documents(source)} if not replace else {}
    documents: list[Document] = []
    for done, (name, outcome) in enumerate(_parsed(path, files, known), 1):
        if isinstance(outcome, Document):
            documents.append(outcome)
            report.added += 1
            report.passages += len(outcome.passages)
        elif outcome is None:
            report.unchanged += 1
        else:
            report.failed[name] = outcome
        progress(Progress("read", done, len(files), name))
    if not documents and not report.unchanged:
        raise KnowledgeError(
            "nothing could be read: "
            + "; ".join(f"{name}: {why}" for name, why in list(report.failed.items())[:5])
        )
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


def _files(path: Path, report: Report) -> list[str]:
    """Names relative to `path`, links not followed; other endings are listed as skipped."""
    if path.is_file():
        return [path.name]
    if not path.is_dir():
        raise KnowledgeError(f"{path}: there is no such file or folder")
    names = []
    for folder, subfolders, entries in os.walk(path, followlinks=False):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for entry in sorted(entries):
            full = Path(folder, entry)
            name = str(full.relative_to(path))
            if entry.startswith(".") or full.is_symlink() or full.suffix.lower() not in SUFFIXES:
                report.skipped.append(name)
            else:
                names.append(name)
            if len(names) > MAX_FILES:
                raise KnowledgeError(f"{path}: more than {MAX_FILES} files; ingest it in parts")
    return names


def _read(file: str, name: str, known: str | None) -> Outcome:
    """In the worker: read one file; `known` is the digest of the bytes that are on the shelf."""
    try:
        if Path(file).stat().st_size > MAX_DOCUMENT_BYTES:
            return f"larger than {MAX_DOCUMENT_BYTES // 1024 // 1024} MiB; split it"
        data = Path(file).read_bytes()
        if known == hashlib.sha256(data).hexdigest():
            return None
        return parse(name, data, document_id(name))
    except (OSError, KnowledgeError, RecursionError) as error:
        return str(error)


def _read_with(connection: Connection, read: Callable[[str, str, str | None], Outcome]) -> None:
    """In the worker: read what is given until the parent is gone."""
    while True:
        try:
            connection.send(read(*connection.recv()))
        except (EOFError, BrokenPipeError):
            return


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


def _parsed(path: Path, files: list[str], known: dict[str, str]) -> Iterator[tuple[str, Outcome]]:
    """Give each file's outcome as it comes; a worker that dies or hangs fails its own file only."""
    waiting = list(reversed(files))
    workers = [_Worker() for _ in range(min(MAX_WORKERS, os.cpu_count() or 1, len(files)))]
    idle, busy = list(workers), list[_Worker]()
    try:
        while waiting or busy:
            while idle and waiting:
                name = waiting.pop()
                worker = idle.pop()
                file = path if path.is_file() else path / name
                worker.give(str(file), name, known.get(document_id(name)))
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
