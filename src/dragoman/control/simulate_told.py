"""A simulation's report in words, English or Chinese, for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from dragoman.control.cli_common import table

ROWS_SHOWN = 25
"""LIMIT: rows of a table in the plain answer; --json has all."""

Row = dict[str, Any]

_WORDS = {
    "en": {
        "head": "{all} recorded turns of {source}, replayed {how}:",
        "packs": "under changed packs ({packs})", "equal": "under equal packs", "date": "as of {date}",
        "same": "as before", "changed": "otherwise", "open": "not told: the record leaves it open",
        "not_understood": "not decided: facts these packs do not understand",
        "without_facts": "not decided: recorded without facts",
        "without_entry": "not decided: no entry found",
        "simulated": "{n} turns of simulated facts were left out.",
        "outcomes": "Outcomes that change", "by_rule": "By rule", "beside": "Beside the rules",
        "by_pack": "By jurisdiction or provider", "by_place": "By place of the person", "by_app": "By app",
        "openly": "Facts whose recorded band the packs cut", "strange": "Facts that are not understood",
        "unread": "Not recorded, and asked for by the new packs (taken as unknown, which lowers no duty)",
        "recorded": "Recorded otherwise than the packs in force decide now",
        "more": "… {n} more; --json lists all", "nothing": "nothing",
        "open_with": "An example is opened with: dragoman ledger show ID",
    },
    "zh": {
        "head": "{source} 中记录的 {all} 个轮次，{how}重新决定：",
        "packs": "按变更后的法域包（{packs}）", "equal": "按相同的法域包", "date": "以 {date} 为准",
        "same": "与之前相同", "changed": "有所不同", "open": "无法判断：记录不足以确定",
        "not_understood": "未决定：法域包不理解其中的事实",
        "without_facts": "未决定：记录中没有事实", "without_entry": "未决定：找不到条目",
        "simulated": "另有 {n} 个模拟事实的轮次未计入。",
        "outcomes": "改变的结果", "by_rule": "按规则", "beside": "规则之外",
        "by_pack": "按法域或供应商", "by_place": "按用户所在地", "by_app": "按应用",
        "openly": "记录区间被法域包切分的事实", "strange": "不被理解的事实",
        "unread": "未记录、而新法域包要求的事实（按未知处理，不会减轻义务）",
        "recorded": "记录的结果与现行法域包现在的决定不同",
        "more": "……另有 {n} 项；--json 列出全部", "open_with": "打开示例：dragoman ledger show ID",
        "nothing": "无",
    },
}  # fmt: skip
_STATES = ("same", "changed", "open", "not_understood", "without_facts", "without_entry")
_KINDS = {
    "en": {"reason": "reason", "obligation": "duty", "parameter": "duty's", "need": "asks for",
           "provider": "provider", "scope": "reach"},
    "zh": {"reason": "理由", "obligation": "义务", "parameter": "义务参数", "need": "要求",
           "provider": "供应商", "scope": "范围"},
}  # fmt: skip


def told(report: Row, lang: str) -> str:
    """The report as text."""
    return "\n".join(_lines(report, lang))


def _lines(report: Row, lang: str) -> Iterator[str]:
    words, turns = _WORDS[lang], report["turns"]
    yield words["head"].format(all=f"{turns['all']:,}", source=report["source"], how=_how(report, lang))
    for state in _STATES:
        if turns[state] or state in ("same", "changed"):
            yield f"  {turns[state]:>12,}  {words[state]}"
    if report["simulated_left_out"]:
        yield words["simulated"].format(n=report["simulated_left_out"])
    yield from _table(words, "outcomes", report["outcomes"], ("before", "after", "turns", "decisions"))
    yield from _rules(report["by_rule"], words, lang)
    if report["beside_rules"]:
        yield from ("", words["beside"])
        yield from (_difference(row, lang) for row in report["beside_rules"][:ROWS_SHOWN])
    yield from _table(words, "by_pack", report["by_pack"], ("pack", "turns", "decisions"))
    for name, key in (("by_place", "place"), ("by_app", "app")):
        rows = report[name] if turns["changed"] else []
        yield from _table(words, name, rows, (key, "changed", "turns"))
    yield from _table(words, "openly", report["open"], ("facts", "turns", "decisions"))
    yield from _table(words, "strange", report["not_understood"], ("reason", "turns", "decisions"))
    yield from _table(words, "unread", report["not_recorded"], ("fact", "turns", "decisions"))
    columns = ("recorded", "before", "turns", "decisions")
    yield from _table(words, "recorded", report["recorded_otherwise"], columns)
    if any(row["examples"] and row["examples"][0]["turn"] for row in report["outcomes"] + report["by_rule"]):
        yield from ("", words["open_with"])


def _how(report: Row, lang: str) -> str:
    words, changed = _WORDS[lang], report["packs"]["changed"]
    how = [words["packs"].format(packs=", ".join(changed))] if changed else []
    if report["as_of"] is not None:
        day = datetime.fromtimestamp(report["as_of"] / 1000, UTC).isoformat(timespec="minutes")
        how.append(words["date"].format(date=day))
    joined = ", " if lang == "en" else "、"
    return joined.join(how or [words["equal"]])


def _table(words: dict[str, str], title: str, rows: list[Row], columns: tuple[str, ...]) -> Iterator[str]:
    if not rows:
        return
    shown = [{**row, "example": _example(row)} for row in rows[:ROWS_SHOWN]]
    yield from ("", words[title], table(shown, (*columns, "example")))
    if len(rows) > ROWS_SHOWN:
        yield words["more"].format(n=len(rows) - ROWS_SHOWN)


def _rules(rows: list[Row], words: dict[str, str], lang: str) -> Iterator[str]:
    if rows:
        yield from ("", words["by_rule"])
    for row in rows[:ROWS_SHOWN]:
        title = (row["title"] or {}).get(lang, "")
        yield f"{row['rule_id']}  {title}  ({row['turns']:,}; {_example(row)})"
        yield from (_difference(one, lang) for one in row["differences"])
    if len(rows) > ROWS_SHOWN:
        yield words["more"].format(n=len(rows) - ROWS_SHOWN)


def _difference(row: Row, lang: str) -> str:
    nothing = _WORDS[lang]["nothing"]
    before, after = row["before"] or nothing, row["after"] or nothing
    return f"  {row['turns']:>10,}  {_KINDS[lang][row['of']]} {row['name']}: {before} → {after}"


def _example(row: Row) -> str:
    """What can be opened of the first example: the turn, else the decision."""
    first = next(iter(row["examples"]), None)
    return "-" if first is None else str(first["turn"] or first["decision"])
