"""What models cost on a day: the operator's own prices, then the shipped ones (prices.toml)."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from dragoman.settings_limits import AMOUNT_MAX, Price, Table
from dragoman.settings_providers import Provider

_FILE = Path(__file__).with_name("prices.toml")


class Shipped(Table):
    """A published price."""

    pack: str
    model: str
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    input: int = Field(ge=0, le=AMOUNT_MAX)
    output: int = Field(ge=0, le=AMOUNT_MAX)
    cached: int | None = Field(default=None, ge=0, le=AMOUNT_MAX)
    valid_from: dt.date | None = None
    valid_until: dt.date | None = None
    source: str = Field(pattern=r"^https://")
    read: dt.date
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What a model costs, in millionths of the currency's unit per million tokens; None: nothing."""

    currency: str | None
    input: int
    cached: int
    output: int
    source: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """As a plan carries it."""
        return {"currency": self.currency, "input": self.input, "cached": self.cached, "output": self.output}


FREE = Known(None, 0, 0, 0, "built in")
"""The built-in provider calls nobody."""


def load_shipped() -> tuple[Shipped, ...]:
    """The shipped prices."""
    tree = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(Shipped(**row) for row in tree["prices"])


class PriceBook:
    """Prices by provider of the file and the model's name there."""

    def __init__(
        self,
        own: Sequence[Price],
        shipped: Sequence[Shipped],
        providers: Mapping[str, Provider],
        packs: Mapping[str, str | None],
    ) -> None:
        self._own = own
        self._shipped = shipped
        self._providers = providers
        self._packs = packs

    def at(self, provider: str, model: str, now: int) -> Known | None:
        """What a model costs at an instant (ms UTC), or None where nobody states it or it is uncertain."""
        if self._providers[provider].kind == "local":
            return FREE
        day = dt.datetime.fromtimestamp(now / 1000, dt.UTC).date()
        for price in self._of(provider, model):
            if _holds(price, day):
                return None if isinstance(price, Shipped) and price.uncertain else _known(price)
        return None

    def changes_after(self, provider: str, model: str, now: int) -> int | None:
        """When the price next changes (ms UTC)."""
        edges = [day for price in self._of(provider, model) for day in (price.valid_from, price.valid_until)]
        at = (_ms(day) for day in edges if day is not None)
        return min((edge for edge in at if edge > now), default=None)

    def rows(self, now: int) -> list[dict[str, Any]]:
        """Every price that is known of, as `dragoman prices list` shows it."""
        day = dt.datetime.fromtimestamp(now / 1000, dt.UTC).date()
        both: list[Price | Shipped] = [*self._own, *self._shipped]
        return [_row(price, _holds(price, day)) for price in both]

    def _of(self, provider: str, model: str) -> Iterable[Price | Shipped]:
        yield from (p for p in self._own if (p.provider, p.model) == (provider, model))
        pack = self._packs.get(provider)
        yield from (p for p in self._shipped if pack is not None and (p.pack, p.model) == (pack, model))


def _row(price: Price | Shipped, holds: bool) -> dict[str, Any]:
    shipped = isinstance(price, Shipped)
    return {
        "from": price.pack if isinstance(price, Shipped) else price.provider,
        "model": price.model,
        "currency": price.currency,
        "input": price.input,
        "cached": price.cached,
        "output": price.output,
        "valid_from": str(price.valid_from) if price.valid_from else None,
        "valid_until": str(price.valid_until) if price.valid_until else None,
        "holds": holds,
        "uncertain": price.uncertain if isinstance(price, Shipped) else False,
        "source": price.source or (None if shipped else "configuration"),
        "read": str(price.read) if isinstance(price, Shipped) else None,
    }


def _holds(price: Price | Shipped, day: dt.date) -> bool:
    begun = price.valid_from is None or price.valid_from <= day
    return begun and (price.valid_until is None or day < price.valid_until)


def _known(price: Price | Shipped) -> Known:
    cached = price.input if price.cached is None else price.cached
    return Known(price.currency, price.input, cached, price.output, price.source)


def _ms(day: dt.date) -> int:
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp()) * 1000
