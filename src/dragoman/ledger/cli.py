"""`dragoman ledger verify|prove|show|export`: for people who trust neither this program nor its operator.

Exit status: 0 it holds, 1 it does not, 2 it could not be checked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from dragoman.errors import ConfigError
from dragoman.ledger.logs import (
    REGISTRY,
    Entry,
    LedgerError,
    all_shards,
    entries,
    find_log,
    find_turn,
    key_of,
)
from dragoman.ledger.proofs import check_commitment, check_proof, log_proved, parse_receipt, prove
from dragoman.ledger.texts import language, say
from dragoman.ledger.verify import Verdict, verify_zone
from dragoman.settings import find_file, load

WRONG = 1
UNCHECKED = 2

app = typer.Typer(name="ledger", help="Verify, prove, show and export the record.", no_args_is_help=True)

Data = Annotated[
    Path | None, typer.Option("--data", help="The zone's data folder. Default: the configuration's.")
]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration that names the data folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Lang = Annotated[
    str | None, typer.Option("--lang", help="en or zh. Default: by LC_ALL, LC_MESSAGES or LANG.")
]


def _folder(data: Path | None, config: Path | None) -> Path:
    if data is not None:
        return data
    try:
        return load(find_file(config)).zone.data
    except ConfigError as error:
        raise LedgerError(f"{error.message}; or give the zone's data folder with --data") from error


def _stop(error: LedgerError, lang: str, status: int = UNCHECKED) -> typer.Exit:
    typer.echo(say(lang, str(error)), err=True)
    return typer.Exit(status)


def _language(wish: str | None) -> str:
    try:
        return language(wish)
    except LedgerError as error:
        raise _stop(error, language(None)) from error


@app.command("verify")
def verify_command(
    data: Data = None,
    config: Config = None,
    key: Annotated[
        str | None, typer.Option(help="Verifier key you hold: of the registry, or of a proof's log.")
    ] = None,
    proof: Annotated[Path | None, typer.Option(help="Check this proof instead of the folder.")] = None,
    receipt: Annotated[str | None, typer.Option(help="The answer's dragoman-receipt; needs --value.")] = None,
    value: Annotated[
        Path | None, typer.Option(help="File with the exact request body or released text.")
    ] = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Check the whole record of a zone, or one proof."""
    words = _language(lang)
    try:
        if proof is not None:
            _verify_proof(proof, key, receipt, value, words, as_json)
            return
        verdict = verify_zone(_folder(data, config), key)
    except (LedgerError, OSError) as error:
        raise _stop(LedgerError(str(error)), words) from error
    if as_json:
        document = {**verdict.report, "registry_key": verdict.registry_key, "witnessed": verdict.witnessed}
        typer.echo(json.dumps(document, indent=2))
    else:
        for line in _lines(verdict):
            typer.echo(say(words, line))
    if not verdict.sound:
        raise typer.Exit(WRONG)


def _lines(verdict: Verdict) -> Iterator[str]:
    for log in verdict.logs:
        state = "holds" if not log["wrong"] else f"DOES NOT HOLD ({log['wrong']} findings)"
        yield f"{log['log'] or log['dir']}: {state}"
        yield f"  key       {log['key'] or '-'}"
        yield f"  proven    {log['proven']} entries, root {log['root'] or '-'}"
        yield f"  unproven  {log['unproven']} entries behind the newest checkpoint"
        if log["torn"]:
            yield f"  torn      {log['torn']} bytes at the end, never acknowledged; cut at the next start"
        if log["open"]:
            yield f"  open      {len(log['open'])} turns without a result yet"
    for what in verdict.findings:
        yield f"WRONG: {what}"
    restored = {log["log"] for log in verdict.logs if Path(log["dir"]).parent.name == REGISTRY}
    for name in verdict.report["unadmitted"]:
        if name in restored:
            yield f"note: {name} continues the registry after a restore; no earlier key names it"
        else:
            yield f"note: {name} is not in the registry yet"
    if not verdict.witnessed:
        yield "unwitnessed: nobody outside has cosigned; who holds the keys could have rewritten everything"
    if not verdict.key_given:
        yield "the registry's key was taken from the folder itself; keep it elsewhere and give it with --key:"
        yield f"  {verdict.registry_key}"
    yield "The record holds." if verdict.sound else "The record DOES NOT HOLD."


