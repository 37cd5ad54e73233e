"""The pages about rules, dates, readiness and decisions over the admin listener's real port."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from turns_control import Relay, new_key, person

from dragoman.admin import attempts
from dragoman.checks.zone_checks import person_of
from dragoman.control.app import Control
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.decide.engine import decide
from dragoman.ids import new_id, now_ms
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Visitor

CONFIG = """
[deployment]
seat = "SG"
roles = ["ai_provider", "ai_deployer"]
feature = "assistant"
audience = "public"
modality = ["text"]
model_use = "api"
markets = ["DE", "KR", "SG"]
[deployment.evidence."dpo.sg"]
number = "DPO-7"
expires = 2031-03-01
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
"""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder: Path = tmp_path_factory.mktemp("l")
    text = CONFIG.format(listen=free_port(), admin=free_port())
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


@pytest.fixture
def port(control: Control, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(attempts, "TRIES", 10_000)
    assert control.admin is not None
    return int(control.admin.origin.rpartition(":")[2])


def came_in(control: Control, port: int, role: str = OPERATOR) -> Visitor:
    visitor = Visitor(port)
    made = control.core.people.invite("cli", role, None, None)
    assert visitor.enrol(f"x#{made.text}").status == 200
    return visitor


@pytest.fixture
def auditor(control: Control, port: int) -> Visitor:
    return came_in(control, port, AUDITOR)


def asked(visitor: Visitor, path: str) -> Any:
    answer = visitor.ask("GET", f"/admin/v1/{path}")
    assert answer.status == 200, answer.body
    return answer.json()


def test_an_auditor_looks_through_packs(auditor: Visitor) -> None:
    packs = {one["id"]: one for one in asked(auditor, "packs")["rows"]}
    assert packs["eu"]["status"] == "unreviewed"
    assert sum(packs["eu"]["certainty"].values()) == packs["eu"]["rules"] > 0
    found = asked(auditor, "rules?place=de&kind=notice")
    assert {row["pack"] for row in found["rows"]} == {"eu"}
    assert found["more"] == 0
    rule = asked(auditor, "packs/eu/eu.aiact.notice")
    assert rule["applies_in_words"]["zh"]
    assert rule["sources"][0]["url"].startswith("https://")
    assert len(rule["cases"]) >= 2
    assert asked(auditor, "packs/eu")["rules"][0]["effective_from"]


def test_the_pages_show_the_same_in_both_languages(auditor: Visitor) -> None:
    english = auditor.page("/packs?place=DE&text=talk&lang=en").body
    chinese = auditor.page("/packs?place=DE&lang=zh").body
    assert "eu.aiact.notice" in english
    assert "cn.companion.reminder" not in english + chinese
    assert "未经律师审阅" in auditor.page("/packs/eu?lang=zh").body
    assert "nothing blocks" in auditor.page("/packs/eu/eu.aiact.notice?lang=en").body
    assert auditor.page("/packs/deepseek-api").status == 200
    assert "neither a code" in auditor.page("/packs?place=Q%3Cb%3E&lang=en").body
    assert "<b>" not in auditor.page("/packs?place=Q%3Cb%3E&lang=en").body


@pytest.mark.parametrize(
    "path", ["packs/zz", "packs/zz/zz.x", "packs/eu/cn.companion.reminder", "packs/eu/x"]
)
def test_what_is_not_there_is_404(auditor: Visitor, path: str) -> None:
    for place in (f"/{path}", f"/admin/v1/{path}"):
        assert auditor.ask("GET", place, accept="application/json").status == 404


def test_a_page_that_is_not_there_says_so_and_keeps_the_menu(auditor: Visitor) -> None:
    for path in ("/packs/zz", "/nowhere"):
        missing = auditor.ask("GET", f"{path}?lang=en", accept="text/html")
        assert missing.status == 404
        assert "<h1>There is no such page</h1>" in missing.body
        assert 'class="menu"' in missing.body
    refused = auditor.ask("POST", "/nowhere?lang=en", accept="text/html")
    assert "<h1>That was not done</h1>" in refused.body, "the control"


def test_a_filter_of_any_length_is_bounded(auditor: Visitor) -> None:
    assert asked(auditor, f"rules?text={'x' * 4_000}")["rows"] == []
    assert len(asked(auditor, "rules?kind=notice")["rows"]) > 10, "the control"


def test_the_dates_ahead_are_of_the_markets_or_of_every_pack(auditor: Visitor, control: Control) -> None:
    told = asked(auditor, "timeline")
    own = {rule["pack"] for one in told["dates"] for rule in one["rules"]}
    every = {rule["pack"] for one in asked(auditor, "timeline?all=1")["dates"] for rule in one["rules"]}
    assert told["places"] == ["DE", "KR", "SG"]
    assert own <= {"eu", "kr", "sg", "api"}
    assert own < every
    assert [one["day"] for one in told["dates"]] == sorted({one["day"] for one in told["dates"]})
    english, chinese = (auditor.page(f"/timeline?lang={lang}").body for lang in ("en", "zh"))
    for one in told["dates"]:
        assert f'<time datetime="{one["day"]}">' in english
        for rule in one["rules"]:
            assert rule["title"]["zh"] in chinese
    assert auditor.page("/timeline?all=1&lang=en").status == 200


@pytest.fixture(scope="module")
def decided(control: Control) -> tuple[str, str, str]:
    """A tenant, a decision that refused it a turn, and one by which a turn of a person was opened."""
    tenant = control.core.guest_tenant().tenant
    loaded = control.core.holder.loaded
    refused = decide(
        person_of(loaded, "DE", now_ms() / 1000).replaced({"age": 5}), loaded.packs, loaded.world
    )
    document = {**refused.to_dict(), "outcome": "STEP_UP"}
    control.core.interventions.keep_decision(tenant, document).result()
    run = control.settings.zone.data / "run"
    relay = Relay(run, person(run, new_key(run)["text"]), log=new_id("log", "local"))
    turn = relay.turn(relay.conversation(), "A secret word", "Well")["turn"]
    return tenant, refused.id, turn


def test_decisions_are_found_and_their_passports_read(
    control: Control, port: int, decided: tuple[str, str, str]
) -> None:
    tenant, refused, turn = decided
    auditor = came_in(control, port, AUDITOR)
    assert [row["decision"] for row in asked(auditor, "decisions?outcome=STEP_UP")["rows"]] == [refused]
    assert [row["decision"] for row in asked(auditor, f"decisions?id={refused}")["rows"]] == [refused]
    (opened,) = asked(auditor, f"decisions?id={turn}")["rows"]
    today = dt.datetime.now(dt.UTC).date()
    for query in (f"since={today}", f"until={today}", f"pack=eu&since={today}"):
        assert {refused, opened["decision"]} <= {
            row["decision"] for row in asked(auditor, f"decisions?{query}")["rows"]
        }
    assert asked(auditor, f"decisions?until={today - dt.timedelta(days=2)}")["rows"] == []
    told = asked(auditor, f"decisions/{opened['tenant']}/{opened['decision']}")
    assert [one["turn"] for one in told["turns"]] == [turn]
    assert told["decision"]["facts"]["offered_markets"] == ["DE", "KR", "SG"]
    assert told["providers"][0]["provider"] == "local"
    page = auditor.page(f"/decisions/{tenant}/{refused}?lang=zh").body
    assert "规则" in page
    assert "A secret word" not in page + auditor.page("/decisions").body + str(told)
    for path in (f"{tenant}/dec_x", f"ten_local_x/{refused}"):
        assert auditor.ask("GET", f"/admin/v1/decisions/{path}").status == 404
    entered = control.core.database.read(
        lambda c: c.exec_driver_sql("SELECT entry FROM outbox").scalars().all()
    )
    read = [json.loads(one) for one in entered if '"decision.read"' in one]
    assert {one["decision"] for one in read} == {opened["decision"], refused}
    assert all(one["by"].startswith("adm_") for one in read)


def test_looking_for_a_persons_decisions_is_entered(
    control: Control, auditor: Visitor, decided: tuple[str, str, str]
) -> None:
    table = "SELECT principal FROM turns WHERE turn = ?"
    who = control.core.database.read(lambda c: c.exec_driver_sql(table, (decided[2],)).scalar_one())
    found = asked(auditor, f"decisions?principal={who}")["rows"]
    assert len(found) == 1
    assert asked(auditor, "decisions?principal=prn_local_nobody")["rows"] == []
    entered = control.core.database.read(
        lambda c: c.exec_driver_sql("SELECT entry FROM outbox").scalars().all()
    )
    searched = [json.loads(one) for one in entered if '"decisions.search"' in one]
    assert len(searched) == 2
    assert who not in str(searched)


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "until=2026-13-01",
        "outcome=MAYBE",
        "id=cnv_local_x",
        "id=' OR 1=1",
        "since=20261101",
    ],
)
def test_a_filter_that_means_nothing_is_told(auditor: Visitor, query: str) -> None:
    name, _, value = query.partition("=")
    answer = auditor.ask("GET", f"/admin/v1/decisions?{name}={quote(value)}")
    assert (answer.status, answer.json()["error"]["param"]) == (400, name)


def test_what_goes_on_from_nowhere_is_the_beginning(auditor: Visitor, decided: tuple[str, str, str]) -> None:
    first = asked(auditor, "decisions")["rows"]
    assert asked(auditor, "decisions?before=x")["rows"] == first
    assert asked(auditor, f"decisions?before={10**18}")["rows"] == first
    assert asked(auditor, "decisions?before=1")["rows"] == []


def market(visitor: Visitor, place: str) -> dict[str, Any]:
    return next(one for one in asked(visitor, "readiness")["markets"] if one["market"] == place)


def row(visitor: Visitor, place: str, rule: str) -> dict[str, Any]:
    return next(one for one in market(visitor, place)["rows"] if one["rule_id"] == rule)


def test_readiness_names_what_each_market_misses_and_holds(auditor: Visitor) -> None:
    told = asked(auditor, "readiness")["markets"]
    assert [one["market"] for one in told] == ["DE", "KR", "SG"]
    assert all(one["pack"] == "eu" for one in told[0]["rows"]), "a market by its own law"
    transfer = row(auditor, "KR", "kr.pipa.transfer")
    assert (transfer["state"], transfer["blocks"], transfer["wanted"]) == (
        "missing",
        True,
        ["transfer_mechanism.kr"],
    )
    held = row(auditor, "SG", "sg.pdpa.dpo")
    assert (held["state"], held["number"], held["expires"]) == ("held", "DPO-7", "2031-03-01")
    for lang in ("en", "zh"):
        page = auditor.page(f"/readiness?lang={lang}").body
        assert "transfer_mechanism.kr" in page
        assert "/readiness/state" not in page, "an auditor reads"
    assert auditor.form("/readiness/state", evidence="dpo.sg", number="x").status == 403


def test_evidence_is_stated_written_counted_and_taken_out(control: Control, port: int) -> None:
    operator = came_in(control, port)
    file = control.settings.zone.data.parent / "dragoman.toml"
    before = file.read_text(encoding="utf-8")
    body = {"evidence": "transfer_mechanism.kr", "number": "KR-1", "expires": "2031-01-31"}
    change = operator.post("/admin/v1/readiness", body).json()
    assert '+number = "KR-1"' in change["difference"]
    assert file.read_text(encoding="utf-8") == before, "nothing is written by looking"
    written = operator.post("/admin/v1/setup/changes/write", {"change": change["change"]}).json()
    assert (written["written"], written["live"]) == (True, True)
    held = row(operator, "KR", "kr.pipa.transfer")
    assert (held["state"], held["number"], held["days_left"] > 60) == ("held", "KR-1", True)
    entered = control.core.database.read(
        lambda c: c.exec_driver_sql("SELECT entry FROM outbox").scalars().all()
    )
    acts = [json.loads(one) for one in entered if '"config.write"' in one]
    assert acts[-1]["keys"] == [
        "deployment.evidence.transfer_mechanism.kr.number",
        "deployment.evidence.transfer_mechanism.kr.expires",
    ]
    assert "KR-1" not in json.dumps(acts), "no values"
    end = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=9)).isoformat()
    shown = operator.form("/readiness/state", **{**body, "expires": end})
    assert shown.status == 303
    assert operator.form(shown.headers["location"]).status == 303
    assert row(operator, "KR", "kr.pipa.transfer")["state"] == "soon"
    setup = operator.ask("GET", "/admin/v1/setup").json()["lines"]
    assert "evidence_soon" in {item["code"] for line in setup for item in line["items"]}
    gone = operator.form("/readiness/state", evidence="transfer_mechanism.kr", number="", expires="")
    assert operator.form(gone.headers["location"]).status == 303
    assert row(operator, "KR", "kr.pipa.transfer")["state"] == "missing"


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"evidence": "icp_fillings", "number": "1"}, "evidence"),
        ({"evidence": "dpo.sg", "number": "x" * 400}, "number"),
        ({"evidence": "dpo.sg", "number": "1\u202e2"}, "number"),
        ({"evidence": "dpo.sg", "number": "1", "expires": "31.12.2030"}, "expires"),
        ({"evidence": "dpo.sg", "number": "DPO-7", "expires": "2031-03-01"}, "number"),
    ],
)
def test_what_cannot_be_stated_says_where(
    control: Control, port: int, sent: dict[str, str], param: str
) -> None:
    operator = came_in(control, port)
    answer = operator.post("/admin/v1/readiness", sent)
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)
    page = operator.form("/readiness/state", **sent)
    assert page.status == 400
    assert f'id="f-{param}-error"' in page.body


def test_writing_evidence_needs_a_fresh_proof(control: Control, port: int) -> None:
    operator = came_in(control, port)
    change = operator.post("/admin/v1/readiness", {"evidence": "icp_filing", "number": "1"}).json()["change"]
    stale = "UPDATE admin_sessions SET fresh_at = fresh_at - 360000"
    control.core.database.write(lambda c: c.exec_driver_sql(stale))
    refused = operator.post("/admin/v1/setup/changes/write", {"change": change})
    assert (refused.status, refused.code) == (403, "confirm_first")
    assert "icp_filing" not in (control.settings.zone.data.parent / "dragoman.toml").read_text(
        encoding="utf-8"
    )
