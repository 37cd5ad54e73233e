"""The catalogue: fields a wire accepts, and the shapes of a vendor's block (catalogue.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from dragoman.sentences import Sentence
from dragoman.settings_providers import Provider

_FILE = Path(__file__).with_name("catalogue.toml")


class PackWire(Protocol):
    """What a provider pack says of the vendor's wire."""

    @property
    def fields(self) -> Sequence[str]:
        """Request fields beyond the route's standard ones."""

    @property
    def headers(self) -> Sequence[str]:
        """Caller headers that may pass."""

    @property
    def blocks(self) -> Sequence[Mapping[str, Any]]:
        """Shapes {pointer, equals} of the vendor's own block."""


@dataclass(frozen=True)
class Wire:
    """What the relay needs to know of a provider's wire."""

    fields: tuple[str, ...]
    headers: tuple[str, ...]
    blocks: tuple[dict[str, Any], ...]


def load_catalogue() -> dict[str, Any]:
    """The shipped catalogue."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def wire_of(provider: Provider, catalogue: Mapping[str, Any], pack: PackWire | None) -> Wire:
    """Fields, headers and blocks of a provider: its kind's, its pack's, and what the operator adds."""
    kind = catalogue.get(provider.kind, {})
    fields = dict.fromkeys([*kind.get("fields", []), *(pack.fields if pack else ()), *provider.fields])
    headers = dict.fromkeys([*(pack.headers if pack else ()), *provider.headers])
    blocks = [dict(block) for block in (*kind.get("blocks", []), *(pack.blocks if pack else ()))]
    distinct = [block for index, block in enumerate(blocks) if block not in blocks[:index]]
    return Wire(tuple(fields), tuple(headers), tuple(distinct))


def pack_of(provider: Provider, catalogue: Mapping[str, Any]) -> str | None:
    """The pack whose terms apply: the one named, or the one the host belongs to. None: self-hosted.

    Raises ValueError where the file names another pack than the host's.
    """
    host = urlsplit(provider.base_url or "").hostname or ""
    owner = next((pack for known, pack in catalogue.get("hosts", {}).items() if _under(host, known)), None)
    if owner is not None and provider.pack not in (None, owner):
        raise ValueError(
            Sentence(
                f'{host} is served under the terms of pack `{owner}`; write pack = "{owner}" or leave it out',
                f'{host} 适用规则包 `{owner}` 的条款；请写 pack = "{owner}" 或不写 pack',
            )
        )
    return owner or provider.pack


def output_field_of(provider: Provider, catalogue: Mapping[str, Any]) -> str:
    """The field of a chat that bounds its answer: the one named, or the host's."""
    host = urlsplit(provider.base_url or "").hostname or ""
    named = catalogue.get("output_fields", {})
    known = next((field for owner, field in named.items() if _under(host, owner)), "max_tokens")
    return provider.output_field or str(known)


def _under(host: str, known: str) -> bool:
    return host == known or host.endswith("." + known)
