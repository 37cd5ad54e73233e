"""The checks of a zone: credentials, providers, packs, certificates, addresses, schema, administrator."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
from cryptography import x509

from dragoman import _native
from dragoman.accounts.staff_signs import in_words as in_words_of_signs
from dragoman.budgets.bounds import faults
from dragoman.checks.results import Reading, Result, Subject, result
from dragoman.core.decision import Decision
from dragoman.core.facts import Facts
from dragoman.decide.cli_common import baseline
from dragoman.decide.engine import decide
from dragoman.decide.evidence import in_words
from dragoman.ids import now_ms
from dragoman.ledger.texts import LANGUAGES
from dragoman.policy.duties import not_carried, uncarried, with_feature_asked
from dragoman.providers.provider_key import NoKeyError, read_key
from dragoman.stores.admins import admin_exists
from dragoman.stores.budgets import stored_limits
from dragoman.stores.migrate import revision_of, versions
from dragoman.stores.staff_use import stored_doubts

CERTIFICATE_SOON_DAYS = 21
EVIDENCE_SOON_DAYS = 60
"""From how many days before its last day evidence is told to end."""
ONLINE_TIMEOUT_S = 10.0
REFUSING = frozenset({401, 403})
DATABASE = "zone.db"


def credentials(subject: Subject) -> Iterator[Result]:
    """Keys of providers that are named and not there."""
    for name, one in subject.settings.providers.items():
        try:
            read_key(one)
        except NoKeyError:
            put = f"export {one.key_env}=..." if one.key_env else f"install -m 600 KEY {one.key_file}"
            yield result("credential_missing", provider=name, what=one.key_env or one.key_file, put=put)


def providers(subject: Subject) -> Iterator[Result]:
    """Ask each provider for its models, with its credential; only where the asker wants it."""
    for name, one in subject.settings.providers.items():
        if not subject.online or one.base_url is None:
            continue
        try:
            key = read_key(one)
        except NoKeyError:
            continue  # `credentials` says so
        headers = {one.key_header: f"{one.key_prefix}{key}"} if key else {}
        url = f"{one.base_url}/models"
        host = httpx.URL(url).host
        try:
            with httpx.Client(timeout=ONLINE_TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
                status = client.get(url, headers=headers).status_code
        except (httpx.HTTPError, ValueError) as fault:
            yield result("provider_unreachable", provider=name, host=host, why=type(fault).__name__, url=url)
            continue
        if status in REFUSING:
            yield result("provider_refused", provider=name, host=host, status=status)


def packs(subject: Subject) -> Iterator[Result]:
    """Packs that nobody reviewed, and markets in which nothing would be answered."""
    if subject.loaded is None:
        return
    drafts = [name for name, one in subject.loaded.packs.status.items() if one["status"] != "reviewed"]
    if drafts:
        yield result("packs_unreviewed", packs=len(drafts))
    for market in subject.settings.deployment.markets:
        items = not_ready(subject, market)
        if items:
            yield result("market_not_ready", market=market, items=", ".join(items))


def not_ready(subject: Subject, market: str) -> tuple[str, ...]:
    """What the operator lacks to answer an identified adult who lives in a market."""
    decision = decided_in(subject, market)
    return () if decision is None else decision.not_ready


def decided_in(subject: Subject, market: str) -> Decision | None:
    """What is decided for an identified adult who lives in a market; None where nothing could be read."""
    if subject.loaded is None:
        return None
    loaded = subject.loaded
    made = decide(person_of(loaded, market, subject.machine.now_s()), loaded.packs, loaded.world)
    made = with_feature_asked(made, loaded.means)
    left = uncarried(made, loaded.means) if made.allowed else ()
    return not_carried(made, left, loaded.means) if left else made


OWN = ("operator", "model", "feature")
"""What the operator alone can say: where it has not, it is unknown."""


def person_of(loaded: Reading, market: str, now_s: float) -> Facts:
    """An identified adult who lives in a market and asks for the first model; the operator is as it is."""
    document: dict[str, Any] = baseline()
    own = loaded.world.deployment
    document = {name: value for name, value in document.items() if name not in {*own, *OWN}}
    document.update(
        residence=market,
        address_country=market,
        model=next(iter(loaded.attempts)),
        as_of=dt.datetime.fromtimestamp(now_s, dt.UTC).date().isoformat(),
    )
    return Facts.from_json(json.dumps(document))


def evidence(subject: Subject) -> Iterator[Result]:
    """Filings that have ended or end soon: decisions count none after its last day."""
    today = dt.datetime.fromtimestamp(subject.machine.now_s(), dt.UTC).date()
    for name, one in subject.settings.deployment.evidence.items():
        if one.expires is None:
            continue
        told = {"name": name, "end": one.expires, "what": {lang: in_words(name, lang) for lang in LANGUAGES}}
        if one.expires < today:
            yield result("evidence_expired", **told)
        elif one.expires - today <= dt.timedelta(days=EVIDENCE_SOON_DAYS):
            yield result("evidence_soon", **told)


def certificates(subject: Subject) -> Iterator[Result]:
    """Certificates that cannot be read, have ended or end soon."""
    now = dt.datetime.fromtimestamp(subject.machine.now_s(), dt.UTC)
    for path in (subject.settings.edge.certificate, subject.settings.admin.tls_cert):
        if path is None:
            continue
        try:
            end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        except (OSError, ValueError) as fault:
            why = fault.strerror if isinstance(fault, OSError) else "not PEM"
            yield result("certificate_unreadable", path=path, why=why)
            continue
        if end <= now:
            yield result("certificate_expired", path=path, end=end.date())
        elif end - now < dt.timedelta(days=CERTIFICATE_SOON_DAYS):
            yield result("certificate_soon", path=path, end=end.date())


def addresses(subject: Subject) -> Iterator[Result]:
    """Address files that cannot be read or are old."""
    files = subject.settings.edge.address_files
    for one in json.loads(_native.look_up_addresses(list(files), []))["files"] if files else ():
        if one["error"] is not None:
            yield result("addresses_unreadable", why=one["error"])
        elif one["old"]:
            yield result("addresses_old", path=one["path"], days=one["age_days"])


def administrator(subject: Subject) -> Iterator[Result]:
    """The last gate of the stage `public`."""
    database = subject.data / DATABASE
    if subject.settings.deployment.stage == "public" and not admin_exists(database):
        yield result("no_administrator")


def limits(subject: Subject) -> Iterator[Result]:
    """Limits that were set and cannot be kept since the file changed: turns they concern are refused."""
    if subject.loaded is None:
        return
    try:
        stored = stored_limits(subject.data / DATABASE)
    except sqlite3.DatabaseError:
        return  # `schema` says so
    for problem in faults(stored, subject.loaded.attempts, subject.loaded.prices, now_ms()):
        yield result("limit_unkept", problem=problem)


def staff_keys(subject: Subject) -> Iterator[Result]:
    """Keys that say they speak for staff alone, and look otherwise by what control found."""
    try:
        found = stored_doubts(subject.data / DATABASE)
    except sqlite3.DatabaseError:
        return  # `schema` says so
    for one in found:
        yield result(
            "key_doubted", key=one["key"], tenant=one["tenant"], signs=in_words_of_signs(one["signs"])
        )


def schema(subject: Subject) -> Iterator[Result]:
    """Whether this version can use the database."""
    database = subject.data / DATABASE
    if not database.exists():
        return
    try:
        revision = revision_of(database)
    except sqlite3.DatabaseError as fault:
        yield result("database_unreadable", path=database, why=fault)
        return
    steps = versions()
    if revision is not None and revision not in steps:
        yield result("schema_newer", schema=revision)
    elif revision is not None and revision != steps[-1]:
        yield result("schema_older", schema=revision, head=steps[-1])
