"""`dragoman serve`: supervises one control and one relay per zone, and says how to try them when both answer.

It restarts what ends by itself with growing waits, and stops in the order in which open turns can finish:
relay first, control after. It reads no configuration (control tells what it needs), carries no turn, opens no
database, and sleeps until a process ends or a signal comes.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.errors import ConfigError, DragomanError, UnavailableError
from dragoman.events import ProcessEnded, ProcessStarted, emit, send_to
from dragoman.relay_flag import SUPERVISED
from dragoman.sentences import Sentence, by_system

READY_SECONDS = 60.0
"""How long a pair may take to answer at the start."""
STOP_SECONDS = 40.0
"""How long a process may take to finish open turns before it is killed."""
FIRST_WAIT_S, LONGEST_WAIT_S, HEALTHY_S = 0.2, 5.0, 30.0
PROBE_S = 0.01
"""Between two questions whether a starting relay is ready; nothing is asked once it is."""
PROBE_TIMEOUT_S = 2.0

Event = tuple["Child | None", "dict[str, Any] | None"]
"""Who ended (a document: it said this instead); nobody for a signal."""


@dataclass(eq=False)
class Child:
    """A supervised process and how it has been doing. What becomes of it is put into `events`."""

    role: str
    command: list[str]
    events: queue.SimpleQueue[Event]
    first_line: str | None = None
    """Given on standard input at each start; such a process also says things on standard output."""
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    wait: float = FIRST_WAIT_S
    due: float | None = field(default=None)
    """When to start it again (monotonic seconds)."""

    def start(self) -> None:
        """Start, in a session of its own so that Ctrl-C reaches the supervisor alone."""
        piped = subprocess.PIPE if self.first_line is not None else subprocess.DEVNULL
        self.process = process = subprocess.Popen(
            self.command,
            stdin=piped,
            stdout=piped,
            start_new_session=True,
            env={**os.environ, SUPERVISED: "1"},
        )
        self.started, self.due = time.monotonic(), None
        emit(ProcessStarted(self.role, process.pid))
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended already, and its thread tells
                process.stdin.write(f"{self.first_line}\n".encode())
                process.stdin.flush()
        if process.stdout is not None:
            threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        threading.Thread(target=self._await, args=(process,), daemon=True).start()

    def ended(self, now: float) -> int:
        """Note an end by itself; it is due again after the wait. The exit status."""
        status = self.process.returncode if self.process else 0
        self.wait = FIRST_WAIT_S if now - self.started > HEALTHY_S else min(self.wait * 2, LONGEST_WAIT_S)
        self.due, self.process = now + self.wait, None
        emit(ProcessEnded(self.role, status, int(self.wait * 1000)))
        return status

    def stop(self) -> None:
        """Ask it to finish, wait, and kill it if it does not."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stdout or ():
            self.events.put((self, json.loads(line)))

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self.events.put((self, None))


class Pair:
    """The two processes of one zone. `told` is what control said of the zone once it had read its files."""

    def __init__(self, file: str | None, events: queue.SimpleQueue[Event]) -> None:
        python = [sys.executable, "-P", "-m"]
        given = ["--config", file] if file else []
        command = [*python, "dragoman.control.run", "--supervised", *given]
        self.control = Child("control", command, events, "")
        self.relay = Child("relay", [*python, "dragoman.relay", "--config"], events)
        self.told: dict[str, Any] = {}
        self.control_ready = False
        self.admin_link: str | None = None
        """Shown once, at the start: enrols the first administrator."""

    def hear(self, said: dict[str, Any]) -> None:
        """Take what control said; with its first word the relay starts. ConfigError for a taken port."""
        if "ready" in said:
            self.control_ready = True
            self.admin_link = said["admin_link"]
        elif not self.told:
            for name in ("listen", "admin_listen"):
                check_free(said[name], f"zone.{name}")
            self.told = said
            send_to(sys.stderr, said["log"]["level"], said["log"]["format"])
            self.control.first_line = said["key"] or ""  # the same key at each start of control
            self.relay.command.append(said["relay"])
            self.relay.start()

    def is_ready(self) -> bool:
        """Whether both answer."""
        return self.control_ready and answers(self.told["admin_listen"])

    def stop(self) -> None:
        """Relay first: it still needs control to finish its turns."""
        self.relay.stop()
        self.control.stop()


