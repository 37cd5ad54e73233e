"""What a person does with its conversations: create, list, read, rename, show another branch, delete.

Every function checks whose a conversation is, and that a turn belongs to it: what is not the caller's own is
`conversation_not_found`, whoever's it is and whether it ever was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dragoman.assistants import claims, export, removal
from dragoman.assistants.texts import invalid, refused
from dragoman.assistants.turns import admit
from dragoman.assistants.views import (
    DENIED,
    Reasons,
    conversation_document,
    decision_of,
    interventions_of,
    turn_document,
)
from dragoman.core.conversations import ConversationRows, Whole
from dragoman.core.turns import RUNNING, ConversationRecord, TurnBrief
from dragoman.ids import kind_of

TITLE_CHARS = 200
"""LIMIT: characters of a conversation's title."""
CONVERSATIONS_PER_PRINCIPAL = 10_000
"""LIMIT: conversations of one person."""
PAGE = 20
PAGE_MOST = 100
"""LIMIT: conversations, or turns, of one page; 20 where nothing is said."""
EXPLAINED = 200
"""LIMIT: interventions of one page of turns that are told in full; the others by id and addresses."""
METADATA_PAIRS = 16
"""LIMIT: names in a conversation's metadata."""
METADATA_NAME_CHARS = 64
"""LIMIT: characters of a name in the metadata."""
METADATA_VALUE_CHARS = 512
"""LIMIT: characters of a value in the metadata."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, as the relay named it, and by which key."""

    tenant: str
    principal: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a branch is wanted: through a turn, before a turn, at most so many."""

    through: str | None
    before: str | None
    limit: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request's checked members. `head`: the turn that ends the shown branch."""

    title: str | None = None
    metadata: str = "{}"
    head: str | None = None
    pinned: bool = False
    given: frozenset[str] = frozenset()


def wanted(body: Mapping[str, Any], known: frozenset[str]) -> Wanted:
    """A request's members, checked. Raises RefusedError 400 naming the member."""
    for name in body:
        if name not in known:
            raise invalid(str(name)[:64], "is not known here", "不是此处的字段")
    title, head = body.get("title"), body.get("head")
    if title is not None and (not isinstance(title, str) or not 1 <= len(title.strip()) <= TITLE_CHARS):
        raise invalid("title", f"a text of 1 to {TITLE_CHARS} characters", f"须为 1 到 {TITLE_CHARS} 个字符")
    if title is not None and not storable(title):
        raise invalid("title", "holds half of a surrogate pair", "含有不成对的代理字符")
    if head is not None and (not isinstance(head, str) or kind_of(head) != "trn"):
        raise invalid("head", "a turn's id", "须为某一轮的编号")
    if type(body.get("pinned", False)) is not bool:
        raise invalid("pinned", "true or false", "须为 true 或 false")
    metadata = _metadata(body.get("metadata"))
    pinned = body.get("pinned", False)
    return Wanted(title.strip() if title else None, metadata, head, pinned, frozenset(body))


def _metadata(given: Any) -> str:
    if given is None:
        return "{}"
    fits = isinstance(given, dict) and len(given) <= METADATA_PAIRS
    if not fits or not all(_pair_fits(name, value) for name, value in given.items()):
        raise invalid(
            "metadata",
            f"at most {METADATA_PAIRS} texts, names of at most {METADATA_NAME_CHARS} and values of at most "
            f"{METADATA_VALUE_CHARS} characters",
            f"最多 {METADATA_PAIRS} 项文本，名称不超过 {METADATA_NAME_CHARS} 个字符，值不超过 "
            f"{METADATA_VALUE_CHARS} 个字符",
        )
    return json.dumps(given, ensure_ascii=False)


def _pair_fits(name: str, value: Any) -> bool:
    return (
        1 <= len(name) <= METADATA_NAME_CHARS
        and isinstance(value, str)
        and len(value) <= METADATA_VALUE_CHARS
        and storable(name + value)
    )


def storable(text: str) -> bool:
    """Whether a database takes a text: half of a surrogate pair has no UTF-8 form."""
    return not any("\ud800" <= one <= "\udfff" for one in text)


def create(  # noqa: PLR0913, PLR0917 - the request and where it came from
    rows: ConversationRows, person: Person, name: str, want: Wanted, key: claims.Key | None, now: int
) -> dict[str, Any]:
    """A new conversation; the one made before where the idempotency key and body are the same.

    Raises RefusedError 422, 429.
    """
    admit(rows, person.principal)
    held = claims.earlier(rows, person.principal, key)
    if held is not None:
        return dict(json.loads(held.document or "{}"))
    if rows.count_conversations(person.principal, CONVERSATIONS_PER_PRINCIPAL) >= CONVERSATIONS_PER_PRINCIPAL:
        raise refused("too_many_conversations")
    record = ConversationRecord(
        tenant=person.tenant,
        conversation=name,
        principal=person.principal,
        key=person.key,
        title=want.title,
        metadata=want.metadata,
        created_at=now,
        changed_at=now,
        head=None,
        turns=0,
        claim=key.name if key else None,
    )
    rows.add_conversation(record)
    if want.title is not None:
        rows.search.enter(person.principal, name, name)
    document = conversation_document(record)
    claims.keep(rows, person.principal, key, name, document)
    return document


def listed(
    rows: ConversationRows, person: Person, after: str | None, limit: int, pinned: bool | None = None
) -> dict[str, Any]:
    """A page of the person's conversations, newest first; `after` is the last id of the page before."""
    admit(rows, person.principal)
    found = list(rows.conversations(person.principal, after, limit + 1, pinned))
    data = [conversation_document(record) for record in found[:limit]]
    return page(data, more=len(found) > limit)


