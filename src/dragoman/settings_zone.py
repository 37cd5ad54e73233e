"""The tables `[zone]` and `[zones.NAME]`: the zone of this pair of processes, and where others are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator

from dragoman.ids import ZONE_PATTERN
from dragoman.sentences import Sentence
from dragoman.settings_limits import Table

COUNTRY = r"^[A-Z]{2}$"


def codes(value: tuple[str, ...]) -> tuple[str, ...]:
    """The same countries. Raises ValueError for what is no code."""
    if bad := [one for one in value if re.match(COUNTRY, one) is None]:
        told = ", ".join(bad)
        raise ValueError(
            Sentence(
                f"ISO 3166-1 codes in capitals, not {told}", f"须为大写的 ISO 3166-1 代码，不能是 {told}"
            )
        )
    return value


class Zone(Table):
    """The residency zone this pair of processes serves."""

    id: str = Field(default="local", pattern=ZONE_PATTERN)
    country: str | None = Field(default=None, pattern=COUNTRY)
    transfers: tuple[str, ...] = ()
    """Countries besides `country` to which what people write may go; you have a ground for each."""
    data: Path = Path("dragoman-data")
    listen: str = "127.0.0.1:8080"
    admin_listen: str = "127.0.0.1:9080"
    hosts: tuple[str, ...] = ()
    public_url: str | None = None
    threads: int = Field(default=2, ge=1, le=256)
    turns: int | None = Field(default=None, ge=1, le=1_000_000)
    lease_ms: int = Field(default=2000, ge=500, le=60_000)
    allotment_ms: int = Field(default=30_000, ge=100, le=600_000)

    @field_validator("listen", "admin_listen")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(
                Sentence("write host:port, for example 127.0.0.1:8080", "请写 主机:端口，例如 127.0.0.1:8080")
            )
        return value

    @field_validator("transfers")
    @classmethod
    def _countries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return codes(value)


class OtherZone(Table):
    """Another zone of this deployment: where to send its people, and whose they are."""

    address: str = Field(pattern=r"^https?://[^\s/]+$")
    countries: tuple[str, ...] = ()
    """People of these countries belong to that zone: a decision for them is ROUTE, never forwarded."""

    @field_validator("countries")
    @classmethod
    def _countries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return codes(value)


def check_transfers(zone: Zone, destinations: Mapping[str, tuple[str, ...]]) -> None:
    """Raise ValueError where something would be processed in a country that the zone does not permit."""
    if zone.country is None:
        return
    permitted = {zone.country, *zone.transfers}
    for name, countries in destinations.items():
        if outside := [one for one in countries if one not in permitted]:
            told = ", ".join(outside)
            raise ValueError(
                Sentence(
                    f"{name}: {told} is outside zone.country {zone.country}. Nothing goes there "
                    "unless zone.transfers names it, which says that you have a ground for the transfer",
                    f"{name}：{told} 不在 zone.country {zone.country} 之内。除非 zone.transfers 写明，"
                    "数据不会去往该处；写明即表示你有传输依据",
                )
            )
