"""`dragoman`: the command line. Verbs on state go to control; the two processes are entered by exec.

It opens no database itself. Exit codes: 0 done, 1 refused or failed, 2 wrong use.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dragoman.control import (
    cli_accounts,
    cli_admin,
    cli_budgets,
    cli_config,
    cli_conversations,
    cli_geo,
    cli_knowledge,
    cli_models,
    cli_retention,
    cli_simulate,
)
from dragoman.control.cli_common import JsonOption
from dragoman.decide import cli as decide_cli
from dragoman.decide import cli_packs
from dragoman.ledger import cli as ledger_cli

app = typer.Typer(
    name="dragoman",
    help="Offer an AI assistant lawfully in many jurisdictions and on many chat platforms, provably.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("serve")
def serve(
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="Configuration of a zone; give it once per zone."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve: starts control and relay of each zone, and prints how to try it.

    Example: dragoman serve
    """
    given = [word for file in config or () for word in ("--config", str(file))]
    _become("dragoman.serve", [*given, *(["--json"] if as_json else [])])


app.add_typer(cli_models.app, name="models")
app.add_typer(cli_accounts.keys, name="keys")
app.add_typer(cli_accounts.tenants, name="tenants")
app.add_typer(cli_admin.app, name="admin")
app.add_typer(cli_conversations.app, name="conversations")
app.add_typer(cli_retention.app, name="retention")
app.add_typer(cli_budgets.limits, name="limits")
app.add_typer(cli_budgets.prices, name="prices")
app.add_typer(cli_budgets.usage, name="usage")
app.add_typer(cli_config.app, name="config")
app.add_typer(cli_geo.app, name="geo")
app.command("reload")(cli_config.reload)
app.command("ingest")(cli_knowledge.ingest)
app.command("ask")(cli_knowledge.ask)
app.command("decide")(decide_cli.decide_command)
app.command("simulate")(cli_simulate.simulate_command)
app.add_typer(cli_packs.packs_app, name="packs")
app.add_typer(ledger_cli.app, name="ledger")


_FORWARDED = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command("backup", context_settings=_FORWARDED, add_help_option=False)
def backup(context: typer.Context) -> None:
    """Back up the zone, served or stopped, into one file."""
    _become("dragoman.operations.cli", ["backup", *context.args])


@app.command("restore", context_settings=_FORWARDED, add_help_option=False)
def restore(context: typer.Context) -> None:
    """Restore a backup into an empty folder of the same zone, and verify it."""
    _become("dragoman.operations.cli", ["restore", *context.args])


@app.command("doctor", context_settings=_FORWARDED, add_help_option=False)
def doctor(context: typer.Context) -> None:
    """Say what is wrong with machine and zone, and what to do."""
    _become("dragoman.operations.cli", ["doctor", *context.args])


@app.command("zones", context_settings=_FORWARDED, add_help_option=False)
def zones(context: typer.Context) -> None:
    """Say where zones keep their data, and whether they keep to themselves."""
    _become("dragoman.operations.cli", ["zones", *context.args])


@app.command("people", context_settings=_FORWARDED, add_help_option=False)
def people(context: typer.Context) -> None:
    """Move a person to another zone: export, import, erase."""
    _become("dragoman.operations.cli", ["people", *context.args])


@app.command("entry", context_settings=_FORWARDED, add_help_option=False)
def entry(context: typer.Context) -> None:
    """Serve the page that picks a zone, on a host outside all of them: dragoman entry --config zones.toml."""
    _become("dragoman.control.entry_run", context.args)


@app.command("relay", context_settings=_FORWARDED)
def relay(context: typer.Context) -> None:
    """Become a zone's relay: dragoman relay --config dragoman-data/run/relay.json."""
    _become("dragoman.relay", context.args)


@app.command("control", context_settings=_FORWARDED)
def control(context: typer.Context) -> None:
    """Become a zone's control: dragoman control --config dragoman.toml."""
    _become("dragoman.control.run", context.args)


def _become(module: str, arguments: list[str]) -> None:
    """Replace this process, so that nothing of the command line stays in memory."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - fixed module names


def main() -> None:
    """The entry point of every verb but `serve`, which begins in `verb`."""
    app(prog_name="dragoman")


if __name__ == "__main__":
    main()
