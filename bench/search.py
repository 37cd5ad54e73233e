"""List and search of one's own conversations with 100,000 messages stored, of one person or of many.

    python bench/search.py --messages 100000 --people 1 --results build/search.json

A control of its own, on its real sockets, in a process of its own; texts of made-up words and real characters whose frequencies
fall as those of a language do, half in each script. What stands is indexed as after an upgrade. Then each kind of
query, one request after the other: milliseconds at the client, and the control's processor time for each.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "integration"))

import sqlalchemy as sa
from turns_control import Relay, Unix, answer_record, new_key, person

from dragoman.control.app import Control
from dragoman.control.indexing import SearchIndexer
from dragoman.ids import new_id, now_ms
from dragoman.stores import turn_tables as tables

SEED = 20_261_126
TURNS_EACH = 10
"""Turns of a conversation."""
ROWS = 200
"""Conversations stored in one transaction."""
VOCABULARY = 20_000
CHARACTERS = 3_000
QUESTION, ANSWER = 12, 160
"""Words of a question and of an answer; twice as many characters in Chinese."""
SYLLABLES = (
    "ba",
    "dru",
    "fle",
    "gri",
    "klo",
    "mev",
    "nu",
    "pla",
    "quo",
    "riv",
    "sko",
    "tez",
    "vul",
    "wim",
    "on",
    "ar",
)


class Language:
    """Texts whose words are as often as 1, 1/2, 1/3 ...; every tenth turn has a word of its own kind."""

    def __init__(self) -> None:
        self.source = random.Random(SEED)
        made: dict[str, None] = {}
        while len(made) < VOCABULARY:
            made["".join(self.source.choices(SYLLABLES, k=self.source.randint(1, 4)))] = None
        self.words = list(made)
        self.characters = [chr(0x4E00 + 6 * at) for at in range(CHARACTERS)]
        self._of_word = [1 / (at + 3) for at in range(VOCABULARY)]
        self._of_character = [1 / (at + 30) for at in range(CHARACTERS)]

    def text(self, words: int, chinese: bool) -> str:
        if chinese:
            return "".join(self.source.choices(self.characters, self._of_character, k=2 * words))
        return " ".join(self.source.choices(self.words, self._of_word, k=words))

    def queries(self) -> dict[str, list[str]]:
        """Kinds of query, several of each."""
        word, character, some = self.words, self.characters, range(10)
        return {
            "common word": [word[at] for at in some],
            "rare word": [word[-1 - at] for at in some],
            "no such word": [f"zzz{word[at]}zzz" for at in some],
            "two words, often": [f"{word[20 + at]} {word[40 + at]}" for at in some],
            "two words, seldom": [f"{word[900 + at]} {word[700 + at]}" for at in some],
            "one character": [character[at] for at in some],
            "two characters": [character[10 + at] + character[25 + at] for at in some],
            "four characters": ["".join(character[at + 7 * n] for n in range(4)) for at in some],
            "word and characters": [f"{word[at]} {character[at]}" for at in some],
        }


def serve(folder: str, pipe: Any) -> None:
    """A control; answers `cpu`, `fill` and `stop`."""
    file = Path(folder) / "dragoman.toml"
    file.write_text('[deployment]\nseat = "SG"\n[zone]\ndata = "d"\n', encoding="utf-8")
    control = Control(file)
    control.start()
    pipe.send("ready")
    while (asked := pipe.recv()) != "stop":
        if asked == "cpu":
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send(used.ru_utime + used.ru_stime)
        else:
            pipe.send(fill(control, *asked))
    control.stop()
    pipe.send("stopped")


def fill(control: Control, name: str, people: list[str], turns: int) -> dict[str, Any]:
    """Store turns of these people as copies of one that went through the rules, then index them as an upgrade does."""
    database, language = control.core.database, Language()
    here = {"conversation": name}
    head = database.read(
        lambda c: dict(c.execute(sa.select(tables.conversations).filter_by(**here)).mappings().one())
    )
    body = database.read(
        lambda c: dict(c.execute(sa.select(tables.turns).filter_by(**here)).mappings().one())
    )
    conversations, said = [], []
    for at in range(turns // TURNS_EACH):
        mine = {"principal": people[at % len(people)], "conversation": new_id("cnv", "local")}
        conversations.append({**head, **mine, "title": language.text(6, at % 2 == 0), "claim": None})
        for _ in range(TURNS_EACH):
            asked = json.dumps(
                {"role": "user", "content": language.text(QUESTION, at % 2 == 0)}, ensure_ascii=False
            )
            answer = json.dumps(answer_record(language.text(ANSWER, at % 2 == 0)), ensure_ascii=False)
            said.append(
                {
                    **body,
                    **mine,
                    "turn": new_id("trn", "local"),
                    "parent": None,
                    "asked": asked,
                    "answer": answer,
                }
            )
        if len(conversations) == ROWS or at + 1 == turns // TURNS_EACH:
            database.write(
                lambda c, a=conversations, b=said: (
                    c.execute(tables.conversations.insert(), a),
                    c.execute(tables.turns.insert(), b),
                )
            )
            conversations, said = [], []
    before = size_of(control)
    control.indexer.stop()
    indexer = SearchIndexer(control.core.search)
    step = importlib.import_module("dragoman.stores.migrations.versions.0009_search")
    database.write(lambda c: (c.exec_driver_sql("DELETE FROM search_items"), c.exec_driver_sql(step.FILL)))
    begun, used, longest, read = time.perf_counter(), time.process_time(), 0.0, 0
    while True:
        since = time.perf_counter()
        done = indexer.step()
        longest = max(longest, time.perf_counter() - since)
        read += done
        if not done:
            break
    spent = time.process_time() - used
    return {
        "items": read,
        "indexed_s": round(time.perf_counter() - begun, 1),
        "cpu_ms_an_item": round(spent * 1000 / read, 3),
        "longest_step_ms": round(longest * 1000),
        "index_mb": size_of(control) - before,
        "file_mb": size_of(control),
    }


def size_of(control: Control) -> int:
    """Megabytes of the zone's file and its log."""
    files = (control.settings.zone.data / name for name in ("zone.db", "zone.db-wal"))
    return sum(file.stat().st_size for file in files if file.exists()) >> 20


