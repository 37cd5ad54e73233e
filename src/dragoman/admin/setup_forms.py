"""The forms of the setup pages: which keys of the file each sets, and what the file holds now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dragoman.admin.setup_desk import NewModel
from dragoman.admin.setup_fields import Field, Typed, edits_of
from dragoman.checks import zone_checks
from dragoman.checks.results import Subject
from dragoman.core.decision import Decision
from dragoman.settings import Settings
from dragoman.settings_admin import LOOPBACK
from dragoman.settings_edge import Edge, public_gaps
from dragoman.settings_edit import Edit

EVIDENCE_ROWS = 12
"""LIMIT: filings of one form; further ones are added one at a time."""
_EVIDENCE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
_OTHER_KEYS = (
    "data_locations.",
    "operator.",
    "territory_list.",
    "retention.",
    "crisis_rule.",
    "crisis_referral.",
)
"""What a decision misses and no evidence is."""
BASES = ("consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interests")
ORGANISATION = (
    Field("name", ("deployment", "name")),
    Field("contact", ("deployment", "contact")),
    Field("seat", ("deployment", "seat"), "country"),
    Field("owners", ("deployment", "owners"), "owners"),
    Field("roles", ("deployment", "roles"), "words"),
    Field("model_use", ("deployment", "model_use"), "choice", ("", "own", "fine_tuned", "api")),
    Field("feature", ("deployment", "feature")),
    Field("audience", ("deployment", "audience"), "choice", ("", "public", "internal")),
    Field("legal_basis", ("deployment", "legal_basis"), "choice", ("", *BASES)),
)
MARKETS = (Field("markets", ("deployment", "markets"), "countries"),)
PUBLIC = (
    Field("stage", ("deployment", "stage"), "choice", ("local", "public")),
    Field("listen", ("zone", "listen"), "listen"),
    Field("public_url", ("zone", "public_url"), "url"),
    Field("certificate", ("edge", "certificate"), "path", group="tls"),
    Field("key", ("edge", "key"), "path", group="tls"),
    Field("trusted_proxies", ("edge", "trusted_proxies"), "networks", group="proxy"),
    Field("proxy_protocol", ("edge", "proxy_protocol"), "choice", ("no", "yes"), group="proxy"),
    Field("address_files", ("edge", "address_files"), "paths", group="addresses"),
    Field("admin_listen", ("admin", "listen"), "listen", group="admin"),
    Field("admin_public_url", ("admin", "public_url"), "url", group="admin"),
    Field("admin_tls_cert", ("admin", "tls_cert"), "path", group="admin"),
    Field("admin_tls_key", ("admin", "tls_key"), "path", group="admin"),
)
MODEL = (
    Field("model_name", (), "name"),
    Field("base_url", (), "url"),
    Field("upstream", ()),
    Field("key_env", (), "env", group="credential", is_secret=True),
    Field("key_file", (), "path", group="credential"),
    Field("pack", (), group="terms"),
    Field("currency", (), "currency", group="price"),
    Field("price_input", (), "price", group="price"),
    Field("price_output", (), "price", group="price"),
)
PRICE_FIELDS = ("currency", "price_input", "price_output")


def organisation(_subject: Subject) -> tuple[Field, ...]:
    """The operator's own facts."""
    return ORGANISATION


def markets(subject: Subject) -> tuple[Field, ...]:
    """Markets, and a filing for each that a decision there asks for or that is held."""
    held = subject.settings.deployment.evidence
    names = [*dict.fromkeys([*wanted(subject), *held])][:EVIDENCE_ROWS]
    rows = []
    for at, name in enumerate(names):
        path = ("deployment", "evidence", name)
        rows.append(Field(f"number_{at}", (*path, "number"), label=name, group="evidence"))
        rows.append(Field(f"expires_{at}", (*path, "expires"), "date", label=name, group="evidence"))
    other = (
        Field("evidence_id", (), group="other"),
        Field("evidence_number", (), group="other"),
        Field("evidence_expires", (), "date", group="other"),
    )
    return (*MARKETS, *rows, *other)


def public(_subject: Subject) -> tuple[Field, ...]:
    """The gates of a public port, and the administration's own address."""
    return PUBLIC


def model(subject: Subject) -> tuple[Field, ...]:
    """A model to add; its terms are those of a provider pack."""
    packs = sorted(subject.loaded.packs.providers()) if subject.loaded is not None else []
    return tuple(
        replace(one, kind="choice", choices=("", *packs)) if one.name == "pack" else one for one in MODEL
    )


def wanted(subject: Subject) -> list[str]:
    """The evidence that decisions in the markets miss, as the file would name it."""
    places = subject.settings.deployment.markets
    decisions = [zone_checks.decided_in(subject, place) for place in places]
    missing = [name for one in decisions if one is not None for name in one.not_ready]
    return [name for name in dict.fromkeys(missing) if _is_evidence(name)]


def open_needs(decisions: Iterable[Decision | None]) -> list[str]:
    """What decisions miss that no row of the form can hold: one of several, or a place of data."""
    missing = [name for one in decisions if one is not None for name in one.not_ready]
    return [name for name in dict.fromkeys(missing) if not _is_evidence(name)]


