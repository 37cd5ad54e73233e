"""The rule file of the benchmark: neutral nonsense words, the same ones in every run, and one long phrase."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

PHRASE = "velmora quastin dribbek ulvane sorrith pemblo garnick thuvel ozmir cantreb lo"
"""77 characters, longer than the 50 that one peer holds back."""
SEED = 20_261_125
_SYLLABLES = (
    "bra",
    "dru",
    "fle",
    "gri",
    "klo",
    "mev",
    "nux",
    "pla",
    "quo",
    "riv",
    "sko",
    "tez",
    "vul",
    "wim",
)
# Rare characters in no meaningful order: no word of any language, and none in the fake provider's texts.
_GLYPHS = "麤龘靐齉爩鱻灪籲龖厵滟爨癵驫麣纞虋讟钃鸜"


def nonsense(count: int) -> list[str]:
    """`count` distinct words, half of Latin syllables and half of 3 to 5 rare Chinese characters."""
    source = random.Random(SEED)
    words: dict[str, None] = {}
    while len(words) < count:
        if len(words) % 2:
            word = "".join(source.choices(_GLYPHS, k=source.randint(3, 5)))
        else:
            word = "".join(source.choices(_SYLLABLES, k=source.randint(3, 5)))
        words[word] = None
    return list(words)


def rules(count: int, *, phrase: str = PHRASE) -> Iterator[str]:
    """The lines of a rule file in TOML: `count` words in rules of 100, and the phrase, in both directions."""
    words = nonsense(count)
    for at in range(0, len(words), 100):
        yield from _rule(f"bench.words.{at // 100}", words[at : at + 100], "refuse")
    yield from _rule("bench.phrase", [phrase], "redact")


def _rule(name: str, words: list[str], action: str) -> Iterator[str]:
    yield "[[rules]]"
    yield f'id = "{name}"'
    yield f"words = {json.dumps(words, ensure_ascii=False)}"
    yield 'direction = ["in", "out"]'
    yield f'action = "{action}"'
    yield 'message = { en = "Not allowed by the benchmark\'s rules.", zh = "基准测试的规则不允许。" }'
    yield ""
