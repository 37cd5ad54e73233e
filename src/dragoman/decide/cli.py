"""The verbs `dragoman decide` and `dragoman packs`: ask the engine, check and show packs.

The command line over `engine` and `packs`; mounted by the root command. Reads files it is given, writes only
to its output, and needs no server.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from dragoman.core.decision import Decision
from dragoman.core.facts import Facts, FactsError
from dragoman.decide.cases import run_case
from dragoman.decide.engine import decide
from dragoman.decide.explain import LANGUAGES, describe, trace
from dragoman.decide.packs import Pack, PackSet, baseline_document, load_packs
from dragoman.decide.schema import PackError
from dragoman.decide.world import World

BAD_INPUT = 2  # exit status for a document or pack that cannot be used

app = typer.Typer(help="Facts to decisions over packs.", no_args_is_help=True)
packs_app = typer.Typer(help="Law, provider terms and platform rules as data.", no_args_is_help=True)
app.add_typer(packs_app, name="packs")

PacksDir = Annotated[Path | None, typer.Option("--packs-dir", help="Overlay folder of packs.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Lang = Annotated[str, typer.Option("--lang", help="en or zh.")]


def baseline() -> dict[str, Any]:
    """A fully satisfied facts document to edit, as JSON values."""
    document: dict[str, Any] = _json_values(baseline_document())
    return document


def decide_file(path: Path, packs: PackSet, world: World | None = None) -> tuple[Facts, Decision]:
    """The decision for a facts document in JSON or TOML. Raises FactsError, OSError."""
    text = path.read_text("utf-8")
    facts = Facts.from_toml(text) if path.suffix == ".toml" else Facts.from_json(text)
    return facts, decide(facts, packs, world or World.from_packs(packs))


def check_packs(packs: PackSet) -> list[str]:
    """Run every golden case: one line for each thing that is wrong."""
    world, document = World.from_packs(packs), baseline_document()
    wrong = []
    for case in packs.cases:
        said = run_case(case, document, lambda facts: decide(facts, packs, world))
        wrong += [f"{case.where} ({case.name}): {sentence}" for sentence in said]
    return wrong


def show_pack(pack: Pack) -> dict[str, Any]:
    """What a pack holds, as JSON values: head, sources, rules with their dates and citation."""
    out: dict[str, Any] = {
        "id": pack.id, "kind": pack.kind, "version": pack.version, "status": pack.status,
        "title": dict(pack.title), "iso": list(pack.iso), "parent": pack.parent, "origin": pack.origin,
        "sources": {key: citation.to_dict() for key, citation in pack.sources.items()},
        "rules": [
            {
                "rule_id": rule.rule_id, "kind": rule.kind, "effective_from": rule.starts_on,
                "binds_older_systems_from": rule.grandfathered_on, "enforcement": rule.enforcement,
                "on_missing": rule.on_missing, "certainty": rule.certainty, "code": rule.reason_code,
                "title": dict(rule.reasons["warn"].title),
            }
            for rule in pack.rules
        ],
    }  # fmt: skip
    if pack.provider is not None:
        provider = pack.provider
        out["provider"] = {
            "id": provider.id, "route": provider.route, "basis": sorted(provider.basis),
            "snapshot_date": str(provider.snapshot_date) if provider.snapshot_date else None,
            "complete": provider.complete, "min_age": provider.min_age,
            "places": None if provider.territory_allow is None else sorted(provider.territory_allow),
            "open": sorted(provider.open_codes), "left_out": sorted(provider.subdivision_exclude),
        }  # fmt: skip
    return out


@app.command("decide")
def decide_command(
    facts: Annotated[Path | None, typer.Option("--facts", help="Facts document, JSON or TOML.")] = None,
    show_baseline: Annotated[bool, typer.Option("--baseline", help="Print a document to edit.")] = False,
    as_json: Json = False,
    lang: Lang = "en",
    explain: Annotated[bool, typer.Option("--explain", help="Trace every rule considered.")] = False,
    packs_dir: PacksDir = None,
) -> None:
    """Decide from a facts document, as of the instant it names."""
    if show_baseline:
        typer.echo(json.dumps(baseline(), ensure_ascii=False, indent=2))
        return
    if facts is None:
        _fail("give a facts document with --facts FILE; --baseline prints one to edit")
    if lang not in LANGUAGES:
        _fail(f"--lang is one of {', '.join(LANGUAGES)}")
    packs = _load(packs_dir)
    world = World.from_packs(packs)
    known, decision = _or_fail(lambda: decide_file(facts, packs, world))
    steps = trace(known, packs, world) if explain else []
    if as_json:
        document = decision.to_dict()
        if explain:
            document["trace"] = [step.to_dict() for step in steps]
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    typer.echo(describe(decision, lang))
    for step in steps:
        applies = {True: "applies", False: "does not apply", None: "may apply (unknown)"}[step.applies]
        typer.echo(f"  · {step.rule_id}: {step.phase}, {applies}; read {', '.join(step.read)}")


@packs_app.command("check")
def check_command(packs_dir: PacksDir = None) -> None:
    """Load all packs and run their golden cases."""
    packs = _load(packs_dir)
    wrong = check_packs(packs)
    for line in wrong:
        typer.echo(line)
    rules = sum(len(pack.rules) for pack in packs.packs.values())
    typer.echo(f"{len(packs.packs)} packs, {rules} rules, {len(packs.cases)} cases, {len(wrong)} wrong")
    if wrong:
        raise typer.Exit(1)


@packs_app.command("show")
def show_command(
    pack_id: Annotated[str | None, typer.Argument(help="Pack id; without it, the list.")] = None,
    as_json: Json = False,
    lang: Lang = "en",
    packs_dir: PacksDir = None,
) -> None:
    """Show one pack with its rules and sources, or list all."""
    packs = _load(packs_dir)
    if pack_id is not None and pack_id not in packs.packs:
        _fail(f"no pack is called {pack_id}; there are {', '.join(packs.packs)}")
    chosen = [packs.packs[pack_id]] if pack_id else list(packs.packs.values())
    if as_json:
        shown = [show_pack(pack) for pack in chosen]
        typer.echo(json.dumps(shown[0] if pack_id else shown, ensure_ascii=False, indent=2))
        return
    for pack in chosen:
        head = (
            f"{pack.id} {pack.version} ({pack.kind}, {pack.status}): {pack.title.get(lang, pack.title['en'])}"
        )
        typer.echo(head)
        for rule in pack.rules if pack_id else ():
            reason = rule.reasons["warn"]
            source = reason.citation
            cited = (
                f"{source.source}, {source.article}"
                if source and source.article
                else source and source.source
            )
            typer.echo(f"  {rule.rule_id} [{rule.certainty}] from {rule.starts_on or 'no date'}: "
                       f"{reason.title.get(lang, reason.title['en'])} — {cited}")  # fmt: skip


def _load(packs_dir: Path | None) -> PackSet:
    return _or_fail(lambda: load_packs(packs_dir))


T = TypeVar("T")


def _or_fail(action: Callable[[], T]) -> T:
    try:
        return action()
    except FileNotFoundError as error:
        _fail(f"{error.filename}: there is no such file or folder")
    except (FactsError, PackError, OSError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(f"dragoman: {message}", err=True)
    raise typer.Exit(BAD_INPUT)


def _json_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_values(item) for item in value]
    return value.isoformat() if isinstance(value, date | datetime) else value
