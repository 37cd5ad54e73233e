"""A slow reference for the combination rules, written from the specification and not from the engine.

It walks the packs' TOML as plain dictionaries and a nested facts document, without compiling, indexing, short
cuts or a record of reads. It covers the law side: places, dates, three-valued conditions, what is missing,
duties, precedence. Provider terms have their own cases.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers

PACKS = Path(__file__).resolve().parents[2] / "src" / "dragoman" / "packs"
ORDER = ["DENY", "NOT_READY", "STEP_UP", "HANDOFF", "ROUTE", "ALLOW_WITH", "ALLOW"]
STANDING_ALWAYS = {"localise", "retention", "log", "incident", "report", "evaluation"}
DUE_ONLY = {
    "consent": {"signup", "transfer"},
    "right": {"erasure"},
    "complaint_channel": {"complaint"},
    "human_review": {"complaint"},
    "content": {"intervention", "order"},
    "statement_of_reasons": {"intervention"},
    "display": {"turn", "export", "publish"},
    "crisis": {"turn"},
}
MISSING = object()


def load() -> list[dict[str, Any]]:
    return [
        tomllib.loads(path.read_text("utf-8")) for path in sorted((PACKS / "jurisdictions").glob("*.toml"))
    ]


def get(facts: dict[str, Any], path: str) -> Any:
    node: Any = facts
    parts = path.split(".")
    for at, part in enumerate(parts):
        if not isinstance(node, dict):
            return None
        if part not in node:
            return node.get(".".join(parts[at:]))
        node = node[part]
    return node


def expected(facts: dict[str, Any], packs: list[dict[str, Any]]) -> dict[str, Any]:
    """Outcome, reasons as (code, effect), obligations as (kind, rule, enforcement, standing), step_up, not_ready."""
    reasons: set[tuple[str, str]] = set()
    duties: set[tuple[str, str, str, bool]] = set()
    signals: set[str] = set()
    evidence: set[str] = set()
    for pack, provisional in in_play(facts, packs):
        for rule in pack.get("rules", ()):
            one_rule(rule, pack, provisional, facts, (reasons, duties, signals, evidence))
    reminders(facts, packs, reasons, duties)
    effects = {effect for _, effect in reasons}
    outcome = "ALLOW_WITH" if any(not standing for *_, standing in duties) else "ALLOW"
    for name in reversed(ORDER[:5]):
        if name.lower() in effects:
            outcome = name
    return {
        "outcome": outcome,
        "reasons": reasons,
        "duties": duties,
        "step_up": signals,
        "not_ready": evidence,
    }


def in_play(facts: dict[str, Any], packs: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    certain = {facts.get("residence"), facts.get("address_country"), *facts.get("offered_markets", ())} - {
        None
    }
    by_phone = phone_countries(facts)
    verified = "residence" in (get(facts, "identity.verified") or ()) and facts.get("residence")
    out = []
    for pack in packs:
        iso = set(pack["pack"]["iso"])
        whole = {code[:2] for code in iso if "-" in code}
        parts = parts_of(whole, facts)
        if iso & certain or iso & parts:
            out.append((pack, "firm"))
        elif iso & by_phone or (whole & (certain | by_phone) and (not parts or None in parts)):
            inside = facts.get("residence") in whole
            out.append((pack, "answered" if verified and not inside else "ask"))
    return out


def parts_of(countries: set[str], facts: dict[str, Any]) -> set[str | None]:
    """Where in these countries the person lives and is; None where that is not known."""
    places = (("residence", "residence_subdivision"), ("address_country", "address_subdivision"))
    return {facts.get(part) for country, part in places if facts.get(country) in countries}


def phone_countries(facts: dict[str, Any]) -> set[str]:
    if not facts.get("phone") or facts.get("phone_verified") is False:
        return set()
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(facts["phone"]))
    except phonenumbers.NumberParseException:
        region = None
    digits = facts["phone"][1:]
    table = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    shared = [set(table[int(digits[:n])]) for n in (1, 2, 3) if len(digits) >= n and int(digits[:n]) in table]
    return {region} if region else (shared[0] if shared else set())


def midnight(day: date, zones: list[str], *, last: bool = False) -> datetime:
    moments = [datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) for zone in zones]
    return max(moments) if last else min(moments)


def phase(rule: dict[str, Any], pack: dict[str, Any], facts: dict[str, Any]) -> str:
    now = datetime.fromtimestamp(facts["as_of"] / 1000, UTC)
    zones = pack["pack"].get("timezones", ["UTC"])
    if "effective_from" in rule:
        start = midnight(rule["effective_from"], zones)
        if now < start:
            enacted = rule["enforcement"] in ("in_force", "grace")
            return "advisory" if enacted and now >= start - timedelta(days=366) else "absent"
    if "effective_to" in rule and now >= midnight(rule["effective_to"] + timedelta(days=1), zones, last=True):
        return "absent"
    old = rule.get("grandfather")
    placed = get(facts, "operator.placed_on_market")
    if old and placed and placed < old["placed_before"] and now < midnight(old["until"], zones):
        return "advisory"
    return "binding"


def kleene(tree: Any, facts: dict[str, Any]) -> bool | None:
    if tree is None:
        return True
    results = [leaf(key, value, facts) for key, value in tree.items() if key != "known"]
    result = False if False in results else None if None in results else True
    return result is True if tree.get("known") else result


def leaf(key: str, value: Any, facts: dict[str, Any]) -> bool | None:
    if key == "all":
        return kleene_all([kleene(item, facts) for item in value])
    if key == "any":
        inverse = kleene_all([negate(kleene(item, facts)) for item in value])
        return negate(inverse)
    if key == "not":
        return negate(kleene(value, facts))
    if key == "age":
        return compare(facts.get("age"), value)
    if key == "age_band":
        bands = {"minor": {"lt": 18}, "adult": {"gte": 18}}
        return compare(facts.get("age"), bands[value if isinstance(value, str) else value[0]])
    if key == "counters":
        counted = get(facts, "operator.counters") or {}
        return kleene_all([compare(counted.get(name, 0), bounds) for name, bounds in value.items()])
    if key == "category":
        found = get(facts, "content.category")
        return found and any(found == name or found.startswith(f"{name}.") for name in value)
    if key == "home":
        by_phone = set(value) & phone_countries(facts)
        return True if by_phone else None if facts.get("residence") is None else facts["residence"] in value
    if key == "event":
        return facts.get("event", "turn") in value
    if key == "feature":
        return feature(facts.get("feature"), value)
    if key == "channel_capability":
        return {"api": False, "web": False}.get(facts.get("channel"))
    path, many = {
        "role": ("operator.roles", True), "modality": ("modality", True), "audience": ("audience", False),
        "legal_basis": ("legal_basis", False), "seat": ("operator.seat", False),
        "model_use": ("operator.model_use", False), "order_kind": ("order.kind", False),
        "aigc_label": ("media.aigc_label", False), "user_declared": ("media.user_declared", False),
        "detector_hit": ("media.detector_hit", False), "opinion_capability": ("opinion_capability", False),
        "public_interest": ("publication.public_interest", False), "realistic": ("media.realistic", False),
        "human_review": ("publication.human_review", False),
        "editorial_responsibility": ("publication.editorial_responsibility", False),
    }[key]  # fmt: skip
    fact = get(facts, path)
    if fact is None:
        return None
    if isinstance(value, bool):
        return fact == value
    return bool(set(fact) & set(value)) if many else fact in value


def feature(fact: str | None, wanted: list[str]) -> bool | None:
    if fact is None:
        return None
    if fact in wanted or fact.split(":")[0] in wanted:
        return True
    return None if ":" not in fact and any(name.split(":")[0] == fact for name in wanted) else False


def kleene_all(results: list[bool | None]) -> bool | None:
    return False if False in results else None if None in results else True


def negate(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def compare(fact: int | None, bounds: dict[str, int]) -> bool | None:
    if fact is None:
        return None
    tests = {"lt": fact.__lt__, "lte": fact.__le__, "gt": fact.__gt__, "gte": fact.__ge__}
    return all(tests[name](limit) for name, limit in bounds.items())


def holds(facts: dict[str, Any], name: str, zones: list[str]) -> bool:
    record = (get(facts, "operator.evidence") or {}).get(name)
    if record is None:
        return False
    if "expires" not in record:
        return True
    now = datetime.fromtimestamp(facts["as_of"] / 1000, UTC)
    return now < midnight(record["expires"] + timedelta(days=1), zones)


def payload(rule: dict[str, Any]) -> dict[str, Any]:
    node: Any = rule
    for part in rule["kind"].split("."):
        node = node.get(part, {})
    return node


def one_rule(
    rule: dict[str, Any],
    pack: dict[str, Any],
    provisional: str,
    facts: dict[str, Any],
    out: tuple[set[Any], ...],
) -> None:
    reasons, duties, signals, evidence = out
    stage, code = phase(rule, pack, facts), rule["reason_code"]
    if stage == "absent" or rule["kind"] == "reminder" or kleene(rule.get("applies_when"), facts) is False:
        return
    zones = pack["pack"].get("timezones", ["UTC"])
    lacking = missing(rule, facts, zones, pack["pack"]["iso"])
    if rule["on_missing"] == "warn":
        if stage == "binding" and (lacking is not None or not checked(rule)):
            reasons.add((code, "warn"))
        return
    for kind, standing in duties_of(rule, facts):
        enforcement = "advisory" if stage == "advisory" else rule["enforcement"]
        duties.add((kind, rule["rule_id"], enforcement, standing))
        reasons.add((code, "oblige"))
    if stage == "advisory" or lacking is None:
        return
    asks, lacks = lacking
    effect = rule["on_missing"]
    if effect == "gate":
        evidence.update(lacks)
        effect = "not_ready" if facts.get("event") == "deploy" else "deny"
    if effect == "deny" and provisional != "firm":
        if provisional == "ask":
            signals.add("residence")
            reasons.add((code, "step_up"))
        return
    if effect == "oblige":
        return
    signals.update(asks if effect == "step_up" else ())
    evidence.update(lacks if effect == "not_ready" else ())
    reasons.add((code, effect))


def checked(rule: dict[str, Any]) -> bool:
    if "mechanisms" in payload(rule):
        return True
    return rule["kind"] in ("prerequisite", "age", "identity", "availability", "residency")


def missing(
    rule: dict[str, Any], facts: dict[str, Any], zones: list[str], iso: list[str]
) -> tuple[list[str], list[str]] | None:
    body, kind = payload(rule), rule["kind"]
    if kind == "prerequisite":
        names = [name.replace("<cc>", code.lower()) for name in body["type"] for code in iso]
        if kleene(body.get("when"), facts) is False or any(holds(facts, name, zones) for name in names):
            return None
        return [], ["|".join(body["type"])]
    if kind == "availability":
        return ([], []) if body["mode"] == "prohibited" else None
    if kind == "identity":
        verified = set(get(facts, "identity.verified") or ())
        by_phone = facts.get("phone_verified") is True and not phone_countries(facts) - set(
            body["phone_regions"]
        )
        by_phone = by_phone and phone_countries(facts) != set()
        return None if "real_name" in verified or by_phone else (["real_name"], [])
    if kind == "age":
        return age_missing(body, facts)
    if kind == "residency":
        stored = (get(facts, "operator.data_locations") or {}).get(body["data_class"])
        name = f"data_locations.{body['data_class']}"
        return None if stored in body.get("collect_in", []) + body.get("store_in", []) else ([], [name])
    if kind == "transfer":
        for tier in body.get("thresholds", ()):
            count = (get(facts, "operator.counters") or {}).get(tier["metric"], 0)
            inside = count >= tier["from"] and ("to" not in tier or count < tier["to"])
            if inside and not any(holds(facts, name, zones) for name in tier["mechanism"]):
                return [], ["|".join(tier["mechanism"])]
        grounds = body.get("mechanisms", ["none is asked for"])
        stated = "mechanisms" not in body or any(holds(facts, name, zones) for name in grounds)
        return None if stated else ([], ["|".join(grounds)])
    name = body.get("evidence") or body.get("operator_list", {}).get("evidence")
    if name:
        return None if holds(facts, name, zones) else ([], [name])
    if kind == "minors" and "forbidden_features" in body:
        return None if feature(facts.get("feature"), body["forbidden_features"]) is False else ([], [])
    return None


def age_missing(body: dict[str, Any], facts: dict[str, Any]) -> tuple[list[str], list[str]] | None:
    age, table = facts.get("age"), body.get("consent_age_by")
    if body["signal"] == "age_reliable":
        shown = "age" in (get(facts, "identity.verified") or ())
        said = body.get("self_declaration_ok") is True and facts.get("age_source") == "declared"
        return (
            None
            if shown or said or facts.get("age_source") in body.get("methods", ())
            else (["age_reliable"], [])
        )
    limit = body.get("consent_age")
    if table:
        here = {facts.get("residence"), facts.get("address_country"), *facts.get("offered_markets", ())}
        limits = [table[code] for code in table if code in here | phone_countries(facts)]
        limit = max(limits) if limits else None
    if (age is not None and limit is not None and age >= limit) or get(
        facts, "guardian_consent.given"
    ) is True:
        return None
    return (["age_reliable"] if age is None else [body["signal"]]), []


def duties_of(rule: dict[str, Any], facts: dict[str, Any]) -> list[tuple[str, bool]]:
    body, kind, event = payload(rule), rule["kind"], facts.get("event", "turn")
    if kind == "notice":
        due = notice_due(body, facts, event)
        return [] if due is None else [("notice", due)]
    kinds = {
        "prerequisite": ["display"] if "display" in body and kleene(body.get("when"), facts) is not False else [],
        "residency": ["localise"], "logs": ["log"], "reporting": ["report"], "sor": ["statement_of_reasons"],
        "complaint": ["complaint_channel", *(["human_review"] if body.get("human_review") else [])],
        "right": ["right", *(["human_review"] if body.get("human_review") else [])],
        "content": ["report" if body.get("action") == "report" else "content"],
        "transfer": [*(["notice"] if "notice" in body else []), *(["consent"] if body.get("separate_consent") else [])],
        "availability": [], "signals": [], "identity": [], "age": [],
    }.get(kind, [kind])  # fmt: skip
    unlabelled = "opt_out" in body and get(facts, "request.unlabelled") is True
    if unlabelled and get(facts, "agreement.id") == body["opt_out"]["agreement"]:
        return [("log", False), ("notice", False)]
    answered_like_an_order = event == "complaint" and "order_sla_min" in body
    return [(name, standing(name, kind, event) and not answered_like_an_order) for name in kinds]


def standing(name: str, kind: str, event: str) -> bool:
    if kind == "content":
        return event not in DUE_ONLY["content"]
    if kind == "transfer":
        return event != "transfer"
    if kind == "right":
        return event not in DUE_ONLY["right"]
    if name in STANDING_ALWAYS:
        return True
    return name in DUE_ONLY and event not in DUE_ONLY[name]


def notice_due(body: dict[str, Any], facts: dict[str, Any], event: str) -> bool | None:
    """True: standing; False: due now; None: not owed."""
    if body["trigger"] == "policy":
        return True
    if body["trigger"] == "event":
        return False
    index = get(facts, "turn.index")
    first = index is None or index <= 1
    if body["trigger"] == "signup":
        return False if event == "signup" or again(body, facts) else None
    return False if event == "turn" and (first or again(body, facts)) else None


def again(body: dict[str, Any], facts: dict[str, Any]) -> bool:
    if "every" not in body:
        return False
    since = (get(facts, "turn.minutes_since") or {}).get(body["id"])
    ((unit, count),) = body["every"].items()
    return since is None or since >= count * {"hours": 60, "days": 1440, "months": 28 * 1440}[unit]


def reminders(
    facts: dict[str, Any], packs: list[dict[str, Any]], reasons: set[Any], duties: set[Any]
) -> None:
    found = [
        (rule, phase(rule, pack, facts))
        for pack, _ in in_play(facts, packs)
        for rule in pack.get("rules", ())
        if rule["kind"] == "reminder"
        and phase(rule, pack, facts) != "absent"
        and kleene(rule.get("applies_when"), facts) is not False
    ]
    shortest = min((payload(rule)["interval_min"] for rule, _ in found), default=None)
    for rule, stage in found:
        since = (get(facts, "turn.minutes_since") or {}).get(payload(rule)["id"])
        used = get(facts, "turn.continuous_minutes")
        if (since is None or since >= shortest) and (used is None or used >= shortest):
            enforcement = "advisory" if stage == "advisory" else rule["enforcement"]
            duties.add(("reminder", rule["rule_id"], enforcement, False))
            reasons.add((rule["reason_code"], "oblige"))
