"""An act of an operator as two routes: a form of a page, and its twin in the API, which does the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from dragoman.admin.table import AdminRoute, Call, Endpoint
from dragoman.admin.view import AdminView
from dragoman.core.admins import OPERATOR

API = "/admin/v1"

Do = Callable[[Call], Any]
"""Runs on a thread of its own; what it gives is what was made or changed."""


def twins(  # noqa: PLR0913 - one line of a table each
    view: AdminView,
    path: str,
    body: type[BaseModel],
    do: Do,
    says: str,
    *,
    answer: Any,
    then: str | Callable[[Any], str] = "",
    form: Endpoint | None = None,
    api: str | None = None,
    told: Callable[[Any], Any] = lambda done: done,
    status: int = 200,
    **shared: Any,
) -> Iterator[AdminRoute]:
    """Both routes. `then`: where the form goes afterwards; or `form`: what it does instead of going anywhere.

    `api`: the twin's path where it is not that of the form. `told`: the twin's document, of what was done,
    on the same thread. Acts ask for a person who proved a moment ago to be there.
    """

    async def as_json(call: Call) -> Response:
        return view.json(await run_in_threadpool(lambda: told(do(call))), status)

    async def then_page(call: Call) -> Response:
        done = await run_in_threadpool(do, call)
        return RedirectResponse(then if isinstance(then, str) else then(done), 303)

    shared = {"body": body, "fresh": True, **shared}
    yield AdminRoute("POST", api or f"{API}{path}", OPERATOR, as_json, says, answer=answer, **shared)
    yield AdminRoute("POST", path, OPERATOR, form or then_page, says, **shared)
