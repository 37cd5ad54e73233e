"""A pack or a rule as it is read: JSON values, and the same as lines of text in English or Chinese.

For the command line and pages. Says what the file says and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dragoman.decide.packs import Pack
from dragoman.decide.rules import Rule
from dragoman.decide.worded import EFFECTS, condition

_WORDS: Mapping[str, tuple[str, str]] = {
    "applies": ("Applies when", "适用条件"),
    "from": ("In effect from", "生效日期"),
    "no_date": ("no date", "无日期"),
    "until": ("until", "至"),
    "older": ("binds older systems from", "对既有系统的生效日期"),
    "effect": ("Where it is missing, it", "缺失时"),
    "rests": ("Rests on", "依据"),
    "asks": ("Asks for", "要求"),
    "places": ("Places", "地区"),
    "parent": ("Part of", "上级"),
    "reviewed": ("Review", "审阅"),
    "rules": ("Rules", "规则"),
    "list": ("List of", "清单日期"),
    "no_list": ("No list of places is known", "没有已知的地区清单"),
    "open": ("Left open by what was read", "所读资料未能确定"),
    "left_out": ("Left out", "不包括"),
    "terms": ("Terms", "条款"),
    "carries": ("Carries", "可承载"),
    "unread": ("What the platform asks of an assistant was not read", "尚未查阅该平台对智能助手的要求"),
}


def rule_document(rule: Rule, pack: Pack) -> dict[str, Any]:
    """Everything a rule says, its condition in words, and its sources."""
    raw: Any = next(row for row in pack.document["rules"] if row["rule_id"] == rule.rule_id)
    return {
        "rule_id": rule.rule_id, "pack": pack.id, "kind": rule.kind,
        "title": dict(rule.reasons["warn"].title),
        "text": dict(rule.reasons["deny"].text), "applies_when": raw.get("applies_when"),
        "applies_in_words": dict(condition(raw.get("applies_when"))), "effective_from": rule.starts_on,
        "effective_to": raw.get("effective_to"), "binds_older_systems_from": rule.grandfathered_on,
        "enforcement": rule.enforcement, "on_missing": rule.on_missing, "certainty": rule.certainty,
        "code": rule.reason_code, "asks": rule.payload,
        "sources": [{"id": ref, **pack.sources[ref].to_dict()} for ref in rule.source_refs],
    }  # fmt: skip


def pack_document(pack: Pack) -> dict[str, Any]:
    """What a pack holds: head, sources, terms, and its rules with their dates and citation."""
    out: dict[str, Any] = {
        "id": pack.id, "kind": pack.kind, "version": pack.version, "status": pack.status,
        "title": dict(pack.title), "iso": list(pack.iso), "parent": pack.parent, "origin": pack.origin,
        "review": dict(pack.review), "digest": f"sha256:{pack.digest}",
        "sources": {key: citation.to_dict() for key, citation in pack.sources.items()},
        "rules": [rule_document(rule, pack) for rule in pack.rules],
    }  # fmt: skip
    if pack.channel is not None:
        out["channel"] = {
            "id": pack.channel, "capabilities": sorted(pack.capabilities), "terms_read": pack.terms_read,
        }  # fmt: skip
    if pack.provider is not None:
        provider = pack.provider
        out["provider"] = {
            "id": provider.id, "route": provider.route, "basis": sorted(provider.basis),
            "snapshot_date": str(provider.snapshot_date) if provider.snapshot_date else None,
            "list_url": provider.list_url, "complete": provider.complete, "min_age": provider.min_age,
            "places": None if provider.territory_allow is None else sorted(provider.territory_allow),
            "open": sorted(provider.open_codes), "left_out": sorted(provider.subdivision_exclude),
            "licence_leaves_out": sorted(provider.licence_territory_exclude),
            "terms": {
                check: {**citation.to_dict(), "certainty": provider.certainty[check]}
                for check, citation in provider.cites.items()
            },
        }  # fmt: skip
    return out


def head_line(pack: Pack, lang: str) -> str:
    """One line for a list of packs."""
    return f"{pack.id} {pack.version} ({pack.kind}, {pack.status}): {pack.title.get(lang, pack.title['en'])}"


def rule_lines(rule: Rule, pack: Pack, lang: str) -> Iterator[str]:
    """A rule with everything it says."""
    say = _say(lang)
    told = rule_document(rule, pack)
    yield f"{rule.rule_id} [{rule.certainty}] {rule.kind}, {rule.enforcement}: {told['title'][lang]}"
    if told["text"] != told["title"]:
        yield f"  {told['text'][lang]}"
    yield f"  {say('applies')}: {told['applies_in_words'][lang]}"
    ends = f", {say('until')} {told['effective_to']}" if told["effective_to"] else ""
    older = f"; {say('older')} {rule.grandfathered_on}" if rule.grandfathered_on else ""
    yield f"  {say('from')}: {rule.starts_on or say('no_date')}{ends}{older}"
    yield f"  {say('effect')}: {EFFECTS[rule.on_missing][lang]} ({rule.reason_code})"
    for name, value in rule.payload.items():
        yield f"  {say('asks')} {name}: {_value(value, lang)}"
    for source in told["sources"]:
        yield f"  {say('rests')}: {citation_line(source)}"


def pack_lines(pack: Pack, lang: str) -> Iterator[str]:
    """A pack with its rules, a line each."""
    say = _say(lang)
    yield head_line(pack, lang)
    if pack.iso:
        yield f"  {say('places')}: {', '.join(pack.iso)}"
    if pack.parent:
        yield f"  {say('parent')}: {pack.parent}"
    if pack.review:
        yield f"  {say('reviewed')}: {', '.join(f'{key} {value}' for key, value in pack.review.items())}"
    if pack.channel:
        yield f"  {say('carries')}: {', '.join(sorted(pack.capabilities))}"
        if not pack.terms_read:
            yield f"  {say('unread')}"
    yield from _provider_lines(pack, lang)
    for rule in pack.rules:
        reason = rule.reasons["warn"]
        cited = citation_line(reason.citation.to_dict(), url=False) if reason.citation else ""
        yield (
            f"  {rule.rule_id} [{rule.certainty}] {say('from').lower()} {rule.starts_on or say('no_date')}: "
            f"{reason.title.get(lang, reason.title['en'])} — {cited}"
        )


def _provider_lines(pack: Pack, lang: str) -> Iterator[str]:
    if pack.provider is None:
        return
    say, provider = _say(lang), pack_document(pack)["provider"]
    if provider["places"] is None:
        yield f"  {say('no_list')}"
    else:
        yield f"  {say('list')} {provider['snapshot_date']}: {len(provider['places'])}"
        yield f"  {say('places')}: {' '.join(provider['places'])}"
    for key in ("open", "left_out", "licence_leaves_out"):
        if provider[key]:
            yield f"  {say('open' if key == 'open' else 'left_out')}: {' '.join(provider[key])}"
    for check, source in provider["terms"].items():
        yield f"  {say('terms')} {check} [{source['certainty']}]: {citation_line(source)}"


def citation_line(source: Mapping[str, Any], *, url: bool = True) -> str:
    """Title, article and address of a source."""
    title = source.get("source") or source.get("title")
    article = f", {source['article']}" if source["article"] else ""
    return f"{title}{article}" + (f" <{source['url']}>" if url and source["url"] else "")


def _say(lang: str) -> Any:
    return lambda key: _WORDS[key][lang == "zh"]


def _value(value: Any, lang: str) -> str:
    if isinstance(value, Mapping):
        if {"en", "zh"} <= set(value):
            return f"“{value[lang]}”"
        return ", ".join(f"{key} {_value(item, lang)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(item, lang) for item in value)
    return str(value)
