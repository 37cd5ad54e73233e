"""Which language a text is in, from its scripts. Pure; it guesses only what the pages and notices need."""

from __future__ import annotations

import re

_KANA = re.compile(r"[\u3041-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7a3]")
_HAN = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")


def language_of(text: str) -> str:
    """`zh`, `ja`, `ko` or `en`: the script that carries most words; text without letters is `en`."""
    han, kana, hangul = (len(p.findall(text)) for p in (_HAN, _KANA, _HANGUL))
    latin = len(_LATIN.findall(text))
    if max(han + kana, hangul) <= latin:
        return "en"
    if hangul > han + kana:
        return "ko"
    return "ja" if kana * 5 > han else "zh"


def spoken(language: str) -> str:
    """The language of our own words for a reader of `language`: `zh` or `en`."""
    return "zh" if language == "zh" else "en"
