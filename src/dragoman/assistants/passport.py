"""The passport of a turn: what was decided and why, who answered, who could have, and the record of it.

Pure. Field names are public API (docs/api.md); texts are in English and Chinese, as decisions hold them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.assistants.views import decision_of
from dragoman.core.conversations import KeptDecision, Whole
from dragoman.core.turns import RUNNING, TurnBrief

PENDING, PROVEN, PARTLY, NOT_FOUND, UNREADABLE = "pending", "proven", "partly", "not_found", "unreadable"
ELSEWHERE = "elsewhere"
"""States of a turn's proof."""
_STATES = {
    PROVEN: (
        "The record holds this turn. Save a proof and run its command: it needs nothing of this server.",
        "账本中有本轮记录。保存证明文件并运行所示命令即可核验，无需依赖本服务器。",
    ),
    PARTLY: (
        "The record holds this turn's beginning; its end is not under a signed checkpoint yet.",
        "账本中有本轮的开始记录；其结束记录尚未纳入已签名的检查点。",
    ),
    PENDING: (
        "The signed checkpoint does not cover this turn yet. It follows within a second; ask again.",
        "已签名的检查点尚未包含本轮，通常在一秒内完成，请稍后再试。",
    ),
    NOT_FOUND: (
        "This turn was not found near its time in the record. `dragoman ledger prove` searches all of it.",
        "在账本中未于相应时间附近找到本轮。`dragoman ledger prove` 会搜索全部记录。",
    ),
    ELSEWHERE: (
        "This turn was made in another zone, whose record holds it. Its operator proves it there.",
        "本轮在另一区域产生，由该区域的账本记录。可由该区域的运营者出具证明。",
    ),
    UNREADABLE: (
        "The record cannot be read here now. The operator proves the turn with `dragoman ledger prove`.",
        "目前无法在此读取账本。运营者可用 `dragoman ledger prove` 出具证明。",
    ),
}


@dataclass(frozen=True, slots=True)
class Proof:
    """A C2SP tlog-proof of one of a turn's entries: `kind` intent or result, its index, the file's text."""

    kind: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger has of a turn. `log` and `key` are None where it cannot be read."""

    state: str
    log: str | None = None
    key: str | None = None
    proofs: tuple[Proof, ...] = ()


def closed_at(brief: TurnBrief, result: str | None) -> int | None:
    """About when a turn's result was written (ms UTC), None while it runs."""
    if brief.state in RUNNING:
        return None
    return int(json.loads(result)["at"]) if result else brief.changed_at


def document(
    whole: Whole,
    kept: KeptDecision | None,
    record: Record,
    zone: str,
    interventions: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The passport. `kept` None: the decision is of an earlier release, which kept none that allowed.

    `interventions`: what rules did to the turn, as its `dragoman` object tells it.
    """
    brief, texts = whole
    result = json.loads(texts.result) if texts.result else {}
    grounds = kept.grounds if kept else {}
    return {
        "object": "conversation.turn.passport",
        "turn": brief.turn,
        "conversation": brief.conversation,
        "created_at": brief.at // 1000,
        "state": "running" if brief.state in RUNNING else brief.state,
        "status": brief.status,
        "zone": zone,
        "simulated": bool(grounds.get("simulated", result.get("simulated", False))),
        "answered_by": {
            "asked": texts.model,
            "provider": result.get("provider"),
            "model": result.get("model"),
            "attempt": result.get("attempt"),
        },
        "interventions": list(interventions),
        "decision": decision_part(decision_of(whole[1]), kept),
        "providers": list(grounds.get("providers", ())),
        "ledger": _ledger(brief, record),
    }


def decision_part(name: str, kept: KeptDecision | None) -> dict[str, Any]:
    """What a passport says of the decision. A decision that refused before any turn has no grounds."""
    if kept is None:
        return {"id": name, "kept": False}
    made, grounds = kept.document, kept.grounds
    facts = dict(grounds.get("facts", {}))
    reasons = [_rule(one, grounds.get("kinds", {})) for one in made["reasons"]]
    return {
        "id": name,
        "kept": True,
        **{part: made[part] for part in ("outcome", "scope", "as_of")},
        "packs": [{"id": pack, **told} for pack, told in made["packs"].items()],
        "rules": reasons,
        "obligations": [_obligation(one, made["reasons"]) for one in made["obligations"]],
        **{part: made[part] for part in ("step_up", "not_ready", "advice", "warnings", "eligible_models")},
        "lifts": list(grounds.get("lifts", ())),
        "facts": facts,
        "unknown": [path for path in made["read"] if path not in facts],
    }


def _rule(reason: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    rule = {name: reason[name] for name in ("rule_id", "code", "effect", "certainty", "title", "text")}
    return {**rule, "kind": kinds.get(reason["rule_id"]), "source": reason["citation"]}


def _obligation(one: Mapping[str, Any], reasons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A duty with its text: what is shown, where it says so, else what its rule says."""
    shown = one["parameters"].get("locale_text")
    said = next((why["text"] for why in reasons if why["rule_id"] == one["rule_id"]), None)
    return {**one, "text": shown or said}


def _ledger(brief: TurnBrief, record: Record) -> dict[str, Any]:
    english, chinese = _STATES[record.state]
    return {
        "state": record.state,
        "text": {"en": english, "zh": chinese},
        "log": record.log,
        "key": record.key,
        "proofs": [_proof(brief, one, record.key or "") for one in record.proofs],
        "search": None if record.state == PROVEN else f"dragoman ledger prove {brief.turn}",
    }


def _proof(brief: TurnBrief, one: Proof, key: str) -> dict[str, Any]:
    name = file_name(brief.turn, one.kind)
    return {
        "kind": one.kind,
        "index": one.index,
        "file": name,
        "url": f"/v1/conversations/{brief.conversation}/turns/{brief.turn}/passport?proof={one.kind}",
        "command": f"dragoman ledger verify --proof {shlex.quote(name)} --key {shlex.quote(key)}",
        "proof": one.text,
    }


def file_name(turn: str, kind: str) -> str:
    """How a proof is called where it is saved."""
    return f"{turn}-{kind}.tlog-proof"
