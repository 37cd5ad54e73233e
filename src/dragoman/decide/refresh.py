"""A provider pack with a newer list of places: the change as a person reads it, and the file it would make.

Pure: `cli_refresh` reads the list, shows the change, and writes it once a person approved its digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Any

import tomlkit
from tomlkit.items import Array

from dragoman.decide.iso3166 import named
from dragoman.decide.packs import Pack, read_pack
from dragoman.decide.place_list import PlaceList
from dragoman.decide.provider import BASES
from dragoman.decide.schema import PackError

PER_LINE = 15
"""Codes on one line of the file."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the list stands and of which day it is.

    `basis`: names of `provider.BASES` with commas; needed where the pack has no list yet.
    """

    url: str
    day: date
    basis: str | None = None


@dataclass(frozen=True, slots=True)
class Refresh:
    """What would be written. `digest` names this very change of this very pack."""

    pack: str
    text: str
    digest: str
    came: tuple[str, ...]
    gone: tuple[str, ...]
    parts_came: tuple[str, ...]
    parts_gone: tuple[str, ...]
    before: date | None
    snapshot: date

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "pack": self.pack, "digest": self.digest, "snapshot_date": self.snapshot.isoformat(),
            "before": self.before.isoformat() if self.before else None, "added": list(self.came),
            "removed": list(self.gone), "parts_added": list(self.parts_came),
            "parts_removed": list(self.parts_gone),
        }  # fmt: skip

    def lines(self) -> list[str]:
        """The change in words."""
        out = [f"{self.pack}: list of {self.before or 'no date'} → {self.snapshot}"]
        out += [f"  + {named(code)}" for code in self.came] + [f"  - {named(code)}" for code in self.gone]
        out += [f"  + left out: {code}" for code in self.parts_came]
        out += [f"  - no longer left out: {code}" for code in self.parts_gone]
        return out if len(out) > 1 else [*out, "  the same places"]


def refreshed(pack: Pack, text: str, found: PlaceList, origin: Origin) -> Refresh:
    """The pack (its file is `text`) with this list. Raises PackError for a list that must not stand."""
    provider = pack.provider
    if provider is None:
        raise PackError(f"{pack.id} is no provider pack; only those have a list of places")
    if provider.snapshot_date is not None and origin.day < provider.snapshot_date:
        raise PackError(f"the list is dated {origin.day}, before the loaded one of {provider.snapshot_date}")
    document = tomlkit.parse(_without_comments(text))
    table: Any = document["provider"]
    table["territory_allow"] = _array(found.places)
    table["open_codes"] = _array(found.open_codes)
    table["complete"] = found.complete
    table["snapshot_date"] = origin.day
    table["list_url"] = origin.url
    table["list_format"] = found.form
    table["list_sha256"] = found.sha256
    table.pop("list_note", None)
    if found.note:
        table["list_note"] = found.note
    parts = provider.subdivision_exclude
    if found.subdivisions is not None:
        parts = frozenset(found.subdivisions)
        table["subdivision_exclude"] = _array(found.subdivisions)
    _cite(document, pack, origin, parts=bool(parts))
    _no_longer_reviewed(document["pack"])
    made = tomlkit.dumps(document)
    read_pack(made, f"{pack.id}.toml")
    before, after = provider.territory_allow or frozenset(), set(found.places)
    digest = hashlib.sha256(f"{pack.digest}\n{made}".encode()).hexdigest()
    return Refresh(
        pack=pack.id,
        text=made,
        digest=f"sha256:{digest}",
        came=tuple(sorted(after - before)),
        gone=tuple(sorted(before - after)),
        parts_came=tuple(sorted(parts - provider.subdivision_exclude)),
        parts_gone=tuple(sorted(provider.subdivision_exclude - parts)),
        before=provider.snapshot_date,
        snapshot=origin.day,
    )


def _cite(document: Any, pack: Pack, origin: Origin, *, parts: bool) -> None:
    """The list's source with its day; a pack without list gets one, and the basis its terms have."""
    table = document["provider"]
    if origin.basis is not None:
        names = [one.strip() for one in origin.basis.split(",")]
        unknown = [one for one in names if one not in BASES.split("|")]
        if unknown:
            raise PackError(f"--basis {unknown[0]}: one of {', '.join(BASES.split('|'))}")
        table["basis"] = names
    if "basis" not in table:
        raise PackError(f"{pack.id} has no list yet: say on what its terms look with --basis {BASES}")
    sources = document.setdefault("sources", tomlkit.aot())
    cites = table.setdefault("cites", tomlkit.inline_table())
    source_id = cites.get("territory", "places")
    cites["territory"] = source_id
    certainty = table.setdefault("certainty", tomlkit.inline_table())
    certainty.setdefault("territory", "v")
    if parts:
        cites.setdefault("subdivision", source_id)
        certainty.setdefault("subdivision", "v")
    source = next((one for one in sources if one["id"] == source_id), None)
    if source is None:
        title = f"{pack.title['en']}: list of places"
        source = tomlkit.table()
        source.update({"id": source_id, "title": title})
        source.trivia.indent = "\n"
        sources.append(source)
    source["article"] = f"list of {origin.day}"
    source["url"] = origin.url
    source["retrieved_on"] = origin.day


def _no_longer_reviewed(head: Any) -> None:
    """Who reviewed the pack had not seen this list."""
    head["status"] = "unreviewed"
    for key in ("reviewed_by", "reviewed_on", "review_due", "signature"):
        head.pop(key, None)


def _without_comments(text: str) -> str:
    """Without the lines that speak of the former list: those in [provider] and right above it."""
    out: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == "[provider]"
            while inside and out and out[-1].startswith("#"):
                out.pop()
        if not (inside and line.lstrip().startswith("#")):
            out.append(line)
    return "\n".join(out) + "\n"


def _array(codes: tuple[str, ...]) -> Array:
    rows = [codes[at : at + PER_LINE] for at in range(0, len(codes), PER_LINE)]
    body = "".join("\n  " + "".join(f'"{code}", ' for code in row).rstrip() for row in rows)
    return tomlkit.array(f"[{body}\n]" if rows else "[]")
