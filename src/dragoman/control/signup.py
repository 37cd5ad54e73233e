"""Signing up on `pages.sock`: a code to a phone, the person it opens, what it sees and corrects of itself.

What is not sent as JSON is refused: a form of another site cannot send that, so that no page logs its reader
in as somebody else. The order of each route stands here; what it comes to, in `accounts.signup`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.accounts import codes, evidence, keys, phones, placement, sessions, signup, texts
from dragoman.accounts.classes import facts_of_person
from dragoman.accounts.pepper import Pepper
from dragoman.accounts.placement import Address
from dragoman.accounts.principals import Principals
from dragoman.assistants.conversations import Person as Asker
from dragoman.control import placing
from dragoman.control.durable import durable
from dragoman.control.loaded import Holder
from dragoman.control.planner import Outcome, place_of
from dragoman.control.relay_config import SESSION_COOKIE
from dragoman.control.sms import Message, SmsGateway
from dragoman.control.v1_request import (
    NO_STORE,
    Endpoint,
    answered,
    json_object,
    locale,
    raw_body,
    refusing,
)
from dragoman.core.accounts import TenantRecord
from dragoman.core.people import Challenge, Declared, PeopleStore, Person, Phone
from dragoman.errors import RefusedError
from dragoman.events import CodeAsked, CodeTried, emit
from dragoman.ids import derived_id, new_id, now_ms
from dragoman.settings_signup import Sms
from dragoman.stores.interventions import Interventions

KEY_LEAST, KEY_MOST = 16, 255
"""LIMIT: characters of an idempotency key; a short one could be another's."""
RECOVERY_CHARS = 22
"""Base62 characters that hold 128 bits."""
_TEXT = {
    "en": "{code} is your code for {name}. It works for {minutes} minutes. Tell it to nobody.",
    "zh": "{name} 验证码：{code}，{minutes} 分钟内有效。请勿告诉任何人。",
}
NAME_CHARS = 40
"""LIMIT: characters of the operator's name in a message."""

Clock = Callable[[], int]


