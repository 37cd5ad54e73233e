"""`dragoman serve`: supervises one control and one relay per zone, and says how to try them when both answer.

It restarts what ends by itself with growing waits, and stops in the order in which open turns can finish:
relay first, control after. It carries no turn and opens no database.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dragoman.accounts import keys
from dragoman.control.admin_client import AdminClient
from dragoman.control.relay_config import FILE_NAME, run_folder
from dragoman.errors import ConfigError, DragomanError, UnavailableError
from dragoman.events import ProcessEnded, ProcessStarted, emit
from dragoman.relay_flag import SUPERVISED
from dragoman.settings import LOCAL_MODEL, Settings

READY_SECONDS = 30.0
"""How long a pair may take to answer at the start."""
STOP_SECONDS = 40.0
"""How long a process may take to finish open turns before it is killed."""
FIRST_WAIT_S, LONGEST_WAIT_S, HEALTHY_S = 0.2, 5.0, 30.0
TICK_S = 0.05


@dataclass
class Child:
    """A supervised process and how it has been doing."""

    role: str
    command: list[str]
    first_line: str | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    wait: float = FIRST_WAIT_S
    due: float = field(default=0.0)

    def start(self) -> None:
        """Start, in a session of its own so that Ctrl-C reaches the supervisor alone."""
        piped = subprocess.PIPE if self.first_line is not None else subprocess.DEVNULL
        self.process = subprocess.Popen(
            self.command,
            stdin=piped,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, SUPERVISED: "1"},
        )
        self.started, self.due = time.monotonic(), 0.0
        if self.first_line is not None and self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended already; the tick sees that
                self.process.stdin.write(self.first_line.encode() + b"\n")
                self.process.stdin.flush()
        emit(ProcessStarted(self.role, self.process.pid))

    def tick(self, now: float) -> None:
        """Start again when the wait after an end is over."""
        if self.process is None:
            if now >= self.due:
                self.start()
            return
        status = self.process.poll()
        if status is not None:
            self.wait = FIRST_WAIT_S if now - self.started > HEALTHY_S else min(self.wait * 2, LONGEST_WAIT_S)
            self.due, self.process = now + self.wait, None
            emit(ProcessEnded(self.role, status, int(self.wait * 1000)))

    def ended(self) -> int | None:
        """The exit status where the process is over."""
        return None if self.process is None else self.process.poll()

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


class Pair:
    """The two processes of one zone."""

    def __init__(self, settings: Settings, file: Path | None) -> None:
        self.settings = settings
        self.key = str(keys.mint(settings.zone.id)) if settings.deployment.stage == "local" else None
        python = [sys.executable, "-P", "-m"]
        given = ["--config", str(file)] if file else []
        self.control = Child(
            "control", [*python, "dragoman.control.run", "--supervised", *given], self.key or ""
        )
        relay_file = run_folder(settings) / FILE_NAME
        self.relay = Child("relay", [*python, "dragoman.relay", "--config", str(relay_file)])
        self._admin = AdminClient(settings, file)

    def start(self, deadline: float) -> None:
        """Start both and wait until both answer. Raises UnavailableError or ConfigError with what to do."""
        for name in ("listen", "admin_listen"):
            check_free(getattr(self.settings.zone, name), f"zone.{name}")
        self.control.start()
        self._until(self.control, self._admin.running, deadline)
        self.relay.start()
        self._until(self.relay, self._relay_ready, deadline)

    def stop(self) -> None:
        """Relay first: it still needs control to finish its turns."""
        self.relay.stop()
        self.control.stop()

    def _until(self, child: Child, answers: Callable[[], bool], deadline: float) -> None:
        while not answers():
            status = child.ended()
            if status is not None:
                raise UnavailableError(f"{child.role} ended with status {status}; its message stands above")
            if time.monotonic() > deadline:
                raise UnavailableError(f"{child.role} did not answer within {READY_SECONDS:.0f} s")
            time.sleep(TICK_S / 2)

    def _relay_ready(self) -> bool:
        host, _, port = self.settings.zone.listen.rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=2)
        try:
            connection.request("GET", "/readyz", headers={"host": self.settings.hosts()[0]})
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()


def serve(pairs: list[Pair], *, as_json: bool) -> int:
    """Run every pair until a signal; 0 after a clean stop, 1 where one could not start."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    signal.signal(signal.SIGHUP, lambda *_: _forward(pairs))
    deadline = time.monotonic() + READY_SECONDS
    try:
        for pair in pairs:
            pair.start(deadline)
    except DragomanError as fault:
        for problem in fault.problems if isinstance(fault, ConfigError) else [fault.message]:
            print(f"dragoman serve: {problem}", file=sys.stderr)
        _stop(pairs)
        return 1
    for pair in pairs:
        print(json.dumps(_facts(pair)) if as_json else _welcome(pair), flush=True)
    while not ended.wait(TICK_S):
        for pair in pairs:
            pair.control.tick(time.monotonic())
            pair.relay.tick(time.monotonic())
    _stop(pairs)
    return 0


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
                advice = (
                    f'set {name} = "{host}:PORT" or DRAGOMAN_{name.upper().replace(".", "__")}={host}:PORT'
                )
                raise ConfigError([f"{address} is in use by another program; {advice}"]) from fault
            raise ConfigError([f"{name}: cannot listen on {address}: {fault.strerror}"]) from fault


def _forward(pairs: list[Pair]) -> None:
    for pair in pairs:
        if pair.control.process is not None:
            pair.control.process.send_signal(signal.SIGHUP)


def _stop(pairs: list[Pair]) -> None:
    for pair in pairs:
        pair.stop()


def _facts(pair: Pair) -> dict[str, object]:
    url = pair.settings.public_url()
    return {
        "ready": True,
        "zone": pair.settings.zone.id,
        "page": f"{url}/",
        "base_url": f"{url}/v1",
        "key": pair.key,
        "model": LOCAL_MODEL,
        "data": str(pair.settings.zone.data),
        "pids": {child.role: child.process.pid for child in (pair.control, pair.relay) if child.process},
    }


def _welcome(pair: Pair) -> str:
    url = pair.settings.public_url()
    key = pair.key or "YOUR_KEY"
    note = (
        "works on this machine, until the next start" if pair.key else "make one with `dragoman keys create`"
    )
    return f"""Dragoman is ready (zone {pair.settings.zone.id}).

  page  {url}/
  key   {key}
        ({note})

Ask with curl:

  curl {url}/v1/chat/completions -H 'authorization: Bearer {key}' \\
    -H 'content-type: application/json' \\
    -d '{{"model": "{LOCAL_MODEL}", "messages": [{{"role": "user", "content": "怎么退货？"}}]}}'

Ask with the openai SDK:

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="{key}")
  answer = client.chat.completions.create(
      model="{LOCAL_MODEL}", messages=[{{"role": "user", "content": "How do I return an item?"}}]
  )
  print(answer.choices[0].message.content)

Stop with Ctrl-C. A real model: dragoman models add --help
"""
