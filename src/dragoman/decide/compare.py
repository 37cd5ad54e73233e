"""What changed between two sets of packs, rule by rule, and what each change means.

For the command line and pages. Compares what the files say; it decides nothing and loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from dragoman.core.decision import Text
from dragoman.decide.packs import Pack
from dragoman.decide.worded import EFFECTS, STRENGTH, condition

Change = dict[str, Any]
Packs = Mapping[str, Pack]

_MEANS: Mapping[str, Text] = {
    "added": {"en": "new", "zh": "新增"},
    "removed": {"en": "gone: it has no effect any more", "zh": "已移除，不再起作用"},
    "earlier": {"en": "binds earlier", "zh": "更早生效"},
    "later": {"en": "binds later", "zh": "更晚生效"},
    "longer": {"en": "ends later", "zh": "更晚失效"},
    "shorter": {"en": "ends earlier", "zh": "更早失效"},
    "stricter": {"en": "stricter", "zh": "更严格"},
    "looser": {"en": "looser", "zh": "更宽松"},
    "enforcement": {"en": "another state of enforcement", "zh": "执行状态改变"},
    "certainty": {"en": "another mark of certainty", "zh": "确定性标记改变"},
    "sources": {"en": "rests on other sources", "zh": "依据的来源改变"},
    "words": {"en": "other words; the effect stays", "zh": "措辞改变，效果不变"},
    "content": {"en": "asks for something else", "zh": "要求的内容改变"},
    "code": {"en": "another reason code", "zh": "理由代码改变"},
    "head": {"en": "of the pack itself", "zh": "法域包自身信息"},
}  # fmt: skip
_FIELD = {
    "certainty": "certainty", "citation_certainty": "certainty", "source_refs": "sources", "title": "words",
    "text": "words", "reason_code": "code", "enforcement": "enforcement",
}  # fmt: skip


def compare(old: Packs, new: Packs) -> list[Change]:
    """Changes by pack, in the order of ids: `{pack, change, head[], sources[], provider[], rules[]}`."""
    out = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        told = _pack(before.document if before else {}, after.document if after else {})
        if before is None or after is None:  # the sources and rules say it
            told |= {"head": [], "provider": [], "channel": []}
        if before is None or after is None or any(told.values()):
            change = "added" if before is None else "removed" if after is None else "changed"
            out.append({"pack": name, "change": change, **told})
    return out


def _pack(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change:
    return {
        "head": list(_fields(old.get("pack", {}), new.get("pack", {}), "head")),
        "sources": _rows(old, new, "sources", "id"),
        "provider": list(_provider(old.get("provider", {}), new.get("provider", {}))),
        "channel": list(_fields(old.get("channel", {}), new.get("channel", {}), "content")),
        "rules": _rows(old, new, "rules", "rule_id"),
    }


def _rows(old: Mapping[str, Any], new: Mapping[str, Any], key: str, name: str) -> list[Change]:
    before = {row[name]: row for row in old.get(key, ())}
    after = {row[name]: row for row in new.get(key, ())}
    out = []
    for row in sorted({*before, *after}):
        if row not in before or row not in after:
            change = "added" if row in after else "removed"
            out.append({name: row, "change": change, "fields": [], "means": dict(_MEANS[change])})
        elif before[row] != after[row]:
            fields = list(_fields(before[row], after[row], "sources" if key == "sources" else None))
            out.append({name: row, "change": "changed", "fields": fields})
    return out


def _fields(old: Mapping[str, Any], new: Mapping[str, Any], means: str | None) -> Iterator[Change]:
    for field in sorted({*old, *new}):
        before, after = old.get(field), new.get(field)
        if before != after:
            told = _MEANS[means] if means else _meaning(field, before, after)
            yield {"field": field, "old": _plain(before), "new": _plain(after), "means": dict(told)}


def _meaning(field: str, old: Any, new: Any) -> Text:
    if field == "applies_when":
        before, after = condition(old), condition(new)
        return {"en": f"meets others: before “{before['en']}”, now “{after['en']}”",
                "zh": f"适用范围改变：原为“{before['zh']}”，现为“{after['zh']}”"}  # fmt: skip
    if field == "effective_from" and old and new:
        return _MEANS["earlier" if new < old else "later"]
    if field == "effective_to":
        return _MEANS["longer" if new is None or (old is not None and new > old) else "shorter"]
    if field == "on_missing" and old and new:
        way = _MEANS["stricter" if STRENGTH.index(new) > STRENGTH.index(old) else "looser"]
        return {lang: f"{way[lang]}: {EFFECTS[old][lang]} → {EFFECTS[new][lang]}" for lang in ("en", "zh")}
    return _MEANS[_FIELD.get(field, "content")]


def _provider(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """As `_fields`, but of lists of places only what came and went."""
    for change in _fields(old, new, "content"):
        field = change["field"]
        before, after = old.get(field), new.get(field)
        if isinstance(before, list) and isinstance(after, list) and all(isinstance(x, str) for x in before):
            gone, came = sorted(set(before) - set(after)), sorted(set(after) - set(before))
            change["old"], change["new"] = gone, came
            change["means"] = {
                "en": f"{len(came)} more, {len(gone)} fewer",
                "zh": f"增加 {len(came)} 项，减少 {len(gone)} 项",
            }
        yield change


def _plain(value: Any) -> Any:
    """JSON values."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
