"""Moving house: a person's file, signed by the zone it leaves, and the receipt of the zone that took it in.

A file is lines of JSON: a head, rows, and an end with the SHA-256 of all before it under the registry's
signature. Order, and why nothing is lost: the old zone freezes the person before a row is read, the new zone
makes the person once all rows are in, the old zone erases only what the file holds, and only on the receipt.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, Any

from dragoman.canonical import canonical
from dragoman.control.admin_client import AdminClient, AdminError
from dragoman.ids import now_ms
from dragoman.ledger.logs import REGISTRY, key_of, shards
from dragoman.operations.backup import seed_of
from dragoman.operations.manifest import check, sign
from dragoman.operations.texts import OperationError
from dragoman.settings import Settings

FORMAT = "dragoman-person/v1"
RECEIPT = "dragoman-person-receipt/v1"
LINE_BYTES = 64 << 20
"""LIMIT: bytes of one line of a file; a row with a file of evidence has some 6 MiB."""
RECEIPT_BYTES = 64 << 10
"""LIMIT: bytes of a receipt that are read."""
BATCH_ROWS = 200
BATCH_BYTES = 4 << 20
"""LIMIT: rows, and bytes of them, that are put in at once."""
WAIT_S, LOOK_S = 90.0, 0.5
"""How long running turns are waited for, and how often they are looked at."""
ERASE_TIMEOUT_S = 3_600.0
PATH = "/admin/v1/people"
_NAMES = ("zone", "to", "tenant", "person", "phone", "schema")
_HEAD = {"format": str, **dict.fromkeys(_NAMES, str), "tables": dict, "stay": list}
"""What a head says that is used here, and of which kind it is."""

Step = Callable[[int], None]
"""Told how many bytes more are done."""
Line = dict[str, Any]


@dataclass(frozen=True)
class Zone:
    """The zone whose operator moves somebody."""

    settings: Settings
    client: AdminClient

    @property
    def id(self) -> str:
        """Its name."""
        return self.settings.zone.id

    def ask(self, name: str, body: Line, timeout_s: float = 120.0) -> Line:
        """One verb of control."""
        return self.client.ask("POST", f"{PATH}/{name}", body, timeout_s)

    def keys(self) -> list[str]:
        """The keys of the registry, of each quarter one."""
        return [key_of(one) for one in shards(self.settings.zone.data / REGISTRY)]

    def signed(self, what: bytes, first: str) -> tuple[str, str]:
        """The signature by the registry's newest key, and that key."""
        folder = self.settings.zone.data / REGISTRY
        found = shards(folder)
        if not found:
            raise OperationError("no_registry", data=self.settings.zone.data)
        key = key_of(found[-1])
        return sign(what, self.id, key, seed_of(folder / "keys" / f"{found[-1].name}.key"), first), key


@dataclass(frozen=True)
class Wish:
    """Who moves to which zone; the number as its owner gave it."""

    person: str
    to: str
    phone: str


@dataclass(frozen=True)
class File:
    """A whole file whose end is signed: head, digest (hex) of all before its end, the key that signed it."""

    path: Path
    head: Line
    digest: str
    rows: int


# Out.


def export(zone: Zone, wish: Wish, target: Path, step: Step) -> Line:
    """Freeze a person and write its file; what it holds. Raises OperationError, AdminError."""
    if target.exists():
        raise OperationError("move_exists", file=target)
    told = _frozen(zone, vars(wish))
    head = {
        "format": FORMAT,
        **{name: told[name] for name in ("zone", "tenant", "person", "phone", "schema", "tables", "stay")},
        "to": wish.to,
        "made_at": now_ms(),
        "left": left(),
    }
    partial = target.with_name(f".{target.name}.partial")
    try:
        digest, key = _written(zone, head, told["order"], partial, step)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)  # it would hold what was written of the person
    return {**head, "file": str(target), "bytes": target.stat().st_size, "sha256": digest, "key": key}


def _written(zone: Zone, head: Line, order: list[str], file: Path, step: Step) -> tuple[str, str]:
    """Write the lines and the signed end; the digest of the lines, and the key."""
    with _fresh(file) as out:
        whole, rows = hashlib.sha256(), 0
        for raw in _lines(zone, head, order):
            whole.update(raw)
            out.write(raw)
            step(len(raw))
            rows += 1
        core = _core(whole.hexdigest(), rows - 1)
        note, key = zone.signed(core, FORMAT)
        out.write(json.dumps({"end": json.loads(core), "note": note}).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())
    return whole.hexdigest(), key


def _frozen(zone: Zone, asked: Line) -> Line:
    """Freeze, and wait until nothing of the person runs."""
    until = time.monotonic() + WAIT_S
    while True:
        told = zone.ask("out", asked)
        if not told["running"]:
            return told
        if time.monotonic() > until:
            raise OperationError("move_running", turns=told["running"])
        time.sleep(LOOK_S)


