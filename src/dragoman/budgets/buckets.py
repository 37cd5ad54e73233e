"""Names of buckets, and how much of one may be granted. Pure arithmetic; `stores.budgets` keeps the numbers.

A bucket is `<limit>:<window>:<thing>`. INVARIANT: no grant makes what is spent and held exceed the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.budgets.periods import Window, window_named
from dragoman.settings_limits import Limit

SHARE = 4
"""Beyond what is needed a grant takes at most this part of what is left: grants shrink near a limit."""
BUCKET_CHARS = 400
"""LIMIT: characters of a bucket's name."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket's name, taken apart."""

    limit: str
    window: Window
    thing: str

    @property
    def is_zone(self) -> bool:
        """Whether it belongs to the zone: several tenants may draw on it."""
        return self.thing == "*" or self.thing.startswith("m/")


def parse(name: str) -> Bucket:
    """The parts of a bucket's name. Raises ValueError."""
    parts = name.split(":", 2)
    if len(name) > BUCKET_CHARS or len(parts) != 3 or not all(parts):
        raise ValueError(f"{name[:80]!r} is no bucket")
    return Bucket(parts[0], window_named(parts[1]), parts[2])


def is_shown(limit: Limit) -> bool:
    """Whether all numbers of the limit's buckets are one tenant's, so that its callers may read them."""
    one = limit.tenant is not None or limit.key is not None
    return one or limit.each in {"tenant", "key", "app", "end_user"}


def grant(most: int, taken: int, need: int, want: int) -> int:
    """How much to grant: at least `need` or nothing, and more while plenty is left.

    `taken` is what is spent and what relays hold already.
    """
    left = most - taken
    if need <= 0 or left < need:
        return 0
    return max(need, min(want, left // SHARE))
