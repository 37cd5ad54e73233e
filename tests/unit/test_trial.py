"""The trial of a model ends in its time whatever the other side does, and says what is wrong with an address."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from dragoman.providers import trial
from dragoman.providers.trial import try_turn
from dragoman.testing.provider import JSON, FakeProvider, Script, whole


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes], int]]:
    """A server that sends its beginning, then a byte again and again; the port."""
    ended = threading.Event()
    servers = []

    def serve(server: socket.socket, begins: bytes) -> None:
        taken, _ = server.accept()
        with taken:
            try:
                taken.sendall(begins)
                while not ended.wait(0.02):
                    taken.sendall(b"a")
            except OSError:
                return

    def begun(begins: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        threading.Thread(target=serve, args=(server, begins), daemon=True).start()
        return int(server.getsockname()[1])

    yield begun
    ended.set()
    for one in servers:
        one.close()


@pytest.mark.parametrize(
    ("scheme", "begins"),
    [
        ("http", b""),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"),
        ("https", b"\x16\x03\x03\x3f\x00\x02"),
    ],
)
def test_an_answer_that_comes_byte_by_byte_ends_at_the_deadline(
    dripping: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch, scheme: str, begins: bytes
) -> None:
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.5)
    begun = time.monotonic()
    told = try_turn(f"{scheme}://127.0.0.1:{dripping(begins)}/v1", "m", None)
    assert (told.ok, told.code) == (False, "late")
    assert "did not answer in full" in str(told.problem)
    assert 0.4 < time.monotonic() - begun < 30, "in its time, on a busy machine too"


@pytest.mark.parametrize(
    ("url", "key", "code"),
    [
        ("http://127.0.0.1:1/模型/v1", None, "address"),
        ("http://模型.example/v1", None, "address"),
        ("http://127.0.0.1:1/v1", "sk-é", "no_key"),
        ("http://127.0.0.1:1/v1", "a\nb", "no_key"),
        ("http://127.0.0.1:1/v1", "sk-e", "unreachable"),
        (f"http://{'a' * 70}.example/v1", None, "unreachable"),
    ],
)
def test_what_http_does_not_carry_is_told(url: str, key: str | None, code: str) -> None:
    assert try_turn(url, "m", key).code == code


def test_an_answer_in_time_is_taken() -> None:
    with closing(FakeProvider(Script([whole("ready")], content_type=JSON))) as provider:
        assert try_turn(provider.url, "m", "sk-e").ok
