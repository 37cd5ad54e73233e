"""A backup while the product answers, restored elsewhere: the same roots, nothing missing, served again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import httpx
from whole_product import Server, start

from dragoman.ledger.logs import all_shards, entries
from dragoman.ledger.verify import verify_zone
from dragoman.testing.provider import FakeProvider, Script

QUESTION = {"model": "dragoman", "messages": [{"role": "user", "content": "How long may I return an item?"}]}
MODELS = """
[providers.fake]
base_url = "{url}"
deadlines_ms = {{ first_byte = 1800000, idle = 1800000 }}
[models.fake]
provider = "fake"
model = "up"
"""
"""A provider that may stay silent for as long as the test takes."""
CLIENTS = 4
BEFORE, TURNS_BEFORE = 40, 5
"""Answers, and turns of conversations, before the backup begins."""
DRILLS = int(os.environ.get("DRAGOMAN_DRILLS", "1"))
"""Backups under load that are restored; the last one is served again."""


class Load:
    """Clients that ask until told to stop; the first holds conversations.

    `receipts`: (log, index) of each answer, in the order they came. `turns`: paths of the finished turns.
    """

    def __init__(self, server: Server, key: str) -> None:
        self.receipts: list[tuple[str, int]] = []
        self.turns: list[str] = []
        self.failed: list[str] = []
        self._server, self._key = server, key
        self._ending = threading.Event()
        self._enough = threading.Event()
        work = [self._talk, *[self._ask] * (CLIENTS - 1)]
        self._threads = [threading.Thread(target=one, daemon=True) for one in work]
        for thread in self._threads:
            thread.start()

    def wait(self) -> tuple[int, int]:
        """How many answers and turns there are, once there are enough."""
        assert self._enough.wait(90), self.failed
        return len(self.receipts), len(self.turns)

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(90)

    def _ask(self) -> None:
        with self._server.http(self._key) as http:
            while not self._ending.is_set():
                answer = http.post("/v1/chat/completions", json=QUESTION)
                receipt = re.search(r"log=(\S+); index=(\d+)", answer.headers.get("dragoman-receipt", ""))
                if receipt is None:
                    self.failed.append(answer.text)
                    return
                self.receipts.append((receipt[1], int(receipt[2])))
                if len(self.receipts) >= BEFORE and len(self.turns) >= TURNS_BEFORE:
                    self._enough.set()

    def _talk(self) -> None:
        with self._server.http(self._key) as http:
            while not self._ending.is_set():
                path = f"/v1/conversations/{http.post('/v1/conversations', json={}).json()['id']}/turns"
                answer = http.post(path, json=QUESTION)
                if answer.status_code != 200:
                    self.failed.append(answer.text)
                    return
                self.turns.append(f"{path}/{answer.headers['dragoman-turn']}")


def open_turn(server: Server, key: str, provider: FakeProvider) -> str:
    """The path of a turn whose provider does not answer, once it was asked."""
    provider.scripts["hang"] = Script([], hang=True)
    headers = {"authorization": f"Bearer {key}"}
    http = httpx.Client(base_url=server.url, headers=headers, timeout=None)  # it stays connected
    path = f"/v1/conversations/{http.post('/v1/conversations', json={}).json()['id']}/turns"
    body = {"model": "fake", "messages": [{"role": "user", "content": "hang"}]}
    threading.Thread(target=_never_answered, args=(http, path, body), daemon=True).start()
    deadline = time.monotonic() + 60
    while not provider.seen and time.monotonic() < deadline:
        time.sleep(0.05)
    assert provider.seen
    return f"{path}/{server.http(key).get(path).json()['data'][0]['id']}"


def _never_answered(http: httpx.Client, path: str, body: dict[str, object]) -> None:
    with contextlib.suppress(httpx.HTTPError):
        http.post(path, json=body)


def held(data: Path) -> dict[tuple[str, int], bytes]:
    """Every entry by log and index."""
    return {(e.log, e.index): e.raw for shard in all_shards(data) for e in entries(shard)}


def test_a_backup_under_load_restores_to_the_same_roots_and_is_served(tmp_path: Path) -> None:
    with contextlib.closing(FakeProvider()) as provider:
        _drill(tmp_path, provider)


def _drill(tmp_path: Path, provider: FakeProvider) -> None:
    models = MODELS.format(url=provider.url)
    original = start(tmp_path, models)
    try:
        _drilled(tmp_path, original, models, provider)
    finally:
        if original.child.poll() is None:  # something failed before its own stop
            original.child.terminate()


def _drilled(tmp_path: Path, original: Server, models: str, provider: FakeProvider) -> None:
    key = str(original.dragoman("keys", "create")["text"])
    intruder = original.dragoman("keys", "create")
    original.dragoman("keys", "revoke", str(intruder["key"]))
    hanging = open_turn(original, key, provider)
    load = Load(original, key)
    answers, turns = load.wait()
    for drill in range(1, DRILLS):
        _restores(original, tmp_path / f"drill{drill}")
    told = original.dragoman("backup", str(tmp_path / "zone.tar"), "--with-secrets")
    healthy = original.dragoman("doctor", check=False)
    assert [one for one in healthy["findings"] if one["severity"] == "error"] == []
    during = len(load.receipts) - answers
    load.stop()
    assert load.failed == []
    assert during > 0, "the backup was not taken under load"
    shown = {path: original.http(key).get(path).json() for path in load.turns[:turns]}

    copy = tmp_path / "copy"
    done = original.dragoman("restore", str(tmp_path / "zone.tar"), "--to", str(copy))
    assert [log["old_root"] for log in done["logs"]] == [log["new_root"] for log in done["logs"]]
    sizes = {log["log"]: log["size"] for log in told["logs"]}
    complete = {log["log"]: log["complete"] for log in told["logs"]}
    kept = held(copy)
    assert len(kept) == sum(sizes.values())
    for log, index in load.receipts[:answers]:
        assert (log, index) in kept
        assert index < complete[log]
    assert original.http(key).get(hanging).json()["state"] == "running"
    original.http(key).post(f"{hanging}/stop")  # a stop would wait for it
    assert original.stop() == 0
    original_now = held(tmp_path / "data")
    assert all(original_now[place] == raw for place, raw in kept.items())
    assert len(original_now) > len(kept)

    (tmp_path / "elsewhere").mkdir()
    again = start(tmp_path / "elsewhere", models, DRAGOMAN_ZONE__DATA=str(copy))
    try:
        assert again.http(key).post("/v1/chat/completions", json=QUESTION).status_code == 200
        refused = again.http(str(intruder["text"])).post("/v1/chat/completions", json=QUESTION)
        assert refused.status_code == 401
        assert {path: again.http(key).get(path).json() for path in shown} == shown
        assert again.http(key).get(hanging).json()["state"] == "interrupted"
    finally:
        assert again.stop() == 0
    _is_a_new_log_after_the_old(copy, kept, set(sizes))
    _ends_in_the_new_log(copy, hanging.rpartition("/")[2], set(sizes))
    _notices_a_changed_byte(copy)


def _restores(server: Server, folder: Path) -> None:
    """One more backup while turns go on, restored and forgotten."""
    folder.mkdir()
    server.dragoman("backup", str(folder / "zone.tar"))
    assert server.dragoman("restore", str(folder / "zone.tar"), "--to", str(folder / "copy"))["sound"]
    shutil.rmtree(folder)


def _ends_in_the_new_log(copy: Path, turn: str, old: set[str]) -> None:
    """The open turn has its intent in the sealed log and one result, interrupted, in the one that follows."""
    of_turn = [(log, json.loads(raw)) for (log, _), raw in held(copy).items() if turn.encode() in raw]
    assert [(log in old, entry["kind"], entry.get("status")) for log, entry in of_turn] == [
        (True, "intent", None),
        (False, "result", "interrupted"),
    ]


def _is_a_new_log_after_the_old(copy: Path, kept: dict[tuple[str, int], bytes], old: set[str]) -> None:
    verdict = verify_zone(copy)
    assert verdict.sound, verdict.findings
    now = held(copy)
    assert all(now[place] == raw for place, raw in kept.items())
    new = {log for log, _ in now} - old
    assert len(new) == 2
    assert {log for (log, _), raw in now.items() if b'"log_opened"' in raw and b'"previous":{' in raw} == new
    restored = [(log, raw) for (log, _), raw in now.items() if b'"zone_restored"' in raw]
    assert len(restored) == 1
    assert restored[0][0] in new
    assert all(log.encode() in restored[0][1] for log in old)
    assert not (copy / "journal" / "keys" / f"{_old_shard(copy)}.key").exists()


def _old_shard(copy: Path) -> str:
    return next(path.parent.name for path in (copy / "journal").glob("*/sealed"))


def _notices_a_changed_byte(copy: Path) -> None:
    segment = next((copy / "journal" / _old_shard(copy) / "segments").glob("*.seg"))
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 1
    segment.write_bytes(raw)
    assert not verify_zone(copy).sound


def test_a_killed_zone_is_backed_up_while_stopped(tmp_path: Path) -> None:
    server = start(tmp_path)
    key = str(server.dragoman("keys", "create")["text"])
    with httpx.Client() as http:
        for _ in range(3):
            answer = http.post(
                f"{server.url}/v1/chat/completions", json=QUESTION, headers={"authorization": f"Bearer {key}"}
            )
            assert answer.status_code == 200
    server.child.kill()
    server.child.wait(30)
    for pid in server.pids.values():
        _end(pid)
    told = server.dragoman("backup", str(tmp_path))
    assert told["secrets"] == "none"
    done = server.dragoman("restore", told["file"], "--to", str(tmp_path / "copy"))
    assert done["sound"]
    wrong = server.dragoman(
        "restore", told["file"], "--to", str(tmp_path / "b"), "--zone", "other", check=False
    )
    assert wrong["error"]["code"] == "other_zone"
    assert not (tmp_path / "b").exists()


def _end(pid: int) -> None:
    """A relay goes on when its supervisor is killed; it is ended here, as a person would."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    """Whether it runs: one that nobody has waited for is listed still, as Z."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
