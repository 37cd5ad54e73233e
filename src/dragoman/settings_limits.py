"""The tables of `dragoman.toml` about what may be used and what it costs: models, limits, rates, prices.

Read once by `settings`; `budgets` works with these values as they are. Amounts are integers: money in
millionths of one unit of a currency, prices in the same per million tokens.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dragoman.sentences import Sentence

AMOUNT_MAX = 2**53 - 1
"""LIMIT: the most a limit or a price may be: the record takes no larger integer."""
OUTPUT_MAX = 10_000_000
"""LIMIT: tokens of one answer that may be configured."""
CONTEXT_MAX = 2_000_000
"""LIMIT: tokens of a conversation that go to a model at once: what fits into a request's body."""
LIMIT_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_KEY = r"^key_[a-z0-9-]{1,32}_[0-9a-f-]{36}$"
_CURRENCY = r"^[A-Z]{3}$"


class Table(BaseModel):
    """A table of the file: closed, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Table):
    """A name that callers use, and what stands behind it."""

    provider: str
    model: str = Field(min_length=1, max_length=200)
    fallbacks: tuple[str, ...] = ()
    """Names of other models, tried in order when this one fails before its first byte."""
    max_output_tokens: int | None = Field(default=None, ge=1, le=OUTPUT_MAX)
    """The most tokens of one choice, asked of the provider where the caller asks for more or for nothing."""
    max_input_tokens: int | None = Field(default=None, ge=1, le=OUTPUT_MAX)
    """The model's context: what an input with images, sound or files costs at the most."""
    context_tokens: int | None = Field(default=None, ge=512, le=CONTEXT_MAX)
    """Tokens of question, history and answer of a conversation. None: `max_input_tokens`, else 8,192."""


class Limit(Table):
    """How much may be used in a window of time. Windows are UTC."""

    id: str = Field(pattern=LIMIT_ID)
    tenant: str | None = None
    app: str | None = None
    model: str | None = None
    key: str | None = Field(default=None, pattern=_KEY)
    each: Literal["tenant", "key", "app", "end_user", "model"] | None = None
    """One bucket for each such thing; None: one for all that the limit concerns."""
    unit: Literal["requests", "tokens", "money"]
    currency: str | None = Field(default=None, pattern=_CURRENCY)
    per: Literal["minute", "hour", "day", "month"]
    most: int = Field(ge=0, le=AMOUNT_MAX)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.unit == "money") != (self.currency is not None):
            raise ValueError(
                Sentence(
                    'a limit of money names its currency (currency = "EUR"), no other does',
                    '按金额的限额须写明币种（currency = "EUR"），其他限额不写',
                )
            )
        return self


class Rate(Table):
    """How fast each key or end user may ask, per minute, or how many turns it may have open at once."""

    id: str = Field(pattern=LIMIT_ID)
    tenant: str | None = None
    model: str | None = None
    key: str | None = Field(default=None, pattern=_KEY)
    each: Literal["key", "end_user"] = "key"
    unit: Literal["requests", "tokens", "concurrent"]
    most: int = Field(ge=1, le=1_000_000_000)
    """Per minute; of `concurrent`, at once."""
    burst: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """How much may come at once after a pause; None: a minute's worth."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.unit == "concurrent" and self.burst is not None:
            raise ValueError(
                Sentence(
                    "turns open at once have no burst; leave it out", "同时进行的轮数没有突发量，请勿写 burst"
                )
            )
        return self


class Price(Table):
    """What a provider's model costs, in millionths of a currency's unit per million tokens."""

    provider: str
    """A provider of this file."""
    model: str = Field(min_length=1, max_length=200)
    """The model's name at the provider."""
    currency: str = Field(pattern=_CURRENCY)
    input: int = Field(ge=0, le=AMOUNT_MAX)
    output: int = Field(ge=0, le=AMOUNT_MAX)
    cached: int | None = Field(default=None, ge=0, le=AMOUNT_MAX)
    """Of input tokens that the provider says it had cached; None: as `input`."""
    valid_from: dt.date | None = None
    valid_until: dt.date | None = None
    """The first day on which it no longer holds."""
    source: str | None = Field(default=None, max_length=500)
