"""The search of conversations against a slow reference: every text of a person read through, by another reader.

Random lives: conversations made, renamed and deleted, turns of both scripts that end, the index that reads some of what
waits at any time, many turns at once so that parts become whole and lose some again. The reference keeps plain records.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dragoman.assistants import conversations as rules
from dragoman.assistants import postings, removal, search
from dragoman.assistants.erasure import erase_person
from dragoman.assistants.finding import TEXT_CHARS, Budget, Searched, place_of, query_of
from dragoman.assistants.indexing import ReadPart, keep_parts, parts_of, read_part
from dragoman.assistants.postings import (
    EVERY,
    WORDS_BYTES,
    bucket_of,
    key_of,
    number_of,
    packed,
    slots_of,
    words_text,
)
from dragoman.assistants.search import found
from dragoman.assistants.turns import settle
from dragoman.control import indexing
from dragoman.control.indexing import SearchIndexer
from dragoman.core.search import BUCKETS, PART, SearchRows
from dragoman.core.turns import TurnBrief, TurnTexts
from dragoman.ids import new_id, now_ms
from dragoman.stores import schema
from dragoman.stores.conversations import SqlConversations
from dragoman.stores.database import Database
from dragoman.stores.migrate import migrate
from dragoman.stores.search import SqlSearch
from dragoman.stores.tenancy import rows_of

FRESH = int(os.environ.get("DRAGOMAN_SEED") or secrets.randbits(32))
STEPS = int(os.environ.get("DRAGOMAN_CASES", "60"))
SHARED = Path("/dev/shm")  # nothing here needs the disk
WORDS = ["kiln", "lamp", "porto", "2024", "glaze", "ohm"]
CHARACTERS = "窑炉灯退货温度"


@dataclass
class Item:
    """A turn or a title, as the reference keeps it."""

    id: str
    conversation: str
    fields: list[str]


@dataclass
class Zone:
    """A database, and what the reference knows of each person, oldest item first."""

    database: Database
    store: SqlConversations
    indexer: SearchIndexer
    people: list[rules.Person]
    known: dict[str, list[Item]] = field(default_factory=dict)

    def items(self, person: rules.Person) -> list[Item]:
        return self.known.setdefault(person.principal, [])


@pytest.fixture
def zone() -> Iterator[Zone]:
    with tempfile.TemporaryDirectory(dir=SHARED if SHARED.is_dir() else None) as folder:
        migrate(Path(folder) / "zone.db")
        database = Database(Path(folder) / "zone.db")
        tenants = [new_id("ten", "local"), new_id("ten", "local")]
        row = {"title": "T", "state": "active", "created_at": 0, "changed_at": 0}
        for at, tenant in enumerate(tenants):
            database.write(
                lambda c, t=tenant, a=at: rows_of(c, t).insert(schema.tenants, slug=f"t{a}", **row)
            )  # type: ignore[misc]
        people = [rules.Person(tenant, new_id("prn", "local")) for tenant in (*tenants, tenants[0])]
        indexer = SearchIndexer(SqlSearch(database))
        yield Zone(database, SqlConversations(database, "local"), indexer, people)
        database.close()


def some_text(source: random.Random) -> str:
    """A few words and rows of characters, with what separates them."""
    parts = []
    for _ in range(source.randint(1, 5)):
        if source.random() < 0.5:
            word = source.choice(WORDS)
            parts.append(source.choice([word, word.upper(), word.title()]))
        else:
            parts.append("".join(source.choices(CHARACTERS, k=source.randint(1, 4))))
    return source.choice([" ", ", ", "。", "\n"]).join(parts)


def says(text: str, wanted: str) -> bool:
    """The reference: whether a word, or a row of characters, stands in a text."""
    if wanted.isascii():
        return wanted.lower() in re.findall("[a-z]+|[0-9]+", text.lower())
    return wanted in text


def some_query(source: random.Random) -> list[str]:
    return [
        source.choice(WORDS)
        if source.random() < 0.5
        else "".join(source.choices(CHARACTERS, k=source.choice([1, 2, 2, 3])))
        for _ in range(source.choice([1, 1, 2]))
    ]


def new_conversation(zone: Zone, person: rules.Person, source: random.Random) -> str:
    name, now = new_id("cnv", "local"), now_ms()
    title = some_text(source) if source.random() < 0.7 else None
    want = rules.Wanted(title=title)
    zone.store.submit(person.tenant, lambda rows: rules.create(rows, person, name, want, None, now)).result()
    if title is not None:
        zone.items(person).append(Item(name, name, [title.strip()]))
    return name


def new_turns(zone: Zone, person: rules.Person, name: str, source: random.Random, many: int) -> None:
    said = [(new_id("trn", "local"), some_text(source), some_text(source)) for _ in range(many)]

    def work(rows: Any) -> None:
        for turn, question, answer in said:
            brief, texts = closing_turn(person, name, turn, question, answer)
            rows.add_turn(brief, texts)
            settle(rows, brief, now_ms())

    zone.store.submit(person.tenant, work).result()
    zone.items(person).extend(Item(turn, name, [question, answer]) for turn, question, answer in said)


def closing_turn(
    person: rules.Person, name: str, turn: str, question: str, answer: str
) -> tuple[TurnBrief, TurnTexts]:
    """A turn whose result entry stands."""
    message = {"role": "user", "content": [{"type": "text", "text": question}, {"type": "image_url"}]}
    record = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
    brief = TurnBrief(
        tenant=person.tenant, turn=turn, conversation=name, seq=1, depth=1, parent=None,
        principal=person.principal, log="log", state="closing", status="finished", at=5, deadline_ms=5,
        changed_at=5, lang="en", stream=False, tokens=1, size=1, digest="d", claim=None, salt="s", has_text=True,
    )  # fmt: skip
    texts = TurnTexts(
        model="m", plan="p", decision="d", key=None, rules_in="r", interventions="[]", options=None,
        asked=json.dumps(message, ensure_ascii=False), rounds=None, replied=None, answer=json.dumps(record),
        result=None, shown="{}", due="[]", context=None,
    )  # fmt: skip
    return brief, texts


def rename(zone: Zone, person: rules.Person, name: str, source: random.Random) -> None:
    title = some_text(source).strip()
    want, items = rules.Wanted(title=title, given=frozenset({"title"})), zone.items(person)
    zone.store.submit(person.tenant, lambda rows: rules.change(rows, person, name, want, 9)).result()
    old = next((one for one in items if one.id == name), None)
    if old is None or old.fields != [title]:
        items[:] = [*(one for one in items if one.id != name), Item(name, name, [title])]


def delete(zone: Zone, person: rules.Person, name: str) -> None:
    zone.store.submit(person.tenant, lambda rows: rules.delete(rows, person, name)).result()
    removal.finish(zone.store, person.tenant, name)
    zone.items(person)[:] = [one for one in zone.items(person) if one.conversation != name]


def pages(zone: Zone, person: rules.Person, query: list[str], limit: int) -> list[dict[str, Any]]:
    """Every hit, page by page."""
    hits: list[dict[str, Any]] = []
    after: str | None = None
    wanted = query_of(" ".join(query))
    while True:
        page = zone.store.read(person.tenant, lambda rows, at=after: found(rows, person, wanted, at, limit))  # type: ignore[misc]
        assert len(page["data"]) <= limit
        hits += page["data"]
        if not page["has_more"]:
            return hits
        after = page["last_id"]


def compare(zone: Zone, person: rules.Person, query: list[str], limit: int) -> None:
    """What is found is what the reference finds, in its order; a title may be left out beside a turn's hit."""
    hits = pages(zone, person, query, limit)
    wanted = [
        one
        for one in reversed(zone.items(person))
        if all(any(says(text, word) for text in one.fields) for word in query)
    ]
    got = [hit["id"] for hit in hits]
    assert got == [one.id for one in wanted if one.id in set(got)], (
        "the order, and nothing else, nothing twice"
    )
    shown = {hit["conversation"] for hit in hits if hit["turn"]}
    missing = [one for one in wanted if one.id not in set(got)]
    assert all(one.id == one.conversation and one.conversation in shown for one in missing), (query, missing)
    for hit in hits:
        marked = [piece["text"] for piece in hit["excerpt"] if piece["hit"]]
        assert marked
        assert all(any(says(text, word) for word in query) for text in marked), (query, hit)