def _is_evidence(name: str) -> bool:
    return _EVIDENCE.fullmatch(name) is not None and not name.startswith(_OTHER_KEYS)


@dataclass(frozen=True)
class Form:
    """One page: its fields for a zone, and what must hold between them before the loader is asked."""

    fields: Callable[[Subject], Sequence[Field]]
    edits: Callable[[Sequence[Field], Typed, Settings], list[Edit]]
    check: Callable[[Typed], Mapping[str, str]] = lambda _typed: {}
    """By field, the text's name of what is wrong."""


def current(fields: Sequence[Field], settings: Settings) -> dict[str, str]:
    """What the file holds now, as the form shows it."""
    return {field.name: field.shown(value_at(settings, field.path)) for field in fields if field.path}


def value_at(settings: Settings, path: tuple[str, ...]) -> Any:
    """The value of a key; None where it, or a table above it, is not there."""
    value: Any = settings
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return None if value == () else value


def _plain(fields: Sequence[Field], typed: Typed, settings: Settings) -> list[Edit]:
    return edits_of(fields, typed, current(fields, settings))


def _market_edits(fields: Sequence[Field], typed: Typed, settings: Settings) -> list[Edit]:
    edits = []
    for edit in _plain(fields, typed, settings):
        if edit.path[-1] == "number" and edit.value is None:
            edits.append(Edit(edit.path[:-1], None))  # a filing is its number; without one it is gone
        else:
            edits.append(edit)
    gone = {edit.path for edit in edits if edit.value is None and len(edit.path) == 3}
    edits = [edit for edit in edits if edit.path[:-1] not in gone]
    name, number = typed.values["evidence_id"], typed.values["evidence_number"]
    if name and number:
        edits.append(Edit(("deployment", "evidence", name, "number"), number))
        if typed.values["evidence_expires"]:
            edits.append(Edit(("deployment", "evidence", name, "expires"), typed.values["evidence_expires"]))
    return edits


def _market_check(typed: Typed) -> dict[str, str]:
    values, wrong = typed.values, {}
    for name, value in values.items():
        if name.startswith("expires_") and value and not values.get(f"number_{name[8:]}"):
            wrong[f"number_{name[8:]}"] = "needed"
    if bool(values.get("evidence_id")) != bool(values.get("evidence_number")):
        wrong["evidence_number" if values.get("evidence_id") else "evidence_id"] = "needed"
    elif values.get("evidence_expires") and not values.get("evidence_id"):
        wrong["evidence_id"] = "needed"
    return wrong


def _pairs(typed: Typed) -> dict[str, str]:
    wrong = {}
    for one, other in (("certificate", "key"), ("admin_tls_cert", "admin_tls_key")):
        if bool(typed.values.get(one)) != bool(typed.values.get(other)):
            wrong[other if typed.values.get(one) else one] = "together"
    return wrong


def _model_check(typed: Typed) -> dict[str, str]:
    values = typed.values
    wrong = {name: "needed" for name in ("model_name", "base_url") if name in values and not values[name]}
    if values.get("key_env") and values.get("key_file"):
        wrong["key_file"] = "one_key"
    priced = [name for name in PRICE_FIELDS if values.get(name) is not None]
    if priced:
        wrong |= {name: "price_whole" for name in PRICE_FIELDS if name in values and name not in priced}
    return wrong


def new_model(typed: Typed) -> NewModel:
    """The model that a form without errors asks for."""
    values = typed.values
    name = str(values["model_name"])
    upstream = values["upstream"] or name
    price = None
    if values["currency"]:
        price = {
            "provider": name,
            "model": upstream,
            "currency": values["currency"],
            "input": values["price_input"],
            "output": values["price_output"],
        }
    return NewModel(
        name, values["base_url"], upstream, values["key_env"], values["key_file"], values["pack"], price
    )


def _no_edits(_fields: Sequence[Field], _typed: Typed, _settings: Settings) -> list[Edit]:
    return []  # control makes those that add a model, as `dragoman models add` does


def _public_check(typed: Typed) -> dict[str, str]:
    """The gates of a public port as far as the form can tell, each at its field."""
    wrong, values = _pairs(typed), typed.values
    host = str(values.get("listen") or "").rpartition(":")[0]
    if typed.errors or wrong or (values.get("stage") != "public" and (not host or host in LOOPBACK)):
        return wrong
    edge = Edge(
        certificate=values["certificate"], key=values["key"], trusted_proxies=values["trusted_proxies"] or ()
    )
    gaps = public_gaps(values["stage"], values["public_url"], edge)
    return {field.name: f"gate_{field.name}" for field in PUBLIC if ".".join(field.path) in gaps}


FORMS: Mapping[str, Form] = {
    "organisation": Form(organisation, _plain),
    "markets": Form(markets, _market_edits, _market_check),
    "model": Form(model, _no_edits, _model_check),
    "public": Form(public, _plain, _public_check),
}
