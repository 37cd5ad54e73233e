"""A backup while the product answers, restored elsewhere: the same roots, nothing missing, served again."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import httpx
from whole_product import Server, start

from dragoman.ledger.logs import all_shards, entries
from dragoman.ledger.verify import verify_zone

QUESTION = {"model": "dragoman", "messages": [{"role": "user", "content": "How long may I return an item?"}]}
CLIENTS = 4
BEFORE = 40
"""Turns answered before the backup begins."""


class Load:
    """Clients that ask until told to stop. `receipts`: (log, index) of each answer, in the order they came."""

    def __init__(self, server: Server, key: str) -> None:
        self.receipts: list[tuple[str, int]] = []
        self.failed: list[str] = []
        self._server, self._key = server, key
        self._ending = threading.Event()
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> int:
        """How many were answered, once there are enough."""
        assert self._enough.wait(60), self.failed
        return len(self.receipts)

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        with self._server.http(self._key) as http:
            while not self._ending.is_set():
                answer = http.post("/v1/chat/completions", json=QUESTION)
                receipt = re.search(r"log=(\S+); index=(\d+)", answer.headers.get("dragoman-receipt", ""))
                if receipt is None:
                    self.failed.append(answer.text)
                    return
                self.receipts.append((receipt[1], int(receipt[2])))
                if len(self.receipts) >= BEFORE:
                    self._enough.set()


def held(data: Path) -> dict[tuple[str, int], bytes]:
    """Every entry by log and index."""
    return {(e.log, e.index): e.raw for shard in all_shards(data) for e in entries(shard)}


def test_a_backup_under_load_restores_to_the_same_roots_and_is_served(tmp_path: Path) -> None:
    original = start(tmp_path)
    key = str(original.dragoman("keys", "create")["text"])
    intruder = original.dragoman("keys", "create")
    original.dragoman("keys", "revoke", str(intruder["key"]))
    load = Load(original, key)
    acknowledged = load.wait()
    told = original.dragoman("backup", str(tmp_path / "zone.tar"), "--with-secrets")
    during = len(load.receipts) - acknowledged
    load.stop()
    assert load.failed == []
    assert during > 0, "the backup was not taken under load"

    copy = tmp_path / "copy"
    done = original.dragoman("restore", str(tmp_path / "zone.tar"), "--to", str(copy))
    assert [log["old_root"] for log in done["logs"]] == [log["new_root"] for log in done["logs"]]
    sizes = {log["log"]: log["size"] for log in told["logs"]}
    complete = {log["log"]: log["complete"] for log in told["logs"]}
    kept = held(copy)
    assert len(kept) == sum(sizes.values())
    for log, index in load.receipts[:acknowledged]:
        assert (log, index) in kept
        assert index < complete[log]
    assert original.stop() == 0
    original_now = held(tmp_path / "data")
    assert all(original_now[place] == raw for place, raw in kept.items())
    assert len(original_now) > len(kept)

    (tmp_path / "elsewhere").mkdir()
    again = start(tmp_path / "elsewhere", DRAGOMAN_ZONE__DATA=str(copy))
    try:
        assert again.http(key).post("/v1/chat/completions", json=QUESTION).status_code == 200
        refused = again.http(str(intruder["text"])).post("/v1/chat/completions", json=QUESTION)
        assert refused.status_code == 401
    finally:
        assert again.stop() == 0
    _is_a_new_log_after_the_old(copy, kept, set(sizes))
    _notices_a_changed_byte(copy)


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
        _wait_for_end(pid)
    told = server.dragoman("backup", str(tmp_path))
    assert told["secrets"] == "none"
    done = server.dragoman("restore", told["file"], "--to", str(tmp_path / "copy"))
    assert done["sound"]
    wrong = server.dragoman(
        "restore", told["file"], "--to", str(tmp_path / "b"), "--zone", "other", check=False
    )
    assert wrong["error"]["code"] == "other_zone"
    assert not (tmp_path / "b").exists()


def _wait_for_end(pid: int) -> None:
    """The relay of a killed supervisor goes on; it is ended here, as a person would."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
