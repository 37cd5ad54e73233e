"""One-time codes against a slow oracle that keeps the whole history and counts it anew, with clocks that jump."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

import pytest

from dragoman.accounts import codes
from dragoman.accounts.codes import (
    ATTEMPTS,
    CODE_MS,
    CODES_PER_DAY,
    CODES_PER_HOUR,
    DAY_MS,
    HOUR_MS,
    OPEN,
    RESEND_MS,
    SKEW_MS,
    USED,
    VOID,
    WRONG_PER_DAY,
)
from dragoman.core.people import Challenge, Phone, Sent

PHONE = Phone("00", ("DE",), "mobile", "+49", "+49151", "DE")
CASES = int(os.environ.get("DRAGOMAN_CASES", "200"))
STEPS = 120


@dataclass
class Oracle:
    """What happened: sends as (made, was it void), tries as (code, instant, right, opened)."""

    sends: list[tuple[int, bool]] = field(default_factory=list)
    tries: list[tuple[int, int, bool, bool]] = field(default_factory=list)

    def may_send(self, now: int) -> bool:
        """Said again in words: a pause since the last that went, so many in an hour, so many in a day."""
        went = [made for made, void in self.sends if not void and made <= now]
        if went and now - max(went) < RESEND_MS:
            return False
        within = {span: [m for m, _ in self.sends if m > now - span] for span in (HOUR_MS, DAY_MS)}
        return len(within[HOUR_MS]) < CODES_PER_HOUR and len(within[DAY_MS]) < CODES_PER_DAY

    def opens(self, code: int, right: bool, now: int) -> bool | None:
        """Whether a try opens; None where it does not even count."""
        made, void = self.sends[code]
        mine = [one for one in self.tries if one[0] == code]
        wrong = sum(1 for of, *_, opened in self.tries if self.sends[of][0] > now - DAY_MS and not opened)
        dead = (
            void
            or any(opened for *_, opened in mine)
            or len(mine) >= ATTEMPTS
            or wrong >= WRONG_PER_DAY
            or now >= made + CODE_MS
            or now < made - SKEW_MS
        )
        return None if dead else right


def step(draw: random.Random, now: int) -> int:
    """The clock goes on a little, rests at an edge, or jumps either way."""
    edges = [0, 1, 1_000, RESEND_MS - 1, RESEND_MS, CODE_MS - 1, CODE_MS, HOUR_MS, DAY_MS, 3 * DAY_MS]
    move = draw.choice(edges) + draw.choice([0, 0, 1, -1])
    return max(DAY_MS, now + (move if draw.random() < 0.85 else -move))


def drive(draw: random.Random, broken: str | None = None) -> None:
    """A history of one number, each step compared; `broken` makes the machine wrong in one way."""
    oracle, made, now = Oracle(), [], 1_795_000_000_000

    def earlier(at: int) -> list[Challenge]:
        return [one for one in made if one.created_at > at - DAY_MS]

    for _ in range(STEPS):
        now = step(draw, now)
        kind = draw.random()
        if kind < 0.35 or not made:
            may = codes.wait_ms(earlier(now), now) == 0
            if broken == "hour" and not may:
                may = codes.wait_ms([one for one in made if now - one.created_at < HOUR_MS / 2], now) == 0
            assert may == oracle.may_send(now), f"send at {now}"
            if may:
                void = draw.random() < 0.1
                state = VOID if void else OPEN
                made.append(Challenge(str(len(made)), PHONE, "c", state, 0, now, now + CODE_MS))
                oracle.sends.append((now, void))
            continue
        which = draw.randrange(max(0, len(made) - 3), len(made))
        right = draw.random() < 0.3
        expected = oracle.opens(which, right, now)
        given = made[which]
        if broken == "expiry":
            given = Challenge(*[getattr(given, n) for n in Challenge.__slots__[:-1]], 2**60)
        elif broken == "attempts":
            given = Challenge(given.challenge, PHONE, "c", given.state, 0, given.created_at, given.expires_at)
        after, opened = codes.tried(given, earlier(now), right, now)
        assert opened == bool(expected), f"try at {now}"
        if expected is not None:
            oracle.tries.append((which, now, right, opened))
            assert after.attempts == made[which].attempts + 1
            assert after.state == (USED if opened else OPEN)
        made[which] = after if broken is None else made[which]
        if broken is not None and expected is not None:
            made[which] = Challenge(
                str(which), PHONE, "c", USED if opened else OPEN, made[which].attempts + 1,
                made[which].created_at, made[which].expires_at,
            )  # fmt: skip


def test_codes_do_as_the_oracle_counts() -> None:
    seed = int(os.environ.get("DRAGOMAN_SEED", str(random.SystemRandom().randrange(2**32))))
    print(f"DRAGOMAN_SEED={seed}")
    for fixed in (*range(CASES // 2), *(seed + n for n in range(CASES // 2))):
        drive(random.Random(fixed))


@pytest.mark.parametrize("broken", ["expiry", "attempts", "hour"])
def test_a_machine_that_is_wrong_in_one_way_is_caught(broken: str) -> None:
    with pytest.raises(AssertionError):
        for seed in range(CASES):
            drive(random.Random(seed), broken)


def test_every_wait_ends_when_it_says() -> None:
    draw = random.Random(7)
    for _ in range(CASES):
        now, made = 1_795_000_000_000, []
        for n in range(draw.randrange(12)):
            at = now - draw.choice([0, 30_000, RESEND_MS, HOUR_MS - 1, HOUR_MS, DAY_MS - 1, -5_000])
            made.append(Challenge(str(n), PHONE, "c", OPEN, 0, at, at + CODE_MS))
        wait = codes.wait_ms(made, now)
        assert 0 <= wait <= DAY_MS
        later = [one for one in made if one.created_at > now + wait - DAY_MS]
        if all(one.created_at <= now for one in made):
            assert codes.wait_ms(later, now + wait) == 0
            assert wait == 0 or codes.wait_ms(made, now + wait - 1) > 0


def test_codes_are_six_digits_and_no_two_runs_agree() -> None:
    found = [codes.fresh() for _ in range(2_000)]
    assert all(len(one) == 6 and one.isdecimal() for one in found)
    assert len(set(found)) > 1_900
    assert {one[0] for one in found} == set("0123456789"), "a zero in front is kept"


def test_the_breaker_sees_codes_that_nobody_gives_back() -> None:
    assert not codes.is_pumped([Sent(99, 0)], 100, 20), "too few to tell"
    assert codes.is_pumped([Sent(100, 0)], 100, 20)
    assert codes.is_pumped([Sent(60, 5), Sent(60, 5)], 100, 20), "this hour and the last"
    assert not codes.is_pumped([Sent(1_000, 300)], 100, 20), "a launch: many are on their way"
    assert not codes.is_pumped([Sent(1_000, 0)], 100, 0), "an operator that turned it off"
