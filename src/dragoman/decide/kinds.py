"""The kinds of pack rules: which fields each has, and which duties it gives rise to.

A table, read when packs load. `checks` holds what a kind asks of the facts; a new kind is one entry here.
The duty kinds are the closed list of `core.decision.OBLIGATION_KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Duty:
    """An obligation a rule gives rise to, without the rule: its kind and parameters."""

    kind: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of rule.

    `fields` by name and type (`!` required, see `schema.check`); `on_missing` the effects a missing thing may
    have; `due_at` the events at which its duties fall due (None: always), at the others they are standing.
    `check` says when something missing is looked for: never (None), always (""), or if one of the fields is
    there that it names (`a|b`).
    """

    fields: Mapping[str, str]
    on_missing: tuple[str, ...] = ("oblige",)
    duties: Callable[[Payload], tuple[Duty, ...]] = field(default=lambda _payload: ())
    due_at: frozenset[str] | None = None
    has_when: bool = False
    check: str | None = None

    def checks(self, payload: Payload) -> bool:
        """Whether a rule with this payload looks for something that can be missing."""
        if self.check is None:
            return False
        return self.check == "" or any(name in payload for name in self.check.split("|"))


def _same(kind: str) -> Callable[[Payload], tuple[Duty, ...]]:
    return lambda payload: (Duty(kind, payload),)


def _display(payload: Payload) -> tuple[Duty, ...]:
    display = payload.get("display")
    return (Duty("display", {**display, "evidence": list(payload["type"])}),) if display else ()


def _transfer(payload: Payload) -> tuple[Duty, ...]:
    duties = []
    if payload.get("notice"):
        notice = {"id": "transfer", "trigger": "event", "locale_text": payload["notice"]}
        duties.append(Duty("notice", notice))
    if payload.get("separate_consent"):
        duties.append(Duty("consent", {"purpose": "transfer_abroad", "separate": True}))
    return tuple(duties)


def _right(payload: Payload) -> tuple[Duty, ...]:
    duties = [Duty("right", payload)]
    if payload.get("human_review"):
        duties.append(Duty("human_review", {"of": payload["type"]}))
    return tuple(duties)


def _complaint(payload: Payload) -> tuple[Duty, ...]:
    duties = [Duty("complaint_channel", payload)]
    if payload.get("human_review"):
        duties.append(Duty("human_review", {"of": "complaint"}))
    return tuple(duties)


def _content(payload: Payload) -> tuple[Duty, ...]:
    kind = "report" if payload["action"] == "report" else "content"
    return (Duty(kind, {key: value for key, value in payload.items() if key != "operator_list"}),)


NEVER: frozenset[str] = frozenset()  # due at no event: always standing

