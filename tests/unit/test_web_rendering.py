"""Rendering for scripts takes its share of the time and no more, and keeps nobody waiting long."""

from __future__ import annotations

import asyncio
import time

import pytest

from dragoman.web import rendering
from dragoman.web.rendering import SHARE, Rendering

SLOW_S = 0.05
TRIES = 5


def slow(seconds: float = SLOW_S) -> str:
    time.sleep(seconds)
    return "made"


async def spent(room: Rendering) -> float:
    """Seconds that TRIES slow answers take from the first to the last."""
    began = time.monotonic()
    for _ in range(TRIES):
        assert await room.made(slow) == "made"
    return time.monotonic() - began


def test_slow_texts_take_their_share_of_the_time() -> None:
    least = (TRIES - 1) * SLOW_S / SHARE
    assert asyncio.run(spent(Rendering())) > least


def test_without_the_share_they_would_take_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SHARE", 1.0)
    assert asyncio.run(spent(Rendering())) < (TRIES - 1) * SLOW_S / SHARE


async def crowd(busy_s: float) -> list[str | None]:
    """What four get who come while one is rendered."""
    room = Rendering()
    first = asyncio.create_task(room.made(lambda: slow(busy_s)))
    await asyncio.sleep(0.05)
    found = await asyncio.gather(*(room.made(lambda: "made") for _ in range(4)))
    assert await first == "made"
    return found


def test_who_waits_too_long_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "WAIT_S", 0.1)
    assert asyncio.run(crowd(0.5)) == [None] * 4


def test_who_comes_behind_too_many_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SHARE", 1.0)
    assert asyncio.run(crowd(0.2)) == ["made"] * 4
    monkeypatch.setattr(rendering, "WAITING", 2)
    assert asyncio.run(crowd(0.2)) == ["made", "made", None, None]


def test_a_fault_gives_the_place_back() -> None:
    async def twice() -> str | None:
        room = Rendering()
        with pytest.raises(ZeroDivisionError):
            await room.made(lambda: 1 / 0)
        return await room.made(lambda: "made")

    assert asyncio.run(twice()) == "made"
