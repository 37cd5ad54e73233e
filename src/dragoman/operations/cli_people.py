"""`dragoman people`: a person moves to another zone. Exit codes: 0 done, 1 refused or failed, 2 wrong use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from dragoman.control.admin_client import AdminClient
from dragoman.control.cli_common import ConfigOption, JsonOption, settings_of
from dragoman.ledger.texts import language
from dragoman.operations import moving
from dragoman.operations.console import progress, refusals
from dragoman.operations.texts import say

people = typer.Typer(help="People who move to another zone: export, import, erase.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="The person's file. It holds all that is kept of them.")]
KeyOption = Annotated[
    str,
    typer.Option(
        help="The other zone's registry key, as `dragoman ledger verify` shows it there; not from the file."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check and count; change nothing.")]


def _zone(config: Path | None) -> moving.Zone:
    settings, file = settings_of(config)
    return moving.Zone(settings, AdminClient(settings, file))


@people.command("export")
def export(
    person: Annotated[str, typer.Argument(help="The person's id, as its placement shows it: prn_...")],
    file: FileArgument,
    to: Annotated[str, typer.Option(help="The zone it moves to, as [zones.NAME] has it.")],
    phone: Annotated[str, typer.Option(help="The person's number, for its account there: +49...")],
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Freeze a person and write all that is kept of them into a signed file for another zone.

    Example: dragoman people export prn_eu_01a2... moving.jsonl --to sg --phone +4915123456789
    """
    with refusals(as_json=as_json):
        zone, wish = _zone(config), moving.Wish(person, to, phone)
        if dry_run:
            told = moving.try_out(zone, wish)
        else:
            with progress("export", None) as step:
                told = moving.export(zone, wish, file.absolute(), step)
        _print(told, _exported(told, dry_run=dry_run), as_json=as_json)


def _exported(told: dict[str, Any], *, dry_run: bool) -> Iterator[str]:
    yield say("move_would_export" if dry_run else "move_exported", **told)
    yield from (f"  {many:>8}  {table}" for table, many in told["tables"].items())
    yield say("move_left")
    yield from (f"  {name}: {text[language(None)]}" for name, text in told["left"].items())
    if not dry_run:
        yield say("move_next", **told)


@people.command("stay")
def stay(
    person: Annotated[str, typer.Argument(help="The person's id.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give up a move: the person goes on here, unless it was erased already.

    Example: dragoman people stay prn_eu_01a2...
    """
    with refusals(as_json=as_json):
        told = moving.stay(_zone(config), person)
        _print(told, iter([say("move_stays", **told)]), as_json=as_json)


@people.command("import")
def bring(
    file: FileArgument,
    key: KeyOption,
    receipt: Annotated[
        Path | None, typer.Option(help="Where the receipt goes. Default: the file's name and `.receipt`.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="The tenant here. Default: the one of the same name.")
    ] = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a person in from the file of another zone, and write the receipt that zone erases on. Repeatable.

    Example: dragoman people import moving.jsonl --key 'eu-...+...'
    """
    target = receipt or file.with_name(f"{file.name}.receipt")
    if target.resolve() == file.resolve() or (target.exists() and file.exists() and target.samefile(file)):
        raise typer.BadParameter("--receipt names the person's file itself")
    with refusals(as_json=as_json):
        zone, whole = _zone(config), moving.opened(file.absolute(), key)
        if dry_run:
            told = moving.try_in(zone, whole, tenant)
            _print(told, iter([say("move_would_import", **told)]), as_json=as_json)
            return
        with progress("import", file.stat().st_size) as step:
            told = moving.bring(zone, whole, tenant, target.absolute(), step)
        _print(told, _brought(told), as_json=as_json)


def _brought(told: dict[str, Any]) -> Iterator[str]:
    yield say("move_again" if told["again"] else "move_imported", **told)
    if told["recovery_code"] is not None:
        yield say("move_recovery", **told)
    yield say("move_receipt", **told)


@people.command("erase")
def erase(
    file: FileArgument,
    receipt: Annotated[Path, typer.Option(help="The receipt of the zone that took the person in.")],
    key: KeyOption,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a person here that another zone took in, on its receipt; only what the file holds.

    Example: dragoman people erase moving.jsonl --receipt moving.jsonl.receipt --key 'sg-...+...'
    """
    with refusals(as_json=as_json):
        zone = _zone(config)
        whole = moving.opened(file.absolute(), *zone.keys())
        proof = moving.received(receipt.absolute(), whole, key, zone)
        rows = moving.compared(zone, whole)
        told: dict[str, Any] = {"person": whole.head["person"], "rows": rows}
        if not dry_run:
            told = {**told, **moving.erase(zone, whole, proof)}
        _print(told, iter([say("move_would_erase" if dry_run else "move_erased", **told)]), as_json=as_json)


def _print(told: dict[str, Any], lines: Iterator[str], *, as_json: bool) -> None:
    print(json.dumps(told, ensure_ascii=False) if as_json else "\n".join(lines))