def _lines(zone: Zone, head: Line, order: list[str]) -> Iterator[bytes]:
    yield json.dumps(head, separators=(",", ":")).encode() + b"\n"
    for table, row in rows_of(zone, head, order):
        yield _line(table, row)


def _line(table: str, row: Line) -> bytes:
    return json.dumps({"t": table, "r": row}, separators=(",", ":")).encode() + b"\n"


def rows_of(zone: Zone, head: Line, tables: list[str]) -> Iterator[tuple[str, Line]]:
    """The rows of a person that is being moved, table by table."""
    place: Line | None = {"at": 0, "after": ""}
    while place is not None:
        page = zone.ask("rows", {"person": head["person"], "to": head["to"], "tables": tables, **place})
        yield from ((table, row) for table, row in page["rows"])
        place = None if page["at"] is None else {"at": page["at"], "after": page["after"]}


def left() -> dict[str, dict[str, str]]:
    """Why classes of data, and tables, do not go along, or not as they are."""
    found = tomllib.loads(resources.files("dragoman.policy").joinpath("moving.toml").read_text("utf-8"))
    said = {**found["classes"], **found["tables"]}
    return {name: {"en": one["en"], "zh": one["zh"]} for name, one in said.items() if "en" in one}


def _fresh(path: Path) -> IO[bytes]:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _core(digest: str, rows: int) -> bytes:
    return canonical({"rows": rows, "sha256": digest})


# In.


def opened(path: Path, *keys: str) -> File:
    """A file whose end one of the keys signed and whose bytes are as they were. Raises OperationError."""
    whole, rows, head, end = hashlib.sha256(), -1, None, None
    for raw in _raw(path):
        line = _parsed(raw, path)
        if "end" in line:
            end = line
            break
        head = line if head is None else head
        whole.update(raw)
        rows += 1
    fits = head is not None and all(isinstance(head.get(name), kind) for name, kind in _HEAD.items())
    if head is None or not fits or head["format"] != FORMAT:
        raise OperationError("move_format", file=path)
    if end is None or path.stat().st_size != _end(path):
        raise OperationError("move_short", file=path)
    try:
        core = canonical(end["end"])
    except (TypeError, ValueError, RecursionError) as fault:
        raise OperationError("move_format", file=path) from fault
    if core != _core(whole.hexdigest(), rows):
        raise OperationError("move_changed", file=path)
    _check(str(end.get("note")), core, head["zone"], keys, FORMAT)
    return File(path, head, whole.hexdigest(), rows)


def bring(zone: Zone, file: File, tenant: str | None, receipt: Path, step: Step) -> Line:
    """Put a file in and write the receipt; what came of it. Again: the same receipt, and nothing more.

    The recovery code is told once, so whatever the receipt needs is there before the person is made.
    Raises OperationError, also where something else has the receipt's name; AdminError, OSError.
    """
    if receipt.exists():
        try:
            _given(receipt)
        except (OperationError, OSError) as fault:
            raise OperationError("receipt_exists", file=receipt) from fault
    partial = receipt.with_name(f".{receipt.name}.partial")
    zone.signed(file.digest.encode(), RECEIPT)
    try:
        with _fresh(partial) as out:
            told, code = _put(zone, file, tenant, step)
            note, key = zone.signed(canonical(told), RECEIPT)
            out.write(json.dumps({"receipt": told, "note": note}, indent=1).encode() + b"\n")
        partial.replace(receipt)
    finally:
        partial.unlink(missing_ok=True)
    return {**told, "receipt": str(receipt), "key": key, "recovery_code": code, "again": code is None}


def _put(zone: Zone, file: File, tenant: str | None, step: Step) -> tuple[Line, str | None]:
    """Put a file in: its receipt, and the recovery code where it was not in before."""
    begun = zone.ask("in", {"head": file.head, "file": file.digest, "tenant": tenant})
    if begun["receipt"] is not None:
        return begun["receipt"], None
    place = {"tenant": begun["tenant"], "person": begun["person"], "file": file.digest}
    last, many = None, Counter[str]()
    for batch in _batches(file, step):
        many.update(table for table, _ in batch)
        if batch[-1][0] == "people":
            last = batch.pop()[1]
        if batch:
            zone.ask("in/rows", {**place, "rows": batch})
    if last is None:
        raise OperationError("move_short", file=file.path)
    done = zone.ask("in/end", {**place, "head": file.head, "tables": many, "row": last}, ERASE_TIMEOUT_S)
    return done["receipt"], done["recovery_code"]