class Reader:
    """A person's requests on a keep-alive connection, as the relay passes them on."""

    def __init__(self, run: Path, tenant: str) -> None:
        self.connection = Unix(run / "pages.sock")
        self.tenant = tenant

    def get(self, principal: str, **query: Any) -> tuple[float, dict[str, Any]]:
        headers = {
            "dragoman-tenant": self.tenant,
            "dragoman-principal": principal,
            "dragoman-scopes": "turns",
        }
        begun = time.perf_counter()
        self.connection.request(
            "GET",
            f"/v1/conversations?{urllib.parse.urlencode(query)}",
            None,
            {"dragoman-wire": "1", **headers},
        )
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
        return (time.perf_counter() - begun) * 1000, json.loads(data)


def measured(
    pipe: Any, reader: Reader, people: list[str], queries: list[dict[str, Any]], count: int
) -> dict[str, Any]:
    """So many requests, one after the other."""
    reader.get(people[0], **queries[0])
    pipe.send("cpu")
    before, waits, hits = pipe.recv(), [], 0
    for at in range(count):
        wait, page = reader.get(people[at * 7919 % len(people)], **queries[at % len(queries)])
        waits.append(wait)
        hits += len(page["data"])
    pipe.send("cpu")
    used = (pipe.recv() - before) * 1000 / count
    waits.sort()
    return {
        "p50_ms": round(waits[count // 2], 2),
        "p99_ms": round(waits[int(count * 0.99)], 2),
        "most_ms": round(waits[-1], 2),
        "cpu_ms": round(used, 2),
        "hits": round(hits / count, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Fill, index, measure each kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--measured", type=int, default=200)
    parser.add_argument("--results", type=Path, default=Path("build/search.json"))
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    pipe, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        child = spawn.Process(target=serve, args=(folder, theirs))
        child.start()
        pipe.recv()
        run = Path(folder) / "d" / "run"
        who = person(run, new_key(run)["text"])
        relay = Relay(run, who)
        name = relay.conversation(title="First")
        relay.turn(name, "Hello", "Hello")
        people = [who["principal"], *(new_id("prn", "local", now_ms()) for _ in range(given.people - 1))]
        pipe.send((name, people, given.messages // 2))
        rows: dict[str, Any] = {"filled": pipe.recv()}
        print(json.dumps(rows), flush=True)
        reader = Reader(run, who["tenant"])
        kinds: dict[str, list[dict[str, Any]]] = {"list": [{"limit": 30}]}
        kinds |= {kind: [{"q": q} for q in queries] for kind, queries in Language().queries().items()}
        for kind, queries in kinds.items():
            rows[kind] = measured(pipe, reader, people, queries, given.measured)
            print(f"{kind}: {json.dumps(rows[kind])}", flush=True)
        pipe.send("stop")
        pipe.recv()
        child.join()
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
