"""Frozen values of budgets, between the wire, `budgets` and `stores.budgets`. No I/O, no arithmetic here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Opening:
    """A run of a relay: its log, the index at which its own entries begin, earlier logs with their ends."""

    log: str
    start: int
    earlier: tuple[tuple[str, int], ...]
    at: int


@dataclass(frozen=True, slots=True)
class Ask:
    """What a relay says of one bucket: all it was granted and gave back so far, and what it needs now.

    `tenant` owns the bucket (the zone, where several may draw on it); `most` is the limit's, `ends` its
    window's.
    """

    tenant: str
    bucket: str
    limit: str
    most: int
    ends: int
    granted: int
    returned: int
    need: int
    want: int


@dataclass(frozen=True, slots=True)
class Allotted:
    """What a run was granted of a bucket, in all and before, what it gave back; `taken`: spent or held."""

    bucket: str
    before: int
    granted: int
    returned: int
    taken: int


@dataclass(frozen=True, slots=True)
class Spend:
    """What the result at `index` of a log spent of a bucket."""

    tenant: str
    bucket: str
    limit: str
    ends: int
    index: int
    amount: int


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket as listings show it."""

    tenant: str
    bucket: str
    limit: str
    ends: int
    spent: int
    held: int
