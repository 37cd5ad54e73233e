"""The register of incidents: clocks by the law of the markets, what became of each report, and who may say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.admin import attempts
from dragoman.control.app import Control
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.decide.packs import load_packs
from dragoman.decide.world import World
from dragoman.ids import now_ms
from dragoman.policy.incidents import HOUR_MS, triggers, wanted
from dragoman.settings import Settings
from dragoman.stores import incidents as stores_incidents
from dragoman.stores.schema import outbox
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Visitor

NOW = 1_795_000_000_000
CONFIG = """
[deployment]
markets = ["CN", "DE"]
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
"""


def asked(markets: tuple[str, ...], *named: str) -> list[tuple[str, str | None, int | None, bool]]:
    """The reports on an incident known at NOW: rule, stage, hours, whether they bind."""
    settings = Settings.model_validate({"deployment": {"markets": markets}})
    found = wanted(settings, load_packs(), World(), named, NOW)
    return [
        (
            one.rule_id,
            one.stage and one.stage["en"],
            None if one.due_at is None else (one.due_at - NOW) // HOUR_MS,
            one.binding,
        )
        for one in found
    ]


def test_each_market_asks_by_its_own_clock() -> None:
    assert asked(("DE",), "personal_data_breach") == [("eu.gdpr.breach", None, 72, True)]
    assert asked(("CN",), "cybersecurity_incident") == [
        ("cn.incident", "first report, critical infrastructure or most serious", 1, True),
        ("cn.incident", "first report, relatively major", 4, True),
        ("cn.incident", "detail", 72, True),
        ("cn.incident", "closing report", 720, True),
    ]
    both = asked(("DE", "IN"), "personal_data_breach", "cybersecurity_incident")
    assert [(rule, hours) for rule, _, hours, _ in both] == [
        ("in.dpdp.breach", 0),
        ("in.certin.incident", 6),
        ("eu.gdpr.breach", 72),
        ("in.dpdp.breach", 72),
    ]
    assert asked(("DE",), "cybersecurity_incident") == [], "another kind sets no clock going"
    assert asked(("HK",), "personal_data_breach") == [], "its notice is voluntary"
    assert {"personal_data_breach", "cybersecurity_incident"} <= set(triggers(load_packs()))


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    monkeypatch.setattr(attempts, "TRIES", 10_000)
    text = CONFIG.format(listen=free_port(), admin=free_port())
    (tmp_path / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(tmp_path / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


def somebody(control: Control, role: str) -> Visitor:
    assert control.admin is not None
    visitor = Visitor(int(control.admin.origin.rpartition(":")[2]))
    assert visitor.enrol(f"x#{control.core.people.invite('cli', role, None, None).text}").status == 200
    return visitor


def acts(control: Control) -> list[dict[str, Any]]:
    """What the ledger was told, oldest first."""
    with control.core.database._reader_engine.connect() as c:
        rows = c.execute(outbox.select().order_by(outbox.c.item)).fetchall()
    entries = [json.loads(row.entry) for row in rows]
    return [one for one in entries if str(one.get("act", "")).startswith("incident.")]


def test_from_its_opening_to_its_end(control: Control) -> None:
    operator, path = somebody(control, OPERATOR), "/admin/v1/incidents"
    about = "A backup <b>lay</b> open."
    opened = operator.post(path, {"trigger": "personal_data_breach", "about": about})
    assert opened.status == 201, opened.body
    made = opened.json()
    assert [one["rule_id"] for one in made["reports"]] == ["eu.gdpr.breach"]
    (report,) = made["reports"]
    assert report["due_at"] == made["known_at"] + 72 * HOUR_MS
    assert report["source"]["source"]
    assert made["overdue"] == 0

    early = operator.post(f"{path}/close", {"incident": made["incident"]})
    assert (early.status, early.json()["error"]["code"]) == (409, "reports_open")
    said = {"incident": made["incident"], "n": 1, "state": "reported", "note": "BfDI 17/2026"}
    settled = operator.post(f"{path}/report", said)
    assert settled.status == 200, settled.body
    assert (settled.json()["reports"][0]["state"], settled.json()["reports"][0]["note"]) == (
        "reported",
        "BfDI 17/2026",
    )
    again = operator.post(f"{path}/report", {**said, "state": "not_due"})
    assert (again.status, again.json()["error"]["code"]) == (409, "report_settled")
    assert operator.post(f"{path}/close", {"incident": made["incident"]}).json()["closed_at"]
    told = ["incident.opened", "incident.report", "incident.closed"]
    assert [one["act"] for one in acts(control)] == told
    assert "backup" not in json.dumps(acts(control)), "what happened stays out of the ledger"
    formed = operator.form("/incidents", trigger="", known_at="", about="By the form.")
    assert (formed.status, formed.headers["location"].partition("#")[0]) == (303, "/incidents")
    page = operator.page("/incidents").body
    assert "A backup &lt;b&gt;lay&lt;/b&gt; open." in page
    assert "BfDI 17/2026" in page


def test_what_is_late_is_said(control: Control) -> None:
    operator, path = somebody(control, OPERATOR), "/admin/v1/incidents"
    long_ago = {"known_at": "2026-11-01T00:00", "about": "late"}
    late = operator.post(path, long_ago)
    assert '<html lang="zh' in (page := operator.page("/incidents?lang=zh").body)
    assert "首次报告（较大事件）" in page
    assert "监管机构" in page
    operator.page("/incidents?lang=en")
    assert late.status == 201, late.body
    kinds = {one["rule_id"] for one in late.json()["reports"]}
    assert {"cn.incident", "eu.gdpr.breach"} <= kinds, "not clear which: all of them"
    over = [one for one in late.json()["reports"] if one["over"]]
    assert len(over) == late.json()["overdue"] > 0
    assert operator.page("/incidents").body.count("<strong>overdue</strong>") == len(over)
    ahead = [one for one in late.json()["reports"] if one["due_at"] and one["due_at"] > now_ms()]
    assert not any(one["over"] for one in ahead), "the control: what is not due yet"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"trigger": "personal_data_breech", "about": "x"}, "trigger"),
        ({"about": "x", "known_at": "yesterday"}, "known_at"),
        ({"about": "x", "known_at": "2999-01-01T00:00"}, "known_at"),
        ({"about": "x", "known_at": "2001-01-01T00:00"}, "known_at"),
        ({"about": ""}, "about"),
        ({"about": "x" * 2_001}, "about"),
    ],
)
def test_what_cannot_be_is_refused(control: Control, body: dict[str, Any], param: str) -> None:
    answer = somebody(control, OPERATOR).post("/admin/v1/incidents", body)
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)
    assert not acts(control)


def test_so_many_are_open_at_once(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores_incidents, "OPEN_MOST", 2)
    operator, path = somebody(control, OPERATOR), "/admin/v1/incidents"
    made = [operator.post(path, {"about": "x", "trigger": "licensee_removes_latent_mark"}) for _ in range(3)]
    assert [one.status for one in made] == [201, 201, 409]
    assert made[2].json()["error"]["code"] == "too_many_incidents"
    ended = operator.post(f"{path}/close", {"incident": made[0].json()["incident"]})
    assert ended.status == 200, "nothing is to be reported of it in these markets"
    assert operator.post(path, {"about": "x"}).status == 201, "the control"


def test_who_only_reads_opens_none(control: Control) -> None:
    auditor = somebody(control, AUDITOR)
    assert auditor.post("/admin/v1/incidents", {"about": "x"}).status == 403
    assert auditor.ask("GET", "/admin/v1/incidents").json() == {"rows": []}
    assert '<form class="act" method="post" action="/incidents">' not in auditor.page("/incidents").body
