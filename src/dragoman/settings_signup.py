"""The table `[sms]`: the gateway that sends codes to phones, and how many may go where."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dragoman.sentences import HTTP_ON_LOOPBACK, NAME_OF_KEY, ONE_KEY, Sentence
from dragoman.settings_admin import ENV_NAME, LOOPBACK

MAX_CODES = 1_000_000_000
"""LIMIT: the most a number of codes may be set to; in effect none."""
_Codes = Annotated[int, Field(ge=0, le=MAX_CODES)]


class Sms(BaseModel):
    """Codes to phones: the gateway, what it may cost, what whoever signed up may use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = None
    """Where a message is posted (`docs/signup.md`). None: nobody can sign up."""
    key_env: str | None = None
    """The variable that holds the gateway's credential."""
    key_file: Path | None = None
    """The file that holds it."""
    sender: str | None = Field(default=None, min_length=1, max_length=32)
    """Whom the message comes from; None: as the gateway has it."""
    timeout_ms: int = Field(default=5_000, ge=100, le=9_000)
    """Milliseconds the gateway may take for one of two attempts; whoever asks for a code waits so long."""
    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    """Where the gateway processes numbers. None: unknown."""
    countries: tuple[str, ...] = ()
    """Countries whose numbers get codes; none named: all."""
    country_per_hour: _Codes = 5_000
    """Codes to numbers of one country in an hour."""
    country_per_day: _Codes = 50_000
    prefix_per_hour: _Codes = 500
    """Codes to numbers that begin alike: the country code and three digits."""
    prefix_per_day: _Codes = 2_000
    breaker_unproven: int = Field(default=100, ge=1, le=MAX_CODES)
    """So many codes of a prefix, of this hour and the last, that nobody gave back may stop it."""
    breaker_percent: int = Field(default=20, ge=0, le=100)
    """And they do where fewer than this share of all of them were given back."""
    second_proof_days: int = Field(default=30, ge=1, le=3_650)
    """Days after which a number may have gone to somebody else: a code alone opens its account no more."""
    models: tuple[str, ...] = ()
    """Models of other providers that whoever signed up may use, besides the built-in one."""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(
                Sentence(
                    "write a whole URL, for example https://sms.example.org/messages",
                    "请写完整网址，例如 https://sms.example.org/messages",
                )
            )
        if parts.username or parts.password or parts.fragment:
            raise ValueError(
                Sentence(
                    "the URL carries no credential; give it by key_env or key_file",
                    "网址中不得含凭据；请用 key_env 或 key_file 给出",
                )
            )
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError(HTTP_ON_LOOPBACK)
        return value

    @field_validator("countries")
    @classmethod
    def _codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if bad := [one for one in value if not re.fullmatch("[A-Z]{2}", one)]:
            told = ", ".join(bad)
            raise ValueError(
                Sentence(
                    f"ISO 3166-1 codes in capitals, not {told}", f"须为大写的 ISO 3166-1 代码，不能是 {told}"
                )
            )
        return value

    @field_validator("key_env")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        if value is not None and not ENV_NAME.match(value):
            raise ValueError(NAME_OF_KEY)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.key_env is not None and self.key_file is not None:
            raise ValueError(ONE_KEY)
        return self

    def anchored(self, at: Callable[[Path | None], Path | None]) -> Self:
        """The same with the relative path resolved."""
        return self.model_copy(update={"key_file": at(self.key_file)})
