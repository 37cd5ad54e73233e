"""A guest's conversations as the pages show them, read by the functions that the API's routes use.

Nothing is written here: what a page changes goes to the relay like every other request (`web.turn`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from dragoman.assistants import conversations
from dragoman.assistants.conversations import PAGE_MOST, Page, Person
from dragoman.assistants.finding import query_of
from dragoman.assistants.search import found
from dragoman.assistants.search_places import SearchPlaces
from dragoman.assistants.views import conversation_document
from dragoman.core.conversations import ConversationRows, ConversationStore
from dragoman.errors import RefusedError, UnavailableError
from dragoman.web.answer import Intervention, Refusal, html, interventions, label_and_rest, refusal
from dragoman.web.guest import Guest
from dragoman.web.rendered import Rendered
from dragoman.web.rendering import Rendering

LISTED = 30
"""LIMIT: conversations of one page of the list, the pinned ones not counted."""
FOUND = 20
"""LIMIT: hits of one page of a search."""
TURNS = 50
"""LIMIT: turns of one page of a conversation."""
FORMATTED = 262_144
"""LIMIT: code points of one page's answers that are read as Markdown, the newest first; others are plain."""
BESIDE = 20
"""LIMIT: turns after one of which are looked at whether they are the same question, sent again."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The list: pinned ones, then a page of the others; `more` is the id after which it goes on."""

    pinned: tuple[Mapping[str, Any], ...] = ()
    others: tuple[Mapping[str, Any], ...] = ()
    more: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked for and found; `more` is the hit after which it goes on.

    `problem`: the key of a sentence of the page, or a sentence, where nothing could be looked for.
    """

    wanted: str
    hits: tuple[Mapping[str, Any], ...] = ()
    more: str | None = None
    complete: bool = True
    problem: str | None = None

    @property
    def told(self) -> str:
        """The key of the sentence that says how it came out."""
        if self.more is not None:
            return "found_more"
        return "found_some" if self.hits else "found_none"


@dataclass(frozen=True, slots=True)
class Wish:
    """Which page of a conversation is wanted: of the branch `through` a turn, `before` one, or with one."""

    through: str | None
    before: str | None
    at: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """A turn as a page shows it. `trouble`: None, the key of a sentence of the page, or what the record says.

    `siblings`: ids of the turns asked in its place, itself among them.
    """

    id: str
    parent: str | None
    siblings: tuple[str, ...]
    question: str
    running: bool
    label: str | None
    body: Markup
    interventions: tuple[Intervention, ...]
    refusal: Refusal | None
    trouble: str | None
    rating: str | None
    reason: str | None
    note: str | None

    @property
    def place(self) -> int:
        """Which of its siblings it is, from 0."""
        return self.siblings.index(self.id) if self.id in self.siblings else 0


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of a conversation's branch; `earlier`: the id before which it goes on."""

    conversation: Mapping[str, Any]
    turns: tuple[Said, ...]
    earlier: str | None
    past: bool = False
    """Whether turns of the branch follow this page."""

    @property
    def running(self) -> str | None:
        """The turn whose answer is still written."""
        return next((one.id for one in self.turns if one.running), None)


