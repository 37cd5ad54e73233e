"""`dragoman backup`, `restore`, `doctor` and more: a program of its own, so that others load no database.

Exit codes of backup and restore: 0 done, 1 refused or failed, 2 wrong use; the doctor's: docs/operations.md.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from dragoman.checks.results import SEVERITIES, Result
from dragoman.control.cli_common import ConfigOption, JsonOption, settings_of, table
from dragoman.ledger.texts import language
from dragoman.operations.backup import Wanted
from dragoman.operations.backup import backup as take_backup
from dragoman.operations.cli_people import people
from dragoman.operations.console import progress, refusals
from dragoman.operations.doctor import examine, exit_code
from dragoman.operations.restore import Asked
from dragoman.operations.restore import restore as put_back
from dragoman.operations.sealing import passphrase_of
from dragoman.operations.texts import say
from dragoman.operations.zones import OneZone, findings, read
from dragoman.operations.zones import told as zones_told
from dragoman.policy.data_classes import declared
from dragoman.settings import find_file

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
zones = typer.Typer(
    help="Zones: where their data lies, and whether they keep to themselves.", no_args_is_help=True
)
app.add_typer(zones, name="zones")
app.add_typer(people, name="people")

PassphraseOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="A file only you can read; its first line protects the secrets."),
]


@app.command()
def backup(
    target: Annotated[
        Path, typer.Argument(help="The file to write, or a folder for a file with a dated name.")
    ],
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Also what old API keys need to go on working.")
    ] = False,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the zone, served or stopped: database, logs, documents, configuration, rules and packs.

    Example: dragoman backup /backups --with-secrets --passphrase-file /root-only/passphrase
    """
    if passphrase_file is not None and not with_secrets:
        raise typer.BadParameter("--passphrase-file protects secrets: give --with-secrets too")
    with refusals(as_json=as_json):
        settings, file = settings_of(config)
        passphrase = None if passphrase_file is None else passphrase_of(passphrase_file)
        with progress("backup", None) as step:
            told = take_backup(Wanted(settings, file, target.absolute(), with_secrets, passphrase), step)
        print(json.dumps(told, ensure_ascii=False) if as_json else "\n".join(_backup_lines(told)))


def _backup_lines(told: dict[str, Any]) -> Iterator[str]:
    yield say("wrote", **told)
    for log in told["logs"]:
        yield say("wrote_log", **log)
    yield say(f"secrets_{told['secrets']}")
    if told["needs"]:
        yield say("needs", what="; ".join(told["needs"]))
    if told["left_out"]:
        yield say("left_out", what=", ".join(told["left_out"]))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    to: Annotated[Path, typer.Option("--to", help="The new data folder: empty, or not there yet.")],
    zone: Annotated[
        str | None, typer.Option("--zone", help="The zone of this machine. Default: the configuration's.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="The registry's key as you noted it elsewhere.")] = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into an empty folder of the same zone, and verify it.

    Example: dragoman restore zone.tar --to restored-data
    """
    with refusals(as_json=as_json):
        here = zone or settings_of(config)[0].zone.id
        passphrase = None if passphrase_file is None else passphrase_of(passphrase_file)
        with progress("restore", file.stat().st_size) as step:
            told = put_back(Asked(file, to.absolute(), here, key, passphrase), step)
        print(json.dumps(told, ensure_ascii=False) if as_json else "\n".join(_restore_lines(told)))


def _restore_lines(told: dict[str, Any]) -> Iterator[str]:
    yield say("restored", **told)
    for log in told["logs"]:
        yield say("restored_root", **log)
    yield say("restored_holds")
    if told["secrets"] == "none":
        yield say("secrets_none")
    if told["needs"]:
        yield say("needs", what="; ".join(told["needs"]))
    yield say("restored_sealed")
    words = [f"{name}={shlex.quote(value)}" for name, value in told["serve"]["environment"].items()]
    yield say("serve_with", command=" ".join([*words, *map(shlex.quote, told["serve"]["command"])]))


@app.command()
def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Also ask each provider for its models, with its credential.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong and what to do. Exit status: 0 nothing, 1 warnings, 2 errors.

    Example: dragoman doctor --online
    """
    results = examine(config, online=online)
    if as_json:
        told = {"exit": exit_code(results), "findings": [vars(one) for one in results]}
        print(json.dumps(told, ensure_ascii=False))
    else:
        print("\n".join(map(_line, results)) or say("healthy"))
    raise typer.Exit(exit_code(results))


def _line(result: Result) -> str:
    return f"{say(f'severity_{result.severity}')}  {result.code}\n  {result.said()}\n  → {result.fix}"


@zones.command("check")
def zones_check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CONFIG...", help="The configuration of each zone. Default: ./dragoman.toml."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say where each zone's data lies, and what zones share or disagree on. Exit status 1 on errors.

    Example: dragoman zones check eu.toml sg.toml
    """
    with refusals(as_json=as_json):
        named: list[Path | None] = [*files] if files else [None]
        given = read([find_file(file) for file in named])
        found = sorted(findings(given), key=lambda one: -SEVERITIES.index(one.severity))
    if as_json:
        print(json.dumps(zones_told(given, found), ensure_ascii=False))
    else:
        print("\n\n".join([*map(_zone_table, given), "\n".join(map(_line, found)) or say("zones_apart")]))
    raise typer.Exit(int(any(one.severity == "error" for one in found)))


def _zone_table(zone: OneZone) -> str:
    """Each data class in a row: where it lies, and what it is."""
    lang = language(None)
    places: dict[str, list[str]] = {}
    for name, text in zone.places():
        places.setdefault(name, []).append(text[lang])
    columns = tuple(say(f"zone_{name}") for name in ("class", "place", "what"))
    rows = [
        dict(zip(columns, (name, "; ".join(where), declared().titles[name][lang]), strict=True))
        for name, where in places.items()
    ]
    settings = zone.settings.zone
    head = say("zone_head", zone=zone.id, country=settings.country or "-", data=settings.data)
    return f"{head}\n{table(rows, columns)}"


if __name__ == "__main__":
    app(prog_name="dragoman")
