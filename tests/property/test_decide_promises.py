"""What decisions promise whatever the facts; each promise is held against an engine that breaks it, too."""

from __future__ import annotations

import os
import random
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.core.decision import OUTCOMES, QUIET, Decision
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.packs import Pack, PackSet, baseline_document, load_packs
from dragoman.decide.rules import Rule
from dragoman.decide.world import World

sys.path.insert(0, str(Path(__file__).parent))

from decide_facts import COUNTRIES, FACTS

Engine = Callable[[Facts], Decision]

PACKS = load_packs()
WORLD = World.from_packs(PACKS)
LAW_WORLD = World.of("local", {})
FOLDER = Path(__file__).resolve().parents[2] / "src" / "dragoman" / "packs" / "providers"
RUN = settings(
    max_examples=int(os.environ.get("DRAGOMAN_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
OWN = frozenset({"MODEL_UNKNOWN", "ZONE_OTHER", "RETENTION_CONFLICT"})
"""Reasons that stand in the operator's own configuration and in no source."""


def whole(facts: Facts) -> Decision:
    return decide(facts, PACKS, WORLD)


def law(facts: Facts) -> Decision:
    return decide(facts, PACKS, LAW_WORLD)


def of(**given: Any) -> Facts:
    """The baseline with these facts."""
    return Facts.parse({**baseline_document(), **given})


def with_rules(change: Callable[[Rule], Rule]) -> PackSet:
    """The shipped packs with every rule changed."""
    packs = PACKS.packs.values()
    return PackSet.of(replace(pack, rules=tuple(change(rule) for rule in pack.rules)) for pack in packs)


def duties(decision: Decision) -> set[tuple[str, str]]:
    return {(o.kind, o.rule_id) for o in decision.obligations}


def strength(decision: Decision) -> int:
    return -OUTCOMES.index(decision.outcome)


def shown(decision: Decision) -> dict[str, Any]:
    document = decision.to_dict()
    del document["as_of"]
    return document


def keeps_duties(engine: Engine, facts: Facts, market: str) -> bool:
    """A further jurisdiction removes no duty and lifts no refusal."""
    markets = (*facts.values.get("offered_markets", ()), market)
    before, after = engine(facts), engine(facts.replaced({"offered_markets": markets}))
    return duties(before) <= duties(after) and strength(before) <= strength(after)


@RUN
@given(FACTS, st.sampled_from(COUNTRIES))
def test_a_further_jurisdiction_never_removes_a_duty(facts: Facts, market: str) -> None:
    assert keeps_duties(whole, facts, market)


def test_a_market_takes_nothing_from_what_a_phone_says() -> None:
    """The operator offers a country that the vendor leaves out; a number of that country asks all the same."""
    facts = of(residence="FR", address_country="FR", phone="+86", model="openai-api", identity={})
    assert whole(facts).outcome == "STEP_UP"
    assert keeps_duties(whole, facts, "CN")

    def asks(facts: Facts) -> bool:
        codes = {one.code for one in whole(facts.replaced({"offered_markets": ("CN",)})).reasons}
        return "PROV_TERRITORY_PHONE" in codes

    assert asks(facts)
    assert not asks(facts.replaced({"identity.verified": ("residence",)})), "a verified residence answers it"
    assert not asks(facts.replaced({"phone": "+33"})), "the control: a market alone"


def test_control_an_engine_that_hears_the_last_market_only() -> None:
    def deaf(facts: Facts) -> Decision:
        return whole(facts.replaced({"offered_markets": facts.values.get("offered_markets", ())[-1:]}))

    facts = of(offered_markets=["CN"])
    assert keeps_duties(whole, facts, "DE")
    assert not keeps_duties(deaf, facts, "DE")


# Facts that say where someone is, what is asked, or are absent by definition (10.4), and the agreement that
# replaces a label by other duties; `age` has a leaf that counts only knowledge.
NOT_DUTIES = (
    "residence", "address_country", "phone", "offered_markets", "event", "model", "age", "organisation.",
    "operator.counters.", "agreement.", "request.", "content.category", "list_age_days.", "received_at",
    "identity.verified",
)  # fmt: skip


def never_lowers(engine: Engine, law_alone: Engine, facts: Facts, path: str) -> bool:
    """Without this fact there are no fewer duties and no way through that was closed."""
    vaguer = facts.without([path])
    before, after = engine(facts), engine(vaguer)
    # A provider's term that cannot be judged asks instead of refusing: still no way through.
    still = duties(before) <= duties(after) and (before.allowed or not after.allowed)
    return still and strength(law_alone(facts)) <= strength(law_alone(vaguer))


@RUN
@given(FACTS, st.data())
def test_making_a_fact_unknown_never_lowers_a_duty(facts: Facts, data: st.DataObject) -> None:
    paths = sorted(p for p in facts.values if not p.startswith(NOT_DUTIES) or p.endswith("subdivision"))
    if not paths:
        return
    path = data.draw(st.sampled_from(paths))
    assert never_lowers(whole, law, facts, path), path


def test_a_reminder_of_an_earlier_use_is_not_due_in_a_new_one() -> None:
    """Else not knowing of it would lower a duty: what is not known is judged by the use alone."""

    def due(**turn: Any) -> bool:
        facts = of(residence="CN", address_country="CN", feature="companion", turn=turn)
        return ("reminder", "cn.companion.reminder") in duties(law(facts))

    since = {"companion_2h": 121}
    assert due(continuous_minutes=121, minutes_since=since)
    assert due(minutes_since=since)
    assert due(continuous_minutes=121)
    assert due()
    assert not due(continuous_minutes=0, minutes_since=since)
    assert not due(continuous_minutes=121, minutes_since={"companion_2h": 119})


def test_control_an_engine_that_takes_unknown_for_no() -> None:
    def sure(rule: Rule) -> Rule:
        tree, when = rule.trees
        return replace(rule, trees=({**tree, "known": True} if tree else tree, when))

    packs = with_rules(sure)
    facts = of(residence="CN", address_country="CN", feature="companion", turn={"continuous_minutes": 121})
    assert never_lowers(whole, law, facts, "feature")
    assert not never_lowers(
        lambda asked: decide(asked, packs, WORLD),
        lambda asked: decide(asked, packs, LAW_WORLD),
        facts,
        "feature",
    )


def test_control_a_leaf_that_counts_only_knowledge_does_lower() -> None:
    facts = of(residence="US", address_country="US", age=12, guardian_consent={"given": False})
    assert whole(facts).outcome == "STEP_UP"
    assert whole(facts.without(["age"])).outcome == "ALLOW"


def refused_by_list() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Provider packs whose terms are about the place asked from: their places, and the parts they leave out."""
    out = {}
    for file in sorted(FOLDER.glob("*.toml")):
        terms = tomllib.loads(file.read_text("utf-8"))["provider"]
        if "access_location" in terms.get("basis", ()) and "territory_allow" in terms:
            places = frozenset([*terms["territory_allow"], *terms.get("open_codes", ())])
            out[file.stem] = (places, frozenset(terms.get("subdivision_exclude", ())))
    return out


LISTS = refused_by_list()


def denial_stands(engine: Engine, facts: Facts) -> bool:
    """No provider whose list, read from its file, lacks the place asked from is open, whatever else holds."""
    country, part = facts.values.get("address_country"), facts.values.get("address_subdivision")
    closed = {p for p, (places, left) in LISTS.items() if country and (country not in places or part in left)}
    decision = engine(facts)
    reached = {provider for providers in decision.permitted.values() for provider in providers}
    return closed.isdisjoint(decision.eligible_models) and closed.isdisjoint(reached)


@RUN
@given(FACTS, st.sampled_from([None, *LISTS]), st.sampled_from([*COUNTRIES, "IR", "KP", "UA"]))
def test_a_denial_of_a_provider_is_never_overridden(facts: Facts, model: str | None, place: str) -> None:
    part = facts.values.get("address_subdivision") or ""
    asked = {"event": "turn", "model": model, "address_country": place}
    here = part if part.startswith(f"{place}-") else None
    assert denial_stands(whole, facts.replaced({**asked, "address_subdivision": here}))


def test_control_a_law_that_allows_does_not_open_a_provider() -> None:
    def lenient(pack: Pack) -> Pack:
        terms = pack.provider
        if terms is None or terms.territory_allow is None:
            return pack
        return replace(pack, provider=replace(terms, territory_allow=terms.territory_allow | {"CN"}))

    packs = PackSet.of(lenient(pack) for pack in PACKS.packs.values())
    facts = of(address_country="CN", model="openai-api")
    assert denial_stands(whole, facts)
    assert not denial_stands(lambda asked: decide(asked, packs, WORLD), facts)


Ordered = Callable[[Facts, Sequence[Pack]], Decision]


def in_order(facts: Facts, packs: Sequence[Pack]) -> Decision:
    return decide(facts, PackSet.of(packs), WORLD)


def order_is_nothing(engine: Ordered, facts: Facts, shuffle: random.Random) -> bool:
    """The same decision with the packs, and the rules in each, in another order."""
    packs = list(PACKS.packs.values())
    mixed = [replace(p, rules=tuple(shuffle.sample(p.rules, len(p.rules)))) for p in packs]
    shuffle.shuffle(mixed)
    return engine(facts, mixed) == engine(facts, packs)


@RUN
@given(FACTS, st.randoms(use_true_random=False))
def test_the_order_of_rules_and_packs_does_not_matter(facts: Facts, shuffle: random.Random) -> None:
    assert order_is_nothing(in_order, facts, shuffle)


def test_control_an_engine_that_leaves_out_the_last_pack() -> None:
    def hasty(facts: Facts, packs: Sequence[Pack]) -> Decision:
        law = [pack for pack in packs if pack.kind == "jurisdiction" and pack.parent is None]
        rest = [pack for pack in packs if pack.parent not in {None, law[-1].id} and pack is not law[-1]]
        others = [pack for pack in packs if pack.kind != "jurisdiction"]
        return decide(facts, PackSet.of([*law[:-1], *rest, *others]), WORLD)

    facts = of(residence="CN", offered_markets=["DE", "GB", "IN", "BR", "KR"])
    assert order_is_nothing(in_order, facts, random.Random(1))
    assert not all(order_is_nothing(hasty, facts, random.Random(seed)) for seed in range(8))


def is_explained(engine: Engine, facts: Facts) -> bool:
    """Whoever is kept from an answer learns why, in both languages, and where it stands."""
    decision = engine(facts)
    stopping = [reason for reason in decision.reasons if reason.effect not in QUIET]
    if decision.outcome not in ("ALLOW", "ALLOW_WITH") and not stopping:
        return False
    return all(
        (reason.citation is not None and reason.citation.source) or reason.code in OWN for reason in stopping
    ) and all(reason.text["en"] and reason.text["zh"] for reason in stopping)


@RUN
@given(FACTS)
def test_every_refusal_has_a_reason_with_a_citation(facts: Facts) -> None:
    assert is_explained(whole, facts)


def test_control_an_engine_that_cites_nothing_or_gives_no_reason() -> None:
    def uncited(rule: Rule) -> Rule:
        return replace(rule, reasons={e: replace(r, citation=None) for e, r in rule.reasons.items()})

    packs = with_rules(uncited)
    facts = of(residence="CN", address_country="CN", operator={"evidence": {}})
    assert whole(facts).outcome == "DENY"
    assert is_explained(whole, facts)
    assert not is_explained(lambda asked: decide(asked, packs, WORLD), facts)
    assert not is_explained(lambda asked: replace(whole(asked), reasons=()), facts)


def reads_all(engine: Engine, facts: Facts, other: Facts) -> bool:
    """Facts that were not read change nothing."""
    decision = engine(facts)
    unread = {path for path in {*facts.values, *other.values} if path not in set(decision.read)}
    changed = facts.replaced({path: other.values.get(path) for path in unread})
    return shown(engine(changed)) == shown(decision)


@RUN
@given(FACTS, FACTS)
def test_facts_not_read_change_nothing(facts: Facts, other: Facts) -> None:
    assert reads_all(whole, facts, other)


def test_control_an_engine_that_hides_what_it_read() -> None:
    def hiding(facts: Facts) -> Decision:
        decision = whole(facts)
        return replace(decision, read=tuple(path for path in decision.read if path != "age"))

    facts = of(residence="US", address_country="US", age=30, guardian_consent={"given": False})
    other = facts.replaced({"age": 12})
    assert reads_all(whole, facts, other)
    assert not reads_all(hiding, facts, other)