def _verify_proof(
    path: Path, key: str | None, receipt: str | None, value: Path | None, lang: str, as_json: bool
) -> None:
    if key is None:
        raise LedgerError("give the log's verifier key with --key; `dragoman ledger verify` prints it")
    if (receipt is None) != (value is None):
        raise LedgerError("--receipt and --value belong together")
    text, content = path.read_text("utf-8"), None if value is None else value.read_bytes()
    parsed = None if receipt is None else parse_receipt(receipt)
    member = None
    try:
        proven = check_proof(text, key)
        if parsed is not None and content is not None:
            member = check_commitment(proven, parsed, content)
    except LedgerError as error:
        raise _stop(error, lang, WRONG) from error
    if as_json:
        document: dict[str, Any] = {"index": proven.index, "size": proven.size, "root": proven.root}
        typer.echo(
            json.dumps(
                {**document, "entry": proven.entry, "commits_to": member}, indent=2, ensure_ascii=False
            )
        )
        return
    held = f"Entry {proven.index} is in the signed log of {proven.size} entries (root {proven.root}):"
    typer.echo(say(lang, held))
    typer.echo(json.dumps(proven.entry, indent=2, ensure_ascii=False))
    if member is not None:
        typer.echo(say(lang, f"The file is exactly what `{member}` of this entry commits to."))


@app.command("prove")
def prove_command(
    turn: Annotated[str | None, typer.Argument(help="A turn: trn_...")] = None,
    data: Data = None,
    config: Config = None,
    log: Annotated[str | None, typer.Option(help="A log: log_...")] = None,
    index: Annotated[int | None, typer.Option(help="An entry of that log.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the proof files; else printed.")] = None,
    lang: Lang = None,
) -> None:
    """Write proofs (c2sp.org/tlog-proof@v1) that entries are in the signed log."""
    words = _language(lang)
    try:
        folder = _folder(data, config)
        proofs = prove(folder, turn=turn, log=log, index=index)
        keys = {key_of(find_log(folder, log_proved(text))) for text in proofs}
    except LedgerError as error:
        raise _stop(error, words) from error
    for number, text in enumerate(proofs):
        if out is None:
            typer.echo(text, nl=False)
            continue
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{turn or log}-{number if index is None else index}.tlog-proof"
        path.write_text(text, "utf-8")
        typer.echo(str(path))
    for key in sorted(keys):
        typer.echo(say(words, f"to check: dragoman ledger verify --proof FILE --key {key}"), err=True)


@app.command("show")
def show_command(
    turn: Annotated[str | None, typer.Argument(help="A turn; without it, the newest entries.")] = None,
    data: Data = None,
    config: Config = None,
    log: Annotated[str | None, typer.Option(help="Only this log.")] = None,
    last: Annotated[int, typer.Option(help="How many of the newest entries of each log.")] = 20,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Show the entries of a turn, or the newest of each log."""
    words = _language(lang)
    try:
        if turn is not None:
            found = _of_turn(_folder(data, config), turn)
        else:
            shards = _shards(data, config, log)
            found = [entry for shard in shards for entry in list(entries(shard))[-last:]]
    except LedgerError as error:
        raise _stop(error, words) from error
    for entry in found:
        typer.echo(_line(entry) if as_json else f"{entry.log} #{entry.index}\n{_pretty(entry)}")


def _of_turn(folder: Path, turn: str) -> list[Entry]:
    found = [entry for _, entry in find_turn(folder, turn)]
    if not found:
        raise LedgerError(f"no entry of turn {turn} under {folder}")
    return found


def _shards(data: Path | None, config: Path | None, log: str | None) -> list[Path]:
    return all_shards(_folder(data, config)) if log is None else [find_log(_folder(data, config), log)]


def _line(entry: Entry) -> str:
    return json.dumps({"log": entry.log, "index": entry.index, "entry": entry.value}, ensure_ascii=False)


def _pretty(entry: Entry) -> str:
    return json.dumps(entry.value, indent=2, ensure_ascii=False)


@app.command("export")
def export_command(
    data: Data = None,
    config: Config = None,
    log: Annotated[str | None, typer.Option(help="Only this log.")] = None,
    lang: Lang = None,
) -> None:
    """Write every entry as one JSON object a line: log, index, entry."""
    words = _language(lang)
    try:
        for shard in _shards(data, config, log):
            for entry in entries(shard):
                sys.stdout.write(_line(entry) + "\n")
    except LedgerError as error:
        raise _stop(error, words) from error
