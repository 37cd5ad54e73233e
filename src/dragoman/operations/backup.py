"""Takes a backup of a zone, served or stopped.

Order, and why: counts of the logs, the database as of one instant, the registry, the relays' logs. So entries
below the counts have their rows in the database, the database's cursors are not ahead of the logs, and a log
that the registry admits is there.
"""

from __future__ import annotations

import base64
import fcntl
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman import _native
from dragoman.control.admin_client import AdminClient
from dragoman.control.own_temp import TEMP
from dragoman.ids import now_ms
from dragoman.ledger.logs import REGISTRY, journals
from dragoman.operations.archive import ArchiveWriter, Progress
from dragoman.operations.log_copy import LogCopy, Piece, await_checkpoint, counted, shards_of, take
from dragoman.operations.manifest import LogHead, Manifest, sign
from dragoman.operations.sealing import seal
from dragoman.operations.texts import OperationError
from dragoman.settings import Settings
from dragoman.stores.migrate import revision_of

DATABASE, KNOWLEDGE, SECRETS, SEALED_SECRETS = "zone.db", "knowledge", "secrets", "secrets.sealed"
JOURNAL, CONFIG_FILE, PACKS, RULES = "journal", "config/dragoman.toml", "config/packs", "config/rules"
SNAPSHOT_TIMEOUT_S = 3_600.0
LEFT_BEHIND = frozenset({"run", "backups", TEMP, "zone.lock", f"{DATABASE}-wal", f"{DATABASE}-shm"})
"""What a zone makes anew."""


@dataclass(frozen=True)
class Wanted:
    """What to back up, and how. `secrets`: also the pepper, under `passphrase` where one is given."""

    settings: Settings
    file: Path | None
    target: Path
    secrets: bool = False
    passphrase: bytes | None = None


def backup(wanted: Wanted, progress: Progress) -> dict[str, Any]:
    """Write the archive; what it holds. Raises OperationError, LedgerError, UnavailableError."""
    with _alone(wanted.settings.zone.data):
        return _backup(wanted, progress)


