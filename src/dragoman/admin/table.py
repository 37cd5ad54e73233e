"""The table of the admin listener's routes: each names its role, or it cannot be built.

Matching, authorization, the OpenAPI document and the sweeps of the tests all read this one table.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from dragoman.admin.uploads import Upload
from dragoman.core.admins import AUDITOR, METRICS, OPERATOR, AdminRecord, SessionRecord, TokenRecord
from dragoman.errors import RefusedError
from dragoman.knowledge.documents import SUFFIXES

ANYONE = "anyone"
"""The role of routes that need no credential; written out, never a default."""
ROLES = (ANYONE, METRICS, AUDITOR, OPERATOR)
SAFE = frozenset({"GET", "HEAD"})
FRESH_MS = 5 * 60_000
"""LIMIT: how long ago a person may have proved to be there for an act that asks for it."""

_PARAMETER = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True)
class Visitor:
    """Who asks, as the door and the credential tell. `near`: from this machine, not forwarded."""

    address: str
    near: bool
    cookie: str | None = None
    session: SessionRecord | None = None
    person: AdminRecord | None = None
    token: TokenRecord | None = None
    is_new: bool = False
    """The cookie is not known to the browser yet."""

    @property
    def role(self) -> str | None:
        """The role this visitor has, or None."""
        if self.token is not None:
            return self.token.role
        return self.person.role if self.person is not None else None

    @property
    def by(self) -> str:
        """The id that the ledger names."""
        if self.token is not None:
            return self.token.token
        return self.person.admin if self.person is not None else ANYONE

    def is_fresh(self, now: int) -> bool:
        """Whether the person proved a moment ago to be there; a token is bound to its role instead."""
        return self.token is not None or (
            self.session is not None and 0 <= now - self.session.fresh_at <= FRESH_MS
        )

    def may(self, role: str) -> bool:
        """Whether a route of this role is open to the visitor. An operator may all that an auditor may."""
        held = self.role
        if role == ANYONE:
            return True
        if role == METRICS:
            return held is not None or self.near
        return held == OPERATOR or (held == AUDITOR and role == AUDITOR)


@dataclass(frozen=True)
class Call:
    """One request that may be answered; `names` come from the path, `body` is checked."""

    request: Request
    visitor: Visitor
    route: AdminRoute
    names: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    upload: Upload = field(default_factory=Upload)

    def session(self) -> SessionRecord:
        """The log-in behind the call. RefusedError 403 for a machine's token, which has none."""
        if self.visitor.session is None:
            text = {"en": "This needs a person who is logged in.", "zh": "此操作需要已登录的人员。"}
            raise RefusedError(403, "person_only", text)
        return self.visitor.session


Endpoint = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class AdminRoute:
    """One method of one path. Raises ValueError for a route that nobody thought about."""

    method: str
    path: str
    role: str
    endpoint: Endpoint
    says: str
    body: type[BaseModel] | None = None
    answer: Any = None
    """The type of the JSON answer; None: a page."""
    queries: tuple[str, ...] = ()
    """Parameters of its query."""
    fresh: bool = False
    """Asks for a person who proved a moment ago to be there."""
    own: bool = False
    """Changes nothing but the visitor's own log-in."""
    bare: bool = False
    """Asks nobody who they are: a file that is the same for all."""
    limited: bool = False
    """Counts as an attempt of its address."""
    asks: bool = False
    """Sends a document and changes nothing: a question that is too long for an address."""
    personal: bool = False
    """Shows what people wrote, or what was decided of them: it matters where the visitor is."""
    files: bool = False
    """Takes files beside the fields of its body, as `multipart/form-data`."""
    kinds: tuple[str, ...] = SUFFIXES
    """How the names of those files end."""

    def __post_init__(self) -> None:
        place = f"{self.method} {self.path}"
        if self.role not in ROLES:
            raise ValueError(f"{place}: names no role; say who may use it")
        if self.method not in SAFE and not (self.own or self.asks) and self.role != OPERATOR:
            raise ValueError(f"{place}: changes something, so it is for operators")
        if self.bare and (self.role != ANYONE or self.method not in SAFE):
            raise ValueError(f"{place}: only what is for anyone asks nobody who they are")
        if self.asks and (self.method in SAFE or self.role not in (AUDITOR, OPERATOR)):
            raise ValueError(f"{place}: what asks by a document is a POST of somebody who is in")
        if self.fresh and self.role == ANYONE:
            raise ValueError(f"{place}: nobody is there who could prove it")

    @property
    def is_api(self) -> bool:
        """Whether it answers in JSON."""
        return self.answer is not None

    @property
    def is_page(self) -> bool:
        """Whether people look at it."""
        return not self.is_api and not self.changes and self.role != METRICS

    @property
    def changes(self) -> bool:
        """Whether it is an unsafe method."""
        return self.method not in SAFE


class RouteTable:
    """All routes, matched by exact segments and `{name}`s."""

    def __init__(self, routes: Iterable[AdminRoute]) -> None:
        self.routes = tuple(routes)
        self._by_path: dict[str, dict[str, AdminRoute]] = {}
        for route in self.routes:
            methods = self._by_path.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path}: twice in the table")
            methods[route.method] = route
        self._patterns = [(_pattern(path), methods) for path, methods in self._by_path.items()]

    def find(self, method: str, path: str) -> tuple[AdminRoute | None, dict[str, str], tuple[str, ...]]:
        """The route with the values of its names, and the methods that the path answers."""
        for pattern, methods in self._patterns:
            match = pattern.fullmatch(path)
            if match:
                route = methods.get("GET" if method == "HEAD" else method)
                return route, match.groupdict(), tuple(sorted(methods))
        return None, {}, ()


def _pattern(path: str) -> re.Pattern[str]:
    parts = _PARAMETER.split(path)
    return re.compile(
        "".join(
            f"(?P<{part}>[^/]{{1,200}})" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)
        )
    )
