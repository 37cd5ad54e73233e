"""The index of one person's items: which words stand in which of them. Pure.

A person's items (turns, titles) are numbered from 0. PART of them in a row make a part; its words are spread
over BUCKETS texts by a checksum. A text is a chain of NUL, word, SOH, slots, and ends with NUL: a word is
found by its marks; a slot is a byte from 0x80 on, which begins no character and is neither mark.

An item of too many words has none here: it may be what is looked for, whatever that is (EVERY).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

from dragoman.core.search import BUCKETS, PART, SLOT

WORDS_BYTES = 32_768
"""LIMIT: bytes of an item's different words that are kept; of an item with more none is."""
EVERY = "*"
"""In place of the words of such an item, in a text of its own; no word of a query is this."""
_AT_ONCE = 16
"""Shares of a part's texts that are made one after the other, so that little is held in memory."""


def bucket_of(word: str) -> int:
    """The text of a part in which a word stands: under BUCKETS, and BUCKETS for EVERY."""
    return BUCKETS if word == EVERY else zlib.crc32(word.encode()) % BUCKETS


def packed(items: Mapping[int, str]) -> dict[int, bytes]:
    """The texts of a part by bucket, from the words of its items by slot, with blanks between them."""
    texts: dict[int, bytes] = {}
    for some in _shares(items):
        texts.update(_chained(some))
    return texts


def _shares(items: Mapping[int, str]) -> Iterator[Iterable[tuple[int, list[bytes]]]]:
    """(mark, words) of the items, for a share of the texts at a time."""
    crc = zlib.crc32
    shares: list[list[tuple[int, bytes]]] = [[] for _ in range(_AT_ONCE)]
    for slot in sorted(items):
        words: list[list[bytes]] = [[] for _ in range(_AT_ONCE)]
        for word in items[slot].encode().split():
            words[crc(word) % _AT_ONCE].append(word)
        for share, some in zip(shares, words, strict=True):
            if some:
                share.append((SLOT + slot, b" ".join(some)))
    for share in shares:
        yield ((mark, joined.split()) for mark, joined in share)


def _chained(items: Iterable[tuple[int, list[bytes]]]) -> dict[int, bytes]:
    """The texts by bucket."""
    slots: dict[bytes, bytearray] = {}
    for mark, words in items:
        for word in words:
            if word in slots:
                slots[word].append(mark)
            else:
                slots[word] = bytearray((mark,))
    texts: dict[int, list[bytes]] = {}
    crc, every = zlib.crc32, EVERY.encode()
    for word, marks in slots.items():
        bucket = crc(word) % BUCKETS if word != every else BUCKETS
        texts.setdefault(bucket, []).append(b"\0%b\1%b" % (word, bytes(marks)))
    return {bucket: b"".join((*chain, b"\0")) for bucket, chain in texts.items()}


def key_of(word: str) -> bytes:
    """A word with its marks, as it stands in a text."""
    return b"\0%b\1" % word.encode()


def slots_of(texts: Iterable[tuple[int, bytes]], key: bytes) -> dict[int, frozenset[int]]:
    """For each part's text the marks of the items in which a word stands, where it stands in any."""
    size, found = len(key), {}
    for part, text in texts:
        at = text.find(key)
        if at >= 0:
            begin = at + size
            found[part] = frozenset(text[begin : text.index(b"\0", begin)])
    return found


def number_of(part: int, mark: int) -> int:
    """The number of a part's item."""
    return part * PART + mark - SLOT


def words_text(words: Iterable[str]) -> str:
    """An item's different words as they are kept until its part is made: blanks between and around them.

    EVERY alone where they have more bytes than are kept.
    """
    kept: dict[str, None] = {}
    size = 0
    for word in words:
        if word in kept:
            continue
        kept[word] = None
        size += len(word.encode()) + 1
        if size > WORDS_BYTES:
            return f" {EVERY} "
    return f" {' '.join(kept)} "