def try_in(zone: Zone, file: File, tenant: str | None) -> Line:
    """Whether a file would come in, and as whom; nothing is written."""
    told = zone.ask("in", {"head": file.head, "file": file.digest, "tenant": tenant, "dry_run": True})
    return {"person": told["person"], "again": told["receipt"] is not None, "tables": file.head["tables"]}


def _batches(file: File, step: Step) -> Iterator[list[list[Any]]]:
    """Rows in the file's order, some at once; the digest is made anew of what is put in."""
    batch: list[list[Any]] = []
    whole, size = hashlib.sha256(), 0
    for number, raw in enumerate(_raw(file.path)):
        if number > file.rows:
            break
        whole.update(raw)
        step(len(raw))
        if number == 0:
            continue
        line, size = _parsed(raw, file.path), size + len(raw)
        if not isinstance(line.get("t"), str) or not isinstance(line.get("r"), dict):
            raise OperationError("move_format", file=file.path)
        if batch and (len(batch) >= BATCH_ROWS or size > BATCH_BYTES):
            yield batch
            batch, size = [], len(raw)
        batch.append([line["t"], line["r"]])
    if whole.hexdigest() != file.digest:
        raise OperationError("move_changed", file=file.path)
    if batch:
        yield batch


# And out for good.


def received(path: Path, file: File, key: str, zone: Zone) -> tuple[Line, str]:
    """The receipt for a file of this zone, and its digest, by the key of the zone that took the person in.

    Raises OperationError where it is for another file, of another zone, or not signed by that key.
    """
    told, note, raw = _given(path)
    _check(note, raw, str(file.head["to"]), (key,), RECEIPT)
    wanted = {"from": zone.id, "to": file.head["to"], "person": file.head["person"], "file": file.digest}
    if {name: told.get(name) for name in wanted} != wanted:
        raise OperationError("receipt_other", file=path)
    return told, hashlib.sha256(raw).hexdigest()


def _given(path: Path) -> tuple[Line, str, bytes]:
    """What a receipt says, its signature, and the bytes that are signed. Raises OperationError, OSError."""
    with path.open("rb") as file:
        text = file.read(RECEIPT_BYTES)
    try:
        given = json.loads(text)
        told, note = dict(given["receipt"]), str(given["note"])
        return told, note, canonical(told)
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise OperationError("receipt_format", file=path) from fault


def compared(zone: Zone, file: File) -> int:
    """How many rows would be erased, each as the file has it: none of one that is erased already.

    Raises OperationError where one is not in the file.
    """
    known = {
        hashlib.sha256(raw).digest() for number, raw in enumerate(_raw(file.path)) if 0 < number <= file.rows
    }
    many, strange = 0, 0
    tables = [name for name in file.head["tables"] if name not in file.head["stay"]]
    try:
        for table, row in rows_of(zone, file.head, tables):
            many += 1
            strange += hashlib.sha256(_line(table, row)).digest() not in known
    except AdminError as fault:
        if fault.code != "person_not_found":
            raise
    if strange:
        raise OperationError("move_differs", rows=strange)
    return many


def try_out(zone: Zone, wish: Wish) -> Line:
    """What an export would hold; nobody is frozen and nothing is written."""
    told = zone.ask("out", {**vars(wish), "dry_run": True})
    return {**told, "to": wish.to, "left": left()}


def stay(zone: Zone, person: str) -> Line:
    """Give up a move of which nothing is erased."""
    return zone.ask("stay", {"person": person})


def erase(zone: Zone, file: File, receipt: tuple[Line, str]) -> Line:
    """Erase a person that arrived elsewhere; what was erased."""
    asked = {
        "tenant": file.head["tenant"],
        "person": file.head["person"],
        "to": file.head["to"],
        "file": f"sha256:{file.digest}",
        "receipt": f"sha256:{receipt[1]}",
    }
    return zone.ask("erase", asked, ERASE_TIMEOUT_S)


def _check(note: str, what: bytes, zone: str, keys: Sequence[str], first: str) -> None:
    """Raise OperationError unless the note is by one of the keys."""
    for key in keys:
        try:
            return check(note, what, zone, key, first)
        except OperationError:
            continue
    raise OperationError("move_signature", zone=zone)


def _raw(path: Path) -> Iterator[bytes]:
    with path.open("rb") as given:
        while raw := given.readline(LINE_BYTES + 1):
            if len(raw) > LINE_BYTES:
                raise OperationError("move_format", file=path)
            yield raw


def _end(path: Path) -> int:
    """Where the line of the end is over: nothing may follow it."""
    at = 0
    for raw in _raw(path):
        at += len(raw)
        if raw.startswith(b'{"end"'):
            break
    return at


def _parsed(raw: bytes, path: Path) -> Line:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as fault:
        raise OperationError("move_changed", file=path) from fault
    if not isinstance(line, dict):
        raise OperationError("move_format", file=path)
    return line
