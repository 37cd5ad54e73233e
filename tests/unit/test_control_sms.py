"""The gateway's client: connections are kept, an ended one costs no post, and none holds a thread beyond its time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from dragoman.control.sms import HttpGateway, Message
from dragoman.settings_signup import Sms

TAKEN = b"HTTP/1.1 202 X\r\ncontent-length: 2\r\n\r\n{}"
TEXT = Message("msg_1", "+6581234567", "123456 is your code")


class Gateway:
    """A server of one behaviour; `posts` and `lines` count what it got and over how many connections."""

    def __init__(self, behave: Callable[[socket.socket], bool]) -> None:
        self._behave = behave
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.posts = self.lines = 0
        self.bodies: list[bytes] = []
        self.ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def sms(self) -> Sms:
        return Sms(url=f"http://127.0.0.1:{self._socket.getsockname()[1]}/m?to=all", timeout_ms=300)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            self.lines += 1
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(ConnectionError):
            while data := line.recv(65_536):
                while b"\r\n\r\n" not in data or b"}" not in data:
                    if not (more := line.recv(65_536)):
                        return
                    data += more
                self.posts += 1
                self.bodies.append(data)
                if not self._behave(line):
                    return
        self.ended.set()


@pytest.fixture
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with closing(Gateway(request.param)) as served:
        yield served


def takes(line: socket.socket) -> bool:
    line.sendall(TAKEN)
    return True


def takes_and_leaves(line: socket.socket) -> bool:
    line.sendall(TAKEN)
    return False


def tells_at_length(line: socket.socket) -> bool:
    line.sendall(b"HTTP/1.1 202 X\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 100_000)
    return True


def dribbles(line: socket.socket) -> bool:
    """A byte now and then, so that no read ever waits for long."""
    line.sendall(b"HTTP/1.1 202 X\r\nx: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            line.sendall(b"a")
            time.sleep(0.05)
    return True


def posted(gateway: Gateway, times: int, pause: float = 0.0) -> list[bool]:
    async def all_of_them() -> list[bool]:
        client, taken = HttpGateway(), []
        for _ in range(times):
            taken.append(await client.send(TEXT, gateway.sms))
            await asyncio.sleep(pause)
        return taken

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("gateway", [takes], indirect=True)
def test_a_connection_is_kept(gateway: Gateway) -> None:
    assert all(posted(gateway, 150))
    assert gateway.posts == 150
    assert gateway.lines <= 64, "one of a thread"
    head = gateway.bodies[0].partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"post /m?to=all http/1.1\r\n")
    assert b"idempotency-key: msg_1" in head
    assert b"authorization" not in head


@pytest.mark.parametrize("gateway", [takes_and_leaves], indirect=True)
def test_a_connection_that_the_gateway_ended_costs_no_post(gateway: Gateway) -> None:
    assert all(posted(gateway, 80, pause=0.01))
    assert gateway.posts == 80


@pytest.mark.parametrize("gateway", [tells_at_length], indirect=True)
def test_a_long_answer_is_not_read(gateway: Gateway) -> None:
    assert all(posted(gateway, 3))
    assert gateway.lines == gateway.posts == 3


@pytest.mark.parametrize("gateway", [dribbles], indirect=True)
def test_a_gateway_that_never_comes_to_an_end_holds_nothing(gateway: Gateway) -> None:
    begun = time.monotonic()
    assert posted(gateway, 1) == [False]
    assert time.monotonic() - begun < 5, "two attempts of 0.3 s, and a second for threads to end"
    assert gateway.posts == 2
    assert gateway.ended.wait(5), "its connection is closed by us"


def test_no_gateway_is_no_message() -> None:
    with closing(Gateway(takes)) as gone:
        sms = gone.sms
    assert asyncio.run(HttpGateway().send(TEXT, sms)) is False


def test_a_gateway_without_a_certificate_is_no_gateway() -> None:
    with closing(Gateway(takes)) as plain:
        secure = plain.sms.model_copy(update={"url": (plain.sms.url or "").replace("http:", "https:")})
        assert asyncio.run(HttpGateway().send(TEXT, secure)) is False
        assert plain.lines == 2, "it was tried"
        assert not plain.posts
