"""The zone wall: nothing of what people of one zone type reaches the other, nor an address outside the zone's list.

    python tests/acceptance/zone_wall.py --turns 2000 --results build/zone_wall.json

Two zones' process pairs, each in a network namespace of its own, the people in a third, each zone's providers, SMS
gateway and collector in one more; between them a router over which everybody may reach everybody, and which keeps every
packet. Marked words stand in all that people type. At the end the packets and every byte of every file are looked
through, in any form; and what is leaked on purpose has to be found by the counter and by the scan.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import http.client
import json
import random
import shutil
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from zone_net import Capture, Network, why_not
from zone_rig import ANSWER, BROKEN, CLIENTS, NAMES, PLACES, PORT, WAYS_OUT, Zone, provider_host
from zone_scan import ARP, IPV4, SYN, Packet, in_files, in_packets, read

from dragoman.operations.zones import strange_files
from dragoman.testing.visitor import Visitor

PEOPLE = 6
"""Signed up at each zone, who ask at once; fewer where turns are few."""
LEAST_TURNS = 6
"""Of each of them."""
TIMEOUT_S = 90.0
PATIENCE_S = 300.0
"""How long somebody asks again while a process is started anew on a busy machine."""
SYN_ACK = 0x12
BAD, UNAVAILABLE = 400, 503
ERASED = 0.3
"""Of the conversations that somebody looks after, the share that is erased then."""
PLANTED = 8
"""Places that `planted` writes to."""
TYPED = (
    "question",
    "title",
    "metadata",
    "note",
    "appeal",
    "contact",
    "prompt",
    "stateless",
    "document",
    "local",
)
"""Fields whose words have to be found in the zone's own files or packets: what cannot be seen proves nothing."""


