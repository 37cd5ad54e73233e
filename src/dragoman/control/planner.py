"""Read this first: the decision path of a turn. Question → facts → decide → plan.

Answers `POST /plan` (docs/wire.md), once per new question; the relay keeps the plan. Pure but for the fresh
plan id: it opens no file and no database, and it never sees text of a turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dragoman.budgets.book import TAG, Book, NoLimits
from dragoman.canonical import digest
from dragoman.control import guests, pretence
from dragoman.control.bounds import Bounds, bounds_of
from dragoman.control.loaded import Attempt, Holder, Loaded
from dragoman.control.refusal import refusal, service_of
from dragoman.core.decision import NOT_CARRIED_OUT, Decision, Reason
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.generalise import generalise
from dragoman.errors import RefusedError
from dragoman.events import PlanMade, emit
from dragoman.ids import new_id
from dragoman.policy.duties import (
    Duties,
    duties,
    not_carried,
    uncarried,
    with_feature_asked,
    with_operator_label,
)
from dragoman.settings import Deployment, Tenant

CAP_MS = 60_000
"""LIMIT: no plan holds longer without being asked for again."""

STATELESS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/moderations"})
"""Routes without a conversation: `turn.*` is unknown there instead of open."""

CLASS_FACTS = frozenset({
    "residence", "residence_subdivision", "age", "age_source", "account",
    "phone", "phone_verified", "phone_kind", "identity", "guardian_consent",
})  # fmt: skip
"""Facts about the person that a class may hold; the other names in a class are ours."""

QUESTION_FACTS = CLASS_FACTS | {
    "event", "model", "route", "channel", "app", "address_kind", "address_country", "address_subdivision",
    "audience", "identity.verified", "organisation.seat", "organisation.owners",
    "guardian_consent.given", "guardian_consent.method",
}  # fmt: skip
"""Facts that `gather` makes of the question and the configuration alone. A decision that read a value of any
other fact is not reusable: an equal question might get another answer."""

FactsOfClass = Callable[[str], Mapping[str, Any] | None]
SlugOf = Callable[[str], str | None]
"""A tenant's name in the file by its id; it never changes."""


ADULT = 18
"""Years that `staff_adults` states at the least."""

NOT_VOUCHED = Tenant()
"""A tenant of whose staff the operator says nothing."""


@dataclass(frozen=True)
class Outcome:
    """What a question comes to: the decision, the attempts it leaves, and its duties."""

    facts: Facts
    decision: Decision
    attempts: tuple[Attempt, ...]
    duties: Duties
    pool: Mapping[str, Any] | None = None
    """The pool that such turns share."""
    simulated: bool = False
    """The facts of the person are a pretence."""
    barred: Mapping[str, Reason] = field(default_factory=dict)
    """Providers whose terms permit the turn and that the operator's rules keep out, and why."""


