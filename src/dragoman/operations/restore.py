"""Restores a backup into an empty folder of the same zone, and verifies it there before it counts.

Restored logs are sealed: the original may go on, and two writers of one log would sign two histories. The
restored zone begins new logs at its first start; its registry says from which backup and at which roots.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dragoman.ids import now_ms
from dragoman.ledger.logs import REGISTRY, SEALED
from dragoman.ledger.verify import Verdict, verify_zone
from dragoman.operations.archive import ArchiveReader, Progress, sync_folder
from dragoman.operations.backup import DATABASE, JOURNAL, SEALED_SECRETS, SECRETS, check_cursors
from dragoman.operations.manifest import LogHead, Manifest, check
from dragoman.operations.sealing import unseal
from dragoman.operations.texts import OperationError
from dragoman.stores.acts import enter
from dragoman.stores.admin_access import forget_log_ins
from dragoman.stores.database import Database
from dragoman.stores.migrate import revision_of, versions
from dragoman.stores.schema import ZONE_TENANT

MAX_OPEN = 90_000
"""LIMIT: turns that one log may leave open; a seal lists them."""


@dataclass(frozen=True)
class Asked:
    """What to restore where. `zone`: this machine's. `key`: the registry's key as noted elsewhere."""

    file: Path
    target: Path
    zone: str
    key: str | None = None
    passphrase: bytes | None = None


def restore(asked: Asked, progress: Progress) -> dict[str, Any]:
    """Restore and verify; what is there now. Raises OperationError or LedgerError and leaves nothing."""
    archive = ArchiveReader(asked.file)
    manifest = archive.manifest
    check_zone(manifest, asked.zone)
    check(archive.note, archive.manifest_bytes, manifest.zone, manifest.registry_key)
    _check_target(asked.target)
    draft = asked.target.parent / f".{asked.target.name}.restoring-{os.getpid()}"
    draft.mkdir(mode=0o700)
    try:
        archive.extract(draft, progress)
        _unseal(draft, asked.passphrase, manifest)
        _check_database(draft / DATABASE, manifest)
        verdict = _verified(draft, asked.key, manifest)
        _seal(draft, verdict)
        _note(draft / DATABASE, archive)
        if asked.target.exists():
            asked.target.rmdir()
        draft.rename(asked.target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already where it was put in place
    sync_folder(asked.target.parent)
    return _told(asked, manifest, verdict)


def check_zone(manifest: Manifest, zone: str) -> None:
    """A zone's data stays in its zone."""
    if manifest.zone != zone:
        raise OperationError("other_zone", zone=manifest.zone, here=zone)


def _check_target(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OperationError("target_not_empty", folder=target)
    if not target.parent.is_dir():
        raise OperationError("target_parent", folder=target.parent)


def _unseal(draft: Path, passphrase: bytes | None, manifest: Manifest) -> None:
    sealed = draft / SEALED_SECRETS
    if manifest.secrets != "sealed":
        return
    if passphrase is None:
        raise OperationError("passphrase_needed")
    held = json.loads(unseal(sealed.read_bytes(), passphrase, manifest.zone))
    (draft / SECRETS).mkdir(mode=0o700)
    for name, content in held.items():
        handle = os.open(draft / SECRETS / Path(name).name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(base64.b64decode(content))
            out.flush()
            os.fsync(out.fileno())
    sealed.unlink()
    sync_folder(draft / SECRETS)


def _check_database(database: Path, manifest: Manifest) -> None:
    schema = revision_of(database)
    if schema not in versions():
        raise OperationError("newer_backup", schema=schema, version=manifest.version)
    with closing(sqlite3.connect(database)) as raw:
        sound = raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    if not sound:
        raise OperationError("database_damaged")
    check_cursors(database, manifest.logs)


def _verified(draft: Path, key: str | None, manifest: Manifest) -> Verdict:
    """The record holds, and each log has the size, root and key that the manifest says."""
    verdict = verify_zone(draft, key)
    if not verdict.sound:
        first = verdict.findings[0] if verdict.findings else "?"
        raise OperationError("record_wrong", why=first)
    held = {log["log"]: (log["proven"], log["root"], log["key"]) for log in verdict.logs}
    listed = {head.log: (head.size, head.root, head.key) for head in manifest.logs}
    if held != listed:
        log = min(set(held.items()) ^ set(listed.items()))[0]
        raise OperationError("other_root", log=log)
    # Whoever wrote the manifest names its key: it counts where it is the key of the registry just verified.
    registry = [log["key"] for log in verdict.logs if Path(log["dir"]).parent == draft / REGISTRY]
    if not registry or manifest.registry_key != registry[-1]:
        raise OperationError("backup_signature")
    return verdict


def _seal(draft: Path, verdict: Verdict) -> None:
    for log in verdict.logs:
        still_open = [index for _, index in log["open"]]
        if len(still_open) > MAX_OPEN:
            raise OperationError("too_many_open", log=log["log"], count=len(still_open), most=MAX_OPEN)
        text = json.dumps({"size": log["proven"], "root": f"sha256:{log['root']}", "open": still_open})
        path = Path(log["dir"]) / SEALED
        with path.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        path.chmod(0o600)
        sync_folder(path.parent)
    sync_folder(draft)


def _note(database: Path, archive: ArchiveReader) -> None:
    """Leave an act for the new registry: from which backup this zone was restored, and at which roots."""
    manifest, at = archive.manifest, now_ms()
    entry = {
        "kind": "registry",
        "event": "zone_restored",
        "backup": f"sha256:{hashlib.sha256(archive.manifest_bytes).hexdigest()}",
        "made_at": manifest.made_at,
        "logs": [
            {"log": head.log, "size": head.size, "root": f"sha256:{head.root}"} for head in manifest.logs
        ],
    }

    def work(connection: sa.Connection) -> None:
        enter(connection, manifest.zone, ZONE_TENANT, entry, at)
        forget_log_ins(connection)

    zone = Database(database)
    try:
        zone.write(work)
    finally:
        zone.close()
    database.chmod(0o600)


def _told(asked: Asked, manifest: Manifest, verdict: Verdict) -> dict[str, Any]:
    roots = {log["log"]: log["root"] for log in verdict.logs}
    return {
        "zone": manifest.zone,
        "data": str(asked.target),
        "made_at": manifest.made_at,
        "logs": [_row(head, roots[head.log]) for head in manifest.logs],
        "sound": verdict.sound,
        "registry_key": verdict.registry_key,
        "secrets": manifest.secrets,
        "needs": manifest.needs,
        "serve": _serve(asked.target.resolve(), manifest),
    }


def _row(head: LogHead, root: str) -> dict[str, Any]:
    return {
        "log": head.log,
        "size": head.size,
        "complete": head.complete,
        "old_root": head.root,
        "new_root": root,
    }


def _serve(target: Path, manifest: Manifest) -> dict[str, Any]:
    """The environment and the command that serve from the restored folder."""
    config = manifest.config
    environment = {"DRAGOMAN_ZONE__DATA": str(target)}
    if config["rules"]:
        environment["DRAGOMAN_RULES"] = json.dumps([str(target / name) for name in config["rules"]])
    if config["packs_dir"]:
        environment["DRAGOMAN_PACKS_DIR"] = str(target / config["packs_dir"])
    if config["journal_moved"]:
        environment["DRAGOMAN_JOURNAL__FOLDER"] = str(target / JOURNAL)
    command = ["dragoman", "serve", *(["--config", str(target / config["file"])] if config["file"] else [])]
    return {"environment": environment, "command": command}
