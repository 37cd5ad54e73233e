"""Coming in and going out: one-time link, passkeys, identity provider, proving to be there, logging out.

Every challenge is bound to the browser's cookie and answered once. Whatever fails gets the same answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from dragoman.admin.context import AdminContext
from dragoman.admin.oidc import CALLBACK, Came, OidcError, OidcSilentError
from dragoman.admin.passkeys import BadPasskeyError
from dragoman.admin.people import MAX_NAME
from dragoman.admin.sessions import OIDC
from dragoman.admin.table import ANYONE, AdminRoute, Call, RouteTable
from dragoman.admin.view import AdminView, drop_cookie, put_cookie
from dragoman.core.admins import AUDITOR, AdminRecord, PasskeyRecord
from dragoman.errors import RefusedError
from dragoman.events import AdminRefused, emit
from dragoman.ids import new_id, now_ms
from dragoman.stores.admin_access import not_let_in


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Nothing(_Closed):
    """An empty object."""


class Link(_Closed):
    """The text of a one-time link."""

    link: str = Field(min_length=1, max_length=100)


class Created(_Closed):
    """What `navigator.credentials.create()` gave, and what to call the passkey."""

    credential: dict[str, Any]
    title: str = Field(default="", max_length=MAX_NAME)


class Proved(_Closed):
    """What `navigator.credentials.get()` gave, and where to go then."""

    credential: dict[str, Any]
    next: str = Field(default="/", max_length=500)


class Passkey(_Closed):
    """One of one's own passkeys."""

    passkey: str = Field(max_length=100)


class Options(BaseModel):
    """What the browser's WebAuthn call takes as `publicKey`."""

    options: dict[str, Any]


class Next(BaseModel):
    """Where to go."""

    next: str


