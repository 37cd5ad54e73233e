"""`dragoman retention`: how long what is kept, by which rule, and what is due; and a run now."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from dragoman.control.admin_client import AdminClient
from dragoman.control.cli_common import ConfigOption, JsonOption, settings_of, table, told_plainly

app = typer.Typer(help="Retention: show what is kept how long, run now.", no_args_is_help=True)

_COLUMNS = ("class", "days", "rule", "count", "oldest", "due")
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what is due.")]


@app.command("show")
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show each class of rows: how long it is kept, by which rule and source, what is due.

    Example: dragoman retention show
    """
    with told_plainly(as_json=as_json):
        report = AdminClient(*settings_of(config)).ask("GET", "/admin/v1/retention")
        print(json.dumps(report, ensure_ascii=False) if as_json else _shown(report))


@app.command("run")
def run(dry_run: DryRunOption = False, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Remove what is due now, as a served zone does once a day. --dry-run removes nothing.

    Example: dragoman retention run --dry-run
    """
    if dry_run:
        show(config, as_json)
        return
    with told_plainly(as_json=as_json):
        client = AdminClient(*settings_of(config))
        while True:
            ran = client.ask("POST", "/admin/v1/retention/run", {})
            if ran["finished"]:
                break
        removed = ", ".join(f"{count} {name}" for name, count in ran["gone"].items() if count)
        print(json.dumps(ran, ensure_ascii=False) if as_json else f"removed: {removed or 'nothing was due'}")


def _shown(report: dict[str, Any]) -> str:
    rows = [{**one, "oldest": _day(one["oldest"])} for one in report["classes"]]
    last = _day(report["last_run"])
    lines = [table(rows, _COLUMNS), ""]
    for one in report["classes"]:
        for asked in one["law"]:
            source = asked["source"] or {}
            where = ", ".join(str(source[name]) for name in ("source", "article") if source.get(name))
            least, most = asked["least_days"], asked["most_days"]
            bounds = " and ".join(
                f"{word} {days} days" for word, days in (("at least", least), ("at most", most)) if days
            )
            ahead = f" from {asked['binding_from']}" if asked["binding_from"] else ""
            lines.append(f"{one['class']}: {asked['rule']} asks for {bounds}{ahead} ({where})")
    return "\n".join([*lines, f"last run: {last or 'none yet'}"])


def _day(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC).date().isoformat()
