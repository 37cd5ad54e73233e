"""What a rule set lets pass of a text, straight from the definition, one code point at a time.

Keywords with redact and refuse over a view that only drops invisible characters; slow on purpose. It shares
nothing with the product. Source: facts on streaming policy, the normative semantics, lines 10-31.
"""

from __future__ import annotations

from dataclasses import dataclass

INVISIBLE = "\u200b"


@dataclass(frozen=True)
class Word:
    """One rule with one word."""

    rule: str
    word: str
    refuse: bool


def matches(words: list[Word], text: str) -> list[tuple[int, int, Word]]:
    """All overlapping matches as (start, end, word) in code points of the text."""
    seen = [(i, c) for i, c in enumerate(text) if c != INVISIBLE]
    symbols = "".join(c for _, c in seen)
    found = []
    for word in words:
        for at in range(len(symbols) - len(word.word) + 1):
            if symbols.startswith(word.word, at):
                found.append((seen[at][0], seen[at + len(word.word) - 1][0] + 1, word))
    return found


def live(words: list[Word], text: str, n: int) -> int:
    """The start of the longest suffix that may still become a match; n if there is none."""
    seen = [(i, c) for i, c in enumerate(text[:n]) if c != INVISIBLE]
    for k in range(len(seen)):
        suffix = "".join(c for _, c in seen[k:])
        if any(w.word.startswith(suffix) and len(w.word) > len(suffix) for w in words):
            return seen[k][0]
    return n


def tail(text: str, end: int, n: int) -> int:
    """Where the invisible characters after a match end."""
    while end < n and text[end] == INVISIBLE:
        end += 1
    return end


def spans(decided: list[tuple[int, int, Word]], text: str, n: int) -> list[tuple[int, int, Word]]:
    """Redacted spans: overlapping ones merged, touching ones apart, labelled by the first to be decided."""
    merged: list[list] = []
    for s, e, w in sorted((m for m in decided if not m[2].refuse), key=lambda m: (m[0], m[1])):
        stop = tail(text, e, n)
        key = (e, s, e, w.rule)
        if merged and s < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
            merged[-1][2] = min(merged[-1][2], key)
        else:
            merged.append([s, stop, key])
    return [(s, e, key[3]) for s, e, key in merged]


def offline(words: list[Word], text: str, placeholder) -> tuple[str, str | None]:
    """The released text and the rule that refused, or None."""
    out, p, open_end = "", 0, 0
    found = matches(words, text)
    for n in range(1, len(text) + 1):
        decided = [m for m in found if m[1] <= n]
        refused = sorted((m for m in decided if m[2].refuse), key=lambda m: (m[1], m[0], m[2].rule))
        line = min([n, live(words, text, n), *[m[0] for m in refused]])
        out, p, open_end = emit(out, p, open_end, text, n, line, spans(decided, text, n), placeholder)
        if refused:
            return out, refused[0][2].rule
    n = len(text)
    out, _, _ = emit(out, p, open_end, text, n, n, spans(found, text, n), placeholder)
    return out, None


def emit(out, p, open_end, text, n, line, decided, placeholder):
    """Move the cursor as far as the line allows."""
    starts = {s: (e, rule) for s, e, rule in decided}
    for s, e, _ in decided:
        if s < open_end:
            open_end = max(open_end, e)
    while True:
        if p < open_end:
            p = min(open_end, n)
            if p < open_end:
                return out, p, open_end
        elif p in starts and p <= line:
            out += placeholder(starts[p][1])
            open_end = starts[p][0]
        elif p < line and p not in starts:
            out += text[p]
            p += 1
        else:
            return out, p, open_end
