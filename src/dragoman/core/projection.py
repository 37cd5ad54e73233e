"""What a batch of journal entries sums up to, as `_native.project` returns it. A type only."""

from __future__ import annotations

from typing import TypedDict


class Projection(TypedDict):
    """Sums of a batch.

    A usage row is ((tenant, key, app, asked, provider, model, day, status, currency), (turns, input, cached,
    output, turns of unknown usage, spend, turns of unknown price)), the day counted from 1970-01-01 UTC,
    simulated turns left out. A spend is (tenant, bucket, index of the result, amount, more than reserved).
    An intervention is (id, turn, index of the result), an opened log (log, key, origin, at in ms UTC).
    """

    entries: int
    kinds: dict[str, int]
    usage: list[
        tuple[tuple[str, str, str, str, str, str, int, str, str], tuple[int, int, int, int, int, int, int]]
    ]
    spends: list[tuple[str, str, int, int, bool]]
    simulated: int
    interventions: list[tuple[str, str, int]]
    interrupted: list[str]
    opened: list[tuple[str, str, str, int]]
