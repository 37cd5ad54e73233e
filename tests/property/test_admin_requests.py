"""Whatever an operator's browser or a stranger sends, the admin listener answers it; nothing fails inside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.admin import attempts
from dragoman.admin.table import AdminRoute
from dragoman.control.app import Control
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Visitor

TRIES = int(os.environ.get("DRAGOMAN_ADMIN_REQUESTS", "100"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["default", "operator", "auditor", "metrics", "none", "declared", "/", "adm_local_x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "content_type",
            "accept",
            "accept_language",
            "referer",
            "origin",
            "sec_fetch_site",
            "cookie",
            "authorization",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    max_size=4,
)
ANSWERS = {200, 303, 307, 400, 401, 403, 404, 408, 413, 421, 429, 503}
"""What a stranger may get; 503 where a relay that is not there is asked for its counters."""
MARKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("p")
    text = f'[zone]\ndata = "d"\nadmin_listen = "127.0.0.1:{free_port()}"\n'
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


@pytest.fixture(scope="module")
def operator(control: Control) -> Visitor:
    link = control.first_link() or ""
    visitor = Visitor(int(link.split("/")[2].rpartition(":")[2]))
    assert visitor.enrol(link).status == 200
    return visitor


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TRIES", 10**9)


def routes(control: Control) -> list[AdminRoute]:
    assert control.admin is not None
    return [route for route in control.admin.table.routes if route.path != "/logout"]


def fields(route: AdminRoute) -> list[str]:
    return sorted(route.body.model_fields) if route.body is not None else []


@settings(max_examples=TRIES, deadline=None, suppress_health_check=MARKED)
@given(st.data())
def test_nothing_an_operator_sends_fails_inside(
    control: Control, operator: Visitor, data: st.DataObject
) -> None:
    route = data.draw(st.sampled_from([one for one in routes(control) if one.changes]))
    names = st.sampled_from([*fields(route), "surprise"])
    body: dict[str, Any] = data.draw(st.dictionaries(names, VALUES, max_size=4))
    if route.is_api:
        answer = operator.post(route.path, body)
    else:
        answer = operator.form(route.path, **{name: json.dumps(value) for name, value in body.items()})
    assert answer.status != 500, (route.path, body)
    assert operator.ask("GET", "/admin/v1/status").status == 200


@settings(max_examples=TRIES, deadline=None, suppress_health_check=MARKED)
@given(st.data())
def test_nothing_a_stranger_sends_fails_inside(
    control: Control, operator: Visitor, data: st.DataObject
) -> None:
    paths = st.sampled_from(sorted({route.path for route in routes(control)})) | st.text(
        st.characters(min_codepoint=33, max_codepoint=126), max_size=30
    ).map(lambda text: f"/{text}")
    method = data.draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]))
    sent = {name: value.strip() for name, value in data.draw(HEADERS).items()}
    body = data.draw(st.binary(max_size=200))
    answer = Visitor(operator.port).ask(method, data.draw(paths), body, **sent)
    assert answer.status != 500, (method, sent, body)
    assert answer.status in ANSWERS, answer.status
