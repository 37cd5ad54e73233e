"""Usage as it is grouped, exported and compared; the verbs on limits; a key's own usage and nobody else's."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dragoman.budgets.reconcile import compare, read_export
from dragoman.budgets.usage import columns_of, grouped, grouping, span, to_csv
from dragoman.control import budget_verbs, once
from dragoman.control.asgi import Routes
from dragoman.control.core import Core
from dragoman.control.loaded import read_all
from dragoman.control.usage_route import UsageRoute
from dragoman.errors import ConfigError, RefusedError
from dragoman.stores.journal import Projected, Usage

TODAY = dt.date(2026, 11, 26)
FILE = """
[zone]
data = "{data}"
[[limits]]
id = "of-file"
unit = "requests"
per = "day"
most = 3
"""


def row(**more: Any) -> dict[str, Any]:
    base = {
        "tenant": "t",
        "day": "2026-11-01",
        "key": "k",
        "app": "",
        "model": "m",
        "provider": "p",
        "upstream": "u",
    }
    sums = {"turns": 1, "input": 2, "cached": 1, "output": 3, "unknown": 0, "spend": 5, "unpriced": 0}
    return {**base, "currency": "EUR", **sums, **more}


def test_rows_are_grouped_and_currencies_are_never_added_up() -> None:
    rows = [row(), row(key="other"), row(currency="USD"), row(day="2026-11-02")]
    told = grouped(rows, ["day"])
    assert [(one["day"], one["currency"], one["turns"], one["spend"]) for one in told] == [
        ("2026-11-01", "EUR", 2, 10), ("2026-11-01", "USD", 1, 5), ("2026-11-02", "EUR", 1, 5),
    ]  # fmt: skip


def test_a_cell_that_could_be_a_formula_is_guarded() -> None:
    for evil in ("=1+1", "+1", "-1", "@x", "\tx", "\rx"):
        text = to_csv([row(model=evil)], columns_of(["model"]))
        assert "'" + evil[0] in text, evil
    assert to_csv([row()], columns_of(["model"])) == (
        "model,turns,input,cached,output,unknown,spend,unpriced,currency\r\nm,1,2,1,3,0,5,0,EUR\r\n"
    )


def test_a_report_has_a_span_and_a_grouping_that_are_known() -> None:
    assert span(None, None, TODAY) == ("2026-10-28", "2026-11-26")
    assert span("2026-11-01", "2026-11-02", TODAY) == ("2026-11-01", "2026-11-02")
    assert grouping("model, day,model", ("day", "model")) == ["model", "day"]
    assert span("9999-12-31", "9999-12-31", TODAY) == ("9999-12-31", "9999-12-31")
    assert span(None, "0001-01-02", TODAY) == ("0001-01-01", "0001-01-02")
    for wrong in (("2026-11-03", "2026-11-02"), ("x", None), ("2020-01-01", None)):
        with pytest.raises(RefusedError):
            span(*wrong, TODAY)
    with pytest.raises(RefusedError, match="tenant"):
        grouping("tenant", ("day", "model"))


def test_an_export_is_compared_by_day_and_model() -> None:
    text = "date,model,input_tokens,output_tokens\n2026-11-01,u,2,3\n2026-11-02,u,9,9\n2026-11-03,gone,1,1\n"
    theirs = read_export(text, "x.csv")
    assert (
        read_export(
            json.dumps({"data": [{"day": "2026-11-01T00:00:00Z", "model": "u", "input": 2, "output": 3}]}),
            "x",
        )
        == theirs[:1]
    )
    ours = [row(model="u"), row(model="u", day="2026-11-02", unknown=1), row(model="only", day="2026-11-04")]
    told = compare(theirs, ours)
    assert [(one["day"], one["model"], one["their_input"], one["our_input"], one["cut"]) for one in told] == [
        ("2026-11-02", "u", 9, 2, 1), ("2026-11-03", "gone", 1, 0, 0), ("2026-11-04", "only", None, 2, 0),
    ]  # fmt: skip
    for wrong in (
        "a,b\n1,2\n",
        "[1]",
        "{}",
        "day,model,input\nx,y,1\n",
        "day,model,input\n2026-11-01,y,many\n",
    ):
        with pytest.raises(ConfigError, match=r"x\.csv"):
            read_export(wrong, "x.csv")


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    file = tmp_path / "dragoman.toml"
    file.write_text(FILE.format(data=tmp_path / "data"), encoding="utf-8")
    core = Core(read_all(file, lambda _: None))
    yield core
    core.close()


def verb(core: Core, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    asked = {"method": method, "path": f"/admin/v1/{path}", "body": body}
    status, answer = asyncio.run(once._ask(core.budget_verbs(Routes("test")), asked))
    return status, answer["error"]["code"] if status >= 400 else answer


def test_limits_are_set_changed_and_removed_and_relays_hear_of_it(core: Core) -> None:
    limit = {"id": "mine", "unit": "requests", "per": "day", "most": 5, "tenant": "default"}
    before = core.newest_seq()
    assert verb(core, "POST", "limits", limit)[0] == 200
    assert verb(core, "POST", "limits", {**limit, "most": 7})[0] == 200
    assert [(one["id"], one["most"], one["from"]) for one in verb(core, "GET", "limits")[1]["limits"]] == [
        ("of-file", 3, "file"), ("mine", 7, "store"),
    ]  # fmt: skip
    changes = [change for _, change in core.changes_after(before)]
    assert [(change.tags, change.effect) for change in changes] == [(("limits",), "drop")] * 2
    assert verb(core, "POST", "limits/remove", {"limit": "mine"})[0] == 200
    assert verb(core, "POST", "limits/remove", {"limit": "mine"}) == (404, "limit_not_found")
    assert core.book.limit("mine") is None


def test_where_no_limit_fits_any_more_one_that_is_there_can_be_changed(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_verbs, "LIMITS", 2)  # one stands in the file
    limit = {"id": "mine", "unit": "requests", "per": "day", "most": 5, "tenant": "default"}
    assert verb(core, "POST", "limits", limit)[0] == 200
    assert verb(core, "POST", "limits", {**limit, "most": 7})[0] == 200
    assert verb(core, "POST", "limits", {**limit, "id": "another"}) == (400, "too_many_limits")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "of-file"}, (409, "limit_of_file")),
        ({"unit": "money"}, (400, "invalid_value")),
        ({"most": -1}, (400, "invalid_value")),
        ({"odd": 1}, (400, "invalid_value")),
        ({"tenant": "nobody"}, (404, "tenant_not_found")),
        ({"key": "key_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab"}, (404, "key_not_found")),
        ({"model": "nobody"}, (400, "limit_unenforceable")),
    ],
)
def test_a_limit_that_cannot_be_set_is_refused(
    core: Core, change: dict[str, Any], code: tuple[int, str]
) -> None:
    limit = {"id": "mine", "unit": "requests", "per": "day", "most": 5, **change}
    assert verb(core, "POST", "limits", limit) == code


def test_usage_is_read_by_its_own_key_alone(core: Core) -> None:
    day = dt.datetime.now(dt.UTC).date().isoformat()
    used = [
        Usage(t, day, k, "", "m", "p", "u", "EUR", 1, 2, 0, 3, 0, 5, 0)
        for t, k in (("a", "k1"), ("a", "k2"), ("b", "k1"))
    ]
    assert core.cursors.advance("log", 0, Projected(1, tuple(used))).result()[0]
    client = TestClient(Starlette(routes=UsageRoute(core.usage).routes()))
    key = {"dragoman-key": "k1", "dragoman-scopes": "turns,usage"}
    head = {"dragoman-tenant": "a", "dragoman-principal": "p", **key}
    told = client.get("/v1/usage?by=model", headers=head).json()
    assert [(one["model"], one["turns"], one["spend"]) for one in told["data"]] == [("m", 1, 5)]
    assert (
        client.get("/v1/usage", headers={**head, "accept": "text/csv"})
        .text.splitlines()[0]
        .startswith("day,turns")
    )
    for without in ({"dragoman-scopes": "turns"}, {"dragoman-key": ""}):
        assert client.get("/v1/usage", headers={**head, **without}).status_code == 403
    assert client.get("/v1/usage", headers=key).status_code == 401
    refused = client.get("/v1/usage?by=key", headers={**head, "dragoman-locale": "zh"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "by")
    whole = verb(core, "GET", f"usage?by=tenant,key&from={day}")[1]
    assert [(one["tenant"], one["key"]) for one in whole["usage"]] == [("a", "k1"), ("a", "k2"), ("b", "k1")]
