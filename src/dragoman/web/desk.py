"""What the pages need of whoever takes people in, and of where evidence is handed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request

from dragoman.accounts.placement import Address
from dragoman.accounts.signup import Opened
from dragoman.assistants.conversations import Person as Asker
from dragoman.core.people import Challenge, Person


class Desk(Protocol):
    """Takes people in: what the pages share with the JSON routes (`control.signup_desk`)."""

    def is_open(self) -> bool:
        """Whether anybody can sign up."""

    def address(self, seen: Mapping[str, Any]) -> Address:
        """What the relay says of an address, as it counts here."""

    async def ask(self, text: str, key: str | None, language: str) -> Challenge:
        """Have a code sent to a phone as it was typed, once for the same `key`. Raises RefusedError."""

    def challenge(self, name: str) -> Challenge | None:
        """A code by its id."""

    async def give_back(self, given: Mapping[str, Any], holder: str | None, address: Address) -> Opened:
        """Give a code back, with what comes with it: whom it opens. Raises RefusedError."""

    def second_proof_days(self) -> int:
        """Days after which a code alone opens an account no more."""

    def cookie(self, person: Person) -> str:
        """A new session of a person: the cookie's value."""

    def known(self, tenant: str, principal: str) -> Person | None:
        """Who signed up as this principal. Raises RefusedError while it is being erased or moved."""

    async def correct(self, tenant: str, principal: str, given: Mapping[str, Any]) -> Person:
        """Take what a person declares in place of what it did before. Raises RefusedError."""

    async def end_sessions(self, tenant: str, principal: str) -> None:
        """End every session of a person. Raises RefusedError."""

    def placement(self, person: Person, address: Address) -> dict[str, Any]:
        """The placement of docs/signup.md. For the thread of the pages alone."""


class Hearing(Protocol):
    """Takes evidence: what the page shares with the JSON routes (`control.evidence`)."""

    async def taken(self, request: Request, person: Asker, lang: str) -> dict[str, Any]:
        """Keep what a request hands in; as its person reads it. Raises RefusedError."""

    def listed(self, person: Asker) -> dict[str, Any]:
        """A person's evidence as a list."""
