"""Answers as HTML, kept for a while: of a page of a conversation, reading Markdown took most of the time."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from markupsafe import Markup

from dragoman.web.answer import html

KEPT_CHARS = 8_388_608
"""LIMIT: code points of all answers that are kept; the one that was looked at least recently goes first."""
KEPT_S = 600.0
"""LIMIT: seconds that one is kept after it was last looked at: what is erased goes from memory too."""


class Rendered:
    """What texts have become. Of any thread; nothing but a digest of a text is kept beside its HTML."""

    def __init__(self, most: int = KEPT_CHARS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[Markup, float]] = OrderedDict()
        self._chars = 0
        self._lock = threading.Lock()

    def html(self, text: str, annotations: Sequence[object]) -> Markup:
        """As `web.answer.html`, made once."""
        key = _key(text, annotations)
        now = self._clock()
        with self._lock:
            self._forget(now)
            if key in self._kept:
                made, _ = self._kept[key]
                self._kept[key] = made, now
                self._kept.move_to_end(key)
                return made
        made = html(text, annotations)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made, now
                self._chars += len(made)
                self._forget(now)
        return made

    def knows(self, text: str, annotations: Sequence[object]) -> bool:
        """Whether a text is kept, and need not be read."""
        key = _key(text, annotations)
        with self._lock:
            self._forget(self._clock())
            return key in self._kept

    def _forget(self, now: float) -> None:
        """Let go of what is too old or too much, from the least recent on."""
        while self._kept:
            made, seen = next(iter(self._kept.values()))
            if self._chars <= self._most and now - seen <= KEPT_S:
                return
            self._kept.popitem(last=False)
            self._chars -= len(made)


def _key(text: str, annotations: Sequence[object]) -> bytes:
    return hashlib.sha256(json.dumps([text, annotations]).encode()).digest()
