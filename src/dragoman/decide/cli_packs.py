"""The verbs `dragoman packs ...`: check, show, compare, cite and begin packs, and list the names they use.

The command line over packs; needs no server and writes only what it is told to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from dragoman.core.facts import nearest
from dragoman.decide.cases import run_case
from dragoman.decide.citing import cited, names
from dragoman.decide.cli_common import (
    Json,
    Lang,
    PacksDir,
    baseline,
    fail,
    language_or_fail,
    load_or_fail,
    or_fail,
    print_json,
)
from dragoman.decide.compare import Change, compare
from dragoman.decide.engine import decide
from dragoman.decide.packs import Pack, PackSet, baseline_document, read_folder, read_pack
from dragoman.decide.published import NAMES as SCHEMAS
from dragoman.decide.published import schemas
from dragoman.decide.shown import (
    citation_line,
    head_line,
    pack_document,
    pack_lines,
    rule_document,
    rule_lines,
)
from dragoman.decide.skeleton import KINDS as PACK_KINDS
from dragoman.decide.skeleton import skeleton
from dragoman.decide.vocabulary import KINDS, vocabulary
from dragoman.decide.world import World

packs_app = typer.Typer(help="Law, provider terms and platform rules as data.", no_args_is_help=True)


def check_packs(packs: PackSet) -> list[str]:
    """Run every golden case: one line for each thing that is wrong."""
    world, document = World.from_packs(packs), baseline_document()
    wrong = []
    for case in packs.cases:
        said = run_case(case, document, lambda facts: decide(facts, packs, world))
        wrong += [f"{case.where} ({case.name}): {sentence}" for sentence in said]
    return wrong


@packs_app.command("check")
def check_command(packs_dir: PacksDir = None, as_json: Json = False) -> None:
    """Load all packs and run their golden cases.

    What does not load is named with file, line, rule and mend; what a case does not get, with the case.

    Example: dragoman packs check --packs-dir packs
    """
    packs = load_or_fail(packs_dir)
    wrong = check_packs(packs)
    rules = sum(len(pack.rules) for pack in packs.packs.values())
    if as_json:
        print_json({"packs": len(packs.packs), "rules": rules, "cases": len(packs.cases), "wrong": wrong})
    else:
        for line in wrong:
            typer.echo(line)
        typer.echo(f"{len(packs.packs)} packs, {rules} rules, {len(packs.cases)} cases, {len(wrong)} wrong")
    if wrong:
        raise typer.Exit(1)


@packs_app.command("show")
def show_command(
    wanted: Annotated[str | None, typer.Argument(help="A pack or a rule; without it, the list.")] = None,
    as_json: Json = False,
    lang: Lang = "en",
    packs_dir: PacksDir = None,
) -> None:
    """Show a pack with its rules and sources, one rule with all it says, or list all packs.

    Example: dragoman packs show sg; dragoman packs show sg.pdpa.breach --lang zh
    """
    language_or_fail(lang)
    packs = load_or_fail(packs_dir)
    rule = packs.rule(wanted) if wanted else None
    if wanted is None:
        chosen: Any = [pack_document(pack) for pack in packs.packs.values()]
        lines: Iterator[str] = (head_line(pack, lang) for pack in packs.packs.values())
    elif rule is not None:
        pack = packs.packs[rule.pack]
        chosen, lines = rule_document(rule, pack), rule_lines(rule, pack, lang)
    elif wanted in packs.packs:
        chosen, lines = pack_document(packs.packs[wanted]), pack_lines(packs.packs[wanted], lang)
    else:
        known = [*packs.packs, *(rule.rule_id for pack in packs.packs.values() for rule in pack.rules)]
        fail(f"no pack or rule is called {wanted}{nearest(wanted, known)}")
    if as_json:
        print_json(chosen)
        return
    for line in lines:
        typer.echo(line)


@packs_app.command("diff")
def diff_command(
    one: Annotated[Path, typer.Argument(help="A pack file, or a folder laid out as packs_dir.")],
    other: Annotated[
        Path | None, typer.Argument(help="Another; without it, ONE against the shipped.")
    ] = None,
    as_json: Json = False,
    lang: Lang = "en",
) -> None:
    """What changes between two packs or folders, rule by rule, and what each change means.

    With one argument: what it changes of the shipped packs. With two: what the second changes of the first.

    Example: dragoman packs diff packs/jurisdictions/sg.toml
    """
    language_or_fail(lang)
    new = or_fail(lambda: _packs_of(other or one))
    if other is None:
        shipped = load_or_fail(None).packs
        old = {name: pack for name, pack in shipped.items() if name in new}
    else:
        old = or_fail(lambda: _packs_of(one))
    changes = compare(old, new)
    if as_json:
        print_json(changes)
        return
    for change in changes:
        for line in _change_lines(change, lang):
            typer.echo(line)
    typer.echo(f"{len(changes)} of {len({*old, *new})} packs differ")


@packs_app.command("cite")
def cite_command(
    wanted: Annotated[str | None, typer.Argument(help="A rule, a source, or words of its title.")] = None,
    as_json: Json = False,
    lang: Lang = "en",
    packs_dir: PacksDir = None,
) -> None:
    """Where a rule stands, or which rules rest on a source: title, article, address, how surely it was read.

    Marks: V read in the official text, v in a secondary source, g general knowledge, ? in doubt.

    Example: dragoman packs cite sg.pdpa.breach; dragoman packs cite GDPR
    """
    language_or_fail(lang)
    packs = load_or_fail(packs_dir)
    found = cited(packs, wanted)
    if not found:
        fail(f"nothing cited matches {wanted}{nearest(wanted or '', names(packs))}")
    if as_json:
        print_json(found)
        return
    for source in found:
        official = {True: {"en": "official", "zh": "官方"}, False: {"en": "not official", "zh": "非官方"}}
        notes = [official[source["official"]][lang]] if source["official"] is not None else []
        notes += [source["retrieved_on"]] if source["retrieved_on"] else []
        typer.echo(f"{source['id']}: {citation_line(source)}" + (f" ({', '.join(notes)})" if notes else ""))
        for rule in source["rules"]:
            typer.echo(f"  {rule['rule_id']} [{rule['certainty']}]: {rule['title'][lang]}")


@packs_app.command("new")
def new_command(
    pack_id: Annotated[str, typer.Argument(help="The id, for example xx or xx-part.", metavar="ID")],
    to: Annotated[
        Path, typer.Option("--to", help="Folder laid out as packs_dir; made where it is not there.")
    ],
    kind: Annotated[str, typer.Option("--kind", help=", ".join(PACK_KINDS) + ".")] = PACK_KINDS[0],
    iso: Annotated[str | None, typer.Option("--iso", help="Place of a jurisdiction, ISO 3166.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Pack of the whole country.")] = None,
) -> None:
    """Write a pack to begin from, with a case that hits and one that misses; it loads as it is.

    It says nothing of any law: its one rule is a draft in doubt, which can only warn.

    Example: dragoman packs new ch --iso CH --to packs; dragoman packs check --packs-dir packs
    """
    if kind not in PACK_KINDS:
        fail(f"--kind is one of {', '.join(PACK_KINDS)}{nearest(kind, PACK_KINDS)}")
    if kind == PACK_KINDS[0] and iso is None:
        fail("a jurisdiction pack needs its place: --iso CODE")
    texts = or_fail(lambda: skeleton(pack_id, kind, iso, parent))
    there = [name for name in texts if (to / name).exists()]
    if there:
        fail(f"{to / there[0]} is there already; nothing was written")
    for name, text in texts.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_text(text, "utf-8")
        typer.echo(f"{to / name}")
    load_or_fail(to)


@packs_app.command("vocabulary")
def vocabulary_command(
    kind: Annotated[str | None, typer.Argument(help="One of " + ", ".join(KINDS) + ".")] = None,
    as_json: Json = False,
    lang: Lang = "en",
    show_baseline: Annotated[
        bool, typer.Option("--baseline", help="Print a facts document to edit.")
    ] = False,
    packs_dir: PacksDir = None,
) -> None:
    """List every name that facts and decisions use, which rules read it, and what it means.

    A facts document that names anything else is refused. With --baseline: a fully satisfied document to edit.

    Example: dragoman packs vocabulary features; dragoman packs vocabulary --baseline > facts.json
    """
    language_or_fail(lang)
    if show_baseline:
        print_json(baseline())
        return
    if kind is not None and kind not in KINDS:
        fail(f"there is no kind {kind}{nearest(kind, KINDS)}")
    found = vocabulary(load_or_fail(packs_dir))
    if as_json:
        print_json(found if kind is None else found[kind])
        return
    for name in KINDS if kind is None else (kind,):
        typer.echo(name)
        for entry in found[name]:
            rules = f" ({', '.join(entry['rules'])})" if entry["rules"] else ""
            typer.echo(f"  {entry['name']}: {entry['meaning'][lang]}{rules}")


@packs_app.command("schema")
def schema_command(
    name: Annotated[str, typer.Argument(help="One of " + ", ".join(SCHEMAS) + ".")] = SCHEMAS[0],
) -> None:
    """Print the JSON Schema of packs, of facts documents or of decisions.

    It is made of the tables by which they are read. Of a pack it says what one file may hold; that rules
    have cases and sources exist, only loading tells.

    Example: dragoman packs schema pack > pack.schema.json
    """
    if name not in SCHEMAS:
        fail(f"there is no schema of {name}{nearest(name, SCHEMAS)}")
    print_json(schemas()[name])


def _packs_of(path: Path) -> dict[str, Pack]:
    """The packs of a file or a folder, each checked by itself. Raises PackError, OSError."""
    if path.is_dir():
        found = read_folder(path)
        return {pack.id: pack for pack in found}
    pack = read_pack(path.read_text("utf-8"), str(path))
    return {pack.id: pack}


def _change_lines(change: Change, lang: str) -> Iterator[str]:
    yield f"{change['pack']}: {change['change']}"
    for part in ("head", "channel", "provider"):
        for field in change[part]:
            yield f"  {_field_line(field, lang)}"
    for part, name in (("sources", "id"), ("rules", "rule_id")):
        for row in change[part]:
            means = f" ({row['means'][lang]})" if "means" in row else ""
            yield f"  {row[name]}: {row['change']}{means}"
            for field in row["fields"]:
                yield f"    {_field_line(field, lang)}"


def _field_line(field: Change, lang: str) -> str:
    if field["field"] == "applies_when":
        return f"applies_when: {field['means'][lang]}"
    old, new = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                for value in (field["old"], field["new"]))  # fmt: skip
    return f"{field['field']}: {old} → {new} — {field['means'][lang]}"
