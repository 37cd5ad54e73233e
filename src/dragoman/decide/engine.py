"""`decide`: facts to a decision, over packs. Read this file for the order in which a decision is made.

Pure and deterministic: no clock, no I/O, the same facts, packs and world give the same decision. It never
carries anything out.
"""

from __future__ import annotations

from bisect import bisect_right

from dragoman.core.decision import Decision, Reason
from dragoman.core.facts import Facts
from dragoman.decide.combine import combine_retention
from dragoman.decide.context import Context
from dragoman.decide.generalise import decision_id
from dragoman.decide.judge import ANSWERED, ASK, FIRM, Reminder, consider, settle_reminders
from dragoman.decide.models import LeftOut, Permitted, decide_models
from dragoman.decide.packs import PackSet
from dragoman.decide.places import Places, find_places
from dragoman.decide.territory import Terms, list_findings
from dragoman.decide.weigh import Tally, remark
from dragoman.decide.world import World

MODEL_EVENTS = frozenset({"turn", "signup"})
"""Events at which a model is, or is about to be, used."""


def decide(
    facts: Facts,
    packs: PackSet,
    world: World,
    open: tuple[str, ...] = (),  # noqa: A002 - named as the fact prefixes are: left open
) -> Decision:
    """The decision for these facts.

    `open` names prefixes of facts that are settled later (`("turn.",)`): rules that read one are left out
    and named in `residual`. Raises KeyError if the world names a provider pack that is not loaded.
    """
    context = Context(facts, world.deployment, open, packs.capabilities)
    tally = Tally()
    places = find_places(context, packs, tally)
    context.countries = places.countries
    _zone(context, world, tally)
    _law(context, packs, places, tally)
    eligible: tuple[str, ...] = ()
    permitted: Permitted = {}
    left_out: LeftOut = {}
    used: set[str] = set()
    if context.event in MODEL_EVENTS:
        terms = Terms(context, packs, places)
        eligible, permitted, left_out = decide_models(context, world, terms, tally)
        used = terms.used
    _lists(context, packs, world, tally)
    combine_retention(context.event, tally)
    since, until = _interval(context, packs, places)
    outcome, scope = tally.outcome()
    channel = packs.channels.get(context.value_of("channel") or "")
    used_packs = sorted({*places.packs, *used, *((channel,) if channel else ())})
    return Decision(
        id=decision_id(context, packs, world, (since, until)),
        as_of=facts.as_of,
        outcome=outcome,
        scope=scope,
        zone=world.zone,
        reasons=tally.sorted_reasons(),
        obligations=tally.sorted_obligations(),
        step_up=tally.sorted_signals(),
        not_ready=tuple(sorted(tally.not_ready)),
        advice=tuple(tally.advice[key] for key in sorted(tally.advice)),
        eligible_models=eligible,
        warnings=tuple(tally.warnings[key] for key in sorted(tally.warnings)),
        read=tuple(sorted(context.read)),
        packs={pack_id: packs.status[pack_id] for pack_id in used_packs},
        permitted=permitted,
        holds_until=until,
        residual=tuple(sorted(tally.residual)),
        left_out=left_out,
    )


def _law(context: Context, packs: PackSet, places: Places, tally: Tally) -> None:
    reminders: list[Reminder] = []
    event = context.event
    for pack_id, provisional in places.packs.items():
        standing = _standing(context, packs, pack_id, provisional)
        for rule in packs.rules[pack_id, event]:
            consider(rule, context, tally, standing, reminders)
    channel = packs.channels.get(context.get("channel") or "")
    if channel is not None:
        for rule in packs.rules[channel, event]:
            consider(rule, context, tally, FIRM, reminders)
    settle_reminders(reminders, context, tally)


def _standing(context: Context, packs: PackSet, pack_id: str, provisional: bool) -> str:
    """A residence verified elsewhere answers a provisional denial; one inside the jurisdiction does not."""
    if not provisional:
        return FIRM
    if not context.verified("residence"):
        return ASK
    home = context.get("residence")
    inside = home is None or any(code[:2] == home for code in packs.packs[pack_id].iso)
    return ASK if inside else ANSWERED


def _zone(context: Context, world: World, tally: Tally) -> None:
    """A person who belongs to another zone is sent there; nothing is forwarded."""
    if not world.zones:
        return
    home = context.get("residence") or context.get("address_country")
    zone = world.zones.get(home) if home else None
    if zone is None or zone == world.zone:
        return
    text = {
        "en": f"People of {home} are served in zone {zone}.",
        "zh": f"{home} 的用户由 {zone} 区域提供服务。",
    }
    title = {"en": "Residency zone", "zh": "数据驻留区域"}
    tally.add(Reason("ZONE_OTHER", f"zone.{zone}", title, None, "route", None, text), "account")
    advice = remark("GO_TO_ZONE", zone, f"Use the address of zone {zone}.", f"请使用 {zone} 区域的地址。")
    tally.advise(advice)


def _lists(context: Context, packs: PackSet, world: World, tally: Tally) -> None:
    """A sign-up concerns every configured provider, a turn those of its model."""
    if context.event not in MODEL_EVENTS and context.event != "deploy":
        return
    names: tuple[str, ...] = tuple(world.models)
    if context.event == "turn" and context.get("model") in world.models:
        names = (context.get("model"),)
    closed, warnings = list_findings(context, packs, world, names)
    for finding in closed:
        tally.add(finding.reason, finding.scope)
        tally.not_ready.add(f"territory_list.{finding.reason.rule_id.removesuffix('.territory')}")
    for warning in warnings:
        tally.warn(warning)


def _interval(context: Context, packs: PackSet, places: Places) -> tuple[int | None, int | None]:
    """The stretch of time [since, until) within which no dated thing that was considered changes."""
    now = context.as_of
    since: int | None = None
    until: int | None = None
    for pack_id in places.packs:
        moments = packs.instants[pack_id, context.event]
        at = bisect_right(moments, now)
        if at > 0 and (since is None or moments[at - 1] > since):
            since = moments[at - 1]
        if at < len(moments) and (until is None or moments[at] < until):
            until = moments[at]
    for moment in context.instants:
        if moment <= now and (since is None or moment > since):
            since = moment
        if moment > now and (until is None or moment < until):
            until = moment
    return since, until
