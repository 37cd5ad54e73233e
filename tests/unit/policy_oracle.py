"""The release rule by definition: slow, offline, pure Python, written from its normative text.

Lines named in comments are that text's. A time is the number of code points read, 0 to N; N + 1 is the end of
the text. It shares nothing with the engine: its own view A is made of `unicodedata`.
"""

from __future__ import annotations

import dataclasses
import math
import unicodedata

GAP = 8
BREAK = "\uffff"
# The pairs the tests draw from, so that no dictionary is needed.
SIMPLIFIED = {"漢": "汉", "體": "体", "禁": "禁"}
IGNORABLE = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufe0f\ufeff\u202e")
NOTICE = "⊗"


@dataclasses.dataclass(frozen=True)
class Rule:
    id: str
    words: tuple[str, ...]
    action: str = "redact"
    left: bool = False
    right: bool = False
    exempts: tuple[str, ...] = ()
    placeholder: str = "▮"

    @property
    def denies(self) -> bool:
        return self.action in ("redact", "refuse")


@dataclasses.dataclass(frozen=True)
class Symbol:
    text: str
    at: int


@dataclasses.dataclass(frozen=True)
class Match:
    rule: Rule
    start: int
    end: int
    known: float  # the time its right edge is known
    holds: bool  # and whether it is satisfied


@dataclasses.dataclass(frozen=True)
class Thread:
    rule: Rule
    start: int
    rest: str


def folded(character: str) -> str:
    """Case folding and decomposition to a fixed point, simplified, without ignorables."""
    while True:
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
        text = "".join(SIMPLIFIED.get(c, c) for c in text if c not in IGNORABLE)
        if text == character:
            return text
        character = text


def strips(base: str, mark: str) -> bool:
    """Whether a mark over this base is decoration."""
    if base and unicodedata.name(base, "").startswith(("LATIN", "GREEK", "CYRILLIC")):
        return True
    generic = "\u0300" <= mark <= "\u036f" or "\u20d0" <= mark <= "\u20ff"
    return generic and not (base and unicodedata.category(base) == "Sm")


def view(text: str) -> tuple[list[Symbol], list[bool]]:
    """Lines 1 to 4: the symbols with their source, and which code points are absorbed."""
    symbols: list[Symbol] = []
    absorbed: list[bool] = []
    base, gap = "", 0
    for at, character in enumerate(text):
        out = ""
        for symbol in folded(character):
            mark = unicodedata.category(symbol) in ("Mn", "Me")
            if mark and strips(base, symbol):
                continue
            if not mark:
                base = symbol
            out += symbol
        gap = 0 if out else gap + 1
        if gap > GAP:
            out, base, gap = BREAK, "", 0
            absorbed.append(False)
        else:
            absorbed.append(not out)
        symbols += [Symbol(symbol, at) for symbol in out]
    return symbols, absorbed


def normalise(text: str) -> str:
    return "".join(symbol.text for symbol in view(text)[0])


def alphanumeric(symbol: Symbol) -> bool:
    return symbol.text.isascii() and symbol.text.isalnum()


