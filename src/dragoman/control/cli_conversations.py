"""`dragoman conversations`: what an operator needs of them. No title and no text is ever shown."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from dragoman.control.cli_common import ConfigOption, JsonOption, ask, table

app = typer.Typer(help="Conversations: list, show, delete. Texts are never shown.", no_args_is_help=True)

_COLUMNS = ("conversation", "principal", "turns", "created_at", "changed_at")
_TURNS = ("turn", "at", "state", "status", "model", "tokens")
TenantOption = Annotated[str, typer.Option(help="The tenant's name or id.")]


@app.command("list")
def list_conversations(
    tenant: TenantOption = "default",
    principal: Annotated[str | None, typer.Option(help="Only this person's.")] = None,
    after: Annotated[str | None, typer.Option(help="The last id of the page before.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List conversations, newest first, a hundred at a time.

    Example: dragoman conversations list --tenant acme
    """
    given = {"tenant": tenant, "principal": principal, "after": after}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items() if value)
    ask(
        config,
        "GET",
        f"/admin/v1/conversations?{query}",
        as_json=as_json,
        show=lambda a: table(a["conversations"], _COLUMNS),
    )


@app.command("show")
def show(
    conversation: Annotated[str, typer.Argument(help="The conversation's id.")],
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the turns of a conversation: when, how they ended, by which model; no text."""
    query = f"tenant={quote(tenant, safe='')}&conversation={quote(conversation, safe='')}"
    ask(
        config,
        "GET",
        f"/admin/v1/conversations/show?{query}",
        as_json=as_json,
        show=lambda a: table([a], _COLUMNS) + "\n\n" + table(a["shown"], _TURNS),
    )


@app.command("delete")
def delete(
    conversation: Annotated[str | None, typer.Argument(help="The conversation's id.")] = None,
    principal: Annotated[str | None, typer.Option(help="All of this person's instead.")] = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a conversation, or all of one person's, with texts and salts, for good.

    Example: dragoman conversations delete cnv_local_01a2...
    """
    if (conversation is None) == (principal is None):
        raise typer.BadParameter("name a conversation, or --principal")
    subject = {"conversation": conversation} if conversation else {"principal": principal}
    ask(
        config,
        "POST",
        "/admin/v1/conversations/delete",
        {"tenant": tenant, **subject},
        as_json=as_json,
        show=lambda a: f"erased {a['conversations']} conversations, {a['turns']} turns",
    )
