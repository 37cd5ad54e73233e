"""Whether a limit can be kept: the models it concerns need a bound of their answers, and for money a price.

Pure. Asked when files are read, when an administrator sets a limit, and by the planner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from dragoman.settings_limits import Limit


class Way(Protocol):
    """One way to carry a turn."""

    @property
    def provider(self) -> str:
        """The provider's name in the file."""

    @property
    def model(self) -> str:
        """The model's name there."""

    @property
    def max_output_tokens(self) -> int | None:
        """The most tokens of one choice."""


class Priced(Protocol):
    """What a model costs."""

    @property
    def currency(self) -> str | None:
        """None: nothing, in any currency."""


class Prices(Protocol):
    """What models cost at an instant."""

    def at(self, provider: str, model: str, now: int) -> Priced | None:
        """None: nobody states it."""


def faults(
    limits: Iterable[Limit], attempts: Mapping[str, Sequence[Way]], prices: Prices, now: int
) -> list[str]:
    """Why limits cannot be kept, one sentence for each model and lack."""
    found = []
    for limit in limits:
        names = [limit.model] if limit.model is not None else list(attempts)
        for name in names:
            if name not in attempts:
                found.append(f"limits.{limit.id}.model: no model is called {name!r}")
                continue
            found.extend(lacking(limit, name, attempts[name], prices, now))
    return list(dict.fromkeys(found))


def lacking(limit: Limit, name: str, ways: Iterable[Way], prices: Prices, now: int) -> list[str]:
    """What a limit lacks for one model."""
    if limit.unit == "requests":
        return []
    found = []
    for way in ways:
        if way.max_output_tokens is None:
            found.append(
                f"limits.{limit.id}: it counts {limit.unit}, so the answers of {way.model!r} (model {name}) "
                "need a bound: write max_output_tokens under that model"
            )
        if limit.unit == "money" and (why := _unpriced(limit, way, prices, now)):
            found.append(f"limits.{limit.id}: it counts money, and {why}")
    return found


def _unpriced(limit: Limit, way: Way, prices: Prices, now: int) -> str | None:
    price = prices.at(way.provider, way.model, now)
    if price is None:
        named = f"{way.model!r} of provider {way.provider}"
        return f"nobody states with certainty what {named} costs: add [[prices]] for it"
    if price.currency not in {None, limit.currency}:
        return (
            f"{way.model!r} of provider {way.provider} has a price in {price.currency}, not {limit.currency}"
        )
    return None