class Kept:
    """Reads the conversations of guests."""

    def __init__(self, store: ConversationStore, searches: SearchPlaces) -> None:
        self._store = store
        self._searches = searches
        self._rendered = Rendered()

    def listed(self, guest: Guest, after: str | None) -> Listing:
        """The guest's conversations; those after `after` alone where it is given."""
        person = Person(guest.tenant, guest.principal)

        def work(rows: ConversationRows) -> Listing:
            first = after is None
            pinned = conversations.listed(rows, person, None, PAGE_MOST, pinned=True)["data"] if first else ()
            page = conversations.listed(rows, person, after, LISTED, pinned=False)
            return Listing(tuple(pinned), tuple(page["data"]), page["last_id"] if page["has_more"] else None)

        return self._store.read(guest.tenant, work)

    def owns(self, guest: Guest, name: str) -> bool:
        """Whether there is such a conversation, and it is the guest's own."""
        person = Person(guest.tenant, guest.principal)
        try:
            self._store.read(guest.tenant, lambda rows: conversations.owned(rows, person, name))
        except RefusedError:
            return False
        return True

    def followed(self, guest: Guest, name: str, turn: str, question: str) -> bool:
        """Whether another question than this one was asked after a turn; the newest of them are looked at."""
        person = Person(guest.tenant, guest.principal)

        def work(rows: ConversationRows) -> bool:
            _, parent = conversations.one_turn(rows, person, name, turn)
            after = [
                conversations.one_turn(rows, person, name, one)[1] for one in parent["children"][-BESIDE:]
            ]
            return bool(after) and all(_question(one["messages"]).strip() != question for one in after)

        try:
            return self._store.read(guest.tenant, work)
        except RefusedError:
            return False  # the question itself meets it, and is told so

    async def found(self, guest: Guest, wanted: str, after: str | None, language: str) -> Finding:
        """Where the words stand in the guest's own conversations."""
        person = Person(guest.tenant, guest.principal)
        try:
            query = query_of(wanted)
            async with self._searches.place(person):
                page = await run_in_threadpool(
                    self._store.read, guest.tenant, lambda rows: found(rows, person, query, after, FOUND)
                )
        except RefusedError as fault:
            no_word = not any(one.isalnum() for one in wanted)
            return Finding(wanted, problem="find_word" if no_word else fault.text[language])
        except UnavailableError:
            return Finding(wanted, problem="find_busy")
        more = page["last_id"] if page["has_more"] else None
        return Finding(wanted, tuple(page["data"]), more, page["complete"])

    async def shown(
        self, guest: Guest, name: str, wish: Wish, language: str, rendering: Rendering
    ) -> Shown | None:
        """A page of a branch of the guest's own conversation; None where there is none.

        Answers that were not read lately are plain where the place for reading does not come free in time.
        """
        branch = await run_in_threadpool(self._branch, guest, name, wish)
        if branch is None:
            return None
        conversation, page, past = branch
        turns = await self._said(page["data"], language, rendering)
        return Shown(conversation, turns, page["first_id"] if page["has_more"] else None, past)

    def _branch(
        self, guest: Guest, name: str, wish: Wish
    ) -> tuple[dict[str, Any], dict[str, Any], bool] | None:
        """The conversation, a page of its turns, and whether others follow them; None where there is none."""
        person = Person(guest.tenant, guest.principal)

        def work(rows: ConversationRows) -> tuple[dict[str, Any], dict[str, Any], bool]:
            record = conversations.owned(rows, person, name)
            before = wish.before or _page_end(rows, person, name, wish.at)
            page = conversations.branch(rows, person, name, Page(wish.through or wish.at, before, TURNS))
            return conversation_document(record), page, before is not None

        try:
            return self._store.read(guest.tenant, work)
        except RefusedError:
            return None

    async def _said(
        self, turns: Sequence[Mapping[str, Any]], language: str, rendering: Rendering
    ) -> tuple[Said, ...]:
        plain = plain_turns(turns)

        def unread() -> set[str]:
            texts = {one["id"]: _spoken(one)[1:] for one in turns if one["id"] not in plain}
            return {name for name, text in texts.items() if text[0] and not self._rendered.knows(*text)}

        def made(plain: set[str]) -> tuple[Said, ...]:
            return tuple(said(one, language, None if one["id"] in plain else self._rendered) for one in turns)

        left = await run_in_threadpool(unread)
        read = await rendering.made(lambda: made(plain)) if left else None
        return await run_in_threadpool(made, plain | left) if read is None else read


def _page_end(rows: ConversationRows, person: Person, name: str, at: str | None) -> str | None:
    """The turn before which a page ends that has `at` as its last; None where the newest page has it."""
    if at is None:
        return None
    turn = conversations.own_turn(rows, person, name, at)
    end = rows.turn(rows.leaf(at))
    if end is None or end.depth - turn.depth < TURNS:
        return None
    return next((child for parent, child in reversed(rows.children(name, [at])) if parent == at), None)


def said(turn: Mapping[str, Any], language: str, rendered: Rendered | None) -> Said:
    """A turn's document (docs/api.md) as a page shows it; without `rendered` as plain text."""
    label, rest, notes = _spoken(turn)
    feedback = turn.get("feedback") or {}
    return Said(
        id=turn["id"],
        parent=turn["parent"],
        siblings=tuple(turn["siblings"]),
        question=_question(turn["messages"]),
        running=turn["state"] == "running",
        label=label,
        body=html(rest, notes, plain=True) if rendered is None else rendered.html(rest, notes),
        interventions=tuple(interventions(turn["dragoman"])),
        refusal=refusal(turn["dragoman"]),
        trouble=_trouble(turn, language),
        rating=feedback.get("rating"),
        reason=feedback.get("reason"),
        note=feedback.get("note"),
    )


BLANK = Said("", None, (), "", False, None, Markup(), (), None, None, None, None, None)
"""A turn of which nothing is known: the script fills in what is asked on the page."""


def plain_turns(turns: Sequence[Mapping[str, Any]]) -> set[str]:
    """The turns that come after FORMATTED, from the newest on."""
    left, found = FORMATTED, set()
    for turn in reversed(turns):
        left -= len(_content(_message(turn)))
        if left < 0:
            found.add(turn["id"])
    return found


def _spoken(turn: Mapping[str, Any]) -> tuple[str | None, str, Sequence[object]]:
    """The label of a turn's answer, the text after it and the text's annotations."""
    message = _message(turn)
    return *label_and_rest(_content(message)), message.get("annotations") or ()


def _message(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = (turn["answer"] or {}).get("choices") or ()
    return choices[0].get("message") or {} if choices else {}


def _content(message: Mapping[str, Any]) -> str:
    return message.get("content") or message.get("refusal") or ""


def _question(messages: Sequence[Mapping[str, Any]]) -> str:
    content = messages[-1].get("content") if messages else ""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _trouble(turn: Mapping[str, Any], language: str) -> str | None:
    if turn["state"] == "running":
        return None
    if turn["state"] == "interrupted" or turn["status"] == "interrupted":
        return "interrupted"
    if turn["stopped"] or turn["status"] == "cancelled":
        return "stopped"
    message = (turn["error"] or {}).get("message")
    if isinstance(message, Mapping):
        message = message.get(language)
    return str(message) if message else None
