"""The pages about rules, dates, readiness and decisions over the admin listener's real port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.admin import attempts
from dragoman.control.app import Control
from dragoman.core.admins import AUDITOR, OPERATOR
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
