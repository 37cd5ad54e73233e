"""The search of one's own conversations over control's socket: what is found when, what is erased, an upgrade, bad input."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from turns_control import Relay, new_key, person

from dragoman.assistants import search_places
from dragoman.assistants.finding import QUERY_CHARS, TEXT_CHARS, WANTED
from dragoman.assistants.search import UNREAD
from dragoman.control import conversations as routes
from dragoman.control.app import Control
from dragoman.core.search import PART
from dragoman.stores import migrate as migrations
from promise import eventually

MANY = itertools.count()
LATER = (
    "decision_index",
    "decision_marks",
    "phone_codes",
    "codes_sent",
    "people",
    "evidence",
    "evidence_files",
    "filings",
    "filing_files",
    "incident_reports",
    "incidents",
)
"""Tables that came after the search."""


def find(relay: Relay, q: str, more: str = "") -> dict[str, Any]:
    status, page = relay.v1("GET", f"?q={quote(q)}{more}")
    assert status == 200, page
    assert page["object"] == "list"
    return dict(page)


def texts(relay: Relay, q: str) -> list[str]:
    """The hits' excerpts with marks."""
    hits = find(relay, q)["data"]
    return [
        "".join(f"[{one['text']}]" if one["hit"] else one["text"] for one in hit["excerpt"]) for hit in hits
    ]


def waiting(control: Control) -> int:
    return control.core.search.count_waiting()


def test_what_was_just_said_is_found_with_its_place(control: Control, relay: Relay) -> None:
    name = relay.conversation(title="Firing a KILN")
    first = relay.turn(
        name, "How hot is the kiln\n running?", "It is **hot**: 1280 degrees. " + "More. " * 60
    )["turn"]
    second = relay.turn(name, "窯炉的温度是多少？", "温度为一千二百八十度。")["turn"]
    for _ in range(2):
        page = find(relay, "kilns run")
        [hit] = page["data"]
        assert hit | {"created_at": 0, "excerpt": []} == {
            "id": first, "object": "conversation.hit", "conversation": name, "title": "Firing a KILN",
            "turn": first, "where": "question", "created_at": 0, "excerpt": [],
        }  # fmt: skip
        assert (page["first_id"], page["last_id"], page["has_more"], page["complete"]) == (
            first,
            first,
            False,
            True,
        )
        assert texts(relay, "kilns run") == ["How hot is the [kiln] [running]?"]
        assert texts(relay, "1280 HOT")[0].startswith("It is **[hot]**: [1280] degrees. More.")
        assert texts(relay, "1280")[0].endswith("…")
        assert texts(relay, "窑炉 多少") == ["[窯炉]的温度是[多少]？"], "in the other script too"
        assert [hit["id"] for hit in find(relay, "温度")["data"]] == [second]
        assert [hit["where"] for hit in find(relay, "八十度")["data"]] == ["answer"]
        assert find(relay, "度温")["data"] == find(relay, "kiln 温度")["data"] == [], "not in one turn"
        assert [(hit["id"], hit["turn"], hit["where"]) for hit in find(relay, "firing")["data"]] == [
            (name, None, "title")
        ]
        assert [hit["id"] for hit in find(relay, "kiln")["data"]] == [first], "its title says no more"
        eventually(
            "the index has read it", lambda: waiting(control) == 0
        )  # and the same again, from the index


def test_pages_of_hits(control: Control, relay: Relay) -> None:
    name = relay.conversation()
    turns = [relay.turn(name, f"Lamp number {at}", "It shines")["turn"] for at in range(5)]
    got, more = [], ""
    while True:
        page = find(relay, "lamp", f"&limit=2{more}")
        got += [hit["id"] for hit in page["data"]]
        if not page["has_more"]:
            break
        more = f"&after={page['last_id']}"
    assert got == turns[::-1]
    assert find(relay, "lamp", "&limit=5")["has_more"] is False, "no page that would be empty"


