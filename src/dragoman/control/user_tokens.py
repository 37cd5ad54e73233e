"""Tokens of people who signed up, on `pages.sock`: for one app's key, minted for whoever is signed in.

A key never gets one: whoever runs an app could else speak for its users without end.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.accounts import texts
from dragoman.accounts.placement import Address
from dragoman.accounts.principals import Principals
from dragoman.assistants.conversations import Person
from dragoman.control.planner import place_of
from dragoman.control.v1_request import NO_STORE, answered, json_object, raw_body
from dragoman.core.people import PeopleStore
from dragoman.ids import kind_of, now_ms

PATH = "/v1/me/tokens"


class UserTokenRoutes:
    """The route, over the store. `country` is the zone's own."""

    def __init__(self, store: PeopleStore, principals: Principals, country: Callable[[], str | None]) -> None:
        self._store = store
        self._principals = principals
        self._country = country

    def routes(self) -> list[BaseRoute]:
        """Control's `/v1` table of tokens."""
        return [Route(PATH, answered(self.mint, None), methods=["POST"])]

    async def mint(self, request: Request, person: Person) -> Response:
        """A token by which the app behind a key speaks for the caller, for 15 minutes."""
        if person.key is not None:
            raise texts.refused("not_by_key")
        given = json_object(await raw_body(request))
        key = given.get("audience")
        if set(given) != {"audience"} or not isinstance(key, str) or kind_of(key) != "key":
            raise texts.invalid("audience", "the id of the app's key", "须为应用密钥的编号")
        if await run_in_threadpool(self._store.known, person.principal) is None:
            raise texts.refused("not_a_person")
        token, exp = await run_in_threadpool(
            self._principals.user_token, person.principal, key, self._address(request), now_ms()
        )
        told = {"object": "user_token", "token": token, "audience": key, "expires_at": exp}
        return JSONResponse(told, 201, NO_STORE)

    def _address(self, request: Request) -> Address:
        raw = json.loads(request.headers.get("dragoman-address") or "{}")
        seen = {"country": None, "kind": "unknown", "peer": "remote", **raw}
        return Address(*place_of(seen, self._country()))
