"""Packs: law, provider terms and platform rules as dated, cited data, loaded and checked.

Reads TOML from the package and from an overlay folder once; after that a `PackSet` is an immutable index for
the engine. Whatever is unknown, uncited, untested or contradictory does not load.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dragoman.core.decision import Citation
from dragoman.core.facts import EVENTS
from dragoman.decide.cases import Case, check_cases, read_cases
from dragoman.decide.checks import minutes_of
from dragoman.decide.civil import Civil
from dragoman.decide.provider import Provider, read_provider
from dragoman.decide.roster import Schedule
from dragoman.decide.rules import Rule, read_rule
from dragoman.decide.schema import Fields, PackError, Table, read_toml

SCHEMA_VERSION = "1"
HEAD: Fields = {
    "id": "!str", "version": "!str", "schema_version": "!str", "status": "!unreviewed|reviewed",
    "title": "!text", "parent": "str", "iso": "[place]", "federal": "bool", "timezones": "[str]",
    "reviewed_by": "str", "reviewed_on": "date", "review_due": "date", "signature": "str",
}  # fmt: skip
SOURCE: Fields = {
    "id": "!str", "title": "!str", "article": "str", "url": "str", "lang": "str", "retrieved_on": "date",
    "sha256": "str", "official": "bool",
}  # fmt: skip
CHANNEL: Fields = {"id": "!str", "capabilities": "![str]", "terms_read": "bool"}
FOLDERS = ("jurisdictions", "providers", "channels")


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack file. `kind`: jurisdiction, provider or channel; `digest` is SHA-256 of the file.

    `federal`: the parts of its countries make law of their own, which it does not hold.
    `terms_read`: what a platform asks of an assistant was read; `document`: the file as read.
    """

    id: str
    kind: str
    version: str
    status: str
    title: Mapping[str, str]
    parent: str | None
    iso: tuple[str, ...]
    federal: bool
    civil: Civil
    rules: tuple[Rule, ...]
    provider: Provider | None
    channel: str | None
    capabilities: frozenset[str]
    terms_read: bool
    digest: str
    origin: str
    review: Mapping[str, str]
    sources: Mapping[str, Citation]
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PackSet:
    """Loaded packs, indexed by place and event. Build it with `load_packs` or `PackSet.of`.

    `schedules`: by pack id, or `parts_of` a country, and event.
    """

    packs: Mapping[str, Pack]
    cases: tuple[Case, ...]
    digest: str
    by_country: Mapping[str, tuple[str, ...]]
    by_subdivision: Mapping[str, tuple[str, ...]]
    subdivided: Mapping[str, tuple[str, ...]]
    federal: frozenset[str]
    schedules: Mapping[tuple[str, str], Schedule]
    capabilities: Mapping[str, frozenset[str]]
    channels: Mapping[str, str]
    cuts: Mapping[str, tuple[float, ...]]
    status: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @staticmethod
    def of(packs: Iterable[Pack], cases: Iterable[Case] = ()) -> PackSet:
        """Index packs whatever their order. Raises PackError for what contradicts itself."""
        by_id = {pack.id: pack for pack in sorted(packs, key=lambda pack: pack.id)}
        _check_parents(by_id)
        by_country, by_subdivision, subdivided = _places(by_id)
        digest = hashlib.sha256("\n".join(f"{p.id} {p.digest}" for p in by_id.values()).encode())
        return PackSet(
            packs=by_id,
            cases=tuple(cases),
            digest=f"sha256:{digest.hexdigest()}",
            by_country=by_country,
            by_subdivision=by_subdivision,
            subdivided=subdivided,
            federal=frozenset(code for p in by_id.values() if p.federal for code in p.iso),
            schedules=_schedules(by_id, subdivided),
            capabilities={p.channel: p.capabilities for p in by_id.values() if p.channel},
            channels={p.channel: p.id for p in by_id.values() if p.channel},
            cuts=_cuts(by_id.values()),
            status={p.id: {"version": p.version, "status": p.status} for p in by_id.values()},
        )

    def providers(self) -> Mapping[str, Provider]:
        """Provider terms by pack id."""
        return {p.id: p.provider for p in self.packs.values() if p.provider is not None}

    def of_channel(self, channel: str | None) -> tuple[str, ...]:
        """The pack of the channel that is named; none where no channel is, or one without a pack."""
        pack_id = self.channels.get(channel) if channel is not None else None
        return () if pack_id is None else (pack_id,)

    def rule(self, rule_id: str) -> Rule | None:
        """The rule of this id, if a loaded pack has it."""
        for pack in self.packs.values():
            for rule in pack.rules:
                if rule.rule_id == rule_id:
                    return rule
        return None


