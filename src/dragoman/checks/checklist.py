"""The lines of the setup page: what an organisation has to state and have, and which rule or check wants it.

Each comes from a check of the doctor, a gate of the public stage or a rule of a pack; none is invented here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from dragoman.checks import zone_checks
from dragoman.checks.results import Result, Subject
from dragoman.core.decision import Citation, Reason
from dragoman.decide.provider import Provider
from dragoman.decide.rules import Rule
from dragoman.knowledge.engine import is_sample
from dragoman.knowledge.shelf import stored_sources
from dragoman.ledger.texts import LANGUAGES
from dragoman.settings_edge import public_gaps
from dragoman.stores.admins import admin_exists

LATER, NOTE, GREEN, AMBER, RED = STATES = ("later", "note", "green", "amber", "red")
"""From the best to the worst."""
_OF_SEVERITY = {"note": NOTE, "warning": AMBER, "error": RED}
KNOWLEDGE = "knowledge"
NAMED = 3
"""LIMIT: rules named for one fact; the others read it for the same reason."""


@dataclass(frozen=True, slots=True)
class Item:
    """One sentence. `by`: ids of the rules, or of the check, that want it; `source`: where one stands."""

    state: str
    code: str
    text: dict[str, str]
    by: tuple[str, ...] = ()
    source: Citation | None = None
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the list and what it is made of."""

    name: str
    items: tuple[Item, ...] = ()

    @property
    def state(self) -> str:
        """The worst of its items."""
        return max((one.state for one in self.items), key=STATES.index, default=LATER)


def checklist(subject: Subject) -> tuple[Line, ...]:
    """Every line, in the order in which one sets up. What nothing here checks is `later`."""
    made = ((name, check(subject) if check else ()) for name, check in LINES)
    return tuple(Line(name, tuple(items)) for name, items in made)


def organisation(subject: Subject) -> Iterator[Item]:
    """Facts of the operator; what is not stated is unknown, and unknown brings more duties."""
    own = subject.settings.deployment
    owners = ", ".join(f"{one.country} {one.percent} %" for one in own.owners)
    seated = _terms(subject, lambda one: "operator_seat" in one.basis)
    stated = (
        ("seat", own.seat, [*_rules_on(subject, "operator.seat"), *seated]),
        ("owners", owners, _terms(subject, lambda one: one.ownership is not None)),
        ("roles", ", ".join(own.roles), _rules_on(subject, "operator.roles")),
        ("feature", own.feature, _rules_on(subject, "feature")),
    )
    for name, value, wanted in stated:
        by = tuple(rule for rule, _ in wanted[:NAMED])
        cited = [citation for _, citation in wanted[:NAMED] if citation]
        source = next((one for one in cited if one.url), cited[0] if cited else None)
        code = f"{name}_stated" if value else f"{name}_unknown"
        yield _item(GREEN if value else AMBER, code, by=by, source=source, value=value)
    said = "contact_stated" if own.contact else "contact_unknown"
    yield _item(GREEN if own.contact else AMBER, said, by=("deployment.contact",), value=own.contact)


def markets(subject: Subject) -> Iterator[Item]:
    """For each market what is decided for an identified adult who lives there."""
    if not subject.settings.deployment.markets:
        yield _item(AMBER, "market_none", by=("deployment.markets",))
    kept_out: dict[str, tuple[Reason, list[str]]] = {}
    for market in subject.settings.deployment.markets:
        decision = zone_checks.decided_in(subject, market)
        if decision is None:
            continue
        if decision.allowed:
            yield _item(GREEN, "market_answered", market=market)
        for reason in () if decision.allowed else decision.reasons:
            if reason.effect in {"deny", "not_ready"}:
                kept_out.setdefault(reason.rule_id, (reason, []))[1].append(market)
    for rule, (reason, places) in kept_out.items():
        text = {lang: f"{', '.join(places)}: {reason.text[lang]}" for lang in LANGUAGES}
        yield Item(RED, reason.code, text, (rule,), reason.citation)
    yield from _results(zone_checks.evidence, subject)
    yield from _results(zone_checks.packs, subject, only={"packs_unreviewed"})


