"""The tables `[log]` and `[telemetry]` of the configuration: what a zone says of itself, and to whom."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Log(_Closed):
    """Lines on standard error, of control, relay and supervisor alike."""

    format: Literal["json", "text"] = "json"
    level: Literal["debug", "info", "error"] = "info"