def live(zone: Zone, source: random.Random) -> None:
    names: list[tuple[rules.Person, str]] = []
    held: list[tuple[str, list[ReadPart]]] = []
    for _ in range(STEPS):
        act = source.random()
        if act < 0.15 or not names:
            person = source.choice(zone.people)
            names.append((person, new_conversation(zone, person, source)))
        elif act < 0.45:
            person, name = source.choice(names)
            new_turns(zone, person, name, source, source.choice([1, 2, 5, PART // 2, PART]))
        elif act < 0.55:
            rename(zone, *source.choice(names), source)
        elif act < 0.62:
            delete(zone, *names.pop(source.randrange(len(names))))
        elif act < 0.64:
            person = source.choice(zone.people)
            erase_person(zone.store, person.tenant, person.principal)
            zone.items(person).clear()
            names = [one for one in names if one[0] != person]
        elif act < 0.72:
            held.append(read_only(zone, source))
        elif act < 0.8 and held:
            tenant, read = held.pop()
            zone.store.submit(tenant, lambda rows, read=read: keep_parts(rows.search, read)).result()  # type: ignore[misc]
        elif act < 0.9:
            zone.indexer.step()
        else:
            zone.indexer.catch_up()
        for person in zone.people:
            compare_where_read(zone, person, source)
    zone.indexer.catch_up()
    check_parts(zone)


def read_only(zone: Zone, source: random.Random) -> tuple[str, list[ReadPart]]:
    """What a step of the index reads, to be kept when other things have happened meanwhile."""
    waiting = SqlSearch(zone.database).waiting(PART)
    tenant = source.choice(zone.people).tenant
    mine = [(principal, n) for owner, principal, n in waiting if owner == tenant]
    return tenant, zone.store.read(tenant, lambda rows: read_now(rows.search, mine))


def read_now(rows: SearchRows, waiting: list[tuple[str, int]]) -> list[ReadPart]:
    return [read_part(rows, *part) for part in parts_of(rows, waiting)]


def compare_where_read(zone: Zone, person: rules.Person, source: random.Random) -> None:
    """A search that says it is not complete has read less; any other has all."""
    query = some_query(source)
    wanted = query_of(" ".join(query))
    page = zone.store.read(person.tenant, lambda rows: found(rows, person, wanted, None, 5))
    if page["complete"]:
        compare(zone, person, query, source.choice([1, 3, 20]))


def check_parts(zone: Zone) -> None:
    """A part's items are packed and have postings, or neither; nothing stands of what is gone."""

    def look(connection: Any) -> tuple[list[Any], list[Any]]:
        items = "SELECT principal, n, item, state, words IS NULL FROM search_items ORDER BY 1, 2"
        parts = "SELECT DISTINCT principal, part FROM search_postings"
        return list(connection.exec_driver_sql(items)), list(connection.exec_driver_sql(parts))

    items, parts = zone.database.read(look)
    whole = {(principal, n // PART) for principal, n, _, state, _ in items if state == 3}
    assert whole == {tuple(one) for one in parts}
    assert not [one for one in items if one[3] < 2], "everything was read"
    assert all(bare == (state == 3) for *_, state, bare in items)
    kept = {(principal, item) for principal, _, item, _, _ in items}
    assert kept == {(who, one.id) for who, known in zone.known.items() for one in known}


@pytest.mark.parametrize("seed", [1, 2, FRESH])
def test_it_finds_what_a_slow_reader_finds(zone: Zone, seed: int) -> None:
    print(f"DRAGOMAN_SEED={seed}")
    live(zone, random.Random(seed))


@pytest.mark.parametrize(("read", "seen"), [(search.READ_CHARS, search.SEEN_CHARS), (300, 1_500)])
def test_it_finds_the_same_within_bounds(
    zone: Zone, monkeypatch: pytest.MonkeyPatch, read: int, seen: int
) -> None:
    """Most items have too many words to be indexed; and a page ends after a few of them."""
    print(f"DRAGOMAN_SEED={FRESH}")
    monkeypatch.setattr(postings, "WORDS_BYTES", 40)
    monkeypatch.setattr(search, "READ_CHARS", read)
    monkeypatch.setattr(search, "SEEN_CHARS", seen)
    live(zone, random.Random(FRESH))


def test_what_is_too_much_for_a_page_is_not_passed_over_in_silence(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = zone.people[0]
    name = new_conversation(zone, person, random.Random(4))
    put(zone, person, name, ["lamp"] + ["y " * 5_000 + "glazes"] * 3)
    zone.indexer.catch_up()
    query = query_of("glazing")  # not as it is written, so that the text is read

    def page(after: str | None = None) -> dict[str, Any]:
        return zone.store.read(person.tenant, lambda rows: found(rows, person, query, after, 20))

    assert (len(page()["data"]), page()["complete"]) == (3, True)
    monkeypatch.setattr(search, "READ_CHARS", 15_000)
    first = page()
    assert (len(first["data"]), first["complete"], first["has_more"]) == (1, True, True)
    assert len(pages(zone, person, ["glazing"], 20)) == 3, "what was not read to its end begins the next page"
    for bound in ("READ_CHARS", "SEEN_CHARS"):
        monkeypatch.setattr(search, bound, 100)
        short = page()
        assert (short["data"], short["complete"], short["has_more"]) == ([], False, True)
        assert page(short["last_id"])["last_id"] != short["last_id"], "it goes on"


def put(zone: Zone, person: rules.Person, name: str, questions: list[str]) -> None:
    def work(rows: Any) -> None:
        for question in questions:
            brief, texts = closing_turn(person, name, new_id("trn", "local"), question, "")
            rows.add_turn(brief, texts)
            settle(rows, brief, now_ms())

    zone.store.submit(person.tenant, work).result()


def test_what_is_kept_of_texts_is_bounded(zone: Zone) -> None:
    """A part of texts of random characters: nearly every pair of them is a new word."""
    source, person = random.Random(6), zone.people[0]
    name = new_conversation(zone, person, source)
    put(
        zone,
        person,
        name,
        ["".join(map(chr, source.choices(range(0x4E00, 0x9FA5), k=6_000))) for _ in range(PART)],
    )
    put(zone, person, name, ["窑炉"])
    zone.indexer.catch_up()
    size = "SELECT (SELECT sum(length(words)) FROM search_postings), (SELECT max(length(words)) FROM search_items)"
    postings_size, item_size = zone.database.read(lambda c: c.exec_driver_sql(size).one())
    assert 0 < postings_size < 2 * PART * WORDS_BYTES
    assert item_size <= WORDS_BYTES
    check_states = "SELECT count(*) FROM search_items WHERE state = 3"
    assert zone.database.read(lambda c: c.exec_driver_sql(check_states).scalar()) == PART, "the control"


def test_what_is_loaded_and_looked_through_is_charged(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(50, 5_000)
    [wanted] = query_of("kiln").wanted
    assert place_of(Searched("kiln " * 400), wanted, budget) == (0, 4)
    assert (budget.left, budget.seen) == (50, 3_000)
    person = zone.people[0]
    name = new_conversation(zone, person, random.Random(8))
    put(zone, person, name, ["kiln" + " y" * TEXT_CHARS])
    query = query_of("kiln")
    for bound, hits in ((4 * TEXT_CHARS, 1), (2 * TEXT_CHARS, 0)):
        monkeypatch.setattr(search, "SEEN_CHARS", bound)
        page = zone.store.read(person.tenant, lambda rows: found(rows, person, query, None, 5))
        assert (len(page["data"]), page["complete"]) == (hits, bool(hits))


def test_a_part_of_items_of_too_many_words_loses_those_that_go_too(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postings, "WORDS_BYTES", 0)
    person = zone.people[0]
    leaving, staying = (new_conversation(zone, person, random.Random(9)) for _ in range(2))
    put(zone, person, staying, ["kiln"] * (PART - 20))
    put(zone, person, leaving, ["kiln"] * 40)
    zone.indexer.catch_up()
    rows = (
        "SELECT (SELECT count(*) FROM search_postings), (SELECT count(*) FROM search_items WHERE state = 3)"
    )
    assert tuple(zone.database.read(lambda c: c.exec_driver_sql(rows).one())) == (1, PART)
    delete(zone, person, leaving)
    assert tuple(zone.database.read(lambda c: c.exec_driver_sql(rows).one())) == (1, PART - 20 + 1), (
        "others stay"
    )
    assert zone.indexer.catch_up() == 0, "and are not read again"
    assert len(pages(zone, person, ["kiln"], 100)) == PART - 20


def test_a_whole_part_is_written_before_the_next_is_read(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    source, person = random.Random(7), zone.people[0]
    name = new_conversation(zone, person, source)
    put(zone, person, name, ["kiln"] * (3 * PART + 5))
    monkeypatch.setattr(indexing, "AT_ONCE", 4 * PART)
    store, acts = SqlSearch(zone.database), []
    read, submit = store.read, store.submit
    monkeypatch.setattr(store, "read", lambda *given: (acts.append("read"), read(*given))[1])
    monkeypatch.setattr(store, "submit", lambda *given: (acts.append("write"), submit(*given))[1])
    SearchIndexer(store).step()
    assert acts == ["read", *["read", "write"] * 4]
    assert len(pages(zone, person, ["kiln"], 100)) == 3 * PART + 5


def test_a_wrong_index_would_be_noticed(zone: Zone) -> None:
    """The control: an index that loses a word, or a reference that knows a turn too many."""
    source, person = random.Random(3), zone.people[0]
    name = new_conversation(zone, person, source)
    new_turns(zone, person, name, source, PART + 5)
    zone.indexer.catch_up()
    compare(zone, person, ["kiln"], 20)
    bucket = bucket_of("kiln")
    zone.database.write(
        lambda c: c.exec_driver_sql(f"UPDATE search_postings SET words = x'00' WHERE bucket = {bucket}")
    )
    with pytest.raises(AssertionError):
        compare(zone, person, ["kiln"], 20)


def test_a_title_that_changes_while_it_is_read_is_read_again(zone: Zone) -> None:
    person = zone.people[0]
    name = new_conversation(zone, person, random.Random(5))
    for old, new in (("porto", "kiln"), ("kiln", "lamp")):
        for title in (old, new):
            want = rules.Wanted(title=title, given=frozenset({"title"}))
            zone.store.submit(
                person.tenant, lambda rows, w=want: rules.change(rows, person, name, w, 9)
            ).result()  # type: ignore[misc]
            if title == old:
                read = zone.store.read(
                    person.tenant, lambda rows: read_now(rows.search, [(person.principal, 0)])
                )
        zone.store.submit(person.tenant, lambda rows, r=read: keep_parts(rows.search, r)).result()  # type: ignore[misc]
        zone.indexer.catch_up()
        assert [one["id"] for one in pages(zone, person, [new], 5)] == [name]
        assert pages(zone, person, [old], 5) == []


@pytest.mark.parametrize("seed", [1, FRESH])
def test_postings_hold_what_was_put_in(seed: int) -> None:
    source = random.Random(seed)
    words = [source.choice(WORDS) + str(at) for at in range(300)] + list(CHARACTERS)
    items = {
        slot: source.sample(words, source.randint(0, 40)) for slot in range(PART) if source.random() < 0.9
    }
    texts = packed({slot: f" {' '.join(some)} " for slot, some in items.items()})
    assert all(0 <= bucket < BUCKETS for bucket in texts)
    for word in [*words, "ki", "iln", "absent"]:
        text = texts.get(bucket_of(word), b"\0")
        got = {number_of(7, mark) - 7 * PART for mark in slots_of([(7, text)], key_of(word)).get(7, ())}
        assert got == {slot for slot, some in items.items() if word in some}, word


def test_an_item_of_too_many_words_has_none() -> None:
    few = [f"{n:07}" for n in range(WORDS_BYTES // 8)]
    assert words_text([*few, *few]).split() == few
    assert words_text([*few, "x"]) == f" {EVERY} "
    texts = packed({0: words_text([*few, "x"]), 1: words_text(["x"]), 2: words_text([*few, "x"])})
    assert sorted(texts) == sorted([bucket_of("x"), BUCKETS])
    assert slots_of([(0, texts[bucket_of(EVERY)])], key_of(EVERY)) == {0: frozenset({0x80, 0x82})}
