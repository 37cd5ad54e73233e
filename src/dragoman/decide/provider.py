"""A provider's terms as data: where it offers its service, to whom, and what its wire accepts.

Read from the `[provider]` table of a pack; `territory` applies it. Every check carries its own source and
certainty, because one pack mixes what was read in official text with what was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from dragoman.core.decision import Citation
from dragoman.decide.civil import DAY_MS
from dragoman.decide.schema import Fields, PackError, Table

LIST_WARN_DAYS = 31  # days after the snapshot: every use warns
LIST_CLOSED_DAYS = 91  # days after the snapshot: new sign-ups close
CHECKS = ("territory", "subdivision", "ownership", "seat", "min_age", "licence")
BASES = "access_location|residence|operator_seat|offered_to"
PROVIDER: Fields = {
    "id": "!str", "route": "!str", "title": "!text", "territory_terms": "bool",
    "territory_allow": "[country]", "open_codes": "[country]", "complete": "bool",
    "subdivision_exclude": "[subdivision]", "basis": f"[{BASES}]", "ownership": "table",
    "min_age": "int", "licence_territory_exclude": "[country]", "list_url": "str",
    "list_format": "str", "list_sha256": "str", "list_note": "str", "snapshot_date": "date", "cites": "{str}",
    "certainty": "{V|v|g|?}", "wire": "table",
}  # fmt: skip
OWNERSHIP: Fields = {"op": "!>|>=", "pct": "!number", "scope": "!str"}
WIRE: Fields = {"fields": "[str]", "headers": "[str]", "blocks": "table"}
BLOCK: Fields = {"pointer": "!str", "equals": "![str]"}


@dataclass(frozen=True, slots=True)
class Wire:
    """What the relay may send and how the vendor says that it blocked.

    `fields` are request fields beyond the standard ones of the route, `headers` caller headers that may pass,
    `blocks` shapes {pointer, equals[]} in an answer that mean the vendor blocked it.
    """

    fields: tuple[str, ...]
    headers: tuple[str, ...]
    blocks: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Ownership:
    """An organisation is refused when owners in unsupported places hold more (`>`, `>=`) than `pct` %."""

    op: str
    pct: float
    scope: str


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """Terms of one (provider, route). `territory_allow` None: no list is known. Compared by identity."""

    pack: str
    id: str
    route: str
    title: Mapping[str, str]
    territory_terms: bool
    territory_allow: frozenset[str] | None
    open_codes: frozenset[str]
    complete: bool
    subdivision_exclude: frozenset[str]
    divided: frozenset[str]
    basis: frozenset[str]
    ownership: Ownership | None
    min_age: int | None
    licence_territory_exclude: frozenset[str]
    list_url: str
    snapshot_date: date | None
    cites: Mapping[str, Citation]
    certainty: Mapping[str, str]
    wire: Wire

    @property
    def depends_on_place(self) -> bool:
        """Whether a term names places, be it of the service or of the weights' licence."""
        lists = (self.subdivision_exclude, self.licence_territory_exclude)
        return self.territory_terms or self.territory_allow is not None or any(lists)

    def listed(self, country: str) -> str:
        """`yes`, `no`, `open` (the incomplete list does not say), or `unknown` (no list)."""
        if self.territory_allow is None:
            return "unknown" if self.territory_terms else "yes"
        if country in self.territory_allow:
            return "yes"
        return "open" if country in self.open_codes else "no"

    def partly(self, country: str) -> bool:
        """Whether the terms leave out parts of this country."""
        return country in self.divided

    def snapshot_at(self, days: int) -> int:
        """The instant (ms UTC) at which the list becomes `days` old."""
        if self.snapshot_date is None:
            raise ValueError(f"provider {self.id} has no dated list")
        midnight = datetime.combine(self.snapshot_date, time(0), UTC)
        return int(midnight.timestamp() * 1000) + days * DAY_MS

    def age_cuts(self) -> set[float]:
        """The ages of the list, in days, at which something changes."""
        return {LIST_WARN_DAYS, LIST_CLOSED_DAYS} if self.territory_allow is not None else set()


