"""A few seconds of overload; `overload.py` runs minutes. And a server that queues instead, which must not pass."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from pathlib import Path

from arrivals import Clients, Target
from overload import DELAY_SECONDS, REFUSED_SECONDS, Rig, measure, product, verdict
from whole_product import pause, start

from promise import SLOW_SECONDS, within

OF_CONTROL = 2 * 64
"""Turns that control answers itself, on the relay's two threads: `LOCAL_PER_THREAD` of docs/limits.md."""
MORE = 32


def test_overload_sheds_and_what_is_taken_in_stays_fast(tmp_path: Path) -> None:
    found = product(3.0, times=(5,), back=1.0, folder=tmp_path)
    wrong = verdict(found, within(REFUSED_SECONDS))
    over = found["over"][5]
    assert over["refused"] > over["admitted"] > 0, found
    # A busy machine may spoil figures; what holds on any is that refusals are whole and the rest is answered.
    assert not [w for w in wrong if "faults" in w or "nothing was refused" in w or "MB" in w], wrong
    assert over["admitted_p99_ms"] <= 1000 * (2 * DELAY_SECONDS + within(0.1)), found


def test_what_control_answers_itself_is_bounded_too(tmp_path: Path) -> None:
    server = start(tmp_path, DRAGOMAN_ZONE__LEASE_MS="60000")
    asked = {"model": "dragoman", "messages": [{"role": "user", "content": "How do I return a lamp?"}]}
    request = Target(server.port, server.key, json.dumps(asked).encode()).request()

    async def crowd() -> tuple[list[int], list[int]]:
        clients = Clients(server.port)
        assert (await clients.ask(request)).status == 200
        pause(server.pids["control"])
        try:
            asking = {asyncio.create_task(clients.ask(request)) for _ in range(OF_CONTROL + MORE)}
            refused: set[asyncio.Task] = set()
            async with asyncio.timeout(SLOW_SECONDS):
                while len(refused) < MORE:
                    done, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                    refused |= done
        finally:
            os.kill(server.pids["control"], signal.SIGCONT)
        taken = [(await task).status for task in asking]
        clients.close()
        return [task.result().status for task in refused], taken

    try:
        refused, taken = asyncio.run(crowd())
    finally:
        server.stop()
    assert refused == [503] * MORE
    assert taken == [200] * OF_CONTROL, "who was taken in is answered"


class QueueingServer:
    """Answers after the provider's delay, two at a time, and lets everybody else wait for ever."""

    def __init__(self) -> None:
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._places = asyncio.Semaphore(2)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
                async with self._places:
                    await asyncio.sleep(DELAY_SECONDS)
                body = b'{"choices": [{"finish_reason": "stop"}]}'
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


def test_a_server_that_queues_instead_is_found_out() -> None:
    server = QueueingServer()
    try:
        found = measure(Rig(Target(server.port, "none", b"{}"), None, clients=2), 1.0, times=(5,), back=1.0)
    finally:
        server.close()
    wrong = verdict(found)
    assert any("admitted p99" in w for w in wrong), wrong
    assert any("nothing was refused" in w for w in wrong), wrong
