"""Signs that a key which says it speaks for nobody but its tenant's own staff serves other people. Pure.

None is a proof: an operator looks at it and asks. Each is a number beside the most that staff would need, and
is counted in what is kept anyway: stored turns and daily usage, so that it says the same after a restart.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DAY_MS = 86_400_000
MOMENT_MS = 600_000
"""In so many milliseconds one person has one conversation, or two."""
UNSTATED_STAFF = 20
"""People behind a tenant's keys where the file does not say how many they are."""
PLACES_MOST = 5
"""Countries from which the staff of one key works within a day."""
TURNS_EACH = 500
"""Turns of one person in a day; counted only where the number of people is stated."""


@dataclass(frozen=True, slots=True)
class Use:
    """A stored turn of a key: when (ms UTC), its conversation, the end user it names, from which country."""

    at: int
    conversation: str | None
    user: str | None
    country: str | None


@dataclass(frozen=True, slots=True)
class Sign:
    """What was counted (`users`, `places`, `conversations`, `turns`), how much, the most there should be."""

    sign: str
    count: int
    most: int


def signs(used: Sequence[Use], turns_of_day: int, staff: int | None) -> list[Sign]:
    """What speaks against a key by its turns of a day, oldest first; `staff`: how many people it has."""
    people = UNSTATED_STAFF if staff is None else staff
    users = {one.user for one in used if one.user}
    places = {one.country for one in used if one.country}
    found = [
        Sign("users", len(users), people),
        Sign("places", len(places), PLACES_MOST),
        Sign("conversations", _at_once(used), 2 * people),
    ]
    if staff is not None:
        found.append(Sign("turns", turns_of_day, TURNS_EACH * staff))
    return [one for one in found if one.count > one.most]


def _at_once(used: Iterable[Use]) -> int:
    """The most conversations that had a turn within one moment."""
    open_now: Counter[str] = Counter()
    recent: deque[Use] = deque()
    most = 0
    for one in used:
        if one.conversation is None:
            continue
        recent.append(one)
        open_now[one.conversation] += 1
        while recent[0].at < one.at - MOMENT_MS:
            gone = str(recent.popleft().conversation)
            open_now[gone] -= 1
            if not open_now[gone]:
                del open_now[gone]
        most = max(most, len(open_now))
    return most


SAID: Mapping[str, tuple[str, str]] = {
    "users": (
        "its requests named {count} end users in 24 hours, more than {most}",
        "24 小时内请求中出现 {count} 个终端用户，超过 {most} 个",
    ),
    "places": (
        "it was used from {count} countries in 24 hours, more than {most}",
        "24 小时内在 {count} 个国家（地区）使用，超过 {most} 个",
    ),
    "conversations": (
        "{count} conversations went on within ten minutes, more than {most}",
        "十分钟内有 {count} 个会话同时进行，超过 {most} 个",
    ),
    "turns": (
        "it had {count} turns in a day, more than {most}",
        "一天内有 {count} 轮，超过 {most} 轮",
    ),
}


def in_words(found: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """Signs as an operator reads them, by language."""
    rows = list(found)
    return {
        language: joint.join(SAID[str(one["sign"])][at].format(**one) for one in rows)
        for at, (language, joint) in enumerate((("en", "; "), ("zh", "；")))
    }
