"""A backup's file: a plain tar of regular files with the manifest and its signature at the end.

What is read from one is bounded by the manifest: a name, a kind or a size that it does not list is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Self

from dragoman.operations.log_copy import Piece
from dragoman.operations.manifest import MANIFEST, MAX_MANIFEST_BYTES, SIGNATURE, Manifest, Member
from dragoman.operations.texts import OperationError

COPY_BYTES = 1 << 20
MAX_FILES = 4_000_000
"""LIMIT: files in a backup; some 500 million entries."""
MAX_NAME_BYTES = 1024
Progress = Callable[[int], None]
"""Called with the bytes of each piece that was copied."""


class ArchiveWriter:
    """Writes `target` beside itself and puts it in place whole; it must not exist."""

    def __init__(self, target: Path, at_s: int, progress: Progress) -> None:
        if target.exists():
            raise OperationError("target_exists", file=target)
        self._target = target
        self._draft = target.with_name(f".{target.name}.{os.getpid()}")
        self._at = at_s
        self._progress = progress
        self.members: list[Member] = []

    def __enter__(self) -> Self:
        handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(handle, "wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._file:
            if kind is None:
                self._tar.close()
                self._file.flush()
                os.fsync(self._file.fileno())
        if kind is None:
            self._draft.rename(self._target)
            sync_folder(self._target.parent)
        else:
            self._draft.unlink(missing_ok=True)

    def add(self, piece: Piece) -> None:
        """Add a file and note its digest."""
        if piece.source is None:
            self._stream(piece.name, io.BytesIO(piece.content), len(piece.content))
        else:
            with piece.source.open("rb") as source:
                self._stream(piece.name, source, piece.length)

    def finish(self, manifest: bytes, note: str) -> None:
        """Add the manifest over all members so far, and its signature."""
        self._stream(MANIFEST, io.BytesIO(manifest), len(manifest))
        self._stream(SIGNATURE, io.BytesIO(note.encode()), len(note.encode()))

    def _stream(self, name: str, source: IO[bytes], length: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = length, 0o600, self._at
        hashing = _Hashing(source)
        self._tar.addfile(info, hashing)
        self.members.append(Member(name, length, hashing.sha256.hexdigest()))
        self._progress(length)


class _Hashing(io.RawIOBase):
    """Hashes what is read through it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        data = self._source.read(size)
        self.sha256.update(data)
        return data


class ArchiveReader:
    """Reads a backup: first its table of contents, then its files. Every refusal says what is wrong."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.manifest_bytes = b""
        self.note = ""
        self.manifest = self._contents()
        self.total = sum(member.bytes for member in self.manifest.files)

    def _contents(self) -> Manifest:
        sizes: dict[str, int] = {}
        try:
            with tarfile.open(self.file, "r:") as tar:
                for info in tar:
                    _check_member(info, sizes)
                    sizes[info.name] = info.size
                    if info.name in {MANIFEST, SIGNATURE}:
                        self._keep(tar, info)
        except (tarfile.TarError, EOFError) as fault:
            raise OperationError("damaged_end") from fault
        except OSError as fault:
            raise OperationError("file_fault", file=self.file, why=fault.strerror or fault) from fault
        if not self.manifest_bytes or not self.note:
            raise OperationError("damaged_manifest")
        manifest = Manifest.parse(self.manifest_bytes)
        listed = {member.name: member.bytes for member in manifest.files}
        held = {name: size for name, size in sizes.items() if name not in {MANIFEST, SIGNATURE}}
        if listed != held:
            different = min(set(listed.items()) ^ set(held.items()))[0]
            raise OperationError("damaged_list", name=repr(different))
        return manifest

    def _keep(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        opened = tar.extractfile(info)
        raw = b"" if opened is None or info.size > MAX_MANIFEST_BYTES else opened.read()
        if info.name == MANIFEST:
            self.manifest_bytes = raw
        else:
            self.note = raw.decode("utf-8", "replace")

    def extract(self, folder: Path, progress: Progress) -> None:
        """Write every file below an existing, empty folder, each checked against its digest, and sync."""
        wanted = {member.name: member for member in self.manifest.files}
        with tarfile.open(self.file, "r:") as tar:
            for info in tar:
                if info.name in wanted:
                    self._extract_one(tar, info, wanted[info.name], folder)
                    progress(info.size)
        for parent in {folder, *(path for path in folder.rglob("*") if path.is_dir())}:
            sync_folder(parent)

    def _extract_one(self, tar: tarfile.TarFile, info: tarfile.TarInfo, member: Member, folder: Path) -> None:
        path = folder / member.name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        total, left = hashlib.sha256(), member.bytes
        source = tar.extractfile(info)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as out:
            while source is not None and left and (data := source.read(min(COPY_BYTES, left))):
                total.update(data)
                out.write(data)
                left -= len(data)
            out.flush()
            os.fsync(out.fileno())
        if left or total.hexdigest() != member.sha256:
            raise OperationError("damaged_content", name=repr(member.name))


def _check_member(info: tarfile.TarInfo, seen: dict[str, int]) -> None:
    """Refuse whatever a backup never holds: links, devices, names that lead out, names twice."""
    parts = PurePosixPath(info.name).parts
    plain = info.type == tarfile.REGTYPE and not info.issparse()
    inside = (
        info.name == "/".join(parts)
        and ".." not in parts
        and not info.name.startswith("/")
        and info.name.isprintable()
        and "\\" not in info.name
        and 0 < len(info.name.encode()) <= MAX_NAME_BYTES
    )
    if not plain or not inside or info.name in seen or len(seen) >= MAX_FILES:
        raise OperationError("damaged_member", name=repr(info.name[:200]))


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