def model(subject: Subject) -> Iterator[Item]:
    """Models beside the built-in one, and whether their keys and limits are there."""
    own = [(name, one) for name, one in subject.settings.models.items() if _is_remote(subject, name)]
    if not own:
        yield _item(AMBER, "model_none", by=("models",))
    for name, one in own:
        yield _item(GREEN, "model_there", name=name, model=one.model, provider=one.provider)
    yield from _results(zone_checks.credentials, subject)
    yield from _results(zone_checks.limits, subject)


def documents(subject: Subject) -> Iterator[Item]:
    """Documents of the organisation's own, and whether the samples may still be quoted beside them."""
    stored = stored_sources(subject.data / KNOWLEDGE)
    own = [(source.title, count) for source, count in stored if count and not is_sample(source)]
    samples = any(count for source, count in stored if is_sample(source))
    for title, count in own[:NAMED]:
        yield _item(GREEN, "documents_there", by=("documents",), title=title, count=count)
    if own[NAMED:]:
        yield _item(GREEN, "documents_more", by=("documents",), count=len(own) - NAMED)
    if not own:
        said = "documents_samples" if samples else "documents_none"
        yield _item(AMBER, said, by=("documents",), fix="dragoman ingest ./help-pages --source help")
    elif samples:
        yield _item(NOTE, "samples_there", by=("documents",))


def public(subject: Subject) -> Iterator[Item]:
    """The gates of the public stage, and the files that it reads."""
    settings = subject.settings
    gaps = public_gaps(settings.deployment.stage, settings.zone.public_url, settings.edge)
    for gate in ("deployment.stage", "zone.public_url", "edge.certificate"):
        code = f"gate_{gate.replace('.', '_')}"
        if gate in gaps:
            yield _item(AMBER, f"{code}_open", by=(gate,), fix=gaps[gate])
        else:
            yield _item(GREEN, f"{code}_met", by=(gate,), value=settings.zone.public_url)
    there = admin_exists(subject.data / zone_checks.DATABASE)
    fix = "" if there else "dragoman admin invite"
    yield _item(GREEN if there else RED, "admin_there" if there else "admin_none", by=("admin",), fix=fix)
    if not settings.edge.address_files:
        yield _item(AMBER, "addresses_none", by=("edge.address_files",))
    yield from _results(zone_checks.certificates, subject)
    yield from _results(zone_checks.addresses, subject)


Check = Callable[[Subject], Iterable[Item]]
LINES: tuple[tuple[str, Check | None], ...] = (
    ("organisation", organisation),
    ("markets", markets),
    ("model", model),
    ("documents", documents),
    ("channel", None),
    ("public", public),
)


Wanted = tuple[str, Citation | None]
"""A rule or the terms of a provider that read a fact, and where it stands."""


def _rules_on(subject: Subject, path: str) -> list[Wanted]:
    """The pack rules whose condition reads a fact."""
    return [
        (one.rule_id, one.reasons["warn"].citation)
        for one in _rules(subject)
        if path in one.condition.paths or path in one.when.paths
    ]


def _terms(subject: Subject, asks: Callable[[Provider], bool]) -> list[Wanted]:
    """The terms of providers that ask something of an organisation."""
    if subject.loaded is None:
        return []
    return [(name, None) for name, one in subject.loaded.packs.providers().items() if asks(one)]


def _rules(subject: Subject) -> Iterator[Rule]:
    if subject.loaded is not None:
        for pack in subject.loaded.packs.packs.values():
            yield from pack.rules


def _is_remote(subject: Subject, name: str) -> bool:
    settings = subject.settings
    return settings.providers[settings.models[name].provider].kind != "local"


def _results(
    check: Callable[[Subject], Iterable[Result]], subject: Subject, only: set[str] | None = None
) -> Iterator[Item]:
    for one in check(subject):
        if only is None or one.code in only:
            state = _OF_SEVERITY[one.severity]
            yield Item(state, one.code, one.text, (one.code,), fix=one.fix)


@cache
def texts() -> dict[str, dict[str, str]]:
    """Every sentence of this list by its code."""
    return tomllib.loads(resources.files(__package__).joinpath("checklist.toml").read_text("utf-8"))


def _item(
    state: str,
    code: str,
    *,
    by: tuple[str, ...] = (),
    source: Citation | None = None,
    fix: str = "",
    **values: object,
) -> Item:
    text = {lang: texts()[code][lang].format_map(values) for lang in LANGUAGES}
    return Item(state, code, text, by, source, fix)
