"""Evidence of what a person says of itself: handed in, looked at; what it shows becomes facts of the person.

Every function on rows runs inside one transaction. Control's own log gets a salted commitment of what was
handed in, who decided and which facts until when: no word of it, no value and no name.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dragoman.accounts import placement, texts
from dragoman.core.evidence import (
    ACCEPTED,
    REJECTED,
    WAITING,
    EvidenceRecord,
    EvidenceRows,
    File,
    Verdict,
)
from dragoman.core.people import Declared, Verified

FILE_BYTES = 4 << 20
"""LIMIT: bytes of a file that is handed in as evidence."""
TEXT_CHARS = 2_000
"""LIMIT: characters of a text that is handed in as evidence, or of a reason why it was rejected."""
WAITING_EACH = 3
"""LIMIT: evidence of one person that may wait for a decision at once."""
A_DAY = 10
"""LIMIT: evidence that one person may hand in in 24 hours."""
KEPT_BYTES = 4 << 30
"""LIMIT: bytes of all evidence of a zone; beyond them nothing is taken until older evidence is gone."""
LISTED = 50
"""LIMIT: evidence that a person sees of its own, the newest."""
LONGEST_DAYS = 3_653
"""LIMIT: days that something verified may hold."""
KINDS = ("residence", "age", "real_name", "guardian")
"""What evidence may be of; the names of the facts that it can show."""
STEP_UPS = {
    "residence": "residence",
    "age_reliable": "age",
    "real_name": "real_name",
    "guardian": "guardian",
    "verifiable_parent": "guardian",
}
"""Which kind answers a signal that a decision asks for."""
_TYPES = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
)
"""How files of the types that are taken begin."""
TYPES = tuple(name for _, name in _TYPES)
DAY_MS = 86_400_000
_SALT_BYTES = 32


class Manual:
    """The verifier that ships: it leaves all evidence to an administrator, on the page `/reviews`."""

    name = "manual"

    async def look(self, _record: EvidenceRecord, _file: File | None) -> Verdict | None:
        """Nothing is found without a person."""
        return None


def checked(kind: Any, text: Any, file: File | None) -> tuple[str, str, File | None]:
    """What a request hands in; a file's type is read from its bytes. Raises RefusedError 400."""
    if kind not in KINDS:
        raise texts.invalid("kind", f"one of {', '.join(KINDS)}", f"须为 {'、'.join(KINDS)} 之一")
    said = words("text", text)
    if file is None:
        if not said:
            raise texts.invalid("text", "needed where there is no file", "未提交文件时必填")
        return kind, said, None
    if len(file.data) > FILE_BYTES:
        mib = FILE_BYTES >> 20
        raise texts.invalid("file", f"at most {mib} MiB", f"不得超过 {mib} MiB")
    found = next((name for begins, name in _TYPES if file.data.startswith(begins)), None)
    if found is None:
        raise texts.invalid("file", "a PDF, PNG or JPEG file", "须为 PDF、PNG 或 JPEG 文件")
    return kind, said, replace(file, type=found)


def words(field: str, given: Any) -> str:
    """A text of a person's, trimmed. Raises RefusedError 400."""
    said = "" if given is None else given
    if not isinstance(said, str) or len(said) > TEXT_CHARS or "\x00" in said or not _storable(said):
        raise texts.invalid(
            field, f"a text of at most {TEXT_CHARS} characters", f"须为不超过 {TEXT_CHARS} 个字符的文本"
        )
    return said.strip()


def _storable(text: str) -> bool:
    return not any("\ud800" <= one <= "\udfff" for one in text)


def new_record(  # noqa: PLR0913, PLR0917 - the fields of a row
    name: str, person: str, kind: str, text: str, file: File | None, lang: str, now: int
) -> EvidenceRecord:
    """Evidence as it is handed in, with a fresh salt."""
    return EvidenceRecord(
        evidence=name,
        person=person,
        kind=kind,
        lang=lang,
        at=now,
        state=WAITING,
        text=text,
        file_name=None if file is None else file.name,
        file_type=None if file is None else file.type,
        file_size=0 if file is None else len(file.data),
        file_sha256=None if file is None else hashlib.sha256(file.data).hexdigest(),
        salt=base64.urlsafe_b64encode(os.urandom(_SALT_BYTES)).decode().rstrip("="),
    )


def check_room(rows: EvidenceRows, person: str, now: int) -> None:
    """Let a person hand in evidence now (ms UTC). Raises RefusedError: 404 nobody signed up, 429 too much."""
    if rows.person(person) is None:
        raise texts.refused("not_a_person")
    held = rows.evidence_of(person, LISTED)
    waiting = sum(one.state == WAITING for one in held)
    today = sum(now - one.at < DAY_MS for one in held)
    if waiting >= WAITING_EACH or today >= A_DAY:
        raise texts.refused("too_much_evidence")


def receive(rows: EvidenceRows, record: EvidenceRecord, file: File | None) -> None:
    """Keep evidence. Raises RefusedError: as `check_room` does, 503 where the zone has no room."""
    check_room(rows, record.person, record.at)
    if rows.kept_bytes() + record.file_size > KEPT_BYTES:
        raise texts.refused("evidence_full")
    rows.add_evidence(record, file)
    entry = {"act": "evidence.received", "evidence": record.evidence, "of": record.kind}
    rows.enter({**entry, "digest": commitment(record)})


