"""What a zone counts itself of what laws count: registered people, by residence and phone.

A count matters where it passes a value at which some loaded rule changes its mind; plans are made anew then,
and not at every sign-up. What the operator states (`deployment.counters`) stands where it is more.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import replace

from dragoman.control.loaded import Loaded, deployment_facts
from dragoman.core.people import PeopleStore
from dragoman.decide.packs import PackSet
from dragoman.decide.vocabulary import words
from dragoman.decide.world import World

Counts = Mapping[str, int]


def counted(people: PeopleStore) -> Counts:
    """The zone's own counts by counter, of those that are not zero."""
    countries = {name: one["country"] for name, one in words()["counted"].items()}
    found = people.registered(sorted(set(countries.values())))
    return {name: found[country] for name, country in countries.items() if found[country]}


def with_counts(loaded: Loaded, counts: Counts) -> Loaded:
    """The reading with the zone's own counts, where they are more than what the operator states."""
    deployment = loaded.settings.deployment
    most = {name: max(count, deployment.counters.get(name, 0)) for name, count in counts.items()}
    facts = deployment_facts(deployment.model_copy(update={"counters": {**deployment.counters, **most}}))
    world = loaded.world
    return replace(loaded, world=World.of(world.zone, world.models, world.zones, facts))


def passes(packs: PackSet, old: Counts, new: Counts) -> bool:
    """Whether some rule changes its mind between two counts."""
    for name in {*old, *new}:
        edges = packs.cuts.get(f"operator.counters.{name}", ())
        before, after = old.get(name, 0), new.get(name, 0)
        # A bound may count the value itself or begin behind it: both sides of each are told apart.
        if (bisect_left(edges, before), bisect_right(edges, before)) != (
            bisect_left(edges, after),
            bisect_right(edges, after),
        ):
            return True
    return False


class Recount:
    """Counts again from time to time, and has what changes a decision taken up."""

    def __init__(
        self,
        people: PeopleStore,
        packs: Callable[[], PackSet],
        first: Counts,
        take_up: Callable[[Counts], object],
    ) -> None:
        self._people = people
        self._packs = packs
        self._last = first
        self._take_up = take_up

    def look(self, _stopping: Callable[[], bool] = lambda: False) -> None:
        """Count now."""
        new = counted(self._people)
        if passes(self._packs(), self._last, new):
            self._take_up(new)
            self._last = new
