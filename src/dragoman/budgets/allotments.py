"""Answers `POST /allotments` (docs/wire.md): relays give back and ask for parts of limits.

It decides how much; `stores.budgets` counts it in one transaction. It never grants more than is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from dragoman.budgets.book import Book
from dragoman.budgets.buckets import Bucket, grant, parse
from dragoman.core.budgets import Allotted, Ask, Opening
from dragoman.errors import RefusedError
from dragoman.events import LimitReached, emit
from dragoman.settings_limits import AMOUNT_MAX, Limit

ASKS = 512
"""LIMIT: buckets of one message."""
EARLIER = 256
"""LIMIT: complete logs that a relay names."""
SKEW_MS = 600_000
"""How far outside of a window by control's clock a relay may still ask for it."""
ZONE = "zone"
"""The owner of buckets that several tenants may draw on."""


class Store(Protocol):
    """Where buckets are counted."""

    def allot(
        self, opening: Opening, asks: Sequence[Ask], grant: Callable[[Ask, int], int]
    ) -> Future[list[Allotted] | None]:
        """Take what is given back and grant what is asked for; None for a run that is over."""


class Allotments:
    """Grants parts of limits to relays, which may reserve from them for `lasts_ms` before they ask again."""

    def __init__(self, book: Book, store: Store, lasts_ms: Callable[[], int] = lambda: 30_000) -> None:
        self._book = book
        self._store = store
        self._lasts_ms = lasts_ms

    async def take(self, body: Mapping[str, Any], now: int) -> dict[str, Any]:
        """The answer. Raises RefusedError 400 for a malformed message, 409 for a run that is over."""
        opening = _opening(body, now)
        named = [self._ask(item) for item in _list(body, "asks", ASKS)]
        asks = [ask for ask, _, _ in named]
        shown = {ask.bucket: bucket for ask, bucket, _ in named}

        def granted(ask: Ask, taken: int) -> int:
            window = shown[ask.bucket].window
            if not window.starts - SKEW_MS <= now < window.ends + SKEW_MS:
                return 0
            return grant(ask.most, taken, ask.need, ask.want)

        answers = await asyncio.wrap_future(self._store.allot(opening, asks, granted))
        if answers is None:
            raise run_over()
        pairs = zip(named, answers, strict=True)
        lasts = self._lasts_ms()
        return {"now": now, "buckets": [_answer(*asked, answer, lasts) for asked, answer in pairs]}

    def _ask(self, item: Any) -> tuple[Ask, Bucket, Limit | None]:
        if not isinstance(item, dict):
            raise malformed("an ask must be an object")
        try:
            bucket = parse(_text(item, "bucket"))
        except ValueError as fault:
            raise malformed(str(fault)) from None
        limit = self._book.limit(bucket.limit)
        numbers = {name: _count(item, name) for name in ("granted", "returned", "need", "want")}
        owner = ZONE if bucket.is_zone else _text(item, "tenant")
        most = 0 if limit is None else limit.most
        ask = Ask(owner, _text(item, "bucket"), bucket.limit, most, bucket.window.ends, **numbers)
        return ask, bucket, limit


def _answer(ask: Ask, bucket: Bucket, limit: Limit | None, got: Allotted, lasts: int) -> dict[str, Any]:
    if ask.need and got.granted <= ask.granted:
        emit(LimitReached(ask.limit, ask.bucket))
    return {
        "bucket": ask.bucket,
        "before": got.before,
        "granted": got.granted,
        "returned": got.returned,
        "ms": lasts,
        "most": ask.most,
        "left": max(0, ask.most - got.taken),
        "resets": bucket.window.ends,
        "gone": limit is None,
    }


def _opening(body: Mapping[str, Any], now: int) -> Opening:
    if set(body) != {"log", "start", "earlier", "asks"}:
        raise malformed("log, start, earlier and asks are all there, and nothing else")
    earlier = _list(body, "earlier", EARLIER)
    if not all(isinstance(item, dict) for item in earlier):
        raise malformed("earlier logs are objects")
    ends = tuple((_text(item, "log"), _count(item, "end")) for item in earlier)
    return Opening(_text(body, "log"), _count(body, "start"), ends, now)


def _list(body: Mapping[str, Any], name: str, most: int) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise malformed(f"{name} must be a list of at most {most}")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 512:
        raise malformed(f"{name} must be a text of 1 to 512 characters")
    return value


def _count(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if type(value) is not int or not 0 <= value <= AMOUNT_MAX:
        raise malformed(f"{name} must be a whole number")
    return value


def run_over() -> RefusedError:
    """409: what a run of a relay says after a later one has begun."""
    text = {"en": "A later run of this relay has begun.", "zh": "该中继的后续运行已开始。"}
    return RefusedError(409, "relay_run_over", text)


def malformed(why: str) -> RefusedError:
    """400: not a message of this wire."""
    text = {"en": f"The internal request is malformed: {why}.", "zh": f"内部请求格式错误：{why}。"}
    return RefusedError(400, "invalid_question", text)
