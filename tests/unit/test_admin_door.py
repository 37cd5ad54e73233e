"""Who may knock: Host, addresses behind proxies, and what is counted about strangers, all of it bounded."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import Request

from dragoman.admin import attempts
from dragoman.admin.attempts import (
    COUNTED,
    ENTERED_A_MINUTE,
    PENDING,
    PENDING_MS,
    TRIES,
    WINDOW_MS,
    Attempts,
    Pending,
    Refusals,
)
from dragoman.admin.door import Door
from dragoman.errors import RefusedError
from dragoman.testing.clock import FakeClock

ORIGIN = "https://admin.example.org"
HOST = ("host", "admin.example.org")


def request(peer: str, *headers: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw, "client": (peer, 1)})


def local() -> Door:
    return Door("http://localhost:9081", "127.0.0.1:9081", (), tls=False)


def proxied(*, tls: bool = False) -> Door:
    return Door(ORIGIN, "0.0.0.0:9443", ("10.0.0.0/8", "fd00::/8"), tls=tls)


def refused(door: Door, peer: str, *headers: tuple[str, str]) -> str:
    with pytest.raises(RefusedError) as fault:
        door.admit(request(peer, *headers))
    return fault.value.code


def test_this_machine_is_near_unless_it_forwards() -> None:
    for host in ("localhost:9081", "127.0.0.1:9081", "[::1]:9081", "LOCALHOST:9081"):
        assert local().admit(request("127.0.0.1", ("host", host))).near
    for name in ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"):
        assert refused(local(), "127.0.0.1", ("host", "localhost:9081"), (name, "")) == "forwarded"


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        ([], "bad_host"),
        (["localhost:9081"] * 2, "bad_host"),
        (["evil"], "wrong_host"),
        (["localhost:9081.evil"], "wrong_host"),
        ([""], "wrong_host"),
    ],
)
def test_one_known_host(hosts: list[str], code: str) -> None:
    assert refused(local(), "127.0.0.1", *(("host", host) for host in hosts)) == code


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1", "203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        (["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 127.0.0.1"], "127.0.0.1"),
        (["203.0.113.9, nonsense"], "unknown"),
        (["203.0.113.9, "], "unknown"),
        (["203.0.113.9:80"], "203.0.113.9"),
        (["[2001:db8:1:2::3]:443"], "2001:db8:1:2::/64"),
        (["203.0.113.9, 10.1.1.1:8080"], "203.0.113.9"),
        (["203.0.113.9:"], "unknown"),
        (["203.0.113.9:80:80"], "unknown"),
        (["203.0.113.9:x"], "unknown"),
        (["10.1.1.1"], "unknown"),
        ([], "unknown"),
        (["203.0.113.9" + ", 10.0.0.1" * 40], "unknown"),
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
    ],
)
def test_the_right_most_hop_that_is_no_proxy_counts(forwarded: list[str], address: str) -> None:
    knock = proxied().admit(request("10.2.3.4", HOST, *(("x-forwarded-for", one) for one in forwarded)))
    assert (knock.address, knock.near) == (address, False), "never near, whatever was forwarded"


def test_nobody_goes_round_the_proxy() -> None:
    assert refused(proxied(), "203.0.113.9", HOST) == "forwarded"
    assert refused(proxied(), "127.0.0.1", HOST) == "forwarded"
    assert proxied(tls=True).admit(request("203.0.113.9", HOST)).address == "203.0.113.9"
    assert refused(proxied(tls=True), "203.0.113.9", HOST, ("x-forwarded-for", "127.0.0.1")) == "forwarded"
    assert not proxied(tls=True).admit(request("203.0.113.9", HOST)).near


def test_tries_are_counted_by_window_and_bounded() -> None:
    clock = FakeClock()
    counted = Attempts(clock)
    for _ in range(TRIES):
        counted.take("a")
    with pytest.raises(RefusedError) as refusal:
        counted.take("a")
    assert refusal.value.status == 429
    assert refusal.value.extra["retry_after_s"] == WINDOW_MS // 1000
    counted.take("b")
    clock.advance(WINDOW_MS)
    counted.take("a")
    counted.forgive("a")
    for number in range(COUNTED + 50):
        counted.take(str(number))
    assert len(counted._seen) == COUNTED


def test_a_check_counts_nothing_and_refuses_what_a_try_would() -> None:
    counted = Attempts(FakeClock())
    for _ in range(TRIES * 2):
        counted.check("a")
    for _ in range(TRIES):
        counted.take("a")
    with pytest.raises(RefusedError) as refusal:
        counted.check("a")
    assert refusal.value.status == 429
    counted.check("b")


def test_tries_at_once_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TRIES", 10**9)
    counted, each, threads = Attempts(), 2_000, 4
    switched = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(threads):
                pool.submit(lambda: [counted.take("a") for _ in range(each)])
    finally:
        sys.setswitchinterval(switched)
    assert counted._seen["a"][1] == each * threads


def test_a_challenge_is_taken_once_in_time_by_its_browser() -> None:
    clock = FakeClock()
    held = Pending(clock)
    held.put("b", "login", {"challenge": 1})
    assert held.take("c", "login") is None
    assert held.take("b", "enrol") is None
    assert held.take("b", "login") == {"challenge": 1}
    assert held.take("b", "login") is None
    held.put("b", "login", {"challenge": 2})
    clock.advance(PENDING_MS)
    assert held.take("b", "login") is None
    for number in range(PENDING + 50):
        held.put(str(number), "login", {"challenge": number})
    assert len(held._held) == PENDING


def test_strangers_cannot_fill_the_ledger() -> None:
    clock = FakeClock()
    told = Refusals(clock)
    assert [told.next() for _ in range(ENTERED_A_MINUTE + 7)] == [0] * ENTERED_A_MINUTE + [None] * 7
    clock.advance(60_000)
    assert told.next() == 7, "the next entry says how many had none"
    assert attempts.ENTERED_A_MINUTE == ENTERED_A_MINUTE
