"""Checks the bodies of internal requests before anything reads them: known keys, known values, bounded sizes.

The relay is ours, but what it passes on came from outside: a malformed question is 400.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.errors import RefusedError
from dragoman.ids import kind_of

MAX_TEXT = 4_096
MAX_INTERVENTIONS = 1_000
"""LIMIT: interventions of one request."""
MAX_TIMES = 2**53 - 1

PEERS = frozenset({"loopback", "remote", "socket"})
ADDRESS_KINDS = frozenset({"residential", "hosting", "vpn", "tor", "mobile", "unknown"})
ORIGINS = frozenset({"rule", "vendor", "plan", "change"})
_CREDENTIALS = {"api_key": {"value"}, "session": {"value"}, "socket": {"principal", "channel", "address"}}
_PLAN_KEYS = frozenset(
    {"tenant", "app", "end_users", "class", "scopes", "route", "model", "channel", "address"}
)
_INTERVENTION_TEXTS = ("id", "turn", "tenant", "principal", "route", "channel", "origin", "action")


def principal_question(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A well-formed `POST /principal` body, or RefusedError 400."""
    credential = body.get("credential")
    if not isinstance(credential, dict) or credential.get("kind") not in _CREDENTIALS:
        raise malformed("credential.kind must be api_key, session or socket")
    for name in _CREDENTIALS[credential["kind"]] - {"address"}:
        _text(credential, name)
    if body.get("peer") not in PEERS:
        raise malformed("peer must be loopback, remote or socket")
    if (credential["kind"] == "socket") != (body["peer"] == "socket"):
        raise malformed("a socket credential comes from the socket alone")
    token = body.get("user_token")
    if token is not None and not isinstance(token, str):
        raise malformed("user_token must be a text or null")
    return body


def plan_question(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A well-formed `POST /plan` body with every key present and no other, or RefusedError 400."""
    if set(body) != _PLAN_KEYS:
        odd = sorted(set(body) ^ _PLAN_KEYS)
        raise malformed(f"these keys are missing or unknown: {', '.join(odd)[:200]}")
    for name in ("tenant", "end_users", "class", "route", "model", "channel"):
        _text(body, name)
    address = body["address"]
    if not isinstance(address, dict) or set(address) != {"country", "kind", "peer"}:
        raise malformed("address must hold country, kind and peer")
    if address["kind"] not in ADDRESS_KINDS:
        raise malformed("address.kind is not known")
    if not isinstance(body["scopes"], list):
        raise malformed("scopes must be a list")
    return body


def interventions(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The interventions of a `POST /interventions` body, or RefusedError 400."""
    found = body.get("interventions")
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_INTERVENTIONS:
        raise malformed(f"interventions must be a list of 1 to {MAX_INTERVENTIONS}")
    for item in found:
        if not isinstance(item, dict):
            raise malformed("an intervention must be an object")
        for name in _INTERVENTION_TEXTS:
            _text(item, name)
        if kind_of(item["id"]) != "int" or item["origin"] not in ORIGINS:
            raise malformed("an intervention has an id of kind int and a known origin")
        if type(item.get("at")) is not int or type(item.get("automated")) is not bool:
            raise malformed("at must be milliseconds, automated true or false")
        if type(item.get("n", 1)) is not int or not 1 <= item.get("n", 1) <= MAX_TIMES:
            raise malformed("n must be how many redactions it stands for")
        rule = item.get("rule")
        if rule is not None and not (isinstance(rule, dict) and {"id", "set"} <= set(rule)):
            raise malformed("rule must be null or {id, set}")
    return found


def malformed(why: str) -> RefusedError:
    """400: not a message of this wire."""
    text = {"en": f"The internal request is malformed: {why}.", "zh": f"内部请求格式错误：{why}。"}
    return RefusedError(400, "invalid_question", text)


def _text(body: Mapping[str, Any], name: str) -> None:
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise malformed(f"{name} must be a text of 1 to {MAX_TEXT} characters")
