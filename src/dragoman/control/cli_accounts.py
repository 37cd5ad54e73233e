"""`dragoman keys` and `dragoman tenants`: verbs on accounts, carried out by control."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any
from urllib.parse import quote

import typer

from dragoman.control.admin_client import AdminClient
from dragoman.control.cli_common import ConfigOption, JsonOption, ask, settings_of, table, told_plainly
from dragoman.errors import ConfigError, DragomanError
from dragoman.sentences import Sentence

keys = typer.Typer(help="API keys: shown once, kept as keyed hashes.", no_args_is_help=True)
tenants = typer.Typer(help="Tenants: who administers and pays.", no_args_is_help=True)

_LIMIT = re.compile(r"(requests|tokens|money)(?::([A-Z]{3}))?/(minute|hour|day|month)=(\d{1,16})")
_KEY_COLUMNS = ("key", "title", "tenant", "end_users", "state", "development")
_TENANT_COLUMNS = ("tenant", "slug", "title", "state", "reason")


@keys.command("create")
def create_key(
    tenant: Annotated[str, typer.Option(help="Name or id of the tenant.")] = "default",
    title: Annotated[str | None, typer.Option(help="What the key is for, as listings show it.")] = None,
    end_users: Annotated[
        str,
        typer.Option(
            help="Whom it speaks for: none (your own staff), declared (users you name in tokens you sign) or "
            "placed (people who signed up here, by tokens they get for it)."
        ),
    ] = "none",
    expires_days: Annotated[int | None, typer.Option(help="Days until it ends; none: it does not.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="unit/per=most, for example tokens/day=100000 or money:EUR/month=20000000."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key and print it, this once.

    Example: dragoman keys create --tenant default --title "shop backend"
    """
    body = {"tenant": tenant, "title": title, "end_users": end_users, "expires_days": expires_days}
    with told_plainly(as_json=as_json):
        wanted = [_limit(text) for text in limit or ()]
        settings, file = settings_of(config)
        client = AdminClient(settings, file)
        made = client.ask("POST", "/admin/v1/keys", body)
        try:
            made["limits"] = [client.ask("POST", "/admin/v1/limits", _of_key(made, one)) for one in wanted]
        except DragomanError:
            # Nobody has its text yet: a key without the limits it was to have is never used.
            client.ask("POST", "/admin/v1/keys/revoke", {"key": made["key"]})
            raise
        print(json.dumps(made, ensure_ascii=False) if as_json else _new_key(made))


def _limit(text: str) -> dict[str, Any]:
    """`tokens/day=100000` or `money:EUR/month=20000000` taken apart."""
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise ConfigError(
            [
                Sentence(
                    f"--limit {text}: write unit/per=most, for example tokens/day=100000",
                    f"--limit {text}：请写 单位/周期=上限，例如 tokens/day=100000",
                )
            ]
        )
    unit, currency, per, most = found.groups()
    return {"unit": unit, "currency": currency, "per": per, "most": int(most)}


def _of_key(made: dict[str, Any], limit: dict[str, Any]) -> dict[str, Any]:
    name = f"{made['key'][-12:]}.{limit['unit']}.{limit['per']}"
    return {**limit, "id": name, "key": made["key"], "tenant": made["tenant"]}


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List keys; their texts cannot be shown again."""
    query = f"?tenant={quote(tenant, safe='')}" if tenant else ""
    ask(
        config,
        "GET",
        f"/admin/v1/keys{query}",
        as_json=as_json,
        show=lambda a: table(a["keys"], _KEY_COLUMNS),
    )


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="The key's id (key_...), or its whole text.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key. Running answers of it stop within a second.

    Example: dragoman keys revoke key_local_01a2...
    """
    ask(
        config,
        "POST",
        "/admin/v1/keys/revoke",
        {"key": key},
        as_json=as_json,
        show=lambda a: f"revoked {a['key']}",
    )


@keys.command("token")
def user_token(
    key: Annotated[str, typer.Argument(help="The id of a key made with --end-users declared.")],
    sub: Annotated[str, typer.Option(help="Your own opaque name for the user.")],
    residence: Annotated[
        str | None, typer.Option(help="Where the user lives: ISO 3166-1, for example SG.")
    ] = None,
    age: Annotated[int | None, typer.Option(help="The user's age in whole years.")] = None,
    locale: Annotated[str | None, typer.Option(help="en or zh.")] = None,
    ttl: Annotated[int, typer.Option(help="Seconds until it ends, at most a day.")] = 3600,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a token that declares a user, as your own code would with the key's signing secret.

    Example: dragoman keys token key_local_01a2... --sub u-42 --residence SG --age 30
    """
    body = {"key": key, "sub": sub, "residence": residence, "age": age, "locale": locale, "ttl_s": ttl}
    ask(config, "POST", "/admin/v1/keys/token", body, as_json=as_json, show=lambda a: str(a["token"]))


@tenants.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="Short name: a-z, 0-9 and -.")],
    title: Annotated[str | None, typer.Option(help="The name people read.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a tenant.

    Example: dragoman tenants create acme --title "Acme Ltd"
    """
    body = {"name": name, "title": title}
    ask(
        config,
        "POST",
        "/admin/v1/tenants",
        body,
        as_json=as_json,
        show=lambda a: f"created {a['slug']} ({a['tenant']})",
    )


@tenants.command("list")
def list_tenants(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List tenants."""
    ask(
        config,
        "GET",
        "/admin/v1/tenants",
        as_json=as_json,
        show=lambda a: table(a["tenants"], _TENANT_COLUMNS),
    )


@tenants.command("suspend")
def suspend_tenant(
    tenant: Annotated[str, typer.Argument(help="Name or id.")],
    reason: Annotated[str | None, typer.Option(help="Why, as the tenant will read it.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Suspend a tenant: new turns are refused, running answers stop within a second."""
    body = {"tenant": tenant, "reason": reason}
    ask(config, "POST", "/admin/v1/tenants/suspend", body, as_json=as_json, show=_tenant_state)


@tenants.command("resume")
def resume_tenant(
    tenant: Annotated[str, typer.Argument(help="Name or id.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a suspended tenant work again."""
    ask(config, "POST", "/admin/v1/tenants/resume", {"tenant": tenant}, as_json=as_json, show=_tenant_state)


def _tenant_state(answer: dict[str, Any]) -> str:
    return f"{answer['slug']} is {answer['state']}"


def _new_key(answer: dict[str, Any]) -> str:
    lines = [f"key     {answer['text']}", f"id      {answer['key']}", f"tenant  {answer['tenant']}"]
    if answer["signing_secret"]:
        lines.append(f"signing secret  {answer['signing_secret']}  (for your users' tokens: JWT, HS256)")
    return "\n".join([*lines, "This is the only time it is shown. Keep it in a secret store."])
