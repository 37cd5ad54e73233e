"""What one decision reads while rules are evaluated: facts, evidence still valid, channel capabilities.

Made by `engine.decide` for each decision and thrown away after it. Holds no law and changes no fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from dragoman.core.facts import Facts, Reader
from dragoman.decide.civil import Civil

UTC = Civil(("UTC",))
_EVIDENCE = "operator.evidence."


class Context(Reader):
    """A `Reader` with the time of the decision.

    `instants` collects the moments (ms UTC) at which something read here changes by itself; `civil` is set
    to the pack under evaluation, whose calendar says when a piece of evidence expires. `countries` are those
    in play, `phone_regions` those of the phone number. `timed` says that `as_of` itself entered a deadline.
    """

    __slots__ = (
        "_capabilities", "_months", "as_of", "civil", "countries", "event", "instants", "phone_regions",
        "timed",
    )  # fmt: skip

    def __init__(
        self,
        facts: Facts,
        fallback: Mapping[str, Any],
        open_facts: tuple[str, ...],
        capabilities: Mapping[str, frozenset[str]],
    ) -> None:
        super().__init__(facts, fallback, open_facts)
        self.as_of = facts.as_of
        self.event: str = self.get("event") or "turn"
        self.instants: set[int] = set()
        self.civil = UTC
        self.countries: Mapping[str, bool] = {}
        self.phone_regions: tuple[str, ...] = ()
        self.timed = False
        self._capabilities = capabilities
        self._months: dict[tuple[Civil, int, int], int] = {}

    def holds_any(self, names: Iterable[str]) -> bool:
        """Whether the operator has one of these pieces of evidence; reads no further than the first."""
        for name in names:
            record = self.get(_EVIDENCE + name)
            if record is not None and (record.expires is None or self._lasts(record.expires)):
                return True
        return False

    def holds(self, name: str) -> bool:
        """Whether the operator has this evidence and it has not expired."""
        return self.holds_any((name,))

    def _lasts(self, expires: date) -> bool:
        end = self.civil.until(expires)
        self.instants.add(end)
        return self.as_of < end

    def months_after(self, start: int, months: int) -> int:
        """`start` (ms UTC) plus calendar months of the pack under evaluation, counted once."""
        key = (self.civil, start, months)
        if key not in self._months:
            self._months[key] = self.civil.add_months(start, months)
        return self._months[key]

    def verified(self, signal: str) -> bool:
        """Whether this signal of the person is verified; absent is not verified."""
        return signal in (self.get("identity.verified") or ())

    def capabilities(self, channel: str | None) -> frozenset[str] | None:
        """What the channel can carry, or None where the channel or its pack is unknown."""
        return None if channel is None else self._capabilities.get(channel)
