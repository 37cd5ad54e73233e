"""What an operator may do. Each act has two routes over one function: the API's and the page's form.

Keys, rules, sanctions and people ask for a person who proved a moment ago to be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.accounts.registry import public_view
from dragoman.admin.context import AdminContext
from dragoman.admin.people import MAX_NAME, printable
from dragoman.admin.sessions import MAX_TOKEN_DAYS
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.twins import Do, twins
from dragoman.admin.view import AdminView
from dragoman.errors import ConfigError, RefusedError
from dragoman.sentences import texts_of

MAX_REASON = 500
"""LIMIT: characters of the reason of a sanction."""


class Asked(BaseModel):
    """What an act is asked with."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        """An empty field of a form is one that was left out."""
        return None if value == "" else value


class NewKey(Asked):
    """A key to make."""

    tenant: str = Field(default="default", max_length=100)
    title: str | None = Field(default=None, max_length=200)
    end_users: Literal["none", "declared", "placed"] = "none"
    expires_days: int | None = Field(default=None, ge=1)


class WhichKey(Asked):
    """A key."""

    key: str = Field(min_length=1, max_length=200)


class NewTenant(Asked):
    """A tenant to make."""

    name: str = Field(min_length=1, max_length=63)
    title: str | None = Field(default=None, max_length=200)


class Suspension(Asked):
    """A sanction on a tenant, with the reason that it reads."""

    tenant: str = Field(min_length=1, max_length=100)
    reason: str | None = Field(default=None, max_length=MAX_REASON)


class WhichTenant(Asked):
    """A tenant."""

    tenant: str = Field(min_length=1, max_length=100)


class NewLink(Asked):
    """A one-time link to make: for a new person, or for a known one (`admin`)."""

    role: Literal["operator", "auditor"] = "auditor"
    name: str | None = Field(default=None, max_length=MAX_NAME)
    admin: str | None = Field(default=None, max_length=100)


class NewRole(Asked):
    """A person's role."""

    admin: str = Field(min_length=1, max_length=100)
    role: Literal["operator", "auditor"]


class WhichAdmin(Asked):
    """A person."""

    admin: str = Field(min_length=1, max_length=100)


class WhichSession(Asked):
    """A log-in."""

    session: str = Field(min_length=1, max_length=100)


class NewToken(Asked):
    """A machine token to make."""

    title: str = Field(min_length=1, max_length=MAX_NAME)
    role: Literal["operator", "auditor", "metrics"] = "metrics"
    days: int = Field(default=90, ge=1, le=MAX_TOKEN_DAYS)


class WhichToken(Asked):
    """A machine token."""

    token: str = Field(min_length=1, max_length=100)


class Nothing(Asked):
    """An empty object."""


class Done(BaseModel):
    """What was made or changed, as its listing shows it; a secret under `text` or `link`, this once."""

    model_config = ConfigDict(extra="allow")

    text: str | None = None
    link: str | None = None


