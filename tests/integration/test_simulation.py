"""The page of simulations over the admin listener's real port: begun, waited for, shown, refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "property"))
sys.path.append(str(Path(__file__).parents[1]))
from recorded_zone import WORLD, entry_of, overlay, turn_entries

from dragoman import _native
from dragoman.admin import attempts
from dragoman.admin.chart import Bar, bars
from dragoman.canonical import canonical
from dragoman.control.app import Control
from dragoman.control.simulation_desk import Simulations
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.packs import load_packs
from dragoman.errors import RefusedError
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Visitor
from promise import eventually

CONFIG = """
packs_next = "next"
[deployment]
seat = "SG"
[providers.main]
kind = "openai"
base_url = "https://models.example/v1"
pack = "openai-api"
[models.gpt]
provider = "main"
model = "big"
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
"""


def facts(place: str, app: str) -> Facts:
    return Facts.parse(
        {
            "as_of": "2026-11-22", "residence": place, "address_country": place, "address_kind": "residential",
            "identity": {"verified": ["residence", "age"]}, "account": "established", "age": 30,
            "age_source": "document", "model": "gpt", "channel": "api", "feature": "assistant", "app": app,
            "modality": ["text"],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder: Path = tmp_path_factory.mktemp("s")
    text = CONFIG.format(listen=free_port(), admin=free_port())
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    packs = load_packs()
    journal = _native.Journal(folder / "d" / "journal", "local", segment_bytes=256 * 1024)
    for number, (place, turns) in enumerate([("SG", 3), ("DE", 5)]):
        one = facts(place, f"app_{place}")
        name, entry = entry_of(decide(one, packs, WORLD), one, packs)
        rows = [row for n in range(turns) for row in turn_entries(number * 100 + n, name, one.as_of)]
        journal.append_many([canonical(row) for row in (entry, *rows)])
    journal.close()
    overlay(folder / "next" / "shorter", "providers/openai-api.toml", ('"SG",', ""))
    broken = overlay(folder / "next" / "broken", "providers/openai-api.toml")
    (broken / "providers/openai-api.toml").write_text("[pack]\n", "utf-8")
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


def came_in(control: Control, port: int, role: str) -> Visitor:
    visitor = Visitor(port)
    made = control.core.people.invite("cli", role, None, None)
    assert visitor.enrol(f"x#{made.text}").status == 200
    return visitor


def ended(visitor: Visitor) -> dict[str, Any]:
    def told() -> dict[str, Any]:
        document: dict[str, Any] = visitor.ask("GET", "/admin/v1/simulation").json()
        return document

    eventually("the simulation ends", lambda: told()["state"] in {"done", "failed"}, 300)
    return told()


def test_a_simulation_is_begun_waited_for_and_shown(control: Control, port: int) -> None:
    operator, auditor = came_in(control, port, OPERATOR), came_in(control, port, AUDITOR)
    assert auditor.ask("GET", "/admin/v1/simulation").json() == {
        "choices": ["broken", "shorter"],
        "state": None,
    }
    begun = operator.post("/admin/v1/simulation", {"packs": "shorter", "as_of": "2026-11-22"})
    assert begun.status == 202
    assert begun.json()["state"] == "running"
    again = operator.post("/admin/v1/simulation", {"packs": "shorter"})
    assert (again.status, again.code) == (409, "simulation_running")
    assert 'http-equiv="refresh"' in auditor.page("/simulation").body
    told = ended(auditor)
    assert told["state"] == "done", told["problem"]
    assert (told["report"]["turns"]["changed"], told["report"]["turns"]["same"]) == (3, 5)
    page = auditor.page("/simulation?lang=en").body
    for part in ("openai-api.territory", "trn_local_0", "Come out otherwise", "<svg", ">SG<", "app_SG"):
        assert part in page, part
    assert 'http-equiv="refresh"' not in page
    assert '<form class="filter"' not in page, "auditors only look"
    assert "结果不同" in auditor.page("/simulation?lang=zh").body


def test_what_cannot_be_done_is_said(control: Control, port: int) -> None:
    operator = came_in(control, port, OPERATOR)
    for body in ({}, {"packs": "nowhere"}, {"packs": "../next"}, {"as_of": "soon"}):
        assert operator.post("/admin/v1/simulation", body).code == "invalid_value", body
    assert operator.form("/simulation", packs="broken").status == 303
    told = ended(operator)
    assert told["state"] == "failed"
    assert "openai-api.toml" in told["problem"]
    assert "openai-api.toml" in operator.page("/simulation").body
    auditor = came_in(control, port, AUDITOR)
    assert auditor.post("/admin/v1/simulation", {"packs": "shorter"}).code == "wrong_role"


def test_a_simulation_ends_when_it_is_stopped(control: Control) -> None:
    runs = Simulations(control.core.holder)
    runs.start(None, "2027-01-01", "test")
    with pytest.raises(RefusedError):
        runs.start(None, "2027-01-01", "test")
    runs.stop()
    current = runs.desk().current
    eventually("it ends", lambda: (now := current()) is not None and now.state != "running", 120)
    found = current()
    assert found is not None
    assert (found.state, found.report) == ("failed", None)


def test_the_chart_is_of_numbers_and_names_nothing_unescaped() -> None:
    drawn = bars([Bar("<b>&", 1, 9), Bar("DE", 0, 5), Bar("a label that is long", 2, 0)])
    widths = [float(one) for one in re.findall(r'<rect [^>]*width="([\d.]+)"', drawn)]
    assert widths[1] == pytest.approx(9 * widths[0], abs=0.5)
    assert widths[2] == 0
    assert "<b>" not in drawn
    assert "&lt;b&gt;&amp;" in drawn
    assert "a label…" in drawn or "a label …" in drawn
    assert bars([]) == ""
