"""`dragoman geo`: what the operator's address files say, read as the relay reads them."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated, Any

import typer

from dragoman import _native
from dragoman.control.cli_common import ConfigOption, JsonOption, settings_of, table, told_plainly
from dragoman.errors import ConfigError
from dragoman.sentences import Sentence

app = typer.Typer(help="Where addresses are, by the files of edge.address_files.", no_args_is_help=True)


@app.command("check")
def check(
    addresses: Annotated[list[str] | None, typer.Argument(help="IPv4 or IPv6 addresses.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how old the files are, and what country and kind they give for addresses.

    Example: dragoman geo check 203.0.113.7 2001:db8::1
    """
    with told_plainly(as_json=as_json):
        settings, _ = settings_of(config)
        files = settings.edge.address_files
        if not files:
            raise ConfigError(
                [
                    Sentence(
                        "edge.address_files is empty: every address is unknown. "
                        "docs/edge.md says what to put there",
                        "edge.address_files 为空：所有地址均为未知。docs/edge.md 说明应写什么",
                    )
                ]
            )
        answer = json.loads(_native.look_up_addresses(list(files), addresses or []))
        print(json.dumps(answer, ensure_ascii=False) if as_json else _shown(answer))
        if broken(answer):
            raise typer.Exit(1)


def broken(answer: dict[str, Any]) -> bool:
    """Whether a file or an address could not be read."""
    return any(one["error"] is not None for one in [*answer["files"], *answer["addresses"]])


def _shown(answer: dict[str, Any]) -> str:
    lines = [_file(one, answer["old_days"]) for one in answer["files"]]
    if any(one["error"] is not None for one in answer["files"]):
        lines.append("While a file cannot be read, every address is unknown.")
    rows = [
        {"address": one["address"], "country": one.get("country"), "kind": one.get("kind") or one["error"]}
        for one in answer["addresses"]
    ]
    if rows:
        lines += ["", table(rows, ("address", "country", "kind"))]
    return "\n".join(lines)


def _file(one: dict[str, Any], old_days: int) -> str:
    if one["error"] is not None:
        return f"BROKEN  {one['error']}"
    built = dt.datetime.fromtimestamp(one["built"], dt.UTC).date()
    line = f"{one['path']}: {one['type']}, built {built}, {one['age_days']} days ago"
    return f"OLD     {line}; older than {old_days} days, get a newer one" if one["old"] else f"fine    {line}"
