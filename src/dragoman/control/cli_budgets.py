"""`dragoman limits`, `prices` and `usage`: what may be used, what it costs, what was used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from dragoman.budgets.reconcile import compare, read_export
from dragoman.budgets.usage import to_csv
from dragoman.control.admin_client import AdminClient
from dragoman.control.cli_common import ConfigOption, JsonOption, ask, settings_of, table, told_plainly
from dragoman.errors import ConfigError
from dragoman.sentences import Sentence

limits = typer.Typer(help="Limits: how much may be used in a window of time.", no_args_is_help=True)
prices = typer.Typer(help="Prices of models.", no_args_is_help=True)
usage = typer.Typer(help="Usage and spend.", invoke_without_command=True)

EXPORT_BYTES = 64 << 20
"""LIMIT: bytes of a provider's export."""
_LIMIT_COLUMNS = ("id", "unit", "currency", "per", "most", "each", "tenant", "app", "model", "key", "from")
_BUCKET_COLUMNS = ("bucket", "spent", "held")
_PRICE_COLUMNS = (
    "from",
    "model",
    "currency",
    "input",
    "cached",
    "output",
    "valid_from",
    "valid_until",
    "holds",
    "source",
)
_DIFFERENCES = (
    "day",
    "model",
    "their_turns",
    "our_turns",
    "their_input",
    "our_input",
    "their_output",
    "our_output",
    "cut",
)


@limits.command("list")
def list_limits(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List limits and what is spent of each bucket whose window is open."""
    ask(config, "GET", "/admin/v1/limits", as_json=as_json, show=_limits)


def _limits(answer: dict[str, Any]) -> str:
    buckets = table(answer["buckets"], _BUCKET_COLUMNS) if answer["buckets"] else "nothing is spent yet"
    told = [table(answer["limits"], _LIMIT_COLUMNS), "", buckets]
    return "\n".join([*told, *(f"cannot be kept: {fault['en']}" for fault in answer["faults"])])


@limits.command("set")
def set_limit(
    name: Annotated[str, typer.Argument(help="The limit's id, as refusals name it.")],
    unit: Annotated[str, typer.Option(help="requests, tokens or money.")],
    per: Annotated[str, typer.Option(help="minute, hour, day or month (UTC).")],
    most: Annotated[int, typer.Option(help="How much; of money, millionths of one unit of the currency.")],
    currency: Annotated[str | None, typer.Option(help="Of money: three letters.")] = None,
    each: Annotated[
        str | None,
        typer.Option(help="One bucket per tenant, key, app, end_user or model; none: one for all."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's turns.")] = None,
    app: Annotated[str | None, typer.Option(help="Only this app's.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    key: Annotated[str | None, typer.Option(help="Only this key's.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a limit, or change the one that was set with this id.

    Example: dragoman limits set shop-daily --tenant shop --unit tokens --per day --most 100000 --each key
    """
    body = {
        "id": name, "unit": unit, "per": per, "most": most, "currency": currency, "each": each,
        "tenant": tenant, "app": app, "model": model, "key": key,
    }  # fmt: skip
    ask(
        config,
        "POST",
        "/admin/v1/limits",
        body,
        as_json=as_json,
        show=lambda a: f"set {a['id']}: {a['most']}",
    )


@limits.command("remove")
def remove_limit(
    name: Annotated[str, typer.Argument(help="The limit's id.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a limit that was set; one of the file is changed there."""
    body = {"limit": name}
    ask(
        config,
        "POST",
        "/admin/v1/limits/remove",
        body,
        as_json=as_json,
        show=lambda a: f"removed {a['limit']}",
    )


@prices.command("list")
def list_prices(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List prices, the operator's own and the shipped ones, and models without one."""
    ask(config, "GET", "/admin/v1/prices", as_json=as_json, show=_prices)


def _prices(answer: dict[str, Any]) -> str:
    known = table(answer["prices"], _PRICE_COLUMNS) if answer["prices"] else "no price is stated"
    unknown = [
        f"{one['provider']}: {one['model']}: price unknown"
        for one in answer["models"]
        if one["price"] is None
    ]
    return "\n".join([known, *unknown])


@usage.callback()
def show_usage(
    context: typer.Context,
    by: Annotated[
        str, typer.Option(help="tenant, key, app, model, provider, upstream, day; commas between.")
    ] = "day",
    begin: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD (UTC).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last day; default: today.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was used, and what it cost.

    Example: dragoman usage --by day,model --from 2026-11-01
    """
    if context.invoked_subcommand is not None:
        return
    path = _path(by, begin, end, tenant=tenant)
    ask(config, "GET", path, as_json=as_json, show=_csv if as_csv else _usage)


def _path(by: str, begin: str | None, end: str | None, **more: str | None) -> str:
    parts = {"by": by, "from": begin, "to": end, **more}
    return "/admin/v1/usage?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in parts.items() if v)


def _csv(answer: dict[str, Any]) -> str:
    return to_csv(answer["usage"], answer["columns"]).rstrip("\r\n")


def _usage(answer: dict[str, Any]) -> str:
    if not answer["usage"]:
        return f"nothing was used from {answer['from']} to {answer['to']}"
    rows = [{**row, "spend": _spend(row)} for row in answer["usage"]]
    return table(rows, (*answer["by"], "turns", "input", "cached", "output", "unknown", "spend"))


def _spend(row: dict[str, Any]) -> str:
    if row["currency"]:
        known = f"{row['spend'] / 1_000_000:.6f} {row['currency']}"
        return f"{known} (and {row['unpriced']} turns: price unknown)" if row["unpriced"] else known
    return "price unknown" if row["unpriced"] else "0"


@usage.command("reconcile")
def reconcile(
    file: Annotated[Path, typer.Argument(help="The provider's export, CSV or JSON, per day and model.")],
    provider: Annotated[str, typer.Option(help="The provider's name in the file.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a provider's own export with what was recorded here; shows each day and model that differs.

    Example: dragoman usage reconcile export.csv --provider main
    """
    with told_plainly(as_json=as_json):
        if not file.is_file() or file.stat().st_size > EXPORT_BYTES:
            raise ConfigError(
                [
                    Sentence(
                        f"{file}: no such file, or larger than {EXPORT_BYTES} bytes",
                        f"{file}：文件不存在，或超过 {EXPORT_BYTES} 字节",
                    )
                ]
            )
        theirs = read_export(file.read_text(encoding="utf-8-sig"), str(file))
        if not theirs:
            raise ConfigError([Sentence(f"{file}: holds no rows", f"{file}：没有数据行")])
        days = sorted(row["day"] for row in theirs)
        settings, chosen = settings_of(config)
        path = _path("day,upstream", days[0], days[-1], provider=provider)
        answer = AdminClient(settings, chosen).ask("GET", path)
        ours = [{**row, "model": row["upstream"]} for row in answer["usage"]]
        differences = compare(theirs, ours)
        told = {"days": [days[0], days[-1]], "rows": len(theirs), "differences": differences}
        plain = table(differences, _DIFFERENCES) if differences else f"no difference in {len(theirs)} rows"
        print(json.dumps(told, ensure_ascii=False) if as_json else plain)
        if differences:
            raise typer.Exit(1)
