"""Appeals as they are received: whose they are, what they are about, and what is said when one has come.

A later step decides them; here nothing is decided, and no time is promised that the operator did not state.
Every function runs inside one transaction; what is not the caller's own is `appeal_subject_not_found` or
`appeal_not_found`, whoever's it is and whether it ever was.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dragoman.assistants import claims
from dragoman.assistants.conversations import Person, page, storable
from dragoman.assistants.texts import invalid, refused
from dragoman.core.appeals import AppealRecord, AppealRows
from dragoman.ids import kind_of

TEXT_CHARS = 4_000
"""LIMIT: characters of an appeal."""
CONTACT_CHARS = 200
"""LIMIT: characters of how to reach whoever appeals."""
DAY_MS = 86_400_000
APPEALS_A_DAY = 20
"""LIMIT: appeals of one person in 24 hours."""
GUEST_APPEALS_A_DAY = 1_000
"""LIMIT: appeals of all guests of a public port in 24 hours: whoever comes by could fill the disk.

The relay bounds those of one address."""
FULL = ("dragoman-appeals", "full")
"""The field by which the relay says that guests of the asker's address have sent as many as they may."""
RECEIVED = "received"
_MEMBERS = ("about", "text", "contact")
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Appeal:
    """A checked request. `about`: the id of an intervention, a decision or a turn."""

    about: str
    text: str
    contact: str | None


@dataclass(frozen=True, slots=True)
class Office:
    """What the operator states about appeals: where to write to, within how many days an answer comes."""

    name: str
    contact: str | None
    days: int | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """How an appeal came: its id, the language, when (ms UTC), the idempotency key, the guests' bounds.

    `guests_bounded`: guests of all addresses together have one; `address_full`: those of this one have used
    theirs.
    """

    appeal: str
    lang: str
    at: int
    key: claims.Key | None
    guests_bounded: bool
    address_full: bool = False


def checked(body: Mapping[str, Any]) -> Appeal:
    """A request's members. Raises RefusedError 400 naming the member and what it has to be."""
    for name in body:
        if name not in _MEMBERS:
            raise invalid(str(name)[:64], "is not known here", "不是此处的字段")
    about, contact = body.get("about"), body.get("contact")
    if not isinstance(about, str) or subject_kind(about) is None:
        raise invalid(
            "about", "the id of an intervention, a decision or a turn", "须为措施、决定或某一轮的编号"
        )
    text = _line(body.get("text"), "text", TEXT_CHARS)
    if text is None:
        raise invalid("text", f"a text of 1 to {TEXT_CHARS} characters", f"须为 1 到 {TEXT_CHARS} 个字符")
    return Appeal(about, text, _line(contact, "contact", CONTACT_CHARS))


def _line(given: object, name: str, most: int) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or len(given) > most or not storable(given):
        raise invalid(name, f"a text of at most {most} characters", f"须为不超过 {most} 个字符的文本")
    return given.strip() or None


def subject_kind(about: str) -> str | None:
    """What an id names that one may appeal against: intervention, turn, decision; else None."""
    if about.startswith("dec_") and len(about) <= 200:
        return "decision"
    return {"int": "intervention", "trn": "turn"}.get(kind_of(about) or "")


def subject_turn(rows: AppealRows, person: Person, about: str) -> str | None:
    """The turn that an appeal would concern, None where a decision names none. Raises RefusedError 404."""
    kind = subject_kind(about)
    if kind == "intervention":
        turn = rows.turn_of_intervention(about, person.principal)
        if turn is not None:
            return turn
    elif kind == "turn":
        found = rows.turn(about)
        if found is not None and found.principal == person.principal and found.has_text:
            return about
    elif kind == "decision" and rows.has_decision(about):
        return None
    raise refused("appeal_subject_not_found")