class SignupRoutes:
    """The routes, over the store and a gateway."""

    def __init__(  # noqa: PLR0913, PLR0917 - what the composition root hands over
        self,
        store: PeopleStore,
        principals: Principals,
        pepper: Pepper,
        holder: Holder,
        gateway: SmsGateway,
        interventions: Interventions,
        *,
        tenant: Callable[[], TenantRecord],
        secure: bool,
        clock: Clock = now_ms,
    ) -> None:
        self._store = store
        self._principals = principals
        self._pepper = pepper
        self._holder = holder
        self._gateway = gateway
        self._interventions = interventions
        self._tenant = tenant
        self._secure = secure
        self._clock = clock
        self._taken_in = placing.Placed()
        """Used by the writer's thread alone."""
        self._shown = placing.Placed()

    def routes(self) -> list[BaseRoute]:
        """Control's `/v1` table of signing up."""
        table: list[tuple[str, str, Endpoint]] = [
            ("POST", "/v1/signup/phone", refusing(self.phone)),
            ("POST", "/v1/signup/verify", refusing(self.verify)),
            ("GET", "/v1/me/placement", answered(self.placement, None)),
            ("PUT", "/v1/me/placement", answered(self.correct, None)),
            ("DELETE", "/v1/me/sessions", answered(self.end_sessions, None)),
        ]
        return [Route(path, endpoint, methods=[method]) for method, path, endpoint in table]

    async def phone(self, request: Request) -> Response:
        """Have a code sent to a phone; the same answer whoever's number it is."""
        sms = self._sms()
        given = await _document(request, {"phone"})
        text = given.get("phone")
        try:
            e164, phone = phones.placed(text if isinstance(text, str) else "", self._pepper)
            _check_country(phone, sms)
            made, is_new, code = await self._asked(request, phone, sms)
        except RefusedError as fault:
            emit(CodeAsked(fault.code))
            raise
        if is_new:
            await self._send(made, e164, code, locale(request), sms)
        emit(CodeAsked("sent" if is_new else "repeated"))
        return JSONResponse(_challenge(made), 202, NO_STORE)

    async def _asked(self, request: Request, phone: Phone, sms: Sms) -> tuple[Challenge, bool, str]:
        """The code that is kept, whether it is new, and what it is."""
        now, code = self._clock(), codes.fresh()
        name = self._name(request, phone, now)
        digest = self._pepper.digest("phone-code", name, code).hex()
        wanted = Challenge(name, phone, digest, codes.OPEN, 0, now, now + codes.CODE_MS)
        made, is_new = await durable(
            self._store.submit(self._tenant().tenant, lambda rows: signup.ask(rows, wanted, _bounds(sms)))
        )
        return made, is_new, code

    async def _send(self, made: Challenge, e164: str, code: str, language: str, sms: Sms) -> None:
        """Send the code, or say that it could not be, once that is kept."""
        name = self._holder.loaded.settings.deployment.name[:NAME_CHARS]
        text = _TEXT[language].format(code=code, name=name, minutes=codes.CODE_MS // 60_000)
        if await self._gateway.send(Message(made.challenge, e164, text), sms):
            return
        tenant = self._tenant().tenant
        await durable(self._store.submit(tenant, lambda rows: signup.unsent(rows, made.challenge)))
        emit(CodeAsked("code_unsent"))
        raise texts.wait("code_unsent", codes.RESEND_MS)

    def _name(self, request: Request, phone: Phone, now: int) -> str:
        """The id of a code; the same for the same number and idempotency key."""
        zone = self._holder.loaded.settings.zone.id
        key = request.headers.get("idempotency-key")
        if key is None:
            return new_id("chl", zone, now)
        if not KEY_LEAST <= len(key) <= KEY_MOST:
            raise texts.invalid(
                "Idempotency-Key",
                f"{KEY_LEAST} to {KEY_MOST} characters",
                f"须为 {KEY_LEAST} 到 {KEY_MOST} 个字符",
            )
        return derived_id("chl", zone, self._pepper.digest("phone-asked", phone.digest, key))

    async def verify(self, request: Request) -> Response:
        """Give a code back: the person it opens, with a session; somebody new gets a recovery code, once."""
        sms = self._sms()
        given = await _document(
            request, {"challenge", "code", "recovery_code", "new_account", *placement.FIELDS}
        )
        now, tenant, address = self._clock(), self._tenant().tenant, self._address(request)
        said = placement.declared(given, now)
        name, code = (_word(given, field) for field in ("challenge", "code"))
        recovery = keys.base62(secrets.token_bytes(signup.RECOVERY_BITS // 8), RECOVERY_CHARS)
        newcomer = signup.Newcomer(
            tenant,
            new_id("prn", self._holder.loaded.settings.zone.id, now),
            self._recovery(recovery),
        )
        back = given.get("recovery_code")
        proof = signup.Proof(
            challenge=name,
            code=self._pepper.digest("phone-code", name, code).hex(),
            declared=said,
            holder=request.headers.get("dragoman-principal"),
            recovery=self._recovery(back) if isinstance(back, str) and back else None,
            anew=given.get("new_account") is True,
        )
        laws: list[Outcome] = []

        def of_law(phone: Phone) -> RefusedError | None:
            laws.append(self._of_law(tenant, phone, said, address, now))
            return placing.closed(laws[0], self._holder.loaded)

        outcome = await durable(
            self._store.submit(
                tenant, lambda rows: signup.prove(rows, proof, newcomer, of_law, _bounds(sms), now)
            )
        )
        if isinstance(outcome, RefusedError):
            emit(CodeTried(outcome.code))
            for law in laws:
                # So that it can be read, and appealed.
                await durable(self._interventions.keep_decision(tenant, law.decision.to_dict()))
            raise outcome
        person, is_new = outcome
        emit(CodeTried("signed_up" if is_new else "returned"))
        return self._welcome(person, recovery if is_new else None, address, now)

    def _welcome(self, person: Person, recovery: str | None, address: Address, now: int) -> Response:
        shown = {
            "object": "person",
            "id": person.person,
            "created": recovery is not None,
            "recovery_code": recovery,
            "placement": self._placement(person, address, now),
        }
        answer = JSONResponse(shown, 200, NO_STORE)
        answer.set_cookie(
            SESSION_COOKIE,
            self._principals.person_cookie(person, now),
            max_age=sessions.SESSION_MS // 1000,
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )
        return answer

    async def placement(self, request: Request, asker: Asker) -> Response:
        """Where the caller is taken to be, why, what speaks against it and what is not known."""
        person = await run_in_threadpool(self._known, asker)
        return JSONResponse(self._placement(person, self._address(request), self._clock()), headers=NO_STORE)

    async def correct(self, request: Request, asker: Asker) -> Response:
        """Take what the caller declares in place of what it did before; what is left out is unknown again."""
        given, now = await _document(request, set(placement.FIELDS)), self._clock()
        said = placement.declared(given, now)
        person = await durable(
            self._store.submit(asker.tenant, lambda rows: placement.correct(rows, asker.principal, said, now))
        )
        return JSONResponse(self._placement(person, self._address(request), now), headers=NO_STORE)

    async def end_sessions(self, _request: Request, asker: Asker) -> Response:
        """End every session of the caller, this one too."""
        now = self._clock()
        await durable(
            self._store.submit(asker.tenant, lambda rows: placement.end_sessions(rows, asker.principal, now))
        )
        answer = Response(status_code=204, headers=NO_STORE)
        answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax", secure=self._secure)
        return answer

    def _known(self, asker: Asker) -> Person:
        found = self._store.read(asker.tenant, lambda rows: rows.person(asker.principal))
        if found is None:
            raise texts.refused("not_a_person")
        return found

    def _placement(self, person: Person, address: Address, now: int) -> dict[str, Any]:
        loaded = self._holder.loaded
        facts = facts_of_person(person, now)
        outcome = self._shown.decided(loaded, person.tenant, facts, address, "turn", now)
        told = placement.document(person, address, now)
        wanted = evidence.asked_for(outcome.decision.step_up, told["contradictions"])
        return {**told, "evidence_for": wanted, "decision": placing.why(outcome)}

    def _of_law(self, tenant: str, phone: Phone, said: Declared, address: Address, now: int) -> Outcome:
        """What is decided of somebody new of this phone and these words; without I/O."""
        would_be = Person(tenant, "", phone, now, said, "", now, now)
        facts = facts_of_person(would_be, now)
        return self._taken_in.decided(self._holder.loaded, tenant, facts, address, "signup", now)

    def _recovery(self, code: str) -> str:
        return self._pepper.digest("recovery", code.strip()).hex()

    def _address(self, request: Request) -> Address:
        raw = json.loads(request.headers.get("dragoman-address") or "{}")
        seen = {"country": None, "kind": "unknown", "peer": "remote", **raw}
        return Address(*place_of(seen, self._holder.loaded.settings.zone.country))

    def _sms(self) -> Sms:
        """The gateway's settings. Raises RefusedError 404 where nobody can sign up."""
        sms = self._holder.loaded.settings.sms
        if sms.url is None:
            raise texts.refused("signup_closed")
        return sms


def _bounds(sms: Sms) -> signup.Bounds:
    return signup.Bounds(
        sms.country_per_hour,
        sms.country_per_day,
        sms.prefix_per_hour,
        sms.prefix_per_day,
        sms.breaker_unproven,
        sms.breaker_percent,
        sms.second_proof_days,
    )


def _check_country(phone: Phone, sms: Sms) -> None:
    """Every country that the number can belong to has to be one that gets codes."""
    if sms.countries and not set(phone.regions) <= set(sms.countries):
        raise texts.refused("phone_not_accepted")


async def _document(request: Request, known: set[str]) -> dict[str, Any]:
    """The JSON object of a request, which holds known fields alone. Raises RefusedError 400."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise texts.invalid("content-type", "application/json", "须为 application/json")
    given = json_object(await raw_body(request))
    if strange := sorted(set(given) - known):
        raise texts.invalid(strange[0][:64], "not a field of this request", "不是此请求的字段")
    return given


def _word(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= 128 or not value.isascii():
        raise texts.invalid(name, "needed, as it was given", "必填，须与所收到的一致")
    return value.strip()


def _challenge(made: Challenge) -> dict[str, Any]:
    """What whoever asked for a code is told. Times are seconds UTC."""
    return {
        "object": "signup.challenge",
        "id": made.challenge,
        "code_digits": codes.CODE_DIGITS,
        "attempts": codes.ATTEMPTS,
        "expires_at": made.expires_at // 1000,
        "resend_at": (made.created_at + codes.RESEND_MS) // 1000,
    }