def page(data: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A list in OpenAI's form."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


def owned(rows: ConversationRows, person: Person, conversation: str) -> ConversationRecord:
    """The person's own conversation. Raises RefusedError 404, or 403 while the person is being erased."""
    admit(rows, person.principal)
    found = rows.conversation(conversation)
    if found is None or found.principal != person.principal:
        raise refused("conversation_not_found")
    return found


def change(
    rows: ConversationRows, person: Person, conversation: str, want: Wanted, now: int
) -> dict[str, Any]:
    """Rename, pin, set metadata, or show another branch."""
    found = owned(rows, person, conversation)
    values: dict[str, Any] = {"changed_at": now}
    if "title" in want.given:
        values["title"] = want.title
    if "metadata" in want.given:
        values["metadata"] = want.metadata
    if "pinned" in want.given:
        values["pinned"] = want.pinned
    if want.head is not None:
        values["head"] = end_of(rows, person, conversation, want.head)
    rows.change_conversation(conversation, values)
    if "title" in want.given and want.title != found.title:
        rows.search.leave(conversation, conversation)
        if want.title is not None:
            rows.search.enter(person.principal, conversation, conversation)
    return conversation_document(replace(found, **values))


def end_of(rows: ConversationRows, person: Person, conversation: str, turn: str) -> str:
    """The last turn of the newest branch through a turn of the person's own conversation."""
    return rows.leaf(own_turn(rows, person, conversation, turn).turn)


def delete(rows: ConversationRows, person: Person, conversation: str) -> tuple[dict[str, Any], int | None]:
    """Begin to erase a conversation with its texts and salts; the answer, and what `removal.begin` gives."""
    owned(rows, person, conversation)
    document = {"id": conversation, "object": "conversation.deleted", "deleted": True}
    return document, removal.begin(rows, conversation)


def branch(rows: ConversationRows, person: Person, conversation: str, part: Page) -> dict[str, Any]:
    """A page of a branch, in the order it was said, its newest turns first to come.

    The shown branch, or the newest one `through` a turn; `before` is the first id of the page after it.
    """
    record = owned(rows, person, conversation)
    start = record.head
    if part.through is not None:
        start = rows.leaf(_inside(rows, conversation, part.through).turn)
    if part.before is not None:
        start = _inside(rows, conversation, part.before).parent
    shown = list(reversed(rows.whole_path(start, part.limit))) if start else []
    return page(_documents(rows, conversation, shown), more=bool(shown) and shown[0][0].parent is not None)


def exported(
    rows: ConversationRows, person: Person, conversation: str, through: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    """For a file: the conversation, a branch's turns as they were said, how many earlier are left out."""
    record = owned(rows, person, conversation)
    start = record.head if through is None else rows.leaf(_inside(rows, conversation, through).turn)
    newest: list[Whole] = []
    size = 0
    while start is not None and len(newest) < export.TURNS and size < export.BYTES:
        some = rows.whole_path(start, min(PAGE_MOST, export.TURNS - len(newest)))
        newest += some
        size += sum(brief.size for brief, _ in some)
        start = some[-1][0].parent if some else None
    left_out = newest[-1][0].depth - 1 if newest else 0
    turns = [
        document
        for at in range(0, len(newest), PAGE_MOST)
        for document in _documents(rows, conversation, newest[at : at + PAGE_MOST])
    ]
    return conversation_document(record), turns[::-1], left_out


def _documents(rows: ConversationRows, conversation: str, shown: list[Whole]) -> list[dict[str, Any]]:
    """Turns with their siblings and children named."""
    parents = {brief.turn for brief, _ in shown} | {brief.parent for brief, _ in shown if brief.parent}
    families: dict[str | None, list[str]] = {}
    if shown:
        for parent, turn in rows.children(conversation, sorted(parents)):
            families.setdefault(parent, []).append(turn)
    reasons = _reasons(rows, shown)
    return [
        turn_document(whole, families.get(whole[0].parent, []), families.get(whole[0].turn, []), reasons)
        for whole in shown
    ]


def _reasons(rows: ConversationRows, shown: list[Whole]) -> Reasons:
    """Why turns were changed or refused, as it is kept: of EXPLAINED interventions, newest turns first."""
    names = [name for _, texts in reversed(shown) for name in interventions_of(texts)]
    refused_by = {decision_of(texts) for brief, texts in shown if brief.status == DENIED}
    found = {name: rows.decision(name) for name in sorted(refused_by)}
    decisions = {
        name: {**one.document, "lifts": list(one.grounds.get("lifts", ()))}
        for name, one in found.items()
        if one is not None
    }
    return Reasons(rows.statements(names[:EXPLAINED]) if names else {}, decisions)


def _inside(rows: ConversationRows, conversation: str, turn: str) -> TurnBrief:
    found = rows.turn(turn)
    if found is None or found.conversation != conversation:
        raise refused("turn_not_found")
    return found


def own_turn(rows: ConversationRows, person: Person, conversation: str, turn: str) -> TurnBrief:
    """A turn of the person's own conversation, without its texts. Raises RefusedError 404."""
    owned(rows, person, conversation)
    return _inside(rows, conversation, turn)


def one_turn(
    rows: ConversationRows, person: Person, conversation: str, turn: str
) -> tuple[Whole, dict[str, Any]]:
    """A turn of the person's own conversation, and its document."""
    own_turn(rows, person, conversation, turn)
    whole = rows.whole_path(turn, 1)[0]
    return whole, _documents(rows, conversation, [whole])[0]


def is_running(whole: Whole) -> bool:
    """Whether a turn is not over."""
    return whole[0].state in RUNNING
