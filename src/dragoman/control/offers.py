"""Where a model may be offered: the decision engine asked for every territory of ISO 3166-1.

It decides for an ordinary adult who lives and is there; the operator's own facts come from the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.control.loaded import deployment_facts
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.iso3166 import countries
from dragoman.decide.packs import PackSet
from dragoman.decide.world import Offer, World
from dragoman.policy.duties import NO_MEANS, Means, uncarried
from dragoman.settings import Deployment

_ADULT = 30


@dataclass(frozen=True)
class Offers:
    """Territories by what a decision there says.

    `not_ready`: what is missing, by territory: the operator's evidence, or a duty nothing here carries out.
    """

    allowed: list[str]
    not_ready: dict[str, list[str]]
    denied: dict[str, str]


def where_offered(
    pack: str | None, packs: PackSet, deployment: Deployment, now: int, means: Means = NO_MEANS
) -> Offers:
    """Ask for every territory of ISO 3166-1."""
    world = World.of("local", {"candidate": (Offer("candidate", pack),)}, {}, deployment_facts(deployment))
    allowed: list[str] = []
    not_ready: dict[str, list[str]] = {}
    denied: dict[str, str] = {}
    for place in sorted(countries()):
        decision = decide(_person(place, now), packs, world)
        left = uncarried(decision, means)
        if decision.allowed and not left:
            allowed.append(place)
        elif decision.allowed:
            not_ready[place] = sorted({f"duty {one.kind} ({one.rule_id})" for one in left})
        elif decision.outcome == "NOT_READY":
            not_ready[place] = list(decision.not_ready)
        else:
            strongest = decision.reasons[0]
            denied[place] = f"{decision.outcome} {strongest.rule_id}"
    return Offers(allowed, not_ready, denied)


def _person(place: str, now: int) -> Facts:
    return Facts.parse(
        {
            "as_of": now,
            "event": "turn",
            "residence": place,
            "address_country": place,
            "address_kind": "residential",
            "identity": {"verified": ["residence"]},
            "account": "established",
            "age": _ADULT,
            "age_source": "verified",
            "audience": "public",
            "model": "candidate",
            "channel": "web",
        }
    )