class Entry:
    """The routes by which people come in and go out."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view
        self.table: RouteTable | None = None
        """Set once the table stands: `next` must be a page of it."""

    def routes(self) -> list[AdminRoute]:
        """What needs no role, and what concerns nobody but oneself."""
        own: dict[str, Any] = {"own": True, "limited": True}
        api: dict[str, Any] = {**own, "answer": Options, "body": Nothing}
        done: dict[str, Any] = {**own, "answer": Next}
        return [
            AdminRoute("GET", "/login", ANYONE, self.login, "The log-in page."),
            AdminRoute("POST", "/login/options", ANYONE, self.login_options, "Begin to log in.", **api),
            AdminRoute("POST", "/login/passkey", ANYONE, self.login_passkey, "Log in.", body=Proved, **done),
            AdminRoute("GET", "/login/oidc", ANYONE, self.oidc, "Go to the identity provider.", limited=True),
            AdminRoute("GET", CALLBACK, ANYONE, self.oidc_back, "Come back from it.", limited=True),
            AdminRoute("GET", "/enrol", ANYONE, self.enrol, "The page of a one-time link."),
            AdminRoute(
                "POST",
                "/enrol/options",
                ANYONE,
                self.enrol_options,
                "Begin to enrol.",
                body=Link,
                answer=Options,
                **own,
            ),
            AdminRoute("POST", "/enrol/passkey", ANYONE, self.enrol_passkey, "Enrol.", body=Created, **done),
            AdminRoute("GET", "/confirm", AUDITOR, self.confirm, "Prove that it is you."),
            AdminRoute(
                "POST", "/confirm/options", AUDITOR, self.confirm_options, "Begin to prove it.", **api
            ),
            AdminRoute(
                "POST", "/confirm/passkey", AUDITOR, self.confirm_passkey, "Prove it.", body=Proved, **done
            ),
            AdminRoute("POST", "/logout", AUDITOR, self.logout, "Log out.", own=True),
            AdminRoute("GET", "/account", AUDITOR, self.account, "One's own passkeys."),
            AdminRoute(
                "POST",
                "/account/options",
                AUDITOR,
                self.add_options,
                "Begin a further passkey.",
                fresh=True,
                **api,
            ),
            AdminRoute(
                "POST",
                "/account/passkey",
                AUDITOR,
                self.add_passkey,
                "Keep a further passkey.",
                body=Created,
                fresh=True,
                **done,
            ),
            AdminRoute(
                "POST",
                "/account/remove",
                AUDITOR,
                self.remove_passkey,
                "Forget a passkey of one's own.",
                body=Passkey,
                fresh=True,
                own=True,
            ),
        ]

    async def login(self, call: Call) -> Response:
        """The log-in page."""
        back = self._next(call.request.query_params.get("next", "/"))
        if call.visitor.person is not None:
            return RedirectResponse(back, 303)
        return self._view.page(call, "login", next=back, oidc=self._context.provider is not None)

    async def login_options(self, call: Call) -> Response:
        """A challenge for any passkey of this host."""
        options, remember = self._context.ceremonies.request()
        self._context.pending.put(self._browser(call), "login", remember)
        return self._view.json({"options": options})

    async def login_passkey(self, call: Call) -> Response:
        """Log in with what the authenticator answered."""
        held = self._context.pending.take(self._browser(call), "login")
        known = await run_in_threadpool(self._known, call.body.credential)
        if held is None or known is None:
            self._fail("passkey", None)
        self._context.attempts.take(f"account {known.admin}")
        seen = self._proved(call.body.credential, held, known)
        cookie = await self._log_in(known.admin, "passkey", passkey=seen)
        self._context.attempts.forgive(f"account {known.admin}")
        return self._let_in(call, cookie, call.body.next)

    async def oidc(self, call: Call) -> Response:
        """Send the browser to the identity provider."""
        provider = self._context.provider
        if provider is None:
            raise RefusedError(404, "not_found", {"en": "There is nothing here.", "zh": "此处没有内容。"})
        try:
            asked = await provider.ask(confirm=call.visitor.session is not None)
        except OidcSilentError as fault:
            emit(AdminRefused("oidc", str(fault)))
            text = {"en": "The identity provider does not answer.", "zh": "身份提供方没有应答。"}
            raise RefusedError(503, "provider_silent", text) from fault
        except OidcError as fault:
            self._fail("oidc", None, str(fault))
        remember = {**asked.remember, "next": self._next(call.request.query_params.get("next", "/"))}
        self._context.pending.put(self._browser(call), "oidc", remember)
        return RedirectResponse(asked.url, 303)

    async def oidc_back(self, call: Call) -> Response:
        """Take whom the identity provider lets in, if we do too."""
        held = self._context.pending.take(self._browser(call), "oidc")
        provider = self._context.provider
        if held is None or provider is None:
            self._fail("oidc", None, "no log-in on its way")
        try:
            came = await provider.came(dict(call.request.query_params), held)
        except OidcError as fault:
            self._fail("oidc", None, str(fault))
        self._context.attempts.take(f"account {came.subject}")
        cookie = await run_in_threadpool(self._take_in, call, came, confirm=bool(held["confirm"]))
        self._context.attempts.forgive(f"account {came.subject}")
        return self._let_in(call, cookie, str(held["next"]), page=True)

    def _take_in(self, call: Call, came: Came, *, confirm: bool) -> str:
        known = self._context.admins.by_subject(came.subject)
        sessions = self._context.sessions
        if confirm:
            session = call.visitor.session
            if session is None or known is None or known.admin != session.admin:
                self._fail("oidc", call.visitor.by, "another person came back")
            return sessions.confirm(session, OIDC)
        if known is not None:
            with self._told("oidc", known.admin):
                return sessions.log_in(known.admin, OIDC, role=came.role, proved_at=came.proved_at)
        now = now_ms()
        admin = new_id("adm", self._context.zone, now)
        newcomer = AdminRecord(admin, came.name, came.role, "active", came.subject, now, now)
        return sessions.log_in(admin, OIDC, newcomer=newcomer, role=came.role, proved_at=came.proved_at)

    async def enrol(self, call: Call) -> Response:
        """The page of a one-time link; its script reads the secret from the address's fragment."""
        return self._view.page(call, "enrol")

    async def enrol_options(self, call: Call) -> Response:
        """A challenge for a new passkey, for who holds the link."""
        context = self._context
        try:
            invited = await run_in_threadpool(context.people.opened, call.body.link)
        except RefusedError:
            context.refuse("link")
            raise
        admin = invited.admin or new_id("adm", context.zone)
        options, remember = context.ceremonies.creation(admin, invited.name, ())
        context.pending.put(self._browser(call), "enrol", {**remember, "link": call.body.link})
        return self._view.json({"options": options})

    async def enrol_passkey(self, call: Call) -> Response:
        """Use the link up, keep the passkey, log in."""
        context = self._context
        held = context.pending.take(self._browser(call), "enrol")
        if held is None:
            self._fail("link", None)
        made = self._created(call, held)
        try:
            person = await run_in_threadpool(context.people.enrol, held["link"], held["admin"], made)
        except RefusedError:
            context.refuse("link")
            raise
        return self._let_in(call, await self._log_in(person.admin, "passkey"), "/")

    async def confirm(self, call: Call) -> Response:
        """The page on which a person proves to be there."""
        back = self._next(call.request.query_params.get("next", "/"))
        session = call.visitor.session
        if session is None:
            return RedirectResponse("/", 303)
        held = await run_in_threadpool(self._context.people.passkeys, session.admin)
        oidc = self._context.provider is not None and session.method == OIDC
        return self._view.page(call, "confirm", next=back, oidc=oidc, passkey=bool(held))

    async def confirm_options(self, call: Call) -> Response:
        """A challenge for the person's own passkeys."""
        session = call.session()
        held = await run_in_threadpool(self._context.people.passkeys, session.admin)
        options, remember = self._context.ceremonies.request(held)
        self._context.pending.put(self._browser(call), "confirm", remember)
        return self._view.json({"options": options})

    async def confirm_passkey(self, call: Call) -> Response:
        """Note that the person is there; the cookie changes."""
        session = call.session()
        held = self._context.pending.take(self._browser(call), "confirm")
        known = await run_in_threadpool(self._known, call.body.credential)
        if held is None or known is None or known.admin != session.admin:
            self._fail("confirm", session.admin)
        self._context.attempts.take(f"account {known.admin}")
        seen = self._proved(call.body.credential, held, known)
        with self._told("confirm", session.admin):
            cookie = await run_in_threadpool(self._context.sessions.confirm, session, "passkey", seen)
        self._context.attempts.forgive(f"account {known.admin}")
        return self._let_in(call, cookie, call.body.next)

    async def logout(self, call: Call) -> Response:
        """End this log-in. A person has one at a time, so it ends everywhere."""
        session = call.session()
        await run_in_threadpool(self._context.sessions.end, session.admin, admin=session.admin)
        response = RedirectResponse("/login", 303)
        drop_cookie(response)
        return response

    async def account(self, call: Call) -> Response:
        """One's own passkeys."""
        session = call.session()
        held = await run_in_threadpool(self._context.people.passkeys, session.admin)
        fresh = call.visitor.is_fresh(self._context.sessions.clock())
        return self._view.page(call, "account", passkeys=held, fresh=fresh)

    async def add_options(self, call: Call) -> Response:
        """A challenge for one more passkey."""
        admin = call.session().admin
        held = await run_in_threadpool(self._context.people.passkeys, admin)
        person = await run_in_threadpool(self._context.people.active, admin)
        options, remember = self._context.ceremonies.creation(admin, person.name, held)
        self._context.pending.put(self._browser(call), "add", remember)
        return self._view.json({"options": options})

    async def add_passkey(self, call: Call) -> Response:
        """Keep one more passkey."""
        admin = call.session().admin
        held = self._context.pending.take(self._browser(call), "add")
        if held is None or held["admin"] != admin:
            self._fail("passkey", admin)
        await run_in_threadpool(self._context.people.add_passkey, admin, self._created(call, held))
        return self._view.json({"next": "/account"})

    async def remove_passkey(self, call: Call) -> Response:
        """Forget one of one's own passkeys."""
        admin = call.session().admin
        await run_in_threadpool(self._context.people.remove_passkey, admin, call.body.passkey)
        return RedirectResponse("/account", 303)

    def _known(self, credential: Mapping[str, Any]) -> PasskeyRecord | None:
        name = credential.get("id")
        if not isinstance(name, str) or len(name) > 1_400:
            return None
        return self._context.admins.by_credential(name)

    def _proved(
        self, answer: Mapping[str, Any], held: Mapping[str, Any], known: PasskeyRecord
    ) -> PasskeyRecord:
        try:
            return self._context.ceremonies.proved(answer, held["challenge"], known)
        except BadPasskeyError as fault:
            self._fail("passkey", known.admin, str(fault))

    def _created(self, call: Call, held: Mapping[str, Any]) -> Any:
        try:
            return self._context.ceremonies.created(call.body.credential, held["challenge"], call.body.title)
        except BadPasskeyError as fault:
            self._fail("passkey", None, str(fault))

    async def _log_in(self, admin: str, method: str, passkey: PasskeyRecord | None = None) -> str:
        with self._told(method, admin):
            return await run_in_threadpool(self._context.sessions.log_in, admin, method, passkey=passkey)

    def _let_in(self, call: Call, cookie: str, back: str, *, page: bool = False) -> Response:
        """The answer that carries the new cookie; what was tried before is forgiven."""
        self._context.attempts.forgive(f"address {call.visitor.address}")
        place = self._next(back)
        response: Response = RedirectResponse(place, 303) if page else self._view.json({"next": place})
        put_cookie(response, cookie)
        return response

    @contextlib.contextmanager
    def _told(self, what: str, by: str) -> Any:
        """Have the ledger know when what is done inside is refused."""
        try:
            yield
        except RefusedError:
            self._context.refuse(what, by)
            raise

    def _fail(self, what: str, by: str | None, why: str = "") -> NoReturn:
        emit(AdminRefused(what, why))
        self._context.refuse(what, by)
        raise not_let_in()

    def _browser(self, call: Call) -> str:
        return self._context.sessions.browser(call.visitor.cookie or "")

    def _next(self, wish: str) -> str:
        """A page of our own table, or the first one: never another site."""
        if self.table is None or not wish.startswith("/"):
            return "/"
        route, _, _ = self.table.find("GET", wish)
        return wish if route is not None and not route.is_api and route.role == AUDITOR else "/"