@pytest.mark.parametrize("q", ["", "  ", "?!…，。", "\u200b", "x" * (QUERY_CHARS + 1)])
def test_nothing_to_look_for_is_a_400_that_names_it(relay: Relay, q: str) -> None:
    status, body = relay.v1("GET", f"?q={quote(q)}")
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_value", "q")
    relay.lang = "zh"
    assert "须" in relay.v1("GET", f"?q={quote(q)}")[1]["error"]["message"] or len(q) > QUERY_CHARS


def test_too_many_words_are_a_400_that_names_the_limit(relay: Relay) -> None:
    words = [f"word{chr(97 + at)}" for at in range(WANTED + 1)]
    assert find(relay, " ".join([*words[:WANTED], *words[:WANTED]]))["data"] == [], (
        "the same again is not more"
    )
    for relay.lang, text in (("en", f"at most {WANTED} words"), ("zh", f"不得超过 {WANTED} 个")):
        status, body = relay.v1("GET", f"?q={quote(' '.join(words))}")
        assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_value", "q")
        assert text in body["error"]["message"]


def test_searches_hold_up_nobody_who_reads(
    control: Control, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The searches of one person stand in the line once; a list, and a page of it, wait for none."""
    run, begun, go_on = control.settings.zone.data / "run", threading.Semaphore(0), threading.Event()
    other = Relay(run, person(run, new_key(run)["text"]))
    order: list[str] = []

    def slow(_rows: Any, who: Any, *_: Any) -> dict[str, Any]:
        order.append(who.principal)
        begun.release()
        assert go_on.wait(30)
        return {"data": []}

    monkeypatch.setattr(routes, "found", slow)
    with ThreadPoolExecutor(5) as threads:
        try:
            running = [threads.submit(relay.v1, "GET", "?q=lamp")]
            assert begun.acquire(timeout=30)
            running += [threads.submit(relay.v1, "GET", "?q=lamp") for _ in range(3)]
            running.append(threads.submit(other.v1, "GET", "?q=lamp"))
            assert relay.v1("GET", "")[0] == other.v1("GET", "")[0] == 200
            assert order == [relay.who["principal"]]
            monkeypatch.setattr(search_places, "WAIT_S", 0.01)
            late, body = other.v1("GET", "?q=lamp")
            assert (late, body["error"]["code"]) == (503, "unavailable")
        finally:
            go_on.set()
        assert {one.result()[0] for one in running} == {200}


def test_other_members_are_checked(relay: Relay) -> None:
    for more, param in (("&limit=0", "limit"), ("&after=x", "after"), ("&pinned=true", "pinned")):
        status, body = relay.v1("GET", f"?q=lamp{more}")
        assert (status, body["error"]["param"]) == (400, param)


def test_long_and_broken_texts_are_read_as_far_as_said(control: Control, relay: Relay) -> None:
    name = relay.conversation()
    long = relay.turn(
        name,
        "half \ud83d of a pair, needle",
        "y " * (TEXT_CHARS // 2 - 30) + "farther " + "z " * 60 + "beyond",
    )
    for _ in range(2):
        assert [hit["id"] for hit in find(relay, "needle")["data"]] == [long["turn"]]
        assert [hit["id"] for hit in find(relay, "farthers")["data"]] == [long["turn"]], (
            "not as it is written"
        )
        assert find(relay, "beyond")["data"] == [], "past the limit"
        eventually("the index has read it", lambda: waiting(control) == 0)


def on_disk(control: Control, *words: str) -> list[str]:
    """Which of these words stand in the database's files."""
    files = [control.settings.zone.data / f"zone.db{end}" for end in ("", "-wal")]
    data = b"".join(file.read_bytes() for file in files if file.exists())
    return [word for word in words if word.encode() in data]


def test_what_is_erased_leaves_no_word_in_the_index(control: Control, relay: Relay) -> None:
    """Words of a part, of single items, of a title; the others of the part are still found."""
    number = next(MANY)
    gone, title, tail, kept = (
        f"{word}{number:04d}".translate(str.maketrans("0123456789", "abcdefghij"))
        for word in ("vanquo", "glimto", "tirasko", "stayvu")
    )
    staying = relay.conversation()
    leaving = relay.conversation(title=f"About {title}")
    relay.turn(leaving, f"Question {gone}", "窰變釉")
    for at in range(PART):
        relay.turn(staying, f"Other {at} {kept if at == 3 else ''}", "Answer")
    eventually("a part is whole", lambda: waiting(control) == 0)
    relay.turn(leaving, f"Later {tail}", "Answer")
    eventually("the rest is read", lambda: waiting(control) == 0)
    assert on_disk(control, gone, title, tail, kept) == [gone, title, tail, kept], (
        "the control: they are there"
    )
    assert control.core.database.read(
        lambda c: c.exec_driver_sql(
            "SELECT count(*) FROM search_postings WHERE principal = ?", (relay.who["principal"],)
        ).scalar()
    )
    assert relay.v1("DELETE", f"/{leaving}")[0] == 200
    assert waiting(control) == 0, "nobody else's text is read again"
    eventually("they are gone", lambda: on_disk(control, gone, title, tail) == [])
    for word in (gone, title, tail, "窰變"):
        assert find(relay, word)["data"] == []
    assert len(find(relay, kept)["data"]) == 1
    assert on_disk(control, gone, title, tail) == []


def test_a_new_title_takes_the_place_of_the_old(relay: Relay) -> None:
    name = relay.conversation(title="Cobalt")
    assert relay.v1("PATCH", f"/{name}", {"title": "Celadon"})[0] == 200
    assert find(relay, "cobalt")["data"] == []
    assert [hit["id"] for hit in find(relay, "celadon")["data"]] == [name]
    assert relay.v1("PATCH", f"/{name}", {"title": None})[0] == 200
    assert find(relay, "celadon")["data"] == []


def test_a_refused_and_an_interrupted_turn_are_found_and_a_running_one_later(relay: Relay) -> None:
    name = relay.conversation()
    turn = relay.open(name, "tenmoku")[1]["turn"]
    assert find(relay, "tenmoku")["data"] == []
    relay.recover()
    assert [hit["id"] for hit in find(relay, "tenmoku")["data"]] == [turn], (
        "given up, and what was asked is there"
    )


def test_an_upgrade_indexes_what_stands_and_says_until_then_that_not_all_was_searched(tmp_path: Path) -> None:
    (tmp_path / "dragoman.toml").write_text('[zone]\ndata = "d"\n', encoding="utf-8")
    control = Control(tmp_path / "dragoman.toml")
    control.start()
    run = control.settings.zone.data / "run"
    relay = Relay(run, person(run, new_key(run)["text"]))
    name = relay.conversation(title="Raku")
    time.sleep(0.01)  # of what is said in one millisecond neither is the earlier one
    turns = [relay.turn(name, f"Saggar {at}", "Answer")["turn"] for at in range(UNREAD + 3)]
    control.stop()
    file = control.settings.zone.data / "zone.db"
    with sqlite3.connect(file) as raw:
        for later in ("search_items", "search_postings", *LATER):
            raw.execute(f"DROP TABLE {later}")
        for later in ("ix_decisions_at", "ix_turns_decision", "ix_buckets_minutes"):
            raw.execute(f"DROP INDEX {later}")
        raw.execute("UPDATE alembic_version SET version_num = '0008'")
    assert migrations.migrate(file) is not None, "with a backup before"
    control = Control(tmp_path / "dragoman.toml")
    store, who = control.core.conversations, relay.who
    order = store.read(
        who["tenant"], lambda rows: [one.item for one in rows.search.open_items(who["principal"], 99, 99)]
    )
    assert order == [*reversed(turns), name], "as they were said"
    control.start()
    try:
        eventually("all is read", lambda: waiting(control) == 0)
        page = find(relay, "saggar", "&limit=100")
        assert ([hit["id"] for hit in page["data"]], page["complete"]) == (turns[::-1], True)
        control.indexer.stop()
        control.core.database.write(
            lambda c: c.execute(sa.text("UPDATE search_items SET state = 1, words = NULL"))
        )
        page = find(relay, "saggar", "&limit=100")
        assert ([hit["id"] for hit in page["data"]], page["complete"]) == (turns[:2:-1], False), "the newest"
    finally:
        control.stop()
