"""A law's protocol for people in crisis: recognised by a rule, answered by a referral.

The operator writes the rules (`category`) and names the crisis services; none ships. A question that a rule
recognises goes to no model: the rule's message and the referrals are the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dragoman.core.decision import Obligation
from dragoman.decide.packs import PackSet
from dragoman.policy.rules import Rule
from dragoman.settings import Settings
from dragoman.settings_operations import LocalText

RULE, REFERRAL = "crisis_rule", "crisis_referral"
"""Families of what an operator may lack: a rule that recognises something, a crisis service for a place."""
CARRIED = frozenset({"required", "triggers", "publish", "evidence"})
"""What a `crisis` rule may ask that is carried out here; the engine itself asks for the evidence."""


@dataclass(frozen=True, slots=True)
class Crisis:
    """What the operator has set up. `places`: the codes of each crisis rule's jurisdiction, by rule."""

    recognised: frozenset[str] = frozenset()
    referred: frozenset[str] = frozenset()
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def lacks(self, one: Obligation) -> tuple[str, ...] | None:
        """What is missing for a duty, none where it is carried out; None where nothing here can do it."""
        asked = one.parameters
        triggers, places = asked.get("triggers"), self.places.get(one.rule_id)
        if not triggers or not places or not CARRIED.issuperset(asked):
            return None
        rules = [f"{RULE}.{trigger}" for trigger in triggers if trigger not in self.recognised]
        if any(self.referred & {place, place[:2]} for place in places):
            return tuple(rules)
        return (*(f"{REFERRAL}.{place}" for place in places), *rules)


NOTHING = Crisis()


def crisis_of(settings: Settings, rules: Iterable[Rule], packs: PackSet) -> Crisis:
    """What the configuration and its rules amount to."""
    return Crisis(
        frozenset(one.category for one in rules if one.category is not None and _refuses(one)),
        frozenset(settings.crisis),
        {
            rule.rule_id: pack.iso
            for pack in packs.packs.values()
            for rule in pack.rules
            if rule.kind == "crisis"
        },
    )


def with_referrals(rules: Sequence[Rule], settings: Settings) -> list[Rule]:
    """The rules, the referrals of all places in the messages of those that recognise a crisis."""
    refer = [settings.crisis[place].refer for place in sorted(settings.crisis)]
    return [_referring(one, refer) if one.category is not None and _refuses(one) else one for one in rules]


def _refuses(one: Rule) -> bool:
    return one.action == "refuse" and "in" in one.direction


def _referring(one: Rule, refer: Sequence[LocalText]) -> Rule:
    message = LocalText.model_construct(
        en="\n".join([one.message.en, *(text.en for text in refer)]),
        zh="\n".join([one.message.zh, *(text.zh for text in refer)]),
    )
    return one.model_copy(update={"message": message})