class Oracle:
    """All outputs of one rule set over one text; `outputs[n]` is what was emitted after n code points."""

    def __init__(self, rules: list[Rule], text: str) -> None:
        self.rules = sorted(rules, key=lambda rule: rule.id)
        self.text = text
        self.end = len(text) + 1
        self.symbols, self.absorbed = view(text)
        self.words = {rule.id: {normalise(word) for word in rule.words} for rule in rules}
        self.matches = [match for rule in self.rules for match in self.find(rule)]
        self.delta = self.decide()
        self.outputs: list[str] = []
        self.stopped: tuple[int, str] | None = None
        self.raw: set[int] = set()
        self.simulate()

    def left_holds(self, start: int) -> bool:
        before = [symbol for symbol in self.symbols if symbol.at < start]
        return not before or not alphanumeric(before[-1])

    def find(self, rule: Rule) -> list[Match]:
        """Lines 5 to 9: all matches whose left edge holds, of every word at every place."""
        found = []
        for word in self.words[rule.id]:
            for first in range(len(self.symbols) - len(word) + 1):
                part = self.symbols[first : first + len(word)]
                if "".join(symbol.text for symbol in part) != word:
                    continue
                start, end = part[0].at, part[-1].at + 1
                if rule.left and not self.left_holds(start):
                    continue
                known: float = end
                holds = True
                if rule.right:
                    after = [symbol for symbol in self.symbols if symbol.at >= end]
                    known = after[0].at + 1 if after else self.end
                    holds = not after or not alphanumeric(after[0])
                found.append(Match(rule, start, end, known, holds))
        return found

    def threads(self, n: int) -> list[Thread]:
        """Line 11."""
        if n == self.end:
            return []
        read = [symbol for symbol in self.symbols if symbol.at < n]
        threads = []
        for rule in self.rules:
            for word in self.words[rule.id]:
                for size in range(1, min(len(word), len(read) + 1)):
                    part = read[-size:]
                    if "".join(symbol.text for symbol in part) != word[:size]:
                        continue
                    if not rule.left or self.left_holds(part[0].at):
                        threads.append(Thread(rule, part[0].at, word[size:]))
        return threads

    def allows(self, deny: Match) -> list[Match]:
        """The allow matches that contain `deny` and exempt its rule."""
        return [
            allow for allow in self.matches
            if allow.rule.action == "allow" and deny.rule.id in allow.rule.exempts
            and allow.start <= deny.start and deny.end <= allow.end
        ]  # fmt: skip

    def suppressed(self, deny: Match, n: int) -> bool:
        """Line 12."""
        return any(allow.holds and allow.known <= n for allow in self.allows(deny))

    def in_waiting_allow(self, deny: Match, n: int) -> bool:
        return any(allow.end <= n < allow.known for allow in self.allows(deny))

    def pending(self, deny: Match, n: int) -> bool:
        """Line 14, of a confirmed match that is not suppressed."""
        live = any(
            thread.rule.action == "allow"
            and deny.rule.id in thread.rule.exempts
            and thread.start <= deny.start
            for thread in self.threads(n)
        )
        return live or self.in_waiting_allow(deny, n)

    def decide(self) -> dict[Match, float]:
        """Line 15: the time of each decision."""
        delta: dict[Match, float] = {}
        for match in self.matches:
            delta[match] = math.inf
            for n in range(self.end + 1):
                confirmed = match.holds and match.known <= n
                if confirmed and not self.suppressed(match, n) and not self.pending(match, n):
                    delta[match] = n
                    break
        return delta

    def tail(self, match: Match, n: int) -> int:
        """Line 16."""
        end = match.end
        while end < min(n, len(self.text)) and self.absorbed[end]:
            end += 1
        return end

    def spans(self, n: int) -> list[tuple[int, int, list[Match]]]:
        """Line 18: (start, end with tails, members)."""
        decided = [m for m in self.matches if m.rule.action == "redact" and self.delta[m] <= n]
        spans: list[tuple[int, int, list[Match]]] = []
        for match in sorted(decided, key=lambda m: m.start):
            end = self.tail(match, n)
            if spans and match.start < spans[-1][1]:
                start, reach, members = spans[-1]
                spans[-1] = (start, max(reach, end), [*members, match])
            else:
                spans.append((match.start, end, [match]))
        return spans

    def line(self, n: int) -> int:
        """Lines 20 to 25."""
        if n == self.end:
            refused = [m.start for m in self.matches if m.rule.action == "refuse" and self.delta[m] == n]
            return min([len(self.text), *refused])
        starts = [n]
        threads = self.threads(n)
        for thread in threads:
            covered = any(
                allow.rule.action == "allow" and thread.rule.id in allow.rule.exempts
                and allow.start <= thread.start and allow.rest == thread.rest
                and (thread.rule.right or not allow.rule.right)
                for allow in threads
            )  # fmt: skip
            if thread.rule.denies and not covered:
                starts.append(thread.start)
        starts += [m.start for m in self.matches if m.rule.denies and self.holds_back(m, n)]
        return min(starts)

    def holds_back(self, match: Match, n: int) -> bool:
        """Lines 23 to 25: edge-waiting, pending, or a refusal decided now."""
        if match.rule.action == "refuse" and self.delta[match] == n:
            return True
        if self.suppressed(match, n):
            return False
        waiting = match.end <= n < match.known and not self.in_waiting_allow(match, n)
        pending = match.holds and match.known <= n < self.delta[match]
        inside = any(start <= match.start and self.tail(match, n) <= end for start, end, _ in self.spans(n))
        return (waiting or pending) and not (match.rule.action == "redact" and inside)

    def simulate(self) -> None:
        """Lines 26 to 32."""
        out, cursor = "", 0
        shown: list[int] = []
        for n in range(self.end + 1):
            if self.stopped:
                self.outputs.append(out)
                continue
            line, spans = self.line(n), self.spans(n)
            while True:
                open_end = max((end for start, end, _ in spans if start in shown), default=0)
                here = [members for start, _, members in spans if start == cursor and start not in shown]
                if cursor < open_end and cursor < n:
                    cursor = min(open_end, n)
                elif here and cursor <= line:
                    first = min(here[0], key=lambda m: (self.delta[m], m.start, m.end, m.rule.id))
                    out += first.rule.placeholder
                    shown.append(cursor)
                elif cursor < line and not here:
                    out += self.text[cursor]
                    self.raw.add(cursor)
                    cursor += 1
                else:
                    break
            refused = [m for m in self.matches if m.rule.action == "refuse" and self.delta[m] == n]
            if refused:
                out += NOTICE
                self.stopped = (n, min(refused, key=lambda m: (m.start, m.end, m.rule.id)).rule.id)
            self.outputs.append(out)

    def leaked(self) -> set[int]:
        """Source code points of unsuppressed deny matches that were emitted raw."""
        denied = [m for m in self.matches if m.rule.denies and m.holds and not self.suppressed(m, self.end)]
        return self.raw & {at for match in denied for at in range(match.start, match.end)}
