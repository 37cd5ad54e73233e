"""`dragoman admin`: who administers the zone, carried out by control."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import typer

from dragoman.control.cli_common import ConfigOption, JsonOption, ask, table

app = typer.Typer(help="Administrators: invite by a one-time link, list, remove.", no_args_is_help=True)

_COLUMNS = ("admin", "name", "role", "state", "passkeys", "external")


@app.command("invite")
def invite(
    role: Annotated[str, typer.Option(help="operator (may act) or auditor (may read).")] = "operator",
    name: Annotated[str | None, typer.Option(help="The person's name, as listings show it.")] = None,
    admin: Annotated[
        str | None,
        typer.Option(help="The id of a known person who lost every passkey; older passkeys stop working."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a one-time link, good for 30 minutes, that enrols a person with a passkey.

    Example: dragoman admin invite --role auditor --name "Li Wei"
    """
    body = {"role": role, "name": name, "admin": admin}
    ask(config, "POST", "/admin/v1/admins/invite", body, as_json=as_json, show=_link)


@app.command("list")
def list_admins(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List administrators."""
    ask(
        config,
        "GET",
        "/admin/v1/admins",
        as_json=as_json,
        show=lambda a: table(a["admins"], _COLUMNS) if a["admins"] else "nobody yet: dragoman admin invite",
    )


@app.command("remove")
def remove(
    admin: Annotated[str, typer.Argument(help="The person's id (adm_...).")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a person: sessions, passkeys, and the links and tokens they made end at once."""
    ask(
        config,
        "POST",
        "/admin/v1/admins/remove",
        {"admin": admin},
        as_json=as_json,
        show=lambda a: f"removed {a['admin']}",
    )


def _link(answer: dict[str, Any]) -> str:
    ends = dt.datetime.fromtimestamp(answer["expires_at"] / 1000).astimezone()
    return "\n".join(
        [
            answer["link"],
            f"Open it in the browser that will hold the passkey. It works once, until {ends:%H:%M}.",
        ]
    )
