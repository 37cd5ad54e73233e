"""What surrounds a decision besides the person: the zone, the other zones, and the models on offer.

Built by the planner from the configuration, or from packs alone for trying out. Frozen; holds no secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dragoman.core.facts import Facts
from dragoman.decide.packs import PackSet

LOCAL_MODEL = "local"
"""The model name of the built-in extractive assistant in a world made from packs."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to reach a model: the operator's provider name and the pack of its terms.

    `pack` None: terms of no vendor apply (the built-in assistant). `licence_territory_exclude` adds the
    places that the licence of the very weights excludes.
    """

    provider: str
    pack: str | None
    licence_territory_exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class World:
    """Zone, models and the deployment's own facts.

    `models`: name to offers in order of preference. `zones`: country to the zone its people belong to.
    `deployment`: checked leaves (see `Facts.partial`) that stand where the facts say nothing.
    """

    zone: str = "local"
    models: Mapping[str, tuple[Offer, ...]] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)
    deployment: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    @staticmethod
    def of(
        zone: str,
        models: Mapping[str, tuple[Offer, ...]],
        zones: Mapping[str, str] | None = None,
        deployment: Mapping[str, Any] | None = None,
    ) -> World:
        """A world with its digest; `deployment` is a nested facts document without `as_of`."""
        leaves = Facts.partial(deployment or {})
        described = {
            "zone": zone,
            "zones": dict(sorted((zones or {}).items())),
            "models": [
                [name, [[o.provider, o.pack, sorted(o.licence_territory_exclude)] for o in offers]]
                for name, offers in models.items()
            ],
        }
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        return World(zone, models, zones or {}, leaves, f"sha256:{digest}")

    @staticmethod
    def from_packs(packs: PackSet, zone: str = "local") -> World:
        """One model per provider pack, named after it, and the built-in one without terms."""
        models = {LOCAL_MODEL: (Offer(LOCAL_MODEL, None),)}
        models |= {pack_id: (Offer(pack_id, pack_id),) for pack_id in packs.providers()}
        return World.of(zone, models)