class Acts:
    """The acts of an operator."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """Both routes of every act."""
        yield from self._act("keys", "", NewKey, self.create_key, "Make a key.", once="keys")
        yield from self._act("keys", "/revoke", WhichKey, self.revoke_key, "Revoke a key.")
        yield from self._act("tenants", "", NewTenant, self.create_tenant, "Make a tenant.")
        yield from self._act("tenants", "/suspend", Suspension, self.suspend, "Suspend a tenant.")
        yield from self._act("tenants", "/resume", WhichTenant, self.resume, "Let a tenant work again.")
        yield from self._act(
            "people", "/invite", NewLink, self.invite, "Make a one-time link.", once="people"
        )
        yield from self._act("people", "/role", NewRole, self.set_role, "Change a person's role.")
        yield from self._act("people", "/remove", WhichAdmin, self.remove, "Remove a person.")
        yield from self._act("sessions", "/end", WhichSession, self.end_session, "End a log-in.")
        yield from self._act("tokens", "", NewToken, self.create_token, "Make a token.", once="tokens")
        yield from self._act("tokens", "/revoke", WhichToken, self.revoke_token, "Revoke a token.")
        yield from self._act("reload", "", Nothing, self.reload, "Read the files again.", then="/")

    def _act(  # noqa: PLR0913 - one line of the table each
        self,
        noun: str,
        verb: str,
        body: type[BaseModel],
        do: Do,
        says: str,
        *,
        once: str | None = None,
        then: str | None = None,
    ) -> Iterator[AdminRoute]:
        """`once`: the page that its secret is shown on; `then`: where a form goes afterwards."""

        async def shown_once(call: Call) -> Response:
            done = await run_in_threadpool(do, call)
            return self._view.page(call, "once", 201, back=f"/{once}", kind=once, made=done)

        yield from twins(
            self._view,
            f"/{noun}{verb}",
            body,
            do,
            says,
            answer=Done,
            then=then or f"/{noun}",
            form=shown_once if once else None,
            status=201 if once else 200,
        )

    def create_key(self, call: Call) -> dict[str, Any]:
        """A new key; its text is in this answer and nowhere else."""
        asked: NewKey = call.body
        made = self._context.registry.acting(call.visitor.by).create_key(
            asked.tenant, asked.title, asked.end_users, asked.expires_days
        )
        return {"text": made.text, "signing_secret": made.signing_secret, **public_view(made.record)}

    def revoke_key(self, call: Call) -> dict[str, Any]:
        """Revoke a key; its running answers stop within a second."""
        return public_view(self._context.registry.acting(call.visitor.by).revoke_key(call.body.key))

    def create_tenant(self, call: Call) -> dict[str, Any]:
        """A new tenant."""
        registry = self._context.registry.acting(call.visitor.by)
        return asdict(registry.create_tenant(call.body.name, call.body.title))

    def suspend(self, call: Call) -> dict[str, Any]:
        """Suspend a tenant."""
        registry = self._context.registry.acting(call.visitor.by)
        return asdict(registry.suspend(call.body.tenant, call.body.reason))

    def resume(self, call: Call) -> dict[str, Any]:
        """Let a suspended tenant work again."""
        return asdict(self._context.registry.acting(call.visitor.by).resume(call.body.tenant))

    def invite(self, call: Call) -> dict[str, Any]:
        """A one-time link."""
        call.session()
        asked: NewLink = call.body
        made = self._context.people.invite(call.visitor.by, asked.role, asked.name, asked.admin)
        one = made.record
        told = {"invite": one.invite, "role": one.role, "admin": one.admin, "expires_at": one.expires_at}
        return {"link": self._context.link(made), **told}

    def set_role(self, call: Call) -> dict[str, Any]:
        """Change a person's role, which logs them out."""
        call.session()
        person = self._context.people.set_role(call.body.admin, call.body.role, call.visitor.by)
        return {"admin": person.admin, "role": person.role}

    def remove(self, call: Call) -> dict[str, Any]:
        """Remove a person, which logs them out."""
        gone = self._context.people.remove(call.body.admin, call.visitor.by)
        return {"admin": gone.admin, "state": gone.state}

    def end_session(self, call: Call) -> dict[str, Any]:
        """End somebody's log-in."""
        ended = self._context.sessions.end(call.visitor.by, session=call.body.session)
        if not ended:
            text = {"en": "No log-in has this id.", "zh": "没有这个编号的登录。"}
            raise RefusedError(404, "session_not_found", text)
        return {"session": call.body.session, "ended": True}

    def create_token(self, call: Call) -> dict[str, Any]:
        """A machine token; its text is in this answer and nowhere else."""
        call.session()  # a token must not outlive itself in others that it made
        asked: NewToken = call.body
        title = printable("title", asked.title, MAX_NAME)
        made = self._context.sessions.create_token(call.visitor.by, title, asked.role, asked.days)
        return {"text": made.text, **token_view(made.record)}

    def revoke_token(self, call: Call) -> dict[str, Any]:
        """Stop a machine token at once."""
        return token_view(self._context.sessions.revoke_token(call.body.token, call.visitor.by))

    def reload(self, call: Call) -> dict[str, Any]:
        """Read the files again; 409 with every fault where the old reading stays."""
        try:
            done = self._context.reload()
        except ConfigError as fault:
            why = texts_of(fault.problems)
            text = {"en": f"The old configuration stays. {why['en']}", "zh": f"保留原有配置。{why['zh']}"}
            raise RefusedError(409, "config_invalid", text, extra={"problems": fault.problems}) from fault
        self._context.access.enter({"act": "reload", "by": call.visitor.by}).result()
        return done


def token_view(record: Any) -> dict[str, Any]:
    """A token as listings show it: no verifier."""
    view = asdict(record)
    del view["verifier"]
    return view
