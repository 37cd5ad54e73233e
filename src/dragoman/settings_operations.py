"""The tables `[log]` and `[telemetry]` of the configuration: what a zone says of itself, and to whom."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

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
            raise ValueError("write a whole URL, for example https://collector.example:4318")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("it carries no credentials, query or fragment")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("http is for loopback only; use https")
        return value.rstrip("/")
