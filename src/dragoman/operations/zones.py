"""`dragoman zones check`: where each zone's data lies, and whether zones keep to themselves and agree.

It reads configurations, packs and folders, changes nothing and needs no running zone.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from dragoman.checks.results import Result, filled
from dragoman.checks.zone_checks import DATABASE
from dragoman.control.loaded import Loaded, read_all
from dragoman.control.own_temp import TEMP
from dragoman.control.rule_check import compile_rules
from dragoman.core.decision import Text
from dragoman.decide.packs import PackSet
from dragoman.policy.data_classes import declared
from dragoman.settings import Settings
from dragoman.stores.migrate import columns_of

FILES_LOOKED_AT = 100_000
"""LIMIT: names below a data folder that are looked at."""
ANY_ADDRESS = frozenset({"0.0.0.0", "[::]", "::", "*"})  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True)
class OneZone:
    """A zone as its configuration has it. `file` None: the built-in default."""

    file: Path | None
    loaded: Loaded

    @property
    def settings(self) -> Settings:
        """What stands in the file."""
        return self.loaded.settings

    @property
    def id(self) -> str:
        """The zone's name."""
        return self.settings.zone.id

    def shown(self) -> str:
        """The configuration, as it was named."""
        return str(self.file or "the built-in default")

    def folders(self) -> dict[str, Path]:
        """The folders of the zone by what they are, where they really lie."""
        data = self.settings.zone.data
        found = {
            "zone.data": data,
            "journal": self.settings.journal.folder or data / "journal",
            "registry": data / "registry",
            "backups": data / "backups",
            "temp": data / TEMP,
            "knowledge": data / "knowledge",
            "run": data / "run",
            "secrets": data / "secrets",
        }
        return {name: path.resolve() for name, path in found.items()}

    def places(self) -> Iterator[tuple[str, Text]]:
        """Each data class with a place."""
        told = self.settings.telemetry
        data = self.settings.zone.data
        journal = self.settings.journal.folder or data / "journal"
        yield from declared().places(
            {
                "journal": str(journal),
                "collector": told.otlp_endpoint or "-",
                "metrics": self.settings.zone.admin_listen,
            }
        )


def read(files: list[Path | None]) -> list[OneZone]:
    """The zones of some configurations, as control would read them. Raises ConfigError."""
    return [OneZone(file, read_all(file, compile_rules, look_for_keys=False)) for file in files]


def findings(zones: list[OneZone]) -> list[Result]:
    """Everything that is wrong: of each zone alone, then between each two."""
    found = [one for zone in zones for one in _alone(zone, {other.id for other in zones})]
    for one, other in itertools.combinations(zones, 2):
        found += _between(one, other)
    found += _countries(zones)
    return found


@cache
def _known() -> dict[str, dict[str, str]]:
    return tomllib.loads(resources.files(__package__).joinpath("zones.toml").read_text("utf-8"))


def _result(code: str, **values: object) -> Result:
    return filled(code, _known()[code], values)


def _alone(zone: OneZone, given: set[str]) -> Iterator[Result]:
    settings = zone.settings
    for name in settings.zones:
        if name not in given:
            yield _result("zone_unseen", zone=zone.id, other=name)
    if settings.zone.country is None:
        yield _result("country_unset", zone=zone.id)
    yield from _destinations(zone)
    yield from _stored(zone)


def _destinations(zone: OneZone) -> Iterator[Result]:
    """What leaves the zone's country. What it does not permit does not load."""
    country = zone.settings.zone.country
    for setting, countries in zone.settings.destinations().items():
        if not countries:
            yield _result("place_unknown", zone=zone.id, setting=setting)
        for to in countries if country is not None else ():
            if to != country:
                rules = transfer_rules(zone.loaded.packs, str(country), to)
                code = "within_one_law" if rules == [] else "transfer" if rules else "transfer_unruled"
                ways = {"setting": setting, "country": country, "to": to}
                yield _result(code, zone=zone.id, **ways, rules=", ".join(rules or ()))


def transfer_rules(packs: PackSet, country: str, to: str) -> list[str] | None:
    """The rules of transfers for which a way from one country to another is one.

    Empty: the law that has such rules covers both countries. None: no pack of the country has one.
    """
    found = [
        (pack, rule.rule_id)
        for pack in packs.by_country.get(country, ())
        for rule in packs.packs[pack].rules
        if rule.kind == "transfer"
    ]
    there = packs.by_country.get(to, ())
    return [rule for pack, rule in found if pack not in there] if found else None


