"""Statements of reasons as those they concern read them: of interventions, and of decisions that refused."""

from __future__ import annotations

from typing import Any

from dragoman.control.loaded import Holder
from dragoman.ids import kind_of
from dragoman.policy.statements import of_decision
from dragoman.stores.interventions import Interventions


class Statements:
    """Over what is kept of interventions and decisions."""

    def __init__(self, holder: Holder, interventions: Interventions) -> None:
        self._holder = holder
        self._interventions = interventions

    def of(self, tenant: str, principal: str, name: str) -> dict[str, Any] | None:
        """The statement of an intervention that concerned this principal, or of a decision of its tenant.

        A decision (`dec_...`, as its notice names it) is read by its whole tenant: it names no person.
        """
        if kind_of(name) == "int":
            return self._interventions.statement(tenant, principal, name)
        if not name.startswith("dec_"):
            return None
        decision = self._interventions.decision(tenant, name)
        settings = self._holder.loaded.settings
        contact, base = settings.deployment.contact, settings.public_url()
        return None if decision is None else of_decision(decision, contact, base)