def commitment(record: EvidenceRecord) -> str:
    """What the ledger has of evidence: SHA-256(salt ‖ text ‖ 0x00 ‖ SHA-256 of the file, or nothing)."""
    raw = base64.urlsafe_b64decode(record.salt + "=" * (-len(record.salt) % 4))
    file = bytes.fromhex(record.file_sha256 or "")
    return "sha256:" + hashlib.sha256(raw + record.text.encode() + b"\0" + file).hexdigest()


def found(evidence: str, given: Mapping[str, Any], now: int) -> tuple[Verified, ...]:
    """What an administrator says evidence shows, one fact or more, until a day. Raises RefusedError 400."""
    said = placement.declared({name: given.get(name) for name in placement.FIELDS}, now)
    until = _until(given.get("until"), now)
    shown = [*_shown(said, evidence, until)]
    shown += [Verified(name, until, evidence) for name in ("real_name", "guardian") if given.get(name)]
    if not shown:
        raise texts.invalid(
            "residence", "say what was verified, one thing at least", "请至少填写一项已核实的内容"
        )
    return tuple(shown)


def _shown(said: Declared, evidence: str, until: str) -> Iterable[Verified]:
    if said.residence is not None:
        part = said.residence_subdivision
        yield Verified("residence", until, evidence, country=said.residence, subdivision=part)
    if said.birth_date is not None or said.least_age is not None:
        yield Verified("age", until, evidence, birth_date=said.birth_date, least_age=said.least_age)


def _until(given: Any, now: int) -> str:
    today = dt.datetime.fromtimestamp(now / 1000, dt.UTC).date()
    try:
        day = dt.date.fromisoformat(given) if isinstance(given, str) and len(given) == 10 else None
    except ValueError:
        day = None
    if day is None or not today <= day <= today + dt.timedelta(days=LONGEST_DAYS):
        raise texts.invalid(
            "until",
            f"a day from today on, at most {LONGEST_DAYS} days ahead",
            f"须为今天起 {LONGEST_DAYS} 天内的日期",
        )
    return day.isoformat()


def decide(rows: EvidenceRows, name: str, verdict: Verdict, by: str, now: int) -> EvidenceRecord:
    """Decide on evidence; what it shows replaces what was verified of the same facts, and relays hear of it.

    What was accepted may be rejected later: then what it showed is verified no more. Raises RefusedError 404,
    of somebody who is being erased or moved too, 409 where it was decided on already.
    """
    record = rows.evidence(name)
    person = None if record is None else rows.person(record.person)
    if record is None or person is None or rows.leaving(record.person) is not None:
        raise texts.refused("evidence_not_found")
    if record.state == REJECTED or (record.state == ACCEPTED and verdict.verified):
        raise texts.refused("evidence_decided")
    new = {one.fact for one in verdict.verified}
    kept = [one for one in person.verified if one.fact not in new and one.evidence != name]
    after = (*kept, *verdict.verified)
    if after != person.verified:
        rows.put_person(replace(person, verified=after))
        rows.changed(person.person)
    state = ACCEPTED if verdict.verified else REJECTED
    decided = replace(
        record, state=state, decided_at=now, by=by, reason=verdict.reason, shows=verdict.verified
    )
    rows.put_decided(decided)
    facts = [{"fact": one.fact, "until": one.until} for one in verdict.verified]
    rows.enter({"act": f"evidence.{state}", "by": by, "evidence": name, "facts": facts})
    return decided


def document(record: EvidenceRecord) -> dict[str, Any]:
    """Evidence as its person reads it (docs/signup.md). Times are seconds UTC."""
    return {
        "id": record.evidence,
        "object": "evidence",
        "kind": record.kind,
        "state": record.state,
        "created_at": record.at // 1000,
        "text": record.text,
        "file": None
        if record.file_name is None
        else {
            "name": record.file_name,
            "type": record.file_type,
            "bytes": record.file_size,
            "sha256": record.file_sha256,
        },
        "decided_at": None if record.decided_at is None else record.decided_at // 1000,
        "verified": [shown(one) for one in record.shows],
        "reason": record.reason,
        "digest": commitment(record),
        "salt": record.salt,
    }


def shown(one: Verified) -> dict[str, Any]:
    """What was verified, with the values that are there."""
    values = {name: getattr(one, name) for name in ("country", "subdivision", "birth_date", "least_age")}
    return {
        "fact": one.fact,
        "until": one.until,
        **{name: value for name, value in values.items() if value is not None},
    }


def asked_for(step_up: Iterable[str], told: Iterable[Mapping[str, Any]]) -> list[str]:
    """The kinds of evidence that a decision, and contradictions of a placement, ask a person for."""
    wanted = [STEP_UPS[one] for one in step_up if one in STEP_UPS]
    for one in told:
        lifted = one["asks_for"]
        wanted.append("residence" if lifted == "evidence" else lifted)
    return [kind for kind in KINDS if kind in wanted]
