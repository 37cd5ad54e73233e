"""The doctor's checks of the zone: credentials, providers, packs, certificates, addresses, schema, record."""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509

from dragoman import _native
from dragoman.budgets.bounds import faults
from dragoman.core.facts import Facts
from dragoman.decide.cli import baseline
from dragoman.decide.engine import decide
from dragoman.ids import now_ms
from dragoman.ledger.logs import LedgerError, journals, log_of, shards
from dragoman.ledger.verify import verify_zone
from dragoman.operations.findings import Finding, Patient, found
from dragoman.operations.log_copy import counted
from dragoman.stores.admins import admin_exists
from dragoman.stores.budgets import stored_limits
from dragoman.stores.migrate import revision_of, versions

CERTIFICATE_SOON_DAYS = 21
ONLINE_TIMEOUT_S = 10.0
VERIFY_MAX_BYTES = 256 << 20
"""LIMIT: bytes of a record that the doctor checks whole; a larger one is checked at its ends."""
REFUSING = frozenset({401, 403})
DATABASE, REGISTRY = "zone.db", "registry"


def credentials(patient: Patient) -> Iterator[Finding]:
    """Keys of providers that are named and not there."""
    for name, one in patient.settings.providers.items():
        if one.key_env is not None and not os.environ.get(one.key_env):
            yield found(
                "credential_missing",
                provider=name,
                what=f"the environment variable {one.key_env}",
                fix=f"export {one.key_env}=...",
            )
        if one.key_file is not None and not os.access(one.key_file, os.R_OK):
            yield found(
                "credential_missing",
                provider=name,
                what=str(one.key_file),
                fix=f"install -m 600 KEY {one.key_file}",
            )


def providers(patient: Patient) -> Iterator[Finding]:
    """Ask each provider for its models, with its credential; only where the asker wants it."""
    for name, one in patient.settings.providers.items():
        if not patient.online or one.base_url is None:
            continue
        key = os.environ.get(one.key_env or "", "") or (
            one.key_file.read_text("utf-8").strip() if one.key_file and one.key_file.is_file() else ""
        )
        headers = {one.key_header: f"{one.key_prefix}{key}"} if key else {}
        url = f"{one.base_url}/models"
        host = httpx.URL(url).host
        try:
            with httpx.Client(timeout=ONLINE_TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
                status = client.get(url, headers=headers).status_code
        except (httpx.HTTPError, ValueError) as fault:
            yield found("provider_unreachable", provider=name, host=host, why=type(fault).__name__, url=url)
            continue
        if status in REFUSING:
            yield found("provider_refused", provider=name, host=host, status=status)


def packs(patient: Patient) -> Iterator[Finding]:
    """Packs that nobody reviewed, and markets in which nothing would be answered."""
    if patient.loaded is None:
        return
    drafts = [name for name, one in patient.loaded.packs.status.items() if one["status"] != "reviewed"]
    if drafts:
        yield found("packs_unreviewed", packs=", ".join(drafts))
    for market in patient.settings.deployment.markets:
        items = not_ready(patient, market)
        if items:
            yield found("market_not_ready", market=market, items=", ".join(items))


def not_ready(patient: Patient, market: str) -> tuple[str, ...]:
    """What the operator lacks to answer an identified adult who lives in a market."""
    if patient.loaded is None:
        return ()
    document: dict[str, Any] = baseline()
    own = patient.loaded.world.deployment
    document = {name: value for name, value in document.items() if name not in {*own, "operator", "model"}}
    document.update(
        residence=market,
        address_country=market,
        model=next(iter(patient.loaded.attempts)),
        as_of=dt.datetime.fromtimestamp(patient.machine.now_s(), dt.UTC).date().isoformat(),
    )
    return decide(Facts.from_json(json.dumps(document)), patient.loaded.packs, patient.loaded.world).not_ready


def certificates(patient: Patient) -> Iterator[Finding]:
    """Certificates that cannot be read, have ended or end soon."""
    now = dt.datetime.fromtimestamp(patient.machine.now_s(), dt.UTC)
    for path in (patient.settings.edge.certificate, patient.settings.admin.tls_cert):
        if path is None:
            continue
        try:
            end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        except (OSError, ValueError) as fault:
            why = fault.strerror if isinstance(fault, OSError) else "not PEM"
            yield found("certificate_unreadable", path=path, why=why)
            continue
        if end <= now:
            yield found("certificate_expired", path=path, end=end.date())
        elif end - now < dt.timedelta(days=CERTIFICATE_SOON_DAYS):
            yield found("certificate_soon", path=path, end=end.date())


def addresses(patient: Patient) -> Iterator[Finding]:
    """Address files that cannot be read or are old."""
    files = patient.settings.edge.address_files
    for one in json.loads(_native.look_up_addresses(list(files), []))["files"] if files else ():
        if one["error"] is not None:
            yield found("addresses_unreadable", why=one["error"])
        elif one["old"]:
            yield found("addresses_old", path=one["path"], days=one["age_days"])


def administrator(patient: Patient) -> Iterator[Finding]:
    """The last gate of the stage `public`."""
    database = patient.data / DATABASE
    if patient.settings.deployment.stage == "public" and not admin_exists(database):
        yield found("no_administrator")


def limits(patient: Patient) -> Iterator[Finding]:
    """Limits that were set and cannot be kept since the file changed: turns they concern are refused."""
    if patient.loaded is None:
        return
    try:
        stored = stored_limits(patient.data / DATABASE)
    except sqlite3.DatabaseError:
        return  # `schema` says so
    for problem in faults(stored, patient.loaded.attempts, patient.loaded.prices, now_ms()):
        yield found("limit_unkept", problem=problem)


def schema(patient: Patient) -> Iterator[Finding]:
    """Whether this version can use the database."""
    database = patient.data / DATABASE
    if not database.exists():
        return
    try:
        revision = revision_of(database)
    except sqlite3.DatabaseError as fault:
        yield found("database_unreadable", path=database, why=fault)
        return
    steps = versions()
    if revision is not None and revision not in steps:
        yield found("schema_newer", schema=revision)
    elif revision is not None and revision != steps[-1]:
        yield found("schema_older", schema=revision, head=steps[-1])


def record(patient: Patient) -> Iterator[Finding]:
    """Whether the record holds: whole where it is small, else each log's signature and its end."""
    if not shards(patient.data / REGISTRY):
        return
    try:
        folders = [patient.data / REGISTRY, *journals(patient.data)]
        size = sum(path.stat().st_blocks * 512 for folder in folders for path in folder.rglob("*.seg"))
        if size <= VERIFY_MAX_BYTES:
            for what in verify_zone(patient.data).findings:
                yield found("record_wrong", what=what)
        else:
            yield found("record_large", mib=size >> 20)
        for folder in folders:
            yield from _newest(folder, served=patient.served)
    except (LedgerError, OSError) as fault:
        yield found("record_wrong", what=fault)


def _newest(folder: Path, *, served: bool) -> Iterator[Finding]:
    shard = shards(folder)[-1]
    log = log_of(shard)
    if (shard / "sealed").exists():
        return
    key = folder / "keys" / f"{shard.name}.key"
    if not key.exists():
        yield found("log_key_missing", path=key, log=log)
    head = json.loads(_native.ledger_head(shard))["checkpoint"]
    behind = counted(shard) - (head["size"] if head else 0)
    if behind and not served:
        yield found("record_unproven", log=log, count=behind)