@dataclass
class Person:
    """Somebody of a zone, with a session and a key, and what became of what they asked."""

    zone: Zone
    number: int
    key: str
    dice: random.Random
    turns: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    conversation: str | None = None
    objected: set[str] = field(default_factory=set)
    """Turns that were appealed against."""
    cookie: str = ""
    other: Zone | None = None

    def run(self, wanted: int) -> None:
        """Sign up and ask `wanted` times, in the clients' namespace."""
        self.zone.network.enter(CLIENTS)
        with httpx.Client(base_url=self.zone.base, timeout=TIMEOUT_S) as client:
            self.client = client
            self._patiently(self.sign_up)
            if self.number == 0:
                self.elsewhere()
            while self.turns < wanted:
                round_ = [self.ask_local, self.stateless, self.legacy, self.talk_about, self.stray, self.ask]
                self.dice.shuffle(round_)
                for act in (self.ask, *round_):
                    self._patiently(act)

    def _patiently(self, act: Any) -> None:
        """Once more where a process had just been killed; what fails for another reason is a fault."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = act()
            except httpx.TransportError as fault:
                self.failed[type(fault).__name__] += 1
            else:
                if answer is None or answer.status_code < BAD:
                    return
                if answer.status_code not in {409, 429, 500, 502, 503}:
                    raise AssertionError(f"{act.__name__}: {answer.status_code} {answer.text[:800]}")
                self.failed[str(answer.status_code)] += 1
            time.sleep(0.5)
        raise AssertionError(f"{act.__name__} failed too often: {self.failed}")

    def call(
        self, method: str, path: str, body: Any = None, *, keyed: bool = False, **more: str
    ) -> httpx.Response:
        who = (
            {"authorization": f"Bearer {self.key}"}
            if keyed
            else {"cookie": f"dragoman_session={self.cookie}"}
        )
        headers = {**self.zone.headers(self.number), **(who if keyed or self.cookie else {}), **more}
        if keyed:
            del headers["origin"]
        return self.client.request(method, path, json=body, headers=headers)

    def sign_up(self) -> httpx.Response | None:
        phone = f"+{self.zone.mark.phones[self.number]}"
        asked = self.call("POST", "/v1/signup/phone", {"phone": phone})
        if asked.status_code != 202:
            return asked
        code = self.zone.host.sms.code(phone)
        said = {"residence": self.zone.place.country, "birth_date": "1980-02-03"}
        made = self.call("POST", "/v1/signup/verify", {"challenge": asked.json()["id"], "code": code, **said})
        if made.status_code == 200:
            self.cookie = made.cookies["dragoman_session"]
        return made

    def _conversation(self) -> str:
        if self.conversation is None or self.dice.random() < 0.1:
            made = self.call("POST", "/v1/conversations", {"title": self.zone.word("title")})
            if made.status_code != 201:
                raise httpx.ReadError(f"{made.status_code} {made.text[:200]}")
            self.conversation = made.json()["id"]
        return self.conversation

    def _turn(self, path: str, body: dict[str, Any], *, keyed: bool = False, **more: str) -> httpx.Response:
        answer = self.call("POST", path, body, keyed=keyed, **more)
        if answer.status_code == 200:
            self.turns += 1
        return answer

    def ask(self) -> httpx.Response:
        text = f"May I bring back {self.zone.word('question')}?"
        body = {"model": "main", "stream": True, "messages": [{"role": "user", "content": text}]}
        url = f"/v1/conversations/{self._conversation()}/turns"
        return self._turn(url, body, **{"idempotency-key": f"k-{self.dice.random()}"})

    def ask_local(self) -> httpx.Response:
        text = f"How long may I return a lamp {self.zone.word('local')}?"
        body = {"model": "dragoman", "messages": [{"role": "user", "content": text}]}
        return self._turn(f"/v1/conversations/{self._conversation()}/turns", body)

    def stateless(self) -> httpx.Response:
        text = self.zone.word("stateless")
        body = {"model": "main", "stream": True, "messages": [{"role": "user", "content": text}]}
        return self._turn("/v1/chat/completions", body, keyed=True)

    def legacy(self) -> httpx.Response:
        body = {"model": "dragoman", "prompt": f"Lamps {self.zone.word('prompt')}"}
        return self._turn("/v1/completions", body, keyed=True)

    def talk_about(self) -> httpx.Response | None:
        """All that is done with a conversation besides: search, feedback, appeal, export, passport, erasure."""
        if self.conversation is None:
            return None
        url, word = f"/v1/conversations/{self.conversation}", self.zone.word
        found = self.call("GET", f"{url}/turns")
        turns = found.json()["data"] if found.status_code == httpx.codes.OK else []
        if not turns:  # it was just erased, or control was killed
            return found
        turn = turns[-1]["id"]
        appeal = {"about": turn, "text": word("appeal"), "contact": f"{word('contact')}@example.org"}
        lives = {"residence": self.zone.place.country, "birth_date": "1980-02-03"}
        answers = [
            self.call("PATCH", url, {"title": word("title"), "metadata": {"of": word("metadata")}}),
            self.call(
                "PUT",
                f"{url}/turns/{turn}/feedback",
                {"rating": "bad", "reason": "other", "note": word("note")},
            ),
            self.call("PUT", "/v1/me/placement", lives),
            self.call("GET", f"{url}/export?format=html"),
            self.call("GET", f"{url}/turns/{turn}/passport"),
            self.call("GET", f"/v1/conversations?q={word('search')}"),
        ]
        if turn not in self.objected:
            answers.append(self.call("POST", "/v1/appeals", appeal))
            if answers[-1].status_code < BAD:
                self.objected.add(turn)
        if self.dice.random() < ERASED:
            self.conversation = None  # whether or not its answer comes
            answers.append(self.call("DELETE", url))
        return next((one for one in answers if one.status_code >= BAD), None)

    def stray(self) -> None:
        """A credential of this zone at the other: 421 with this zone's address, and nothing is kept there."""
        assert self.other is not None
        there = self.other
        body = {"model": "main", "messages": [{"role": "user", "content": f"{self.zone.stray.word}asked1"}]}
        headers = {name: value for name, value in there.headers(self.number).items() if name != "origin"}
        who = {"authorization": f"Bearer {self.key}"}
        answer = self.client.post(f"{there.base}/v1/chat/completions", json=body, headers={**headers, **who})
        if answer.status_code == UNAVAILABLE:
            raise httpx.ReadError("it was just killed")
        assert (answer.status_code, self.zone.place.url in answer.text) == (421, True), answer.text

    def elsewhere(self) -> None:
        """Who lives in the other zone's country is sent there, and not taken."""
        assert self.other is not None
        phone = f"+{self.zone.mark.phones[-1]}"
        asked = self.call("POST", "/v1/signup/phone", {"phone": phone})
        assert asked.status_code == 202, asked.text
        body = {"challenge": asked.json()["id"], "code": self.zone.host.sms.code(phone)}
        lives = {"residence": self.other.place.country, "birth_date": "1980-02-03"}
        made = self.call("POST", "/v1/signup/verify", {**body, **lives})
        assert made.status_code == 421, made.text
        assert self.other.place.url in made.text, made.text