def read_provider(data: Any, pack: str, sources: Mapping[str, Citation], where: str) -> Provider:
    """The `[provider]` table. Raises PackError."""
    where = f"{where}: [provider]"
    table = Table(data, where, PROVIDER)
    allow = table.get("territory_allow", None)
    terms = table.get("territory_terms", True)
    complete = table.get("complete", True)
    open_codes = frozenset(table.get("open_codes", ()))
    excluded = frozenset(table.get("subdivision_exclude", ()))
    cites, certainty = _cited(table, sources, where)
    provider = Provider(
        pack=pack,
        id=table.get("id"),
        route=table.get("route"),
        title=table.get("title"),
        territory_terms=terms,
        territory_allow=None if allow is None else frozenset(allow),
        open_codes=open_codes,
        complete=complete,
        subdivision_exclude=excluded,
        divided=frozenset(code.partition("-")[0] for code in excluded),
        basis=frozenset(table.get("basis", ())),
        ownership=_ownership(table.raw("ownership"), where),
        min_age=table.get("min_age", None),
        licence_territory_exclude=frozenset(table.get("licence_territory_exclude", ())),
        list_url=table.get("list_url", ""),
        snapshot_date=table.get("snapshot_date", None),
        cites=cites,
        certainty=certainty,
        wire=_wire(table.raw("wire"), where),
    )
    for key in ("list_format", "list_sha256", "list_note"):
        table.get(key)
    table.done()
    _check(provider, where)
    return provider


def _cited(
    table: Table, sources: Mapping[str, Citation], where: str
) -> tuple[Mapping[str, Citation], Mapping[str, str]]:
    cites = {}
    for check, ref in table.get("cites", {}).items():
        if check not in CHECKS:
            raise PackError(f"{where}: cites.{check} is one of {', '.join(CHECKS)}")
        if ref not in sources:
            raise PackError(f"{where}: source {ref} is not in [[sources]]")
        cites[check] = sources[ref]
    return cites, table.get("certainty", {})


def _ownership(data: Any, where: str) -> Ownership | None:
    if data is None:
        return None
    table = Table(data, f"{where}: ownership", OWNERSHIP)
    ownership = Ownership(table.get("op"), table.get("pct"), table.get("scope"))
    table.done()
    return ownership


def _wire(data: Any, where: str) -> Wire:
    table = Table(data if data is not None else {}, f"{where}: wire", WIRE)
    wire = Wire(table.get("fields", ()), table.get("headers", ()), _blocks(table, where))
    table.done()
    return wire


def _blocks(table: Table, where: str) -> tuple[Mapping[str, Any], ...]:
    blocks = []
    for item in table.raw("blocks") or []:
        inner = Table(item, f"{where}: wire.blocks", BLOCK)
        equals = list(inner.get("equals"))
        blocks.append({"pointer": inner.get("pointer"), "equals": equals})
        inner.done()
    return tuple(blocks)


def _check(provider: Provider, where: str) -> None:
    used = {
        "territory": provider.territory_allow is not None,
        "subdivision": bool(provider.subdivision_exclude),
        "ownership": provider.ownership is not None,
        "seat": "operator_seat" in provider.basis,
        "min_age": provider.min_age is not None,
        "licence": bool(provider.licence_territory_exclude),
    }
    for check, present in used.items():
        if present and (check not in provider.cites or check not in provider.certainty):
            raise PackError(f"{where}: {check} needs a source in cites and a mark in certainty")
        if present and provider.certainty[check] == "?":
            raise PackError(f'{where}: certainty.{check} = "?" may only warn; leave the term out')
    if provider.territory_allow is not None:
        if provider.snapshot_date is None or not provider.basis:
            raise PackError(f"{where}: a territory list needs snapshot_date and basis")
        if provider.open_codes and provider.complete:
            raise PackError(f"{where}: open_codes belong to a list with complete = false")
        if provider.open_codes & provider.territory_allow:
            raise PackError(f"{where}: open_codes and territory_allow overlap")