KINDS: Mapping[str, Kind] = {
    "availability": Kind({"mode": "!open|conditional|prohibited"}, ("oblige", "deny"), check=""),
    "prerequisite": Kind(
        {"type": "![str]", "authority": "str", "display": "table"},
        ("oblige", "not_ready", "gate"), _display, frozenset({"turn", "export", "publish"}), True, check=""),
    "signals": Kind(
        {"required": "![address|phone|residence|payment|org_seat|org_owner|channel]",
         "mismatch_policy": "step_up|deny|strictest"},
        ("step_up",), check=""),
    "identity": Kind(
        {"real_name": "!bool", "methods": "[str]", "phone_regions": "[country]"}, ("step_up",), check=""),
    "age": Kind(
        {"min": "int", "consent_age": "int", "consent_age_by": "{int}", "adult_age": "int",
         "methods": "[str]", "self_declaration_ok": "bool", "id_collection_forbidden": "bool",
         "signal": "!age_reliable|guardian|verifiable_parent"},
        ("step_up", "deny"), check=""),
    "consent": Kind(
        {"purpose": "!str", "separate": "bool", "own_document": "bool", "languages": "[str]"},
        duties=_same("consent"), due_at=frozenset({"signup", "transfer"}),
    ),
    "residency": Kind(
        {"data_class": "!str", "collect_in": "[country]", "store_in": "[country]",
         "copy_out": "yes|no|conditional"},
        ("oblige", "not_ready", "deny"), _same("localise"), NEVER, check=""),
    "transfer": Kind(
        {"mechanisms": "[str]", "thresholds": "[table]", "notice": "text", "separate_consent": "bool"},
        ("oblige", "not_ready"), _transfer, frozenset({"transfer"}),
        check="thresholds|mechanisms"),
    "retention": Kind(
        {"data_class": "!str", "min_days": "int", "min_months": "int", "max_days": "int",
         "anchor": "str", "location": "str"},
        duties=_same("retention"), due_at=NEVER,
    ),
    "right": Kind(
        {"type": "!str", "sla": "period", "extend": "period", "human_review": "bool",
         "scope": "[prompts|outputs|memory|embeddings|provider_copies]"},
        duties=_right, due_at=frozenset({"erasure"}),
    ),
    "label.visible": Kind(
        {"modality": "![str]", "locale_text": "!text", "position": "str", "min_side_pct": "int",
         "min_seconds": "int", "audio": "table", "rhythm": "str", "export_required": "bool",
         "opt_out": "table"},
        duties=_same("label.visible"),
    ),
    "label.machine": Kind(
        {"format": "!aigc_cn|c2pa|iptc|watermark|http", "min_layers": "int", "field_map": "table",
         "container_by_mime": "table", "verify_on_ingest": "bool"},
        duties=_same("label.machine"),
    ),
    "notice": Kind(
        {"id": "!str", "trigger": "!signup|first_turn|session|policy|event", "every": "period",
         "scope": "str", "level": "confirmed|possible|suspected", "locale_text": "!text", "ack": "bool"},
        duties=_same("notice"),
    ),
    "reminder": Kind(
        {"id": "!str", "interval_min": "!int", "scope": "str", "locale_text": "!text", "ack": "bool"},
        duties=_same("reminder"),
    ),
    "content": Kind(
        {"category": "[str]", "map": "table", "direction": "in|out",
         "action": "!allow|label|warn|block|route_human|report", "operator_list": "table",
         "order_sla_min": "int"},
        ("oblige", "not_ready"), _content, frozenset({"intervention", "order"}), check="operator_list"),
    "evaluation": Kind(
        {"banks": "[table]", "sample_min": "int", "pass_min": "number", "refuse_min": "number",
         "over_refuse_max": "number", "evidence": "str"},
        ("oblige", "not_ready"), _same("evaluation"), NEVER, check="evidence"),
    "minors": Kind(
        {"modes": "[str]", "forbidden_features": "[str]", "guardian_controls": "[str]",
         "break_interval_min": "int", "ads_profiling": "bool"},
        ("oblige", "step_up", "deny"), _same("minors"), check="forbidden_features"),
    "crisis": Kind(
        {"required": "bool", "triggers": "[str]", "resources_by_region": "table", "publish": "bool",
         "human_takeover": "bool", "notify": "[str]", "evidence": "str"},
        ("oblige", "not_ready"), _same("crisis"), frozenset({"turn"}), check="evidence"),
    "exit": Kind({"one_step": "!bool", "keywords": "[str]"}, duties=_same("exit")),
    "complaint": Kind(
        {"channels": "[str]", "ack_hours": "int", "resolve_days": "int", "appeal_window_days": "int",
         "appeal_window_months": "int", "human_review": "bool", "external_bodies": "[str]"},
        duties=_complaint, due_at=frozenset({"complaint"}),
    ),
    "sor": Kind(
        {"required": "!bool", "export": "dsa|none", "fields_map": "table"},
        duties=_same("statement_of_reasons"), due_at=frozenset({"intervention"}),
    ),
    "incident": Kind(
        {"trigger": "str", "authority": "text", "hours": "int", "stages": "[table]", "user_notice": "bool"},
        duties=_same("incident"), due_at=NEVER,
    ),
    "reporting": Kind(
        {"name": "!str", "period": "str", "due": "str", "metrics": "[str]", "recipient": "str"},
        duties=_same("report"), due_at=NEVER,
    ),
    "logs": Kind(
        {"min_days": "int", "min_months": "int", "integrity": "str", "location": "str"},
        duties=_same("log"), due_at=NEVER,
    ),
}  # fmt: skip
