"""From which country an administrator asks, and what that means for what people wrote.

Who is known to be abroad is refused, or let in with the transfer in the ledger, as `admin.abroad` says. An
address of this machine says nothing of where the person sits, so it is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from dragoman import _native
from dragoman.admin.table import Visitor
from dragoman.errors import RefusedError
from dragoman.settings import Settings

LOOK_UPS_KEPT = 1_024
"""LIMIT: addresses whose country is remembered while the files stay as they are."""


def country_of(visitor: Visitor, settings: Settings) -> str | None:
    """The country of the visitor's address by `edge.address_files`; None where that is unknown."""
    files = settings.edge.address_files
    if visitor.near or not files:
        return None
    return _looked_up(files, _changed(files), visitor.address.partition("/")[0])


def is_here(visitor: Visitor, settings: Settings) -> bool:
    """Whether nothing goes abroad by what the visitor is shown; without `zone.country` nothing does."""
    home = settings.zone.country
    if home is None:
        return True
    country = country_of(visitor, settings)
    return country == home or (country is None and settings.admin.place_unknown == "open")


def entry_of(visitor: Visitor, settings: Settings, path: str) -> Mapping[str, str | None] | None:
    """What the ledger has to hold before the visitor is shown what people wrote; None: nothing.

    Raises RefusedError 403 for who may not see it from there.
    """
    if is_here(visitor, settings):
        return None
    country = country_of(visitor, settings)
    if settings.admin.abroad == "deny":
        raise RefusedError(403, "abroad", _refusal(str(settings.zone.country), country))
    return {"act": "staff.transfer", "by": visitor.by, "country": country, "path": path}


def _refusal(home: str, country: str | None) -> dict[str, str]:
    where = {"en": country or "a place that is not known", "zh": country or "未知地点"}
    return {
        "en": f"What people wrote and what was decided of them is shown in {home} alone; you ask from "
        f"{where['en']}. Ask a colleague there, or have admin.abroad changed.",
        "zh": f"用户所写的内容及对其作出的决定仅可在 {home} 境内查看；您的访问来自{where['zh']}。"
        "请由当地同事查看，或请运营者修改 admin.abroad。",
    }


def _changed(files: tuple[Path, ...]) -> tuple[int, ...]:
    """When each file was last changed (ns): what is remembered holds until then; a missing one is 0."""
    return tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in files)


@lru_cache(maxsize=LOOK_UPS_KEPT)
def _looked_up(files: tuple[Path, ...], _changed: tuple[int, ...], address: str) -> str | None:
    told = json.loads(_native.look_up_addresses(list(files), [address]))
    if any(one["error"] is not None for one in told["files"]):
        return None  # as at the public port: one file that cannot be read makes every address unknown
    country: str | None = told["addresses"][0].get("country")
    return country
