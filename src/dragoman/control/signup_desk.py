"""Signing up: a code to a phone, the person it opens, what it sees and corrects of itself.

What the JSON routes (`control.signup`) and the pages (`web.signup`) do alike. The order of each act is here;
what it comes to, in `accounts.signup`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dragoman.accounts import codes, evidence, keys, phones, placement, signup, texts
from dragoman.accounts.classes import facts_of_person
from dragoman.accounts.pepper import Pepper
from dragoman.accounts.placement import Address
from dragoman.accounts.principals import Principals
from dragoman.accounts.signup import Opened
from dragoman.assistants.turns import admit
from dragoman.control import placing
from dragoman.control.durable import durable
from dragoman.control.loaded import Holder
from dragoman.control.planner import Outcome, place_of
from dragoman.control.sms import Message, SmsGateway
from dragoman.core.accounts import TenantRecord
from dragoman.core.people import Challenge, Declared, PeopleRows, PeopleStore, Person, Phone
from dragoman.errors import RefusedError
from dragoman.events import CodeAsked, CodeTried, emit
from dragoman.ids import derived_id, new_id, now_ms
from dragoman.settings_signup import Sms
from dragoman.stores.interventions import Interventions

KEY_LEAST, KEY_MOST = 16, 255
"""LIMIT: characters of an idempotency key; a short one could be another's."""
RECOVERY_CHARS = 22
"""Base62 characters that hold 128 bits."""
FIELDS = ("challenge", "code", "recovery_code", "new_account", *placement.FIELDS)
"""What comes with a code that is given back."""
_TEXT = {
    "en": "{code} is your code for {name}. It works for {minutes} minutes. Tell it to nobody.",
    "zh": "{name} 验证码：{code}，{minutes} 分钟内有效。请勿告诉任何人。",
}
NAME_CHARS = 40
"""LIMIT: characters of the operator's name in a message."""

Clock = Callable[[], int]
T = TypeVar("T")


class SignupDesk:
    """Takes people in, over the store and a gateway."""

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
        clock: Clock = now_ms,
    ) -> None:
        self._store = store
        self._principals = principals
        self._pepper = pepper
        self._holder = holder
        self._gateway = gateway
        self._interventions = interventions
        self._tenant = tenant
        self._clock = clock
        self._taken_in = placing.Placed()
        """Used by the writer's thread alone."""
        self._shown = placing.Placed()

    def is_open(self) -> bool:
        """Whether anybody can sign up: a gateway is set."""
        return self._holder.loaded.settings.sms.url is not None

    def second_proof_days(self) -> int:
        """Days after which a code alone opens an account no more."""
        return self._holder.loaded.settings.sms.second_proof_days

    def address(self, seen: Mapping[str, Any]) -> Address:
        """What the relay says of an address (`country`, `kind`, `peer`), as it counts here."""
        whole = {"country": None, "kind": "unknown", "peer": "remote", **seen}
        return Address(*place_of(whole, self._holder.loaded.settings.zone.country))

    async def ask(self, text: str, key: str | None, language: str) -> Challenge:
        """Have a code sent to a phone as it was typed, once for the same `key`. Raises RefusedError.

        The same whoever's number it is.
        """
        sms = self._sms()
        try:
            e164, phone = phones.placed(text, self._pepper)
            _check_country(phone, sms)
            made, is_new, code = await self._asked(key, phone, sms)
        except RefusedError as fault:
            emit(CodeAsked(fault.code))
            raise
        if is_new:
            await self._send(made, e164, code, language, sms)
        emit(CodeAsked("sent" if is_new else "repeated"))
        return made

    def challenge(self, name: str) -> Challenge | None:
        """A code by its id."""
        return self._store.read(self._tenant().tenant, lambda rows: rows.challenge(name))

    async def _asked(self, key: str | None, phone: Phone, sms: Sms) -> tuple[Challenge, bool, str]:
        """The code that is kept, whether it is new, and what it is."""
        now, code = self._clock(), codes.fresh()
        name = self._name(key, phone, now)
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

    def _name(self, key: str | None, phone: Phone, now: int) -> str:
        """The id of a code; the same for the same number and idempotency key."""
        zone = self._holder.loaded.settings.zone.id
        if key is None:
            return new_id("chl", zone, now)
        if not KEY_LEAST <= len(key) <= KEY_MOST:
            raise texts.invalid(
                "Idempotency-Key",
                f"{KEY_LEAST} to {KEY_MOST} characters",
                f"须为 {KEY_LEAST} 到 {KEY_MOST} 个字符",
            )
        return derived_id("chl", zone, self._pepper.digest("phone-asked", phone.digest, key))

    async def give_back(self, given: Mapping[str, Any], holder: str | None, address: Address) -> Opened:
        """Give a code back with FIELDS: whom it opens. Raises RefusedError.

        `holder`: who asks, by its session. Somebody new gets a recovery code, which is told this once.
        """
        sms = self._sms()
        now, tenant = self._clock(), self._tenant().tenant
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
            holder=holder,
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
        return Opened(person, recovery if is_new else None)

    def cookie(self, person: Person) -> str:
        """A new session of a person: the cookie's value."""
        return self._principals.person_cookie(person, self._clock())

    def known(self, tenant: str, principal: str) -> Person | None:
        """Who signed up as this principal; None where nobody did.

        Raises RefusedError 403, as the acts below do, while what is kept of the principal is being erased or
        moved. The relay lets none of these ask under `/v1`; a page knows its reader by the cookie alone.
        """
        return self._store.read(tenant, _admitted(principal, lambda rows: rows.person(principal)))

    async def correct(self, tenant: str, principal: str, given: Mapping[str, Any]) -> Person:
        """Take what a person declares in place of what it did before. Raises RefusedError."""
        now = self._clock()
        said = placement.declared(given, now)
        work = _admitted(principal, lambda rows: placement.correct(rows, principal, said, now))
        return await durable(self._store.submit(tenant, work))

    async def end_sessions(self, tenant: str, principal: str) -> None:
        """End every session of a person. Raises RefusedError 404."""
        now = self._clock()
        work = _admitted(principal, lambda rows: placement.end_sessions(rows, principal, now))
        await durable(self._store.submit(tenant, work))

    def placement(self, person: Person, address: Address) -> dict[str, Any]:
        """Where a person is taken to be, why, and what is decided of its turns (docs/signup.md)."""
        now, loaded = self._clock(), self._holder.loaded
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

    def _sms(self) -> Sms:
        """The gateway's settings. Raises RefusedError 404 where nobody can sign up."""
        sms = self._holder.loaded.settings.sms
        if sms.url is None:
            raise texts.refused("signup_closed")
        return sms


def _admitted(principal: str, work: Callable[[PeopleRows], T]) -> Callable[[PeopleRows], T]:
    """The work, for a principal that may go on here."""

    def admitted(rows: PeopleRows) -> T:
        admit(rows, principal)
        return work(rows)

    return admitted


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


def _word(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= 128 or not value.isascii():
        raise texts.invalid(name, "needed, as it was given", "必填，须与所收到的一致")
    return value.strip()
