"""What guests of a public port get: the built-in provider alone, from one pool that all of them share.

A guest has no key and nobody who pays for it; in stage `local` it is whoever sits at the machine. Whoever
signed up gets the models besides that `[sms] models` names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from dragoman.core.decision import Decision, Reason
from dragoman.settings import Settings

POOL = "guests"


class _Way(Protocol):
    @property
    def provider(self) -> str: ...


Way = TypeVar("Way", bound=_Way)


def pool(person: Mapping[str, Any], settings: Settings) -> dict[str, Any] | None:
    """The pool a person's turns count in (docs/wire.md); None where it is no guest of a public port."""
    if not person.get("guest") or settings.deployment.stage != "public":
        return None
    edge = settings.edge
    return {"name": POOL, "turns": edge.guest_turns, "per_minute": edge.guest_turns_per_minute}


def permitted(attempts: Sequence[Way], settings: Settings) -> tuple[Way, ...]:
    """The attempts that cost nobody anything."""
    return tuple(one for one in attempts if settings.providers[one.provider].kind == "local")


LOCAL_ONLY = Reason(
    code="GUESTS_LOCAL_ONLY",
    rule_id="operator.guests",
    title={"en": "What guests may use", "zh": "访客可用范围"},
    citation=None,
    effect="deny",
    certainty=None,
    text={
        "en": "Guests are answered from this server's own documents only. For this model, use a key.",
        "zh": "访客只能获得本服务器自有文档的回答。使用该模型需要密钥。",
    },
)


PEOPLE_LOCAL_ONLY = Reason(
    code="PEOPLE_LOCAL_ONLY",
    rule_id="operator.people",
    title={"en": "What people who signed up may use", "zh": "注册用户可用范围"},
    citation=None,
    effect="deny",
    certainty=None,
    text={
        "en": "The operator has not opened this model to people who signed up. Choose another one.",
        "zh": "运营者未向注册用户开放该模型，请选择其他模型。",
    },
)


def held_to_local(person: Mapping[str, Any], settings: Settings, model: str) -> Reason | None:
    """Why a person's turn with a model goes to the built-in provider alone; None where it need not."""
    if pool(person, settings) is not None:
        return LOCAL_ONLY
    return PEOPLE_LOCAL_ONLY if person.get("person") and model not in settings.sms.models else None


def refused(decision: Decision, why: Reason) -> Decision:
    """The decision on a turn that is held to the built-in provider and names a model of another."""
    return replace(decision, outcome="DENY", reasons=(why, *decision.reasons))