class Supervisor:
    """Runs pairs until a signal."""

    def __init__(self, files: list[str | None]) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.pairs = [Pair(file, self.events) for file in files]
        self._ending = False

    def run(self, *, as_json: bool) -> int:
        """0 after a clean stop, 1 where a pair could not start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        signal.signal(signal.SIGHUP, lambda *_: self._forward())
        try:
            self._start(time.monotonic() + READY_SECONDS)
        except DragomanError as fault:
            for problem in fault.problems if isinstance(fault, ConfigError) else [fault.message]:
                print(f"dragoman serve: {problem}", file=sys.stderr)
            self._stop()
            return 1
        if not self._ending:
            for pair in self.pairs:
                print(json.dumps(_facts(pair)) if as_json else _welcome(pair), flush=True)
        while not self._ending:
            self._next()
        self._stop()
        return 0

    def _start(self, deadline: float) -> None:
        """Start everything at once; raises UnavailableError or ConfigError with what to do."""
        for pair in self.pairs:
            pair.control.start()
        waiting = list(self.pairs)
        while waiting and not self._ending:
            child, said = self._event(PROBE_S if any(pair.told for pair in waiting) else 1.0)
            for pair in self.pairs:
                if child is not None and child in {pair.control, pair.relay}:
                    if said is None:
                        status = child.ended(time.monotonic())
                        raise UnavailableError(
                            f"{child.role} ended with status {status}; its message stands above"
                        )
                    pair.hear(said)
            waiting = [pair for pair in waiting if not pair.is_ready()]
            if waiting and time.monotonic() > deadline:
                late = "relay" if waiting[0].control_ready else "control"
                raise UnavailableError(f"{late} did not answer within {READY_SECONDS:.0f} s")

    def _next(self) -> None:
        """Sleep until something ends or is due again, and act on it."""
        children = [child for pair in self.pairs for child in (pair.control, pair.relay)]
        dues = [child.due for child in children if child.due is not None]
        child, said = self._event(max(0.0, min(dues) - time.monotonic()) if dues else None)
        now = time.monotonic()
        if child is not None and said is None:
            child.ended(now)
        for one in children:
            if one.due is not None and one.due <= now:
                one.start()

    def _event(self, seconds: float | None) -> Event:
        try:
            return self.events.get(timeout=seconds)
        except queue.Empty:
            return None, None

    def _end(self) -> None:
        self._ending = True
        self.events.put((None, None))

    def _forward(self) -> None:
        for pair in self.pairs:
            if pair.control.process is not None:
                pair.control.process.send_signal(signal.SIGHUP)

    def _stop(self) -> None:
        for pair in self.pairs:
            pair.stop()


def answers(listen: str) -> bool:
    """Whether the relay whose admin listener is at host:port says that it is ready: there is no TLS there."""
    address, _, port = listen.rpartition(":")
    try:
        with socket.create_connection((address.strip("[]"), int(port)), PROBE_TIMEOUT_S) as probe:
            probe.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return probe.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


def check_free(address: str, name: str) -> None:
    """Raise ConfigError where somebody else listens on host:port already."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE:
                here = f'{name} = "{host}:PORT"'
                variable = f"DRAGOMAN_{name.upper().replace('.', '__')}={host}:PORT"
                said = Sentence(
                    f"{address} is in use by another program; set {here} or {variable}",
                    f"{address} 正被其他程序占用；请设 {here} 或 {variable}",
                )
            else:
                why = by_system(fault)
                said = Sentence(
                    f"{name}: cannot listen on {address}: {why}", f"{name}：无法监听 {address}（{why.zh}）"
                )
            raise ConfigError([said]) from fault


def _facts(pair: Pair) -> dict[str, object]:
    told = pair.told
    return {
        "ready": True,
        "zone": told["zone"],
        "page": f"{told['url']}/",
        "base_url": f"{told['url']}/v1",
        "key": told["key"],
        "model": told["model"],
        "data": told["data"],
        "admin_link": pair.admin_link,
        "pids": {child.role: child.process.pid for child in (pair.control, pair.relay) if child.process},
    }


def _welcome(pair: Pair) -> str:
    told = pair.told
    url, model, key = told["url"], told["model"], told["key"] or "YOUR_KEY"
    note = (
        "works on this machine, until the next start"
        if told["key"]
        else f"make one with `{_command()} keys create`"
    )
    admin = (
        f"\n  admin {pair.admin_link}\n"
        "        (enrols the first administrator, once, within 30 minutes; then see Setup there)\n"
        if pair.admin_link
        else ""
    )
    return f"""Dragoman is ready (zone {told["zone"]}).

  page  {url}/
  key   {key}
        ({note})
{admin}
Ask with curl:

curl {url}/v1/chat/completions -H 'authorization: Bearer {key}' \\
  -H 'content-type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "怎么退货？"}}]}}'

Ask with the openai SDK (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="{key}")
answer = client.chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "How long may I return an item?"}}]
)
print(answer.choices[0].message.content)

Stop with Ctrl-C. A real model, from a second terminal: {_command()} models add --help
"""


def _command() -> str:
    """What starts this program in a shell: its name where found, else the file by the interpreter."""
    beside = Path(sys.executable).parent / "dragoman"
    return str(beside) if shutil.which("dragoman") is None and beside.is_file() else "dragoman"


def main() -> int:
    """Serve the zones of the configurations given, one pair each."""
    parser = argparse.ArgumentParser(prog="dragoman serve", add_help=False)
    parser.add_argument("--config", "-c", action="append")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    return Supervisor(options.config or [None]).run(as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
