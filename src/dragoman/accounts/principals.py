"""Identifies one credential: the answer to `POST /principal` (docs/wire.md).

Runs in control on `plan.sock`; the relay caches its answers. Looks up by public id, compares in constant
time, and never says whether it was the id or the secret that was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dragoman.accounts import keys, sessions, texts, user_tokens
from dragoman.accounts.classes import (
    Classes,
    facts_of_guest,
    facts_of_key,
    facts_of_person,
    facts_of_user,
    over_at,
    proved,
)
from dragoman.accounts.declared import NOTHING, Declared, declared_of, facts_of_declared
from dragoman.accounts.pepper import Pepper
from dragoman.accounts.placed_tokens import BadTokenError as PlacedTokenError
from dragoman.accounts.placed_tokens import OtherZoneError, PlacedTokens
from dragoman.accounts.placement import Address
from dragoman.accounts.simulated import Simulated, facts_of_simulated, simulated_of
from dragoman.core.accounts import AccountStore, Change, GuestRecord, KeyRecord
from dragoman.core.people import Person
from dragoman.ids import derived_id, kind_of, new_id, zone_of

ANSWER_MS = 300_000
"""LIMIT: how long a relay may keep an answer; a revocation reaches it sooner, by /changes."""
_NO_VERIFIER = "0" * 64
"""Compared against where no key has the id, so that both refusals take the same time."""


PLACED = "placed"
"""The `end_users` of a key that speaks for people whom Dragoman placed."""
PersonOf = Callable[[str], Person | None]
"""Who signed up under a principal; None where nobody did."""
BoundsOf = Callable[[str], Mapping[str, Any]]
"""The limits and rates of a key alone: `budgets` and `rates` of docs/wire.md."""


def _no_bounds(_key: str) -> Mapping[str, Any]:
    return {"budgets": [], "rates": []}


class Principals:
    """Answers who stands behind a credential."""

    def __init__(  # noqa: PLR0913, PLR0917 - what the composition root hands over
        self,
        store: AccountStore,
        pepper: Pepper,
        classes: Classes,
        zone: str,
        addresses: Mapping[str, str],
        bounds_of: BoundsOf = _no_bounds,
        simulates: Callable[[], bool] = lambda: False,
        admit: Callable[[], None] = lambda: None,
        let_in: Callable[[str, str], None] = lambda _tenant, _principal: None,
        person_of: PersonOf = lambda _principal: None,
    ) -> None:
        """`admit` lets one more guest be kept, `let_in` a principal ask; or they raise RefusedError."""
        self._person_of = person_of
        self._store = store
        self._pepper = pepper
        self._classes = classes
        self._zone = zone
        self._addresses = addresses
        self._bounds_of = bounds_of
        self._simulates = simulates
        self._admit = admit
        self._let_in = let_in
        self._placed = PlacedTokens(pepper, zone)

    def identify(self, question: Mapping[str, Any], now: int) -> dict[str, Any]:
        """The answer to a well-formed question. Raises RefusedError."""
        credential = question["credential"]
        kind = credential["kind"]
        if kind == "api_key":
            return self._by_key(str(credential["value"]), question.get("user_token"), question["peer"], now)
        if kind == "session":
            return self._by_session(str(credential["value"]), now)
        return self._by_socket(credential, now)

    def user_token(self, person: str, key: str, address: Address, now: int) -> tuple[str, int]:
        """A token of a person for a key whose `end_users` is placed, and when it ends (seconds UTC).

        Raises RefusedError 404 for another key, or one that works no more.
        """
        record = self._store.key(key)
        if record is None or record.end_users != PLACED or record.state != "active":
            raise texts.refused("audience_not_found")
        return self._placed.mint(person, record.key, address, now)

    def new_guest(self, tenant: str, now: int) -> str:
        """A new guest of a tenant: the cookie's value. Nothing is stored; the cookie says whose it is."""
        principal = new_id("prn", self._zone, now)
        return sessions.cookie(self._pepper, sessions.Session(tenant, principal, now + sessions.SESSION_MS))

    def person_cookie(self, person: Person, now: int) -> str:
        """A new session of whoever signed up: the cookie's value."""
        session = sessions.Session(person.tenant, person.person, now + sessions.SESSION_MS, signed_up=True)
        return sessions.cookie(self._pepper, session)

    def keep_guest(self, tenant: str, principal: str, now: int) -> None:
        """Keep a guest who asks by socket, where only the principal is named; durable when this returns.

        Raises RefusedError 429 where too many are new.
        """
        if self._store.guest(principal) is None and self._person_of(principal) is None:
            self._admit()
            klass = self._classes.of(facts_of_guest(), now)
            self._store.add_guest(GuestRecord(tenant, principal, klass, now))

    def simulate(self, tenant: str, principal: str, simulated: Simulated | None, now: int) -> None:
        """Have a guest pretend from its next turn on, or no longer; durable when this returns.

        Raises RefusedError 404 where nothing may be simulated: then this does not exist.
        """
        if not self._simulates() or self._person_of(principal) is not None:
            raise texts.nothing_simulated()
        facts = facts_of_guest() if simulated is None else facts_of_simulated(simulated)
        self._become(tenant, principal, facts, now)

    def declare(self, tenant: str, principal: str, declared: Declared | None, now: int) -> None:
        """Keep what a guest states of itself, beside what it stated before; None: nothing any more.

        It counts from the guest's next turn on. Durable when this returns. Raises RefusedError 429 where
        too many guests are new, 404 for a person who signed up: what is known of that one is its account's.
        """
        if not self.may_declare(principal):
            raise texts.nothing_simulated()
        facts = facts_of_guest()
        if declared is not None:
            facts = facts_of_declared(declared.joined(self.declared(tenant, principal)))
        self._become(tenant, principal, facts, now)

    def may_declare(self, principal: str) -> bool:
        """Whether it is a guest, of whom nothing else is known."""
        return self._person_of(principal) is None

    def declared(self, tenant: str, principal: str) -> Declared:
        """What a guest stated of itself."""
        guest = self._store.guest(principal)
        if guest is None or guest.tenant != tenant:
            return NOTHING
        return declared_of(self._classes.facts(guest.klass))

    def _become(self, tenant: str, principal: str, facts: Mapping[str, Any], now: int) -> None:
        self.keep_guest(tenant, principal, now)
        klass = self._classes.of(facts, now)
        pending = self._classes.pending(klass)
        if pending is not None:
            pending.result()
        change = Change((f"principal:{principal}",), "drop")
        self._store.set_guest_class(tenant, principal, klass, change)

    def simulated(self, tenant: str, principal: str) -> Simulated | None:
        """What a guest pretends to be; None where it pretends nothing, or nothing may be simulated."""
        guest = self._store.guest(principal) if self._simulates() else None
        if guest is None or guest.tenant != tenant:
            return None
        return simulated_of(self._classes.facts(guest.klass))

    def session(self, value: str, now: int) -> sessions.Session | None:
        """The session of a cookie, for reading pages only."""
        found = sessions.open_cookie(self._pepper, value, now)
        return None if found is None or _is_over(found, self._person_of(found.principal)) else found

    def _by_key(self, text: str, user_token: str | None, peer: str, now: int) -> dict[str, Any]:
        key = keys.parse(text)
        if key is None:
            raise texts.refused("invalid_key")
        if key.zone != self._zone:
            raise texts.wrong_zone(key.zone, self._addresses.get(key.zone))
        record = self._store.key(key.public_id)
        fits = keys.verify(self._pepper, key, record.verifier if record else _NO_VERIFIER)
        if record is None or not fits:
            raise texts.refused("invalid_key")
        self._check_key(record, peer, now)
        if user_token is not None and record.end_users == PLACED:
            return self._by_placed_token(record, user_token, now)
        if user_token is None:
            if record.end_users == PLACED:
                raise texts.invalid_user_token(
                    "this key speaks for people who signed up here, so each request carries the token that "
                    "its person got for this key, in the header dragoman-user-token",
                    "此密钥代表已在此注册的用户，每个请求须在请求头 dragoman-user-token 中"
                    "携带该用户为此密钥取得的令牌",
                )
            if record.end_users == "declared":
                raise texts.invalid_user_token(
                    "this key speaks for declared users, so each request names one "
                    "in the header dragoman-user-token",
                    "此密钥代表已声明的用户，每个请求须在请求头 dragoman-user-token 中写明用户",
                )
            return self._answer(
                record, record.principal, facts_of_key(record.end_users), None, now, record.expires_at
            )
        return self._by_user_token(record, user_token, now)

    def _check_key(self, record: KeyRecord, peer: str, now: int) -> None:
        if record.state != "active":
            raise texts.refused("revoked_key")
        if record.expires_at is not None and record.expires_at <= now:
            raise texts.refused("expired_key")
        if record.development and peer != "loopback":
            raise texts.refused("dev_key_remote")
        self._check_tenant(record.tenant)

    def _check_tenant(self, tenant: str) -> None:
        found = self._store.tenant(tenant)
        if found is None or found.state != "active":
            raise texts.refused("tenant_suspended")

    def _by_user_token(self, record: KeyRecord, token: str, now: int) -> dict[str, Any]:
        if record.end_users != "declared":
            raise texts.invalid_user_token(
                "this key speaks for the tenant's own staff; make one with --end-users declared"
            )
        try:
            claims = user_tokens.read(keys.signing_secret(self._pepper, record.key), token, now // 1000)
        except user_tokens.BadTokenError as fault:
            raise texts.invalid_user_token(str(fault)) from None
        principal = derived_id("prn", self._zone, self._pepper.digest("user", record.tenant, claims.sub))
        ends = [at for at in (record.expires_at, claims.exp * 1000) if at is not None]
        return self._answer(record, principal, facts_of_user(claims), claims.locale, now, min(ends))

    def _by_placed_token(self, record: KeyRecord, token: str, now: int) -> dict[str, Any]:
        """Who a token names that this zone minted for this key: the person, by its own facts and place."""
        try:
            said = self._placed.read(token, record.key, now // 1000)
        except OtherZoneError as fault:
            raise texts.wrong_zone(fault.zone, self._addresses.get(fault.zone)) from None
        except PlacedTokenError as fault:
            raise texts.invalid_user_token(str(fault)) from None
        person = self._person_of(said.sub)
        if person is None or said.at < person.sessions_from:
            raise texts.invalid_user_token("its person is signed in no more")
        self._check_tenant(person.tenant)
        self._let_in(person.tenant, person.person)
        facts = {**facts_of_person(person, now), "address": {"country": said.country, "kind": said.kind}}
        over = [over_at(one) for one in proved(person, now).values()]
        ends = [at for at in (record.expires_at, said.exp * 1000, *over) if at is not None]
        # A name of its own at each key: what an app keeps of its users is not what they keep here.
        name = derived_id("prn", self._zone, self._pepper.digest("placed", record.key, person.person))
        answer = self._answer(record, name, facts, None, now, min(ends))
        return {**answer, "tags": [*answer["tags"], f"principal:{person.person}"]}

    def _answer(  # noqa: PLR0913, PLR0917 - the fields of one answer, named at each call
        self,
        record: KeyRecord,
        principal: str,
        facts: Mapping[str, Any],
        locale: str | None,
        now: int,
        ends: int | None,
    ) -> dict[str, Any]:
        self._let_in(record.tenant, principal)
        tags = [f"key:{record.key}", f"tenant:{record.tenant}", "limits", f"principal:{principal}"]
        return {
            "principal": principal,
            "tenant": record.tenant,
            "app": None,
            "key": record.key,
            "scopes": list(record.scopes),
            "class": self._classes.of(facts, now),
            "end_users": record.end_users,
            "channel": "api",
            "locale": locale,
            **self._bounds_of(record.key),
            "tags": tags,
            "expires": min(now + ANSWER_MS, ends if ends is not None else now + ANSWER_MS),
        }

    def _by_session(self, value: str, now: int) -> dict[str, Any]:
        session = sessions.open_cookie(self._pepper, value, now)
        person = self._person_of(session.principal) if session is not None else None
        if session is None or _is_over(session, person):
            raise texts.refused("invalid_session")
        if person is not None:
            return self._person_answer(person, "web", now, min(session.expires, now + ANSWER_MS))
        kept = self._store.guest(session.principal)
        if kept is not None and kept.tenant == session.tenant:
            guest = self._as_itself(kept, now)
        else:
            klass = self._classes.of(facts_of_guest(), now)
            guest = GuestRecord(session.tenant, session.principal, klass, now)
        return self._guest_answer(guest, "web", min(session.expires, now + ANSWER_MS))

    def _by_socket(self, credential: Mapping[str, Any], now: int) -> dict[str, Any]:
        principal = str(credential["principal"])
        zone = zone_of(principal)
        if zone is None or kind_of(principal) != "prn":
            raise texts.refused("invalid_session")
        if zone != self._zone:
            raise texts.wrong_zone(zone, self._addresses.get(zone))
        person = self._person_of(principal)
        if person is not None:
            return self._person_answer(person, str(credential["channel"]), now, now + ANSWER_MS)
        guest = self._store.guest(principal)
        if guest is None:
            raise texts.refused("invalid_session")
        return self._guest_answer(self._as_itself(guest, now), str(credential["channel"]), now + ANSWER_MS)

    def _as_itself(self, guest: GuestRecord, now: int) -> GuestRecord:
        """The guest; one that pretended where it no longer may is one of whom nothing is known."""
        if self._simulates() or simulated_of(self._classes.facts(guest.klass)) is None:
            return guest
        return replace(guest, klass=self._classes.of(facts_of_guest(), now))

    def _guest_answer(self, guest: GuestRecord, channel: str, ends: int) -> dict[str, Any]:
        pretends = simulated_of(self._classes.facts(guest.klass)) is not None
        answer = self._session_answer(guest, "none", channel, ends)
        return {**answer, **({"simulated": True} if pretends else {})}

    def _person_answer(self, person: Person, channel: str, now: int, ends: int) -> dict[str, Any]:
        klass = self._classes.of(facts_of_person(person, now), now)
        ends = min([ends, *(over_at(one) for one in proved(person, now).values())])
        record = GuestRecord(person.tenant, person.person, klass, person.created_at)
        return self._session_answer(record, "placed", channel, ends)

    def _session_answer(self, who: GuestRecord, end_users: str, channel: str, ends: int) -> dict[str, Any]:
        self._check_tenant(who.tenant)
        self._let_in(who.tenant, who.principal)
        return {
            "principal": who.principal,
            "tenant": who.tenant,
            "app": None,
            "key": None,
            "scopes": ["turns", "models"],
            "class": who.klass,
            "end_users": end_users,
            "channel": channel,
            "locale": None,
            **_no_bounds(""),
            "tags": [f"principal:{who.principal}", f"tenant:{who.tenant}"],
            "expires": ends,
        }


def _is_over(session: sessions.Session, person: Person | None) -> bool:
    """Whether whoever signed up is there no more, or ended the sessions made so early."""
    if person is None:
        return session.signed_up
    return session.expires - sessions.SESSION_MS < person.sessions_from
