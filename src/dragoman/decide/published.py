"""JSON Schemas of packs, facts and decisions, made of the very tables by which they are read.

Values of a pack are those of its TOML, with dates as ISO 8601 texts. A schema says what one file may hold;
what packs must be to one another (cases, parents, sources) only loading tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.core.decision import OBLIGATION_KINDS, OUTCOMES, SCOPES, STEP_UP_SIGNALS
from dragoman.core.facts import EVENTS, FIELDS, MAX_LIST_ITEMS, MAX_TEXT_CHARS
from dragoman.decide import packs, provider, rules
from dragoman.decide.conditions import leaf_shapes
from dragoman.decide.iso3166 import countries
from dragoman.decide.kinds import KINDS, Kind
from dragoman.decide.schema import MAX_ITEMS, Fields
from dragoman.decide.weigh import STRENGTH

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMES = ("pack", "facts", "decision")

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_DATE: Schema = {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_SHARED = ("country", "place", "subdivision", "condition", "text")
_SCALARS: Mapping[str, Schema] = {
    "str": _TEXT,
    "int": {"type": "integer", "minimum": 0},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": _DATE,
    "table": {"type": "object", "maxProperties": MAX_ITEMS},
    "text": {"type": "object", "required": ["en", "zh"], "additionalProperties": _TEXT},
    "period": {
        "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False,
        "properties": {unit: {"type": "integer", "minimum": 0} for unit in ("hours", "days", "months")},
    },
}  # fmt: skip


def schemas() -> Mapping[str, Schema]:
    """Every published schema by name."""
    return {"pack": pack_schema(), "facts": facts_schema(), "decision": decision_schema()}


def pack_schema() -> Schema:
    """A pack file: jurisdiction, provider or channel."""
    top = {
        "pack": _table(packs.HEAD),
        "sources": _list(_table(packs.SOURCE)),
        "provider": _table(provider.PROVIDER, {
            "ownership": _table(provider.OWNERSHIP),
            "wire": _table(provider.WIRE, {"blocks": _list(_table(provider.BLOCK))}),
        }),
        "channel": _table(packs.CHANNEL),
        "rules": _list({"oneOf": [_rule(name, kind) for name, kind in KINDS.items()]}),
    }  # fmt: skip
    return _document("pack", {
        "type": "object", "required": ["pack"], "additionalProperties": False, "properties": top,
        "$defs": {**_places(), "condition": _condition(), "envelope": _envelope(), "text": _SCALARS["text"]},
    })  # fmt: skip


def facts_schema() -> Schema:
    """The facts document; every field but `as_of` may be absent."""
    root: Schema = {"type": "object", "additionalProperties": False, "properties": {}}
    for path, kind in FIELDS.items():
        node = root
        *above, last = path.split(".")
        for part in above:
            node = node["properties"].setdefault(
                part, {"type": "object", "additionalProperties": False, "properties": {}}
            )
        if last == "*":
            node["additionalProperties"] = _fact(kind)
            node["maxProperties"] = MAX_LIST_ITEMS
        else:
            node["properties"][last] = _fact(kind)
    return _document("facts", {**root, "required": ["as_of"], "$defs": _places()})


def decision_schema() -> Schema:
    """The decision document, as `dragoman decide --json` prints it."""
    text = _SCALARS["text"]
    enforcement: Schema = {"enum": rules.ENFORCEMENT.split("|")}
    citation = _closed({"source": _TEXT, "article": {"type": "string"}, "url": {"type": "string"}})
    remark = _closed({"code": _TEXT, "subject": _TEXT, "text": text})
    reason = _closed({
        "code": _TEXT, "rule_id": _TEXT, "title": text, "citation": {"anyOf": [citation, {"type": "null"}]},
        "effect": {"enum": list(STRENGTH)}, "certainty": {"enum": [*rules.CERTAINTY.split("|"), None]},
        "text": text, "enforcement": enforcement,
    }, optional=("enforcement",))  # fmt: skip
    obligation = _closed({
        "kind": {"enum": list(OBLIGATION_KINDS)}, "rule_id": _TEXT, "parameters": {"type": "object"},
        "enforcement": enforcement, "standing": {"type": "boolean"},
        "binding_from": _DATE, "deadline": {"type": "integer"},
    }, optional=("binding_from", "deadline"))  # fmt: skip
    texts: Schema = {"type": "array", "items": _TEXT}
    pack = _closed({"version": _TEXT, "status": _TEXT})
    whole = _closed({
        "id": {"type": "string", "pattern": "^dec_[0-9a-f]{32}$"}, "as_of": {"type": "integer"},
        "outcome": {"enum": list(OUTCOMES)}, "scope": {"enum": list(SCOPES)}, "reasons": _list(reason),
        "obligations": _list(obligation), "step_up": _list({"enum": list(STEP_UP_SIGNALS)}),
        "not_ready": texts, "advice": _list(remark), "eligible_models": texts, "warnings": _list(remark),
        "read": texts, "zone": _TEXT, "packs": {"type": "object", "additionalProperties": pack},
    })  # fmt: skip
    return _document("decision", whole)


def _document(name: str, schema: Schema) -> Schema:
    return {"$schema": DIALECT, "title": f"Dragoman {name}, schema version {packs.SCHEMA_VERSION}", **schema}


def _rule(name: str, kind: Kind) -> Schema:
    """The envelope with `kind` fixed, and the table named after it: `label.visible` is a table in a table."""
    payload = _table(kind.fields)
    if kind.has_when:
        payload["properties"]["when"] = {"$ref": "#/$defs/condition"}
    effects = [one for one in rules.ON_MISSING.split("|") if one in (*kind.on_missing, "warn")]
    table = payload
    first, *rest = name.split(".")
    for part in reversed(rest):
        table = _closed({part: table})
    own: Schema = {"kind": {"const": name}, "on_missing": {"enum": effects}, first: table}
    needed = any(type_.startswith("!") for type_ in kind.fields.values())
    return {
        "allOf": [{"$ref": "#/$defs/envelope"}], "properties": own, "unevaluatedProperties": False,
        "required": [first] if needed else [],
    }  # fmt: skip


def _envelope() -> Schema:
    made = _table(rules.RULE, {"grandfather": _table(rules.GRANDFATHER)})
    del made["additionalProperties"]
    return made


def _condition() -> Schema:
    me: Schema = {"$ref": "#/$defs/condition"}
    bounds = {name: {"type": "number"} for name in ("lt", "lte", "gt", "gte")}
    band: Schema = {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": bounds}
    texts: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
    shapes: Mapping[str, Schema] = {
        "flag": {"type": "boolean"}, "range": band, "texts": texts,
        "ranges": {"type": "object", "minProperties": 1, "additionalProperties": band},
    }  # fmt: skip
    leaves = {name: shapes[shape] for name, shape in leaf_shapes().items()}
    event: Schema = {"enum": list(EVENTS)}
    leaves["event"] = {"anyOf": [event, {"type": "array", "items": event, "minItems": 1}]}
    several: Schema = {"type": "array", "items": me, "minItems": 1}
    joined = {"all": several, "any": several, "not": me, "known": {"type": "boolean"}}
    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {**joined, **leaves},
    }


def _table(fields: Fields, instead: Mapping[str, Schema] | None = None) -> Schema:
    made = {key: _kind(kind.removeprefix("!")) for key, kind in fields.items()} | dict(instead or {})
    needed = [key for key, kind in fields.items() if kind.startswith("!")]
    return {"type": "object", "additionalProperties": False, "properties": made, "required": needed}


def _kind(kind: str) -> Schema:
    """A type of `schema.check` as JSON Schema."""
    if kind.startswith("["):
        return _list(_kind(kind[1:-1]))
    if kind.startswith("{"):
        return {"type": "object", "maxProperties": MAX_ITEMS, "additionalProperties": _kind(kind[1:-1])}
    if "|" in kind:
        return {"enum": kind.split("|")}
    return {"$ref": f"#/$defs/{kind}"} if kind in _SHARED else dict(_SCALARS[kind])


def _fact(kind: str) -> Schema:
    """A type of `core.facts` as JSON Schema; null is unknown, as absence is."""
    if kind.startswith("["):
        return {"type": ["array", "null"], "items": _fact_item(kind[1:-1]), "maxItems": MAX_LIST_ITEMS}
    return {"anyOf": [_fact_item(kind), {"type": "null"}]}


def _fact_item(kind: str) -> Schema:
    if "|" in kind:
        return {"enum": kind.split("|")}
    country: Schema = {"type": "string", "pattern": "^[A-Z]{2}$"}
    owner = _closed({"country": country, "percent": {"type": "number", "minimum": 0, "maximum": 100}})
    text: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS}
    made: Mapping[str, Schema] = {
        "text": text, "bool": {"type": "boolean"}, "date": _DATE, "country": country,
        "subdivision": {"type": "string", "pattern": "^[A-Z]{2}-[A-Z0-9]{1,3}$"},
        "phone": {"type": "string", "pattern": r"^\s*\+", "description": "international form"},
        "count": {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**53},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "number": {"type": "number", "minimum": 0, "maximum": 1e15},
        "instant": {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "minLength": 10}],
            "description": "milliseconds UTC, an ISO 8601 time with its zone, or a day: noon UTC of it",
        },
        "owners": {"type": "array", "maxItems": MAX_LIST_ITEMS, "items": owner},
        "evidence": _closed({"number": text, "expires": _DATE}, optional=("number", "expires")),
    }  # fmt: skip
    return dict(made[kind])


def _places() -> Schema:
    part: Schema = {"type": "string", "pattern": "^[A-Z]{2}-[A-Z0-9]{1,3}$"}
    return {
        "country": {"enum": sorted(countries()), "description": "ISO 3166-1 alpha-2, in capitals"},
        "subdivision": {**part, "description": "ISO 3166-2; loading knows which exist"},
        "place": {
            "description": "a country or a part of one",
            "anyOf": [{"$ref": "#/$defs/country"}, {"$ref": "#/$defs/subdivision"}],
        },
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "maxItems": MAX_ITEMS}


def _closed(properties: Mapping[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    needed = [key for key in properties if key not in optional]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(properties),
        "required": needed,
    }
