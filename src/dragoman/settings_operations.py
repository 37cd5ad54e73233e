"""The tables `[log]`, `[telemetry]`, `[retention]`, `[crisis.PLACE]`: how a zone is run."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from dragoman.sentences import HTTP_ON_LOOPBACK, Sentence
from dragoman.settings_admin import LOOPBACK


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Log(_Closed):
    """Lines on standard error, of control, relay and supervisor alike."""

    format: Literal["json", "text"] = "json"
    level: Literal["debug", "info", "error"] = "info"


class Telemetry(_Closed):
    """Where spans of decisions and turns go; nowhere by default. They hold ids and numbers, no text."""

    otlp_endpoint: str | None = None
    """The base URL of an OTLP/HTTP collector, for example https://collector.example:4318."""
    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    """Where the collector stands: it must be `zone.country` where that is set."""
    genai_names: Literal["1.36", "1.37"] = "1.37"
    """The release of OpenTelemetry's GenAI conventions whose attribute names are used."""

    @field_validator("otlp_endpoint")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(
                Sentence(
                    "write a whole URL, for example https://collector.example:4318",
                    "请写完整网址，例如 https://collector.example:4318",
                )
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                Sentence("it carries no credentials, query or fragment", "其中不得含凭据、查询参数或片段")
            )
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError(HTTP_ON_LOOPBACK)
        return value.rstrip("/")


class LocalText(_Closed):
    """A text in every shipped language."""

    en: str = Field(min_length=1, max_length=2000)
    zh: str = Field(min_length=1, max_length=2000)


class Crisis(_Closed):
    """To whom people in crisis are referred at one place."""

    refer: LocalText
    """What a person reads there: the service and how it is reached, in English and Chinese. None ships."""


def _places(value: dict[str, Crisis]) -> dict[str, Crisis]:
    for name in value:
        if re.fullmatch(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", name) is None:
            raise ValueError(
                Sentence(
                    f"{name!r} is no place: write a code of ISO 3166, such as US or US-NY",
                    f"{name!r} 不是地区：请写 ISO 3166 代码，如 US 或 US-NY",
                )
            )
    return value


CrisisPlaces = Annotated[dict[str, Crisis], AfterValidator(_places)]
"""Referrals by the place they are for."""

DAYS_MOST = 36_500
"""LIMIT: days that a setting may ask for; a hundred years."""
RECORD_DAYS_LEAST = 30
"""LIMIT: days for which what was decided and done is kept at the least."""


class Retention(_Closed):
    """How long rows of each class are kept, in days. Where the law asks for longer, that is refused at load.

    Without a value a class is kept as long as the law asks, and as its default says.
    """

    conversations_days: int | None = Field(default=None, ge=1, le=DAYS_MOST)
    """Days after its last change for which a conversation is kept. Without it: until somebody erases it."""
    decisions_days: int | None = Field(default=None, ge=RECORD_DAYS_LEAST, le=DAYS_MOST)
    """Days for which a decision is kept after it was last made. Without it: 200, or as the law asks."""
    interventions_days: int | None = Field(default=None, ge=RECORD_DAYS_LEAST, le=DAYS_MOST)
    """Days for which an intervention is kept with its statement. Without it: 200, or as the law asks."""
    appeals_days: int | None = Field(default=None, ge=RECORD_DAYS_LEAST, le=DAYS_MOST)
    """Days for which an appeal is kept after it came. Without it: until its person is erased."""
    evidence_days: int | None = Field(default=None, ge=1, le=DAYS_MOST)
    """Days evidence is kept after it was decided on, or handed in. Without it: 200, or as the law asks."""
    sign_ins_days: int | None = Field(default=None, ge=RECORD_DAYS_LEAST, le=DAYS_MOST)
    """Days for which ended sessions, links and tokens of admins are kept. Without it: as the decisions."""
    usage_days: int | None = Field(default=None, ge=RECORD_DAYS_LEAST, le=DAYS_MOST)
    """Days for which the counts of usage of a day are kept. Without it: without end."""