class Planner:
    """Makes plans from the reading in use."""

    def __init__(
        self,
        holder: Holder,
        facts_of_class: FactsOfClass,
        slug_of: SlugOf = lambda _tenant: None,
        book: Book | None = None,
    ) -> None:
        self._holder = holder
        self._book = book or Book(holder.limits, NoLimits())
        self._facts_of_class = facts_of_class
        self._slug_of = slug_of

    def plan(self, question: Mapping[str, Any], now: int) -> dict[str, Any]:
        """The plan for a well-formed question at an instant (ms UTC). Raises RefusedError."""
        begun, loaded = time.perf_counter_ns(), self._holder.loaded
        outcome = self._outcome(question, now, loaded)
        decision = outcome.decision
        settings = loaded.settings
        asked = digest(dict(question))
        refused = (
            None if outcome.attempts else refusal(decision, service_of(settings), elsewhere(decision, loaded))
        )
        reusable = is_reusable(decision, outcome.facts)
        bounds = self._bounds(question, outcome, loaded, now)
        emit(PlanMade(decision.outcome, decision.id, reusable, (time.perf_counter_ns() - begun) // 1_000))
        return {
            "plan": new_id("pln", settings.zone.id, now),
            "config": loaded.config_digest,
            "question": asked,
            "decision": decision.to_dict(),
            "decision_entry": decision_entry(outcome, question["tenant"], loaded, now),
            "outcome": decision.outcome,
            "attempts": bounds.attempts,
            "rules_in": loaded.rules.digest,
            "rules_out": loaded.rules.digest,
            "labels": outcome.duties.labels,
            "notices": outcome.duties.notices,
            "refusal": refused,
            "must": outcome.duties.must,
            "residual": list(decision.residual),
            "budgets": bounds.budgets,
            "rates": bounds.rates,
            "limits": {"max_output_tokens": None, "concurrent": None, "pool": outcome.pool},
            "tags": tags(question, asked),
            "holds_until": min(bounds.holds_until, decision.holds_until or bounds.holds_until),
            "reusable": reusable,
            **_marked(outcome),
        }

    def _bounds(self, question: Mapping[str, Any], outcome: Outcome, loaded: Loaded, now: int) -> Bounds:
        """What a turn may use, and what its attempts cost."""
        slug = self._slug_of(question["tenant"])
        return bounds_of(self._book, question, slug, outcome.attempts, loaded.prices, now, now + CAP_MS)

    def outcome(
        self, question: Mapping[str, Any], now: int, turn: Mapping[str, int] | None = None
    ) -> Outcome:
        """The decision on a question without the wire's form around it.

        `turn` gives the facts `turn.*` by path; without it they stay open where the route has a conversation.
        """
        return self._outcome(question, now, self._holder.loaded, turn)

    def _outcome(
        self,
        question: Mapping[str, Any],
        now: int,
        loaded: Loaded,
        turn: Mapping[str, int] | None = None,
    ) -> Outcome:
        """By one reading from beginning to end: another may be swapped in meanwhile."""
        ways = loaded.attempts.get(question["model"])
        if ways is None:
            raise _model_not_found(question["model"], loaded)
        person = self._facts_of_class(question["class"])
        if person is None:
            raise RefusedError(
                400,
                "unknown_class",
                {"en": "This class was never made here.", "zh": "此处从未产生过该类别。"},
            )
        person = pretence.permitted(person, loaded.settings)
        vouched = loaded.settings.tenants.get(self._slug_of(question["tenant"]) or "", NOT_VOUCHED)
        facts = gather(question, person, loaded, now, vouched)
        if turn is not None:
            facts = Facts(facts.as_of, {**facts.values, **turn})
        opened = () if question["route"] in STATELESS or turn is not None else ("turn.",)
        decision = decide(facts, loaded.packs, loaded.world, open=opened)
        known = "feature" in facts.values
        decision = with_feature_asked(decision, loaded.means, feature_known=known)
        permitted = decision.permitted.get(question["model"], ()) if decision.allowed else ()
        attempts = tuple(one for one in ways if one.provider in permitted)
        barred: dict[str, Reason] = {}
        if attempts and _unplaced(person):
            simulated = person.get("simulated")
            left = tuple(one for one in attempts if one.provider not in loaded.territory)
            barred |= _barred(attempts, left, pretence.REASON if simulated else _UNPLACED)
            if not left:
                decision = (pretence.not_carried_out if simulated else _refused_unplaced)(decision)
            attempts = left
        pool = guests.pool(person, loaded.settings)
        held_to = guests.held_to_local(person, loaded.settings, question["model"])
        if attempts and held_to is not None:
            left = guests.permitted(attempts, loaded.settings)
            barred |= _barred(attempts, left, held_to)
            attempts, decision = left, decision if left else guests.refused(decision, held_to)
        if attempts and (undone := uncarried(decision, loaded.means)):
            decision, attempts = not_carried(decision, undone, loaded.means, feature_known=known), ()
        if attempts and loaded.settings.label.always:
            decision = with_operator_label(decision, loaded.settings.label)
        name = named(decision, question["tenant"], facts, loaded, bool(person.get("simulated")), barred)
        decision = replace(decision, id=name)
        todo = Duties([], [], [])
        if attempts:
            todo = duties(decision, loaded.settings, question["model"], loaded.means)
        return Outcome(facts, decision, attempts, todo, pool, bool(person.get("simulated")), barred)


def _barred(before: tuple[Attempt, ...], after: tuple[Attempt, ...], why: Reason) -> dict[str, Reason]:
    return {one.provider: why for one in before if one not in after} if len(after) < len(before) else {}


def gather(
    question: Mapping[str, Any],
    person: Mapping[str, Any],
    loaded: Loaded,
    now: int,
    vouched: Tenant = NOT_VOUCHED,
) -> Facts:
    """The facts of a question: the person's class, the address, the route, the operator's own word."""
    settings = loaded.settings
    document: dict[str, Any] = {name: person[name] for name in CLASS_FACTS if name in person}
    document.update(
        as_of=now, event="turn", model=question["model"], route=question["route"], channel=question["channel"]
    )
    if question["app"] is not None:
        document["app"] = question["app"]
    country, document["address_kind"] = _place(question, person, settings.zone.country)
    simulated = pretence.facts(person)
    if simulated is not None:
        # A pretended place replaces the real one whole, also where it is unknown.
        document.update(simulated)
        return Facts.parse(document)
    if country is not None:
        document["address_country"] = country
    if person.get("end_users") == "none" and not person.get("guest"):
        document.update(_staff(settings.deployment, vouched))
        if settings.deployment.audience is None:
            document["audience"] = "internal"
    return Facts.parse(document)


def _place(
    question: Mapping[str, Any], person: Mapping[str, Any], zone: str | None
) -> tuple[str | None, str]:
    """Where the person is: of one whom a key speaks for, where it was when it got its token."""
    seen = person.get("address")
    return place_of(question["address"], zone) if seen is None else (seen["country"], seen["kind"])


def place_of(address: Mapping[str, Any], zone: str | None) -> tuple[str | None, str]:
    """The country an address is taken to be in, and its kind; `zone` is the country of this zone."""
    if address["country"] is None and address["peer"] == "loopback" and zone is not None:
        return zone, "residential"  # someone on this very machine is where the zone is
    return address["country"], address["kind"]


def _staff(deployment: Deployment, vouched: Tenant) -> dict[str, Any]:
    """Keys without end users speak for the tenant's own people: what the operator stated of them."""
    facts: dict[str, Any] = {}
    organisation: dict[str, Any] = {}
    if deployment.owners:
        organisation["owners"] = [owner.model_dump() for owner in deployment.owners]
    if deployment.seat is not None:
        organisation["seat"] = deployment.seat
    if organisation:
        facts["organisation"] = organisation
    verified = []
    residence = vouched.staff_residence or deployment.seat
    if residence is not None:
        facts["residence"] = residence
        verified.append("residence")
    if vouched.staff_adults:
        facts.update(age=ADULT, age_source="operator")
        verified.append("age")
    if verified:
        facts["identity"] = {"verified": verified}
    return facts


def tags(question: Mapping[str, Any], asked: str) -> list[str]:
    """What a plan depends on; a change that carries one of them makes relays forget it."""
    return [
        f"tenant:{question['tenant']}",
        f"model:{question['model']}",
        "packs",
        "rules",
        "config",
        TAG,
        f"question:{asked.removeprefix('sha256:')[:32]}",
    ]


def is_reusable(decision: Decision, facts: Facts) -> bool:
    """Whether an equal question gets the same answer until `holds_until`."""
    return not any(path in facts.values and path not in QUESTION_FACTS for path in decision.read)


def decision_entry(outcome: Outcome, tenant: str, loaded: Loaded, now: int) -> dict[str, Any]:
    """The ledger's entry for a decision: every fact given, generalised, and what came of it."""
    decision = outcome.decision
    return {
        "v": 1,
        "kind": "decision",
        "decision": decision.id,
        "at": now,
        "tenant": tenant,
        "zone": decision.zone,
        "as_of": decision.as_of,
        "outcome": decision.outcome,
        "facts": general(outcome.facts, loaded),
        "reasons": [{"code": one.code, "rule_id": one.rule_id} for one in decision.reasons],
        "obligations": [{"kind": one.kind, "rule_id": one.rule_id} for one in decision.obligations],
        "packs": {name: dict(pack) for name, pack in decision.packs.items()},
        "read": list(decision.read),
        **_marked(outcome),
    }


def _marked(outcome: Outcome) -> dict[str, Any]:
    """What a plan and an entry say where the facts were simulated."""
    return {"simulated": True} if outcome.simulated else {}


def general(facts: Facts, loaded: Loaded) -> dict[str, Any]:
    """The facts of the person and of the operator, without anything about one person."""
    return generalise(Facts(facts.as_of, {**loaded.world.deployment, **facts.values}), loaded.packs)


def named(  # noqa: PLR0913, PLR0917 - all that an id is made of
    decision: Decision,
    tenant: str,
    facts: Facts,
    loaded: Loaded,
    simulated: bool,
    barred: Mapping[str, Reason],
) -> str:
    """An id that stands for the whole entry and its grounds: both are kept once, whoever asks first."""
    made_of = [decision.id, decision.outcome, tenant, general(facts, loaded)]
    if barred:
        made_of.append(sorted(f"{name} {why.code}" for name, why in barred.items()))
    if simulated:
        made_of.append([one.code for one in decision.reasons if one.effect == NOT_CARRIED_OUT])
    return f"dec_{loaded.settings.zone.id}_{digest(made_of).removeprefix('sha256:')[:32]}"


def elsewhere(decision: Decision, loaded: Loaded) -> str | None:
    """The address of the zone a ROUTE names."""
    for reason in decision.reasons:
        zone = loaded.settings.zones.get(reason.rule_id.removeprefix("zone."))
        if reason.effect == "route" and zone is not None:
            return zone.address
    return None


def _unplaced(person: Mapping[str, Any]) -> bool:
    """Whether the person's place is only somebody's word."""
    return person.get("end_users") == "declared" or bool(person.get("simulated"))


_UNPLACED = Reason(
    code="END_USERS_NOT_PLACED",
    rule_id="operator.end_users",
    title={"en": "Whose place is known", "zh": "所在地是否已知"},
    citation=None,
    effect="deny",
    certainty=None,
    text={
        "en": "This model's provider may limit where it is used, and the user's place is only declared.",
        "zh": "该模型的供应商可能限制使用地区，而用户所在地仅为声明，未经核实。",
    },
)


def _refused_unplaced(decision: Decision) -> Decision:
    return replace(decision, outcome="DENY", reasons=(_UNPLACED, *decision.reasons))


def _model_not_found(name: str, loaded: Loaded) -> RefusedError:
    known = ", ".join(sorted(loaded.attempts)[:20])
    return RefusedError(
        404,
        "model_not_found",
        {
            "en": f"There is no model {name[:100]!r} here. Known: {known}. See `dragoman models list`.",
            "zh": f"此处没有名为 {name[:100]!r} 的模型。可用：{known}。见 `dragoman models list`。",
        },
        param="model",
    )
