"""The verb `dragoman decide`: asks the engine from a facts document.

The command line over `engine`; mounted by the root command beside the verbs of `cli_packs`. Reads files it is
given, writes only to its output, and needs no server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragoman.core.decision import Decision
from dragoman.core.facts import Facts
from dragoman.decide.asked import decide_facts, decision_document
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
from dragoman.decide.cli_packs import packs_app
from dragoman.decide.cli_refresh import refresh_command
from dragoman.decide.explain import describe, trace
from dragoman.decide.packs import PackSet
from dragoman.decide.world import World

app = typer.Typer(help="Facts to decisions over packs.", no_args_is_help=True)
packs_app.command("refresh")(refresh_command)
app.add_typer(packs_app, name="packs")


def decide_file(path: Path, packs: PackSet) -> tuple[Facts, Decision]:
    """The decision for a facts document in JSON or TOML. Raises FactsError, OSError."""
    text = path.read_text("utf-8")
    facts = Facts.from_toml(text) if path.suffix == ".toml" else Facts.from_json(text)
    return facts, decide_facts(facts, packs)


@app.command("decide")
def decide_command(
    facts: Annotated[Path | None, typer.Option("--facts", help="Facts document, JSON or TOML.")] = None,
    show_baseline: Annotated[bool, typer.Option("--baseline", help="Print a document to edit.")] = False,
    as_json: Json = False,
    lang: Lang = "en",
    explain: Annotated[bool, typer.Option("--explain", help="Trace every rule considered.")] = False,
    packs_dir: PacksDir = None,
) -> None:
    """Decide from a facts document, as of the instant it names.

    Names in the document are those of `dragoman packs vocabulary`; what is left out is unknown and never
    lowers a duty.

    Example: dragoman decide --baseline > facts.json; dragoman decide --facts facts.json --explain
    """
    if show_baseline:
        print_json(baseline())
        return
    if facts is None:
        fail("give a facts document with --facts FILE; --baseline prints one to edit")
    language_or_fail(lang)
    packs = load_or_fail(packs_dir)
    known, decision = or_fail(lambda: decide_file(facts, packs))
    if as_json:
        print_json(decision_document(decision, known, packs, explain=explain))
        return
    typer.echo(describe(decision, lang))
    for step in trace(known, packs, World.from_packs(packs)) if explain else ():
        applies = {True: "applies", False: "does not apply", None: "may apply (unknown)"}[step.applies]
        typer.echo(f"  · {step.rule_id}: {step.phase}, {applies}; read {', '.join(step.read)}")
