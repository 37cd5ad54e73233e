"""What a plan says of use and cost: limits and rates that apply, and each attempt's bounds and price.

A limit that cannot be kept refuses the plan: nothing is ever reserved without a bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.budgets.book import Book, limit_document
from dragoman.budgets.bounds import lacking
from dragoman.control.loaded import Attempt
from dragoman.errors import RefusedError
from dragoman.events import LimitUnkept, emit
from dragoman.providers.prices import PriceBook


@dataclass(frozen=True, slots=True)
class Bounds:
    """Parts of a plan in the wire's form, and until when they hold (ms UTC)."""

    attempts: list[dict[str, Any]]
    budgets: list[dict[str, Any]]
    rates: list[dict[str, Any]]
    holds_until: int


def bounds_of(  # noqa: PLR0913, PLR0917 - what a plan is made of, named where it is called
    book: Book,
    question: Mapping[str, Any],
    slug: str | None,
    ways: Sequence[Attempt],
    prices: PriceBook,
    now: int,
    cap: int,
) -> Bounds:
    """The bounds of a turn of this question. Raises RefusedError 503 for a limit that cannot be kept."""
    limits = book.for_plan(question, slug) if ways else []
    for limit in limits:
        if problems := lacking(limit, question["model"], ways, prices, now):
            emit(LimitUnkept(limit.id, question["model"], " ".join(one["en"] for one in problems)))
            raise _unenforceable()
    changes = (prices.changes_after(way.provider, way.model, now) for way in ways)
    return Bounds(
        [_attempt(way, prices, now) for way in ways],
        [limit_document(limit) for limit in limits],
        [rate for rate in book.rates_for_plan(question, slug) if ways or rate["unit"] == "requests"],
        min([cap, *(at for at in changes if at is not None)]),
    )


def _attempt(way: Attempt, prices: PriceBook, now: int) -> dict[str, Any]:
    price = prices.at(way.provider, way.model, now)
    return {
        "provider": way.provider,
        "model": way.model,
        "max_output_tokens": way.max_output_tokens,
        "max_input_tokens": way.max_input_tokens,
        "output_field": way.output_field,
        "price": None if price is None else price.to_wire(),
    }


def _unenforceable() -> RefusedError:
    """What the caller reads: names of providers and limits are the operator's, and stand in the log."""
    text = {
        "en": "A limit cannot be kept, so nothing is asked of this model. The operator sees why in the log.",
        "zh": "限额无法执行，因此不调用该模型。运营者可在日志中看到原因。",
    }
    return RefusedError(503, "limit_unenforceable", text)