def _stored(zone: OneZone) -> Iterator[Result]:
    data = zone.settings.zone.data
    for path in (data, *sorted(data.glob("*"))[:FILES_LOOKED_AT]):
        if path.is_symlink():
            country = zone.settings.zone.country or "-"
            yield _result("folder_link", zone=zone.id, path=path, to=path.resolve(), country=country)
    if (data / DATABASE).is_file():
        for what in declared().undeclared(columns_of(data / DATABASE)):
            yield _result("undeclared", zone=zone.id, what=what)
    for path in strange_files(data):
        yield _result("file_undeclared", zone=zone.id, path=path)


def strange_files(data: Path) -> list[Path]:
    """Files below a data folder that belong to no data class, in order."""
    files = itertools.islice((path for path in data.rglob("*") if not path.is_dir()), FILES_LOOKED_AT)
    return sorted(path for path in files if declared().class_of(path.relative_to(data).as_posix()) is None)


def _between(one: OneZone, other: OneZone) -> Iterator[Result]:
    pair = {"zone": one.id, "other": other.id}
    if one.id == other.id:
        yield _result("zone_twice", one=one.shown(), other=other.shown(), zone=one.id)
    yield from _folders(one, other)
    for (what, address), (other_what, other_address) in itertools.product(_listens(one), _listens(other)):
        if _same(address, other_address):
            yield _result("address_twice", **pair, what=what, other_what=other_what, address=address)
    url = one.settings.telemetry.otlp_endpoint
    if url is not None and url == other.settings.telemetry.otlp_endpoint:
        yield _result("collector_twice", **pair, url=url)
    for here, there in ((one, other), (other, one)) if one.id != other.id else ():
        named = here.settings.zones.get(there.id)
        own = there.settings.public_url()
        if named is None:
            yield _result("zone_unnamed", zone=here.id, other=there.id, own=own)
        elif named.address.rstrip("/") != own:
            yield _result("address_wrong", zone=here.id, other=there.id, address=named.address, own=own)


def _folders(one: OneZone, other: OneZone) -> Iterator[Result]:
    """Folders that are the same or lie in one another, the outermost pair alone."""
    told: list[tuple[Path, Path]] = []
    for (what, path), (other_what, other_path) in itertools.product(
        one.folders().items(), other.folders().items()
    ):
        overlap = path.is_relative_to(other_path) or other_path.is_relative_to(path)
        if not overlap or any(path.is_relative_to(a) and other_path.is_relative_to(b) for a, b in told):
            continue
        told.append((path, other_path))
        yield _result(
            "folder_shared",
            what=what,
            zone=one.id,
            other_what=other_what,
            other=other.id,
            path=path,
            other_path=other_path,
        )


def _listens(zone: OneZone) -> list[tuple[str, str]]:
    settings = zone.settings
    found = [("zone.listen", settings.zone.listen), ("zone.admin_listen", settings.zone.admin_listen)]
    admin = settings.admin.address(settings.zone.admin_listen)
    return [*found, *([("admin.listen", admin)] if admin is not None else [])]


def _same(one: str, other: str) -> bool:
    """Whether two listeners want one port of one address; port 0 is whatever is free."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    return port == other_port != "0" and (host == other_host or bool(ANY_ADDRESS & {host, other_host}))


def _countries(zones: list[OneZone]) -> Iterator[Result]:
    """Every country belongs to one zone, whichever configuration is asked."""
    belongs: dict[str, tuple[str, str]] = {}
    for zone in zones:
        for name, named in zone.settings.zones.items():
            for country in named.countries:
                other, other_by = belongs.setdefault(country, (name, zone.shown()))
                if other != name:
                    yield _result(
                        "country_twice",
                        country=country,
                        zone=other,
                        by=other_by,
                        other=name,
                        other_by=zone.shown(),
                    )
    for zone in zones:
        routed = {country for named in zone.settings.zones.values() for country in named.countries}
        for country, (name, by) in sorted(belongs.items()):
            if name != zone.id and country not in routed:
                yield _result("country_kept", zone=zone.id, country=country, by=by, other=name)


def told(zones: list[OneZone], found: list[Result]) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "zones": [_zone_told(zone) for zone in zones],
        "classes": {
            name: {**title, "kept": declared().kept[name]} for name, title in declared().titles.items()
        },
        "findings": [vars(one) for one in found],
    }


def _zone_told(zone: OneZone) -> Mapping[str, Any]:
    settings = zone.settings
    return {
        "zone": zone.id,
        "config": str(zone.file) if zone.file else None,
        "country": settings.zone.country,
        "transfers": list(settings.zone.transfers),
        "public_url": settings.public_url(),
        "folders": {name: str(path) for name, path in zone.folders().items()},
        "listens": dict(_listens(zone)),
        "destinations": {name: list(one) for name, one in settings.destinations().items()},
        "collector": settings.telemetry.otlp_endpoint,
        "places": [{"class": name, **text} for name, text in zone.places()],
    }