def _backup(wanted: Wanted, progress: Progress) -> dict[str, Any]:
    settings, begun = wanted.settings, now_ms()
    client = AdminClient(settings, wanted.file)
    folders = log_folders(settings)
    if not client.ask("GET", "/admin/v1/status")["running"]:
        sign_stopped(settings, folders)
    complete = {shard: counted(shard) for folder in folders.values() for shard in shards_of(folder)}
    target = wanted.target
    if target.is_dir():
        target = target / f"dragoman-{settings.zone.id}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar"
    with _snapshot(client) as database, ArchiveWriter(target, begun // 1000, progress) as archive:
        schema = _checked(database)
        archive.add(Piece(DATABASE, source=database, length=database.stat().st_size))
        logs = [
            _head(archive, name, shard, complete)
            for name, folder in folders.items()
            for shard in shards_of(folder)
        ]
        check_cursors(database, logs)
        with _knowledge(settings.zone.data / KNOWLEDGE) as pieces:
            _add(archive, pieces)
        _add(archive, _secret_pieces(wanted))
        config = list(_config_pieces(wanted))
        _add(archive, config)
        newest = [head for head in logs if head.folder == REGISTRY][-1]
        manifest = Manifest(
            zone=settings.zone.id,
            country=settings.zone.country,
            made_at=begun,
            version=_native.__version__,
            schema=schema,
            secrets="none" if not wanted.secrets else "sealed" if wanted.passphrase else "plain",
            registry_key=newest.key,
            logs=logs,
            config=_config_names(wanted),
            needs=outside(settings),
            files=list(archive.members),
        )
        text = manifest.text()
        seed = seed_of(settings.zone.data / REGISTRY / "keys" / f"{newest.shard}.key")
        archive.finish(text, sign(text, settings.zone.id, newest.key, seed))
    return _told(target, manifest, settings, begun)


def log_folders(settings: Settings) -> dict[str, Path]:
    """The zone's journal folders by their name in a backup, the registry first."""
    data = settings.zone.data
    found = {REGISTRY: data / REGISTRY}
    found.update({folder.name: folder for folder in journals(data)})
    folder = settings.journal.folder
    if folder is not None and shards_of(folder):
        found[JOURNAL] = folder
    if not shards_of(found[REGISTRY]):
        raise OperationError("no_registry", data=data)
    return found


def sign_stopped(settings: Settings, folders: dict[str, Path]) -> None:
    """Recover and sign each log whose writer ended without a last checkpoint; its open turns stay open."""
    for folder in folders.values():
        newest = shards_of(folder)[-1]
        head = json.loads(_native.ledger_head(newest))["checkpoint"]
        if head is None or counted(newest) > head["size"]:
            try:
                _native.Journal(folder, settings.zone.id, keep_open=True).close()
            except _native.JournalError as fault:
                if fault.args[0] != "locked":  # a relay without its control: its own checkpoint is awaited
                    raise OperationError("log_damaged", folder=folder, why=fault.args[-1]) from fault


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """One backup at a time: control keeps one snapshot."""
    if not data.is_dir():
        raise OperationError("no_registry", data=data)
    folder = data / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperationError("backup_running", data=data) from None
        yield


@contextmanager
def _snapshot(client: AdminClient) -> Iterator[Path]:
    file = Path(client.ask("POST", "/admin/v1/snapshot", timeout_s=SNAPSHOT_TIMEOUT_S)["file"])
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def _checked(database: Path) -> str:
    """The revision of an intact copy."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as raw:
        if raw.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise OperationError("database_damaged")
    return revision_of(database) or ""


def _head(archive: ArchiveWriter, name: str, shard: Path, complete: dict[Path, int]) -> LogHead:
    await_checkpoint(shard, counted(shard))
    copy: LogCopy = take(shard, f"{name}/{shard.name}")
    _add(archive, copy.pieces)
    known = min(complete.get(shard, 0), copy.size)
    return LogHead(name, shard.name, copy.log, copy.key, copy.size, copy.root, known)


def check_cursors(database: Path, logs: list[LogHead]) -> None:
    """Refuse where the database has taken entries, or the registry names a log, that are not in the copy."""
    sizes = {head.log: head.size for head in logs}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as raw:
        rows = list(raw.execute("SELECT log, next FROM journal_cursor"))
    for log, taken in rows:
        if sizes.get(log, -1) < taken:
            raise OperationError("log_missing", log=log, have=sizes.get(log, 0), taken=taken)


@contextmanager
def _knowledge(folder: Path) -> Iterator[Iterator[Piece]]:
    """The stored documents, under the folder's own lock; the index is made anew from them."""
    if not (folder / "sources").is_dir():
        yield iter(())
        return
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield (
            Piece(
                f"{KNOWLEDGE}/{path.relative_to(folder).as_posix()}", source=path, length=path.stat().st_size
            )
            for path in sorted((folder / "sources").rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        )


def _secret_pieces(wanted: Wanted) -> Iterator[Piece]:
    if not wanted.secrets:
        return
    folder = wanted.settings.zone.data / SECRETS
    held = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    if wanted.passphrase is None:
        for name, content in held.items():
            yield Piece(f"{SECRETS}/{name}", content=content)
        return
    plain = json.dumps({name: base64.b64encode(content).decode() for name, content in held.items()})
    yield Piece(SEALED_SECRETS, content=seal(plain.encode(), wanted.passphrase, wanted.settings.zone.id))


def _config_pieces(wanted: Wanted) -> Iterator[Piece]:
    if wanted.file is not None:
        yield Piece(CONFIG_FILE, content=wanted.file.read_bytes())
    for stored, path in _rule_names(wanted.settings).items():
        yield Piece(stored, content=path.read_bytes())
    packs = wanted.settings.packs_dir
    for path in sorted(packs.rglob("*.toml")) if packs is not None else ():
        yield Piece(f"{PACKS}/{path.relative_to(packs or path).as_posix()}", content=path.read_bytes())


def _rule_names(settings: Settings) -> dict[str, Path]:
    return {f"{RULES}/{number:03}-{path.name}": path for number, path in enumerate(settings.rules)}


def _config_names(wanted: Wanted) -> dict[str, Any]:
    return {
        "file": CONFIG_FILE if wanted.file is not None else None,
        "rules": list(_rule_names(wanted.settings)),
        "packs_dir": PACKS if wanted.settings.packs_dir is not None else None,
        "journal_moved": wanted.settings.journal.folder != wanted.settings.zone.data / JOURNAL,
    }


def outside(settings: Settings) -> list[str]:
    """What the configuration names and a backup does not hold: credentials, certificates, address data."""
    taken = {settings.zone.data, settings.journal.folder, settings.packs_dir, *settings.rules}
    found: list[str] = []

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{name}.{key}" if name else str(key))
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item, name)
        elif isinstance(value, Path) and value not in taken:
            found.append(f"{name}: file {value}")
        elif name.endswith("_env") and value:
            found.append(f"{name}: environment variable {value}")

    walk(settings.model_dump(), "")
    return found


def seed_of(file: Path) -> bytes:
    """The seed of a log's key. Raises OperationError."""
    try:
        return file.read_bytes()
    except OSError as fault:
        raise OperationError("backup_key_missing", file=file, why=fault.strerror) from fault


def _add(archive: ArchiveWriter, pieces: Any) -> None:
    for piece in pieces:
        try:
            archive.add(piece)
        except FileNotFoundError as fault:
            raise OperationError("log_moving", what=piece.source) from fault


def _told(target: Path, manifest: Manifest, settings: Settings, begun: int) -> dict[str, Any]:
    known = {DATABASE, KNOWLEDGE, SECRETS, *LEFT_BEHIND, *(head.folder for head in manifest.logs)}
    return {
        "file": str(target),
        "bytes": target.stat().st_size,
        "zone": manifest.zone,
        "schema": manifest.schema,
        "secrets": manifest.secrets,
        "logs": [vars(head) for head in manifest.logs],
        "needs": manifest.needs,
        "left_out": sorted(path.name for path in settings.zone.data.iterdir() if path.name not in known),
        "seconds": (now_ms() - begun) / 1000,
    }