def load_packs(overlay: Path | None = None) -> PackSet:
    """The shipped packs, with those of `overlay` in place of the ones of the same id.

    The overlay has the folders jurisdictions, providers, channels and cases, each optional. Raises PackError.
    """
    found = _folder(files("dragoman") / "packs", "packs")
    if overlay is not None:
        if not overlay.is_dir():
            raise PackError(f"packs_dir {overlay} is no folder")
        found.update(_folder(overlay, str(overlay)))
    packs: dict[str, Pack] = {}
    cases: list[Case] = []
    for name, (text, where) in sorted(found.items()):
        if name.startswith("cases/"):
            cases.extend(read_cases(text, where))
        else:
            pack = read_pack(text, where)
            if f"{pack.id}.toml" != name.partition("/")[2]:
                raise PackError(f"{where}: the file of pack {pack.id} is named {pack.id}.toml")
            if pack.id in packs:
                raise PackError(f"{where}: pack {pack.id} is also in {packs[pack.id].origin}")
            packs[pack.id] = pack
    check_cases({r.rule_id: r.reason_code for pack in packs.values() for r in pack.rules}, cases)
    return PackSet.of(packs.values(), cases)


def read_folder(folder: Path) -> list[Pack]:
    """The packs of a folder laid out as an overlay, each by itself and without cases. Raises PackError."""
    found = sorted(_folder(folder, str(folder)).items())
    return [read_pack(text, where) for name, (text, where) in found if not name.startswith("cases/")]


def pack_text(pack: Pack, overlay: Path) -> str:
    """The file a loaded pack was read from: of the overlay where it stands there, else the shipped one."""
    name = f"{pack.kind}s/{pack.id}.toml"
    own = overlay / name
    return (
        own.read_text("utf-8") if own.is_file() else (files("dragoman") / "packs" / name).read_text("utf-8")
    )


def baseline_document() -> dict[str, Any]:
    """The fully satisfied facts document as shipped, nested."""
    return tomllib.loads((files("dragoman") / "packs" / "baseline.toml").read_text("utf-8"))


def _folder(root: Traversable | Path, shown: str) -> dict[str, tuple[str, str]]:
    out: dict[str, tuple[str, str]] = {}
    for folder in (*FOLDERS, "cases"):
        place = root / folder
        if not place.is_dir():
            continue
        for entry in place.iterdir():
            if entry.name.endswith(".toml"):
                out[f"{folder}/{entry.name}"] = (entry.read_text("utf-8"), f"{shown}/{folder}/{entry.name}")
    return out


def read_pack(text: str, where: str) -> Pack:
    """One pack from its TOML text. Raises PackError with file, line and rule."""
    try:
        return pack_of(read_toml(text, where), text, where)
    except PackError as error:
        raise PackError(_with_line(str(error), text, where)) from error


def pack_of(data: dict[str, Any], text: str, where: str) -> Pack:
    """One pack from its document; `text` is what its digest is of. Raises PackError without a line."""
    top = Table(data, where)
    head = Table(top.raw("pack") or {}, f"{where}: [pack]", HEAD)
    if head.get("schema_version") != SCHEMA_VERSION:
        raise PackError(f"{where}: schema_version {SCHEMA_VERSION} is the one understood")
    pack_id = head.get("id")
    civil = Civil(head.get("timezones", ("UTC",)))
    sources = _sources(top.raw("sources") or [], where)
    provider = read_provider(top.raw("provider"), pack_id, sources, where) if top.has("provider") else None
    channel, capabilities, terms_read = _channel(top.raw("channel"), where)
    iso: tuple[str, ...] = head.get("iso", ())
    rules = tuple(
        _any_country(read_rule(rule, pack_id, civil, sources, where), iso) for rule in top.raw("rules") or []
    )
    top.done()
    review = {key: str(head.get(key, "")) for key in ("reviewed_on", "review_due")}
    review |= {key: head.get(key, "") for key in ("reviewed_by", "signature")}
    pack = Pack(
        id=pack_id,
        kind="provider" if provider else "channel" if channel else "jurisdiction",
        version=head.get("version"),
        status=head.get("status"),
        title=head.get("title"),
        parent=head.get("parent", None),
        iso=iso,
        federal=head.get("federal", False),
        civil=civil,
        rules=rules,
        provider=provider,
        channel=channel,
        capabilities=capabilities,
        terms_read=terms_read,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        origin=where,
        review={key: value for key, value in review.items() if value},
        sources=sources,
        document=data,
    )
    head.done()
    _check_pack(pack, where)
    return pack


def _any_country(rule: Rule, iso: tuple[str, ...]) -> Rule:
    """`<cc>` in an evidence id stands for any country of the pack, in small letters."""
    if rule.kind != "prerequisite" or not any("<cc>" in name for name in rule.payload["type"]):
        return rule
    names = [name.replace("<cc>", code.lower()) for name in rule.payload["type"] for code in iso]
    return replace(rule, payload={**rule.payload, "any_of": tuple(dict.fromkeys(names))})


def _sources(data: Any, where: str) -> Mapping[str, Citation]:
    out: dict[str, Citation] = {}
    for item in data:
        table = Table(item, f"{where}: [[sources]]", SOURCE)
        source_id = table.get("id")
        table.where = f"{where}: source {source_id}"
        if source_id in out:
            raise PackError(f"{where}: source {source_id} is there twice")
        out[source_id] = Citation(table.get("title"), table.get("article", ""), table.get("url", ""))
        for key in ("lang", "retrieved_on", "sha256", "official"):
            table.get(key)
        table.done()
    return out