def receive(rows: AppealRows, person: Person, given: Appeal, came: Arrival, office: Office) -> dict[str, Any]:
    """Keep an appeal and acknowledge it; the one kept before where the idempotency key and body are the same.

    Control's own log gets the act with the commitment of its text. Raises RefusedError 404 where it is about
    nothing of the person's, 409 where the person has one about the same, 422, 429.
    """
    held = claims.earlier(rows, person.principal, came.key)
    if held is not None:
        return one(rows, person, held.subject)
    turn = subject_turn(rows, person, given.about)
    if rows.appeal_about(person.principal, given.about) is not None:
        raise refused("appeal_open")
    _within_bounds(rows, person, came)
    salt = os.urandom(_SALT_BYTES)
    due = None if office.days is None else came.at + office.days * DAY_MS
    record = AppealRecord(
        appeal=came.appeal,
        principal=person.principal,
        key=person.key,
        about=given.about,
        turn=turn,
        at=came.at,
        lang=came.lang,
        state=RECEIVED,
        text=given.text,
        contact=given.contact,
        salt=base64.urlsafe_b64encode(salt).decode().rstrip("="),
        acknowledged=json.dumps(acknowledgement(came.appeal, came.at, office), ensure_ascii=False),
        answer_by=due,
    )
    rows.add_appeal(record)
    claims.keep(rows, person.principal, came.key, came.appeal)
    entry = {"act": "appeal.received", "appeal": came.appeal, "about": given.about, "text": digest(record)}
    rows.act({**entry, "answer_by": due}, None, {})
    return document(record)


def is_full(headers: Mapping[str, str]) -> bool:
    """Whether the relay says that guests of the asker's address have sent as many appeals as they may."""
    return headers.get(FULL[0]) == FULL[1]


def _within_bounds(rows: AppealRows, person: Person, came: Arrival) -> None:
    since = came.at - DAY_MS
    if came.address_full and person.key is None:
        raise refused("too_many_appeals")
    if rows.count_appeals(person.principal, since, APPEALS_A_DAY) >= APPEALS_A_DAY:
        raise refused("too_many_appeals")
    bounded = came.guests_bounded and person.key is None
    if bounded and rows.count_appeals(None, since, GUEST_APPEALS_A_DAY) >= GUEST_APPEALS_A_DAY:
        raise refused("too_many_appeals")


def one(rows: AppealRows, person: Person, name: str) -> dict[str, Any]:
    """A person's own appeal. Raises RefusedError 404."""
    found = rows.appeal(name)
    if found is None or found.principal != person.principal:
        raise refused("appeal_not_found")
    return document(found)


def listed(rows: AppealRows, person: Person, after: str | None, limit: int) -> dict[str, Any]:
    """A page of a person's appeals, newest first; `after` is the last id of the page before."""
    found = list(rows.appeals(person.principal, after, limit + 1))
    return page([document(record) for record in found[:limit]], more=len(found) > limit)


def document(record: AppealRecord) -> dict[str, Any]:
    """An appeal as its owner reads it (docs/api.md). Times are seconds UTC."""
    kind = subject_kind(record.about)
    statement = None if kind == "turn" else f"/v1/interventions/{record.about}"
    return {
        "id": record.appeal,
        "object": "appeal",
        "created_at": record.at // 1000,
        "state": record.state,
        "about": {"kind": kind, "id": record.about, "turn": record.turn, "statement": statement},
        "text": record.text,
        "contact": record.contact,
        "acknowledgement": json.loads(record.acknowledged),
        "answer_by": None if record.answer_by is None else record.answer_by // 1000,
        "digest": digest(record),
        "salt": record.salt,
    }


def digest(record: AppealRecord) -> str:
    """The commitment that the ledger has: SHA-256(salt ‖ text)."""
    raw = base64.urlsafe_b64decode(record.salt + "=" * (-len(record.salt) % 4))
    return "sha256:" + hashlib.sha256(raw + record.text.encode()).hexdigest()


def acknowledgement(appeal: str, at: int, office: Office) -> dict[str, str]:
    """What is said when an appeal has come: when, its number, by when it is answered, where to ask."""
    came = datetime.fromtimestamp(at / 1000, UTC)
    when = came.strftime("%Y-%m-%d %H:%M UTC")
    english = [f"Your appeal was received on {when} as {appeal}. It is kept, and the operator reads it."]
    chinese = [f"您的申诉已于 {when} 收到，编号 {appeal}。申诉已保存，由运营者阅处。"]
    if office.days is None:
        english.append("The operator has not stated by when appeals are answered.")
        chinese.append("运营者未说明答复期限。")
    else:
        until = datetime.fromtimestamp((at + office.days * DAY_MS) / 1000, UTC).date().isoformat()
        english.append(f"{office.name} states that it answers within {office.days} days: by {until}.")
        chinese.append(f"{office.name} 承诺在 {office.days} 天内答复，即不晚于 {until}。")
    if office.contact is None:
        english.append("The operator has named no address for questions.")
        chinese.append("运营者未提供联系方式。")
    else:
        english.append(f"For questions: {office.contact}, naming this number.")
        chinese.append(f"如有疑问，请联系 {office.contact} 并注明该编号。")
    return {"en": " ".join(english), "zh": "".join(chinese)}