def administer(zone: Zone, operator: Visitor, done: threading.Event, seen: Counter[str]) -> None:
    """An administrator looks through decisions, appeals, acts and numbers, again and again."""
    zone.network.enter(zone.place.id)
    while not done.wait(1.0):
        for path in ("decisions", "appeals", "interventions", "acts", "usage", "changes", "status"):
            try:
                answer = operator.ask("GET", f"/admin/v1/{path}")
            except (OSError, http.client.HTTPException):
                seen["away"] += 1  # control was just killed
                continue
            seen[path] += answer.status == httpx.codes.OK


class Crowd:
    """The people of both zones and their administrators, at work in threads until they have asked enough."""

    def __init__(self, zones: list[Zone], turns: int, seed: int) -> None:
        count = max(1, min(PEOPLE, turns // (len(zones) * LEAST_TURNS)))
        self.people: list[Person] = []
        self.seen: Counter[str] = Counter()
        self.faults: list[BaseException] = []
        self._done = threading.Event()
        each = -(-turns // (count * len(zones)))
        self.wanted = each * count * len(zones)
        operators: list[Visitor] = []
        for zone, other in zip(zones, reversed(zones), strict=True):
            with zone.network.inside(zone.place.id):
                operator = zone.operator()
                keys = [
                    operator.post("/admin/v1/keys", {"title": zone.word("keytitle")}).json()["text"]
                    for _ in range(count)
                ]
            operators.append(operator)
            for number, key in enumerate(keys):
                dice = random.Random(f"{seed} {zone.place.id} {number}")
                self.people.append(Person(zone, number, key, dice, other=other))
        self._threads = [self._thread(one.run, each) for one in self.people]
        self._admins = [
            self._thread(administer, zone, operator, self._done, self.seen)
            for zone, operator in zip(zones, operators, strict=True)
        ]

    def _thread(self, work: Any, *given: Any) -> threading.Thread:
        """One at work; a trial that failed does not wait for it."""
        return threading.Thread(target=self._guarded, args=(work, *given), daemon=True)

    def _guarded(self, work: Any, *given: Any) -> None:
        try:
            work(*given)
        except BaseException as fault:  # handed to the trial, which fails with it
            self.faults.append(fault)

    def begin(self) -> None:
        for thread in (*self._threads, *self._admins):
            thread.start()

    def asked(self) -> int:
        return sum(one.turns for one in self.people)

    def until(self, share: float) -> None:
        """Wait until a share of all turns was answered. Raises what somebody met."""
        while self.asked() < share * self.wanted and any(one.is_alive() for one in self._threads):
            if self.faults:
                raise self.faults[0]
            time.sleep(0.1)
        if self.faults:
            raise self.faults[0]

    def end(self) -> None:
        for thread in self._threads:
            thread.join()
        self._done.set()
        for thread in self._admins:
            thread.join()
        if self.faults:
            raise self.faults[0]


def load(zones: list[Zone], turns: int, seed: int) -> dict[str, Any]:
    """Two zones at work: failover, crashes, backup, restore, reload, erasure on the way. What was done."""
    others = dict(zip((zone.place.id for zone in zones), reversed(zones), strict=True))

    def opened(zone: Zone) -> None:
        (zone.folder / "help.md").write_text(
            f"# Returns\n\nLamps come back in {zone.word('document')} days.\n"
        )
        zone.start()
        zone.ready()
        zone.dragoman("ingest", str(zone.folder / "help.md"), "--source", "help")

    def kept(zone: Zone) -> list[str]:
        """A backup, restored; the other zone's is refused. Files that are open outside the zone's folder."""
        strange = zone.open_files()
        zone.dragoman("backup", str(zone.folder / "backup.tar"), "--with-secrets")
        zone.dragoman("restore", str(zone.folder / "backup.tar"), "--to", str(zone.folder / "restored"))
        zone.dragoman("reload")
        return strange

    def refused(zone: Zone) -> None:
        foreign = others[zone.place.id].folder / "backup.tar"
        said = zone.dragoman("restore", str(foreign), "--to", str(zone.folder / "foreign"), check=False)
        assert "other_zone" in json.dumps(said), said
        assert not (zone.folder / "foreign").exists()

    def erased(zone: Zone) -> None:
        somebody = zone.dragoman("conversations", "list")["conversations"][-1]["principal"]
        zone.dragoman("conversations", "delete", "--principal", somebody)

    with ThreadPoolExecutor(len(zones)) as both:
        list(both.map(opened, zones))
        crowd = Crowd(zones, turns, seed)
        for zone in zones:
            zone.host.near.default = BROKEN
        crowd.begin()
        crowd.until(0.2)
        for zone in zones:
            zone.host.near.default = ANSWER
        for share, role in ((0.4, "relay"), (0.55, "control")):
            crowd.until(share)
            list(both.map(lambda zone, role=role: zone.crash(role), zones))
        crowd.until(0.7)
        assert [one for strange in both.map(kept, zones) for one in strange] == []
        list(both.map(refused, zones))
        crowd.end()
        list(both.map(erased, zones))
    assert all(zone.host.near.seen and zone.host.spare.seen for zone in zones), "nothing failed over"
    return {
        "turns": crowd.asked(),
        "people": len(crowd.people),
        "words": {zone.place.id: sum(zone.words.values()) for zone in zones},
        "failed over": {zone.place.id: len(zone.host.spare.seen) for zone in zones},
        "spans": {zone.place.id: len(zone.host.collector.raw) for zone in zones},
        "repeated": dict(sum((one.failed for one in crowd.people), Counter())),
        "looked at by administrators": dict(crowd.seen),
    }


def wall(network: Network, capture: Capture, zones: list[Zone], root: Path) -> dict[str, Any]:
    """What went where, and what of either zone's words is found where. Raises AssertionError for a hole."""
    frames = capture.packets()
    taken = {
        name: (sum(not out for out, _ in kept), sum(out for out, _ in kept)) for name, kept in frames.items()
    }
    assert (capture.dropped, taken) == (0, capture.counted), "the capture is not whole"
    links = {name: [read(frame) for _, frame in kept] for name, kept in frames.items()}
    told: dict[str, Any] = {"packets": {name: sum(both) for name, both in taken.items()}, "zones": {}}
    for zone, other in zip(zones, reversed(zones), strict=True):
        here, beside = links[zone.place.id], links[zone.place.provider]
        told["zones"][zone.place.id] = {
            "packets outside its list": strangers(network, zone, [*here, *beside]),
            "packets to the other zone": crossing(network, zone, other, links),
            "the other's words": dict(in_packets(other.mark, here) + in_packets(other.mark, beside)),
            "the other's words in files": _flat(in_files(other.mark, zone.folder)),
            "strays kept": _flat(in_files(other.stray, zone.folder)),
            "strays passed on": dict(in_packets(other.stray, beside)),
            "strange files": [str(path) for path in strange_files(zone.folder / "data")],
            "core dumps": [str(path) for path in zone.folder.rglob("core*") if path.is_file()],
        }
    holes = {
        (name, what): found for name, one in told["zones"].items() for what, found in one.items() if found
    }
    assert holes == {}, holes
    for zone in zones:
        here, beside = links[zone.place.id], links[zone.place.provider]
        seen = {
            "own packets": in_packets(zone.mark, here),
            "packets to its provider": in_packets(zone.mark, beside),
            "own files": sum(in_files(zone.mark, zone.folder).values(), Counter()),
            "strays of it": in_packets(zone.stray, links[CLIENTS]),
        }
        told["zones"][zone.place.id]["seen"] = {place: dict(found) for place, found in seen.items()}
        assert set(TYPED) - {"document"} <= set(seen["own packets"]), seen
        assert {"question", "stateless", "phone"} <= set(seen["packets to its provider"]), seen
        assert {"question", "title", "document", "appeal", "contact", "local"} <= set(seen["own files"]), seen
        assert seen["strays of it"], seen
    told["bytes in files"] = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    return told


def strangers(network: Network, zone: Zone, packets: list[Packet]) -> dict[str, int]:
    """Packets between the zone's two hosts and anybody but themselves and the people, by address."""
    hosts = {network.address(name) for name in (zone.place.id, zone.place.provider)}
    known = hosts | {network.address(CLIENTS)}
    found: Counter[str] = Counter()
    for one in packets:
        ends = {one.source, one.target}
        if one.kind == ARP:
            ends -= {address.rpartition(".")[0] + ".1" for address in hosts}
        elif one.kind != IPV4:
            ends = {f"kind {one.kind:#06x} {one.target}"}
        found.update(ends - known)
        if one.kind == IPV4 and one.flags & SYN_ACK == SYN and one.source == network.address(zone.place.id):
            opened = (one.target, one.ports[1])
            if opened not in {(network.address(zone.place.provider), port) for port in WAYS_OUT}:
                found[f"opened {opened}"] += 1
    return dict(found)


def crossing(network: Network, zone: Zone, other: Zone, links: dict[str, list[Packet]]) -> int:
    """Packets from this zone's hosts to the other's, on any link."""
    here = {network.address(name) for name in (zone.place.id, zone.place.provider)}
    there = {network.address(name) for name in (other.place.id, other.place.provider)}
    return sum(one.source in here and one.target in there for kept in links.values() for one in kept)


def _flat(found: dict[str, Counter[str]]) -> dict[str, int]:
    return {f"{file}: {form}": count for file, hits in found.items() for form, count in hits.items()}


def leaks(network: Network, zones: list[Zone], root: Path) -> dict[str, Any]:
    """Leaks on purpose, each found by the counter and by the scan. Raises AssertionError where one is not."""
    told: dict[str, Any] = {}
    for zone, other in zip(zones, reversed(zones), strict=True):
        word = zone.word("leak").encode()
        with Capture(network, root / f"leak-{zone.place.id}") as capture:
            with network.inside(other.place.id):
                listening = socket.create_server((network.address(other.place.id), PORT))
            with network.inside(zone.place.id), socket.create_connection(listening.getsockname()) as out:
                out.sendall(b"x" * 1450 + word + gzip.compress(word) + base64.b64encode(word))
                out.shutdown(socket.SHUT_WR)
                taken, _ = listening.accept()
                while taken.recv(65536):
                    pass
            taken.close()
            listening.close()
        links = {name: [read(frame) for _, frame in kept] for name, kept in capture.packets().items()}
        packets = crossing(network, zone, other, links)
        hits = in_packets(zone.mark, links[other.place.id])
        assert packets > 0, "the counter does not see a leak"
        assert strangers(network, zone, links[zone.place.id]), "the list of addresses does not see a leak"
        assert {"leak", "compressed leak"} < set(hits), hits
        told[zone.place.id] = {"packets": packets, "words": dict(hits), "files": planted(zone, other)}
    return told


def planted(zone: Zone, other: Zone) -> dict[str, int]:
    """Words of one zone written into the other's folder, in many forms: each is found, and nothing else is."""
    word = zone.word("planted")
    raw = word.encode()
    for name, content in {
        "raw.log": b"a line with " + raw,
        "data/run/hex": raw.hex().encode(),
        "data/journal/base64": base64.b64encode(b"12" + raw + b"345"),
        "data/temp/gzip": b"before" + gzip.compress(raw),
        "data/zlib": zlib.compress(raw * 3),
        "data/wide": word.encode("utf-16-le"),
        f"data/{word}": b"",
    }.items():
        (other.folder / name).write_bytes(content)
    with closing(sqlite3.connect(other.folder / "data" / "zone.db")) as database:
        database.execute("CREATE TABLE planted (value TEXT)")
        database.execute("INSERT INTO planted VALUES (?)", ("z" * 9_000 + word,))
        database.commit()
    found = _flat(in_files(zone.mark, other.folder))
    assert len({name.partition(":")[0].removesuffix(" (values)") for name in found}) == PLANTED, found
    return found


def trial(root: Path, turns: int, seed: int) -> dict[str, Any]:
    """The whole; its figures. Raises AssertionError for what got through, and for a leak that was not found."""
    with ExitStack() as stack:
        network = stack.enter_context(Network(NAMES))
        hosts = [stack.enter_context(provider_host(network, place)) for place in PLACES]
        zones = [
            Zone.made(network, place, other, root, host, PEOPLE + 1)
            for place, other, host in zip(PLACES, reversed(PLACES), hosts, strict=True)
        ]
        for zone in zones:
            stack.callback(zone.stop)
        with Capture(network, root / "packets") as capture:
            figures = load(zones, turns, seed)
            for zone in zones:
                zone.stop()
        return {**figures, **wall(network, capture, zones, root), "controls": leaks(network, zones, root)}


def main() -> int:
    """Run the trial; figures are the last line, and a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look at it")
    options = parser.parse_args()
    if reason := why_not():
        print(f"not run: {reason}", file=sys.stderr)
        return 1
    root = Path(tempfile.mkdtemp(prefix="zone-wall-"))
    began = time.monotonic()
    try:
        figures = trial(root, options.turns, options.seed)
    finally:
        if not options.keep:
            shutil.rmtree(root)
    figures["seconds"] = round(time.monotonic() - began, 1)
    if options.results:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