def _channel(data: Any, where: str) -> tuple[str | None, frozenset[str], bool]:
    if data is None:
        return None, frozenset(), True
    table = Table(data, f"{where}: [channel]", CHANNEL)
    channel, capabilities = table.get("id"), frozenset(table.get("capabilities"))
    terms_read = table.get("terms_read", True)
    table.done()
    return channel, capabilities, terms_read


def _check_pack(pack: Pack, where: str) -> None:
    if pack.kind == "jurisdiction" and not pack.iso:
        raise PackError(f"{where}: iso names no place; a jurisdiction pack needs one")
    if pack.kind == "provider" and pack.rules:
        raise PackError(f"{where}: a provider pack has no [[rules]]; its terms stand in [provider]")
    seen = set()
    for rule in pack.rules:
        if rule.rule_id in seen:
            raise PackError(f"{where}: rule {rule.rule_id} is there twice")
        if not rule.rule_id.startswith(f"{pack.id}."):
            raise PackError(f"{where}: rule {rule.rule_id} does not begin with {pack.id}.")
        seen.add(rule.rule_id)


def _check_parents(packs: Mapping[str, Pack]) -> None:
    for pack in packs.values():
        if pack.parent is None:
            continue
        parent = packs.get(pack.parent)
        if parent is None or parent.kind != pack.kind:
            raise PackError(f"{pack.origin}: parent {pack.parent} is no loaded {pack.kind} pack")
        for code in pack.iso:
            if code not in parent.iso and code[:2] not in parent.iso:
                raise PackError(f"{pack.origin}: {code} lies outside parent {pack.parent}")


def _places(packs: Mapping[str, Pack]) -> tuple[dict[str, tuple[str, ...]], ...]:
    country: dict[str, tuple[str, ...]] = {}
    subdivision: dict[str, tuple[str, ...]] = {}
    subdivided: dict[str, tuple[str, ...]] = {}
    for pack in packs.values():
        for code in pack.iso if pack.kind == "jurisdiction" else ():
            if "-" in code:
                subdivision[code] = (*subdivision.get(code, ()), pack.id)
                subdivided[code[:2]] = (*subdivided.get(code[:2], ()), pack.id)
            else:
                country[code] = (*country.get(code, ()), pack.id)
    return country, subdivision, subdivided


def parts_of(country: str) -> str:
    """What stands in `PackSet.schedules` for all packs of this country's parts together."""
    return f"{country}-*"


def _schedules(
    packs: Mapping[str, Pack], subdivided: Mapping[str, tuple[str, ...]]
) -> dict[tuple[str, str], Schedule]:
    rules = {pack.id: pack.rules for pack in packs.values()}
    for country, parts in subdivided.items():
        rules[parts_of(country)] = tuple(rule for part in parts for rule in packs[part].rules)
    return {(name, event): Schedule.of(found, event) for name, found in rules.items() for event in EVENTS}


def _cuts(packs: Iterable[Pack]) -> Mapping[str, tuple[float, ...]]:
    """For each numeric fact, the values at which some loaded rule changes its mind."""
    cuts: dict[str, set[float]] = {"age": {18}}
    for pack in packs:
        if pack.provider is not None:
            cuts.setdefault(f"list_age_days.{pack.provider.id}", set()).update(pack.provider.age_cuts())
            if pack.provider.min_age is not None:
                cuts["age"].add(pack.provider.min_age)
        for rule in pack.rules:
            for condition in (rule.condition, rule.when):
                for path, values in condition.cuts.items():
                    cuts.setdefault(path, set()).update(values)
            for path, edges in _payload_cuts(rule):
                cuts.setdefault(path, set()).update(edges)
    cuts.setdefault("turn.index", set()).add(2)
    return {path: tuple(sorted(values)) for path, values in cuts.items()}


def _payload_cuts(rule: Rule) -> Iterable[tuple[str, set[float]]]:
    payload = rule.payload
    if rule.kind == "age":
        limits = {payload[key] for key in ("min", "consent_age", "adult_age") if key in payload}
        yield "age", limits | set(payload.get("consent_age_by", {}).values())
    if rule.kind == "reminder":
        yield "turn.continuous_minutes", {payload["interval_min"]}
    if rule.kind == "notice" and "every" in payload:
        yield f"turn.minutes_since.{payload['id']}", {minutes_of(payload["every"])}
    for tier in payload.get("thresholds", ()) if rule.kind == "transfer" else ():
        yield f"operator.counters.{tier['metric']}", {tier["from"], tier.get("to", tier["from"])}


def _with_line(message: str, text: str, where: str) -> str:
    """The message with the line of the rule it speaks of, where it names one."""
    _, found, rest = message.partition(": rule ")
    rule_id = rest.partition(":")[0].split()[0] if found and rest else ""
    for number, line in enumerate(text.splitlines(), 1):
        if rule_id and line.replace(" ", "") == f'rule_id="{rule_id}"':
            return message.replace(where, f"{where}:{number}", 1)
    return message
