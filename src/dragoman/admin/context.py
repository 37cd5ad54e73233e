"""What the admin listener needs from control, as values and functions; control fills it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from dragoman.accounts.registry import Registry
from dragoman.admin.attempts import Attempts, Pending, Refusals
from dragoman.admin.door import Door
from dragoman.admin.oidc import Provider
from dragoman.admin.passkeys import Ceremonies
from dragoman.admin.people import NewInvite, People
from dragoman.admin.sessions import Sessions
from dragoman.admin.setup_desk import SetupDesk
from dragoman.admin.simulation_desk import SimulationDesk
from dragoman.decide.packs import PackSet
from dragoman.knowledge.engine import Knowledge
from dragoman.knowledge.intake import Intake
from dragoman.settings import Settings
from dragoman.stores.admin_access import SqlAccess
from dragoman.stores.admins import SqlAdmins
from dragoman.stores.decision_index import DecisionSearch
from dragoman.stores.evidence import SqlEvidence
from dragoman.stores.filings import Filings
from dragoman.stores.incidents import SqlIncidents
from dragoman.stores.overview import Overview
from dragoman.stores.staff_use import StaffUse


@dataclass(frozen=True)
class AdminContext:
    """Everything behind the listener. The functions at the end ask control itself."""

    name: str
    zone: str
    secure: bool
    registry: Registry
    people: People
    admins: SqlAdmins
    access: SqlAccess
    overview: Overview
    decisions: DecisionSearch
    evidence: SqlEvidence
    """What people handed in."""
    staff_use: StaffUse
    """Keys that say they speak for staff alone, and look otherwise."""
    filings: Filings
    """Files of the operator's own evidence."""
    incidents: SqlIncidents
    sessions: Sessions
    ceremonies: Ceremonies
    provider: Provider | None
    door: Door
    attempts: Attempts
    pending: Pending
    refusals: Refusals
    knowledge: Knowledge
    """What is there; it is changed by `intake` alone."""
    intake: Intake
    settings: Callable[[], Settings]
    """The configuration in use."""
    packs: Callable[[], PackSet]
    """The packs in use."""
    limits: Callable[[], list[dict[str, Any]]]
    """Every limit with how many windows are open and how full the fullest one is."""
    status: Callable[[], dict[str, Any]]
    """What runs: zone, stage, configuration, packs with their review status, models."""
    relay: Callable[[], Awaitable[dict[str, Any]]]
    """How the relay does, by its own metrics."""
    relay_metrics: Callable[[], Awaitable[str]]
    """The relay's own counters, empty where it does not answer; its listener is on loopback alone."""
    setup: SetupDesk
    """What the setup pages look at and write."""
    simulations: SimulationDesk
    reload: Callable[[], dict[str, Any]]
    link: Callable[[NewInvite], str]
    is_metrics_token: Callable[[str], bool]
    metrics: Callable[[], str]

    def refuse(self, what: str, by: str | None = None) -> None:
        """Have the ledger know of a refusal, within its bound."""
        others = self.refusals.next()
        if others is not None:
            self.access.enter({"act": "admin.refused", "what": what, "by": by, "others": others})
