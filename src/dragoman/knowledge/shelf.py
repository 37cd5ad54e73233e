"""The zone's stored documents and the index made of them, in one folder with one writer at a time.

A change is written beside the old and becomes true with one rename; a crash leaves the old. No database here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dragoman.knowledge.model import Asker, Document, Source
from dragoman.knowledge.search import Hit, Index, document_key

FORMAT = 1
"""Version of the folder and of the analyser's terms; another number rebuilds the index from the documents."""


class Shelf:
    """One folder: `sources/<tenant>/<source>/{source.json, documents-<digest>.jsonl}`, `index-v<FORMAT>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reload_lock = threading.Lock()
        (folder / "sources").mkdir(parents=True, exist_ok=True)
        with self._locked():
            try:
                self._index = Index(self._index_folder)
            except ValueError:  # tantivy's word for an unreadable folder; what it held is derived
                shutil.rmtree(self._index_folder)
                self._index = Index(self._index_folder)
                self._mark(None)
            self._heal()
        self._seen = self._stamp()

    # Reading

    def search(self, terms: list[str], asker: Asker, limit: int, language: str = "") -> list[Hit]:
        """Give the best passages for these terms that `asker` may read."""
        return self.index.search(terms, asker, limit, language)

    @property
    def index(self) -> Index:
        """The index as of the last committed change, whichever process made it."""
        stamp = self._stamp()
        if stamp != self._seen:
            with self._reload_lock:
                self._index.reload()
                self._seen = stamp
        return self._index

    def sources(self) -> list[Source]:
        """List all sources of the zone."""
        return [source for source, _ in stored_sources(self.folder)]

    def source(self, tenant: str, source_id: str) -> Source | None:
        """Give a source by its owner and id."""
        row = self._row(tenant, source_id)
        return Source.from_dict(row["source"]) if row else None

    def counts(self, source: Source) -> tuple[int, int | None]:
        """How many documents and passages a source holds; None where an older version did not count them."""
        row = self._row(source.tenant, source.id) or {"count": 0, "passages": 0}
        return row["count"], row.get("passages")

    def documents(self, source: Source) -> Iterator[Document]:
        """Give the stored documents of a source."""
        file = self._documents_file(source)
        if file is not None:
            with file:
                for line in file:
                    yield Document.from_dict(json.loads(line))

    def first_documents(self, source: Source, most: int, most_bytes: int) -> list[Document]:
        """At most `most` documents of a source, as far as its first `most_bytes` stored bytes hold them."""
        file = self._documents_file(source)
        if file is None:
            return []
        with file:
            *lines, _ = file.read(most_bytes).split(b"\n")
        return [Document.from_dict(json.loads(line)) for line in lines[:most]]

    # Writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the folder's write lock; other writers wait. First mends what one of them left half."""
        with self._locked():
            self._heal()
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _heal(self) -> None:
        """Make the index of the stored documents where a writer ended between the two."""
        if self._indexed() != self._stored():
            self._rebuild()

    def put(self, source: Source, documents: list[Document], *, replace: bool = False) -> None:
        """Store `source` with `documents` added or exchanged by id (`replace`: and no others), or nothing."""
        with self.writing():
            before = {d.id: d for d in self.documents(source)}
            after = {**({} if replace else before), **{d.id: d for d in documents}}
            renewed = replace or self.source(source.tenant, source.id) != source
            touched = list(after.values()) if renewed else documents
            keys = [document_key(source, name) for name in (before if renewed else {d.id for d in documents})]
            self._mark(None)
            with self._index.writer() as writer:
                writer.remove(keys)
                for document in touched:
                    writer.add(source, document)
                self._store(source, list(after.values()))
                writer.commit()
            self._mark(self._stored())
            self._index.reload()

    def remove(self, source: Source) -> None:
        """Takes a source and its documents off the shelf and out of the index."""
        with self.writing():
            keys = [document_key(source, d.id) for d in self.documents(source)]
            self._mark(None)
            folder = self._folder(source.tenant, source.id)
            (folder / "source.json").unlink(missing_ok=True)
            for path in folder.glob("documents-*.jsonl"):
                path.unlink()
            with self._index.writer() as writer:
                writer.remove(keys)
                writer.commit()
            self._mark(self._stored())
            self._index.reload()

    def _rebuild(self) -> None:
        with self._index.writer() as writer:
            writer.clear()
            for source in self.sources():
                for document in self.documents(source):
                    writer.add(source, document)
            writer.commit()
        self._index.reload()
        self._mark(self._stored())

    def _store(self, source: Source, documents: list[Document]) -> None:
        folder = self._folder(source.tenant, source.id)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(d.as_dict(), ensure_ascii=False).encode() + b"\n" for d in documents]
        digest = hashlib.sha256()
        for line in lines:
            digest.update(line)
        name = f"documents-{digest.hexdigest()[:32]}.jsonl"
        write(folder / name, b"".join(lines))
        row = {"format": FORMAT, "source": source.as_dict(), "documents": name, "count": len(documents)}
        row["passages"] = sum(len(document.passages) for document in documents)
        write(folder / "source.json", json.dumps(row, ensure_ascii=False, indent=1).encode())
        for old in folder.glob("documents-*.jsonl"):
            if old.name != name:
                old.unlink()

    # What is on disk

    @property
    def _index_folder(self) -> Path:
        return self.folder / f"index-v{FORMAT}"

    def _folder(self, tenant: str, source_id: str) -> Path:
        return self.folder / "sources" / tenant / source_id

    def _source_files(self) -> list[Path]:
        return sorted((self.folder / "sources").glob("*/*/source.json"))

    def _row(self, tenant: str, source_id: str) -> dict[str, Any] | None:
        try:
            row: dict[str, Any] = json.loads((self._folder(tenant, source_id) / "source.json").read_bytes())
        except FileNotFoundError:
            return None
        return row

    def _documents_file(self, source: Source) -> BinaryIO | None:
        """The stored documents; a change that comes between their naming and opening is followed."""
        named = None
        while (row := self._row(source.tenant, source.id)) is not None:
            try:
                return self._folder(source.tenant, source.id).joinpath(row["documents"]).open("rb")
            except FileNotFoundError:
                if row["documents"] == named:
                    raise
                named = row["documents"]
        return None

    def _stored(self) -> str:
        """Digest over what the sources' files say; they name their documents by digest."""
        digest = hashlib.sha256(f"{FORMAT}\n".encode())
        for path in self._source_files():
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _indexed(self) -> str | None:
        try:
            return (self.folder / "indexed").read_text()
        except FileNotFoundError:
            return None

    def _mark(self, stored: str | None) -> None:
        """Say which stored state the index holds; None while it is open: a crash then rebuilds."""
        path = self.folder / "indexed"
        if stored is None:
            path.unlink(missing_ok=True)
            _sync_folder(self.folder)
        else:
            write(path, stored.encode())

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = (self.folder / "indexed").stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino


def stored_sources(folder: Path) -> list[tuple[Source, int]]:
    """The sources in a knowledge's folder, and how many documents each holds, without opening its index."""
    files = sorted((folder / "sources").glob("*/*/source.json"))
    rows = [json.loads(path.read_bytes()) for path in files]
    return [(Source.from_dict(row["source"]), int(row["count"])) for row in rows]


def write(path: Path, data: bytes) -> None:
    """Durable and atomic: the path holds the old bytes or the new."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
