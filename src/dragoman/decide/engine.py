"""`decide`: facts to a decision, over packs. Read this file for the order in which a decision is made.

Pure and deterministic: no clock, no I/O, the same facts, packs and world give the same decision. It never
carries anything out.
"""

from __future__ import annotations

from dragoman.core.decision import Decision, Reason, Remark
from dragoman.core.facts import Facts
from dragoman.decide.combine import combine_retention
from dragoman.decide.conditions import Test
from dragoman.decide.context import Context
from dragoman.decide.generalise import decision_id
from dragoman.decide.judge import ANSWERED, ASK, FIRM, settle_reminders
from dragoman.decide.models import LeftOut, Permitted, decide_models
from dragoman.decide.packs import Pack, PackSet
from dragoman.decide.places import Places, find_places
from dragoman.decide.roster import FOREVER, Roster
from dragoman.decide.rules import Rule
from dragoman.decide.territory import Terms, list_findings
from dragoman.decide.weigh import Tally, remark
from dragoman.decide.world import World

Span = tuple[int, int]
"""A stretch of time [since, until), ms UTC."""
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
    span = _law(context, packs, places, tally)
    eligible: tuple[str, ...] = ()
    permitted: Permitted = {}
    left_out: LeftOut = {}
    used: set[str] = set()
    if context.event in MODEL_EVENTS:
        terms = Terms(context, packs)
        eligible, permitted, left_out = decide_models(context, world, terms, tally)
        used = terms.used
    _lists(context, packs, world, tally)
    combine_retention(context.event, tally)
    read = tuple(sorted(context.read))
    since, until = _interval(context, span)
    outcome, scope = tally.outcome()
    channel = packs.of_channel(context.value_of("channel"))
    used_packs = sorted({*places.packs, *used, *channel})
    return Decision(
        id=decision_id(context, read, packs, world, (since, until)),
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
        read=read,
        packs={pack_id: packs.status[pack_id] for pack_id in used_packs},
        permitted=permitted,
        holds_until=until,
        residual=tuple(sorted(tally.residual)),
        left_out=left_out,
    )


def _law(context: Context, packs: PackSet, places: Places, tally: Tally) -> Span:
    """Every rule in play; returns the stretch of time in which no date of theirs falls."""
    since, until = 0, FOREVER
    reminders: list[tuple[Rule, Test | None]] = []
    standing = {
        name: _standing(context, packs, name) if provisional else FIRM
        for name, provisional in places.schedules.items()
    }
    for channel in packs.of_channel(context.get("channel")):
        standing[channel] = FIRM
        if not packs.packs[channel].terms_read:
            tally.warn(_unread(packs.packs[channel]))
    for name, firmness in standing.items():
        roster = packs.schedules[name, context.event].at(context.as_of)
        since = max(since, roster.since)
        until = min(until, roster.until)
        reminders += roster.reminders
        _hear(roster, firmness, context, tally)
    settle_reminders(reminders, context, tally)
    return since, until


def _hear(roster: Roster, standing: str, context: Context, tally: Tally) -> None:
    """What one pack says: of everybody, under a condition, and by looking further."""
    tally.take(roster.always)
    for group in roster.groups:
        context.touched = False
        if group.test(context) is False:
            continue
        if context.touched:
            tally.residual.update(group.rules)
        else:
            tally.take(group.findings)
    for act in roster.acts:
        act(context, tally, standing)


def _unread(pack: Pack) -> Remark:
    return remark("CHANNEL_TERMS_UNKNOWN", pack.id,
        f"Nothing was read of what {pack.title['en']} asks of an assistant, so not all of it was checked. "
        "Read the platform's rules.",
        f"尚未查阅 {pack.title['zh']} 对智能助手的要求，因此未作完整检查。请阅读该平台的规则。")  # fmt: skip


def _standing(context: Context, packs: PackSet, name: str) -> str:
    """A residence verified elsewhere answers a provisional denial; one inside the jurisdiction does not."""
    if not context.verified("residence"):
        return ASK
    home = context.get("residence")
    pack = packs.packs.get(name)
    places = (name,) if pack is None else pack.iso
    inside = home is None or any(code[:2] == home for code in places)
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


def _interval(context: Context, span: Span) -> tuple[int | None, int | None]:
    """The stretch of time [since, until) within which no dated thing that was considered changes."""
    now = context.as_of
    since, until = span
    for moment in context.instants:
        if moment <= now:
            since = max(since, moment)
        else:
            until = min(until, moment)
    return since or None, None if until == FOREVER else until
