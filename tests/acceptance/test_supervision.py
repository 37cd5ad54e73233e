"""`dragoman serve` as a supervisor: what ends comes back, nothing is left behind, a taken port is told plainly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from whole_product import COMMAND, environment, start

from promise import within

BACK_SECONDS = 90.0
"""What a killed process may take to answer again: the supervisor's wait and a start."""

REST_SECONDS = 4
REST_WINDOWS = 12
"""A busy machine is still busy with the start for a while: one quiet window is asked for."""
SUPERVISOR_BYTES = 30 << 20


@pytest.fixture
def server(tmp_path):
    made = start(tmp_path)
    yield made
    if made.child.poll() is None:
        assert made.stop() == 0


def answers(server) -> bool:
    with server.http() as client:
        body = {"model": "dragoman", "messages": [{"role": "user", "content": "怎么退货？"}]}
        try:
            return client.post("/v1/chat/completions", json=body).status_code == 200
        except httpx.TransportError:
            return False


def newest_pids(server) -> dict[str, int]:
    """The newest processes the supervisor said it started."""
    lines = (server.folder / "serve.log").read_text().splitlines()
    events = [json.loads(line) for line in lines if '"process_started"' in line]
    return {event["role"]: event["pid"] for event in events}


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_killed_process_is_started_again_and_the_record_verifies(server):
    for role in ("relay", "control"):
        assert answers(server)
        killed = newest_pids(server)[role]
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + BACK_SECONDS
        while newest_pids(server)[role] == killed or not answers(server):
            assert time.monotonic() < deadline, (server.folder / "serve.log").read_text()[-2000:]
            time.sleep(0.1)
    assert server.stop() == 0
    report = server.dragoman("ledger", "verify", "--data", str(server.folder / "data"), config=False)
    assert report["sound"]
    assert len(report["logs"]) >= 2, "the registry and the relay's"


def wakeups(pid: int) -> int:
    """How often the threads of a process have gone to sleep so far."""
    found = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        line = next(line for line in status.read_text().splitlines() if line.startswith("voluntary"))
        found += int(line.split()[1])
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_the_pair_rests_while_nobody_asks(server):
    assert answers(server)
    assert '"warn"' not in (server.folder / "serve.log").read_text(), (
        "the relay starts first and waits quietly"
    )
    pids = {"serve": server.child.pid, "control": server.pids["control"]}
    rates = []
    for _ in range(REST_WINDOWS):
        before, begun = {name: wakeups(pid) for name, pid in pids.items()}, time.monotonic()
        time.sleep(REST_SECONDS)
        took = time.monotonic() - begun
        rates.append({name: (wakeups(pid) - before[name]) / took for name, pid in pids.items()})
        if rates[-1]["serve"] == 0 and 1 <= rates[-1]["control"] <= 25:
            break
    else:
        pytest.fail(
            "the supervisor sleeps until something ends, and control answers the relay's poll four times a second "
            f"and little else: wake-ups a second were {rates}"
        )
    resident = Path(f"/proc/{server.child.pid}/statm").read_text().split()[1]
    assert int(resident) * os.sysconf("SC_PAGE_SIZE") < SUPERVISOR_BYTES


def test_a_process_that_ends_is_noticed_at_once(server):
    killed = server.pids["relay"]
    os.kill(killed, signal.SIGKILL)
    began = time.monotonic()
    while newest_pids(server)["relay"] == killed:
        assert time.monotonic() < began + within(5)
        time.sleep(0.01)
    log = (server.folder / "serve.log").read_text().splitlines()
    ended = next(json.loads(line) for line in log if '"process_ended"' in line)
    started = [json.loads(line) for line in log if '"process_started"' in line][-1]
    assert 0 <= started["at"] - ended["at"] - ended["wait_ms"] < 1000 * within(0.2)


def test_no_process_outlives_its_supervisor(server):
    server.child.kill()
    server.child.wait()
    deadline = time.monotonic() + within(15)
    while any(not zombie(pid) for pid in server.pids.values()):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.1)


def test_a_port_in_use_is_told_plainly(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        file = tmp_path / "dragoman.toml"
        listen = f'listen = "127.0.0.1:{taken.getsockname()[1]}"'
        file.write_text(f'[zone]\ndata = "d"\n{listen}\n', encoding="utf-8")
        done = subprocess.run(
            [COMMAND, "serve", "--config", str(file)],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment(),
        )
    assert done.returncode == 1
    assert "is in use by another program" in done.stderr
    assert "DRAGOMAN_ZONE__LISTEN" in done.stderr
