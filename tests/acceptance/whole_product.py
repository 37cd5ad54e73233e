"""A whole Dragoman, as `dragoman serve` starts it, on free ports with a data folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from openai import OpenAI

from dragoman.testing.ports import free_port

START_SECONDS = 120.0
STOP_SECONDS = 60.0
ANSWER_SECONDS = 60.0
COMMAND = Path(sys.executable).with_name("dragoman")


@dataclass
class Server:
    """A running pair of relay and control."""

    folder: Path
    port: int
    admin_port: int
    child: subprocess.Popen
    key: str
    pids: dict[str, int]
    """Process ids of `relay` and `control`."""
    said: dict
    """All that serve told of itself."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str | None = None, **more) -> OpenAI:
        return OpenAI(
            base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0, timeout=ANSWER_SECONDS, **more
        )

    def http(self, key: str | None = None, **more) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {key or self.key}"},
            timeout=ANSWER_SECONDS,
            **more,
        )

    def dragoman(self, *args: str, check: bool = True, config: bool = True) -> dict | list | str:
        """A verb of the command line, with --json."""
        done = subprocess.run(
            [COMMAND, *args, *(["--config", str(self.folder / "dragoman.toml")] if config else []), "--json"],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=START_SECONDS,
        )
        if check:
            assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout) if done.stdout.strip() else done.stderr

    def stop(self) -> int:
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(STOP_SECONDS)


def environment(**more: str) -> dict[str, str]:
    """The test's environment without settings of the person who runs it."""
    return {k: v for k, v in os.environ.items() if not k.startswith("DRAGOMAN_")} | more


def start(folder: Path, body: str = "", **env: str) -> Server:
    """Write `dragoman.toml` with `body` in `folder`, serve, and wait until it answers."""
    port, admin = free_port(), free_port()
    (folder / "dragoman.toml").write_text(
        f'{body}\n[zone]\ndata = "{folder}/data"\nlisten = "127.0.0.1:{port}"\nadmin_listen = "127.0.0.1:{admin}"\n',
        encoding="utf-8",
    )
    log = (folder / "serve.log").open("ab")
    child = subprocess.Popen(
        [COMMAND, "serve", "--config", str(folder / "dragoman.toml"), "--json"],
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment(**env),
        text=True,
    )
    assert child.stdout
    line = child.stdout.readline()
    assert line, (folder / "serve.log").read_text()[-3000:]
    said = json.loads(line)
    server = Server(folder, port, admin, child, said["key"], said["pids"], said)
    if wait_ready(server.url, START_SECONDS):
        return server
    server.stop()
    raise AssertionError((folder / "serve.log").read_text()[-3000:])


def pause(pid: int) -> None:
    """Stop process `pid` and return when none of its threads runs any more.

    The kernel delivers SIGSTOP after `kill` has returned: on a busy machine a process answers for a while yet.
    """
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + STOP_SECONDS
    while time.monotonic() < until:
        if all(_is_stopped(task) for task in Path(f"/proc/{pid}/task").iterdir()):
            return
        time.sleep(0.001)
    raise TimeoutError(f"process {pid} did not stop within {STOP_SECONDS} s")


def _is_stopped(task: Path) -> bool:
    try:
        stat = (task / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    # proc_pid_stat(5): the state follows the command, which is in parentheses and may hold any character.
    return stat.rpartition(")")[2].split()[0] in "TZX"


def pid_of(server: Server, role: str) -> int:
    """The child of the supervisor that plays this role now."""
    word = {"relay": "dragoman.relay", "control": "dragoman.control.run"}[role]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == server.child.pid and word.encode() in command:
            return int(entry.name)
    raise AssertionError(f"no {role}")


def wait_ready(url: str, seconds: float) -> bool:
    """Whether the relay at `url` becomes ready in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    return False
