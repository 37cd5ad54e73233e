"""Decisions asked at the admin listener: what the command says, by the packs in use, and the names they know."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dragoman.admin.site import BODY_BYTES
from dragoman.control.app import Control
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.decide.cli import app
from dragoman.decide.packs import baseline_document, load_packs
from dragoman.decide.vocabulary import KINDS, vocabulary
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Answer, Visitor

CONFIG = """
packs_dir = "own"
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
"""
BASE: dict[str, Any] = json.loads(json.dumps(baseline_document(), default=str))
ASKED: dict[str, dict[str, Any]] = {
    "baseline": BASE,
    "as_of alone": {"as_of": "2026-11-22"},
    "a minor in Shanghai": {
        **BASE,
        "residence": "CN",
        "address_country": "CN",
        "age": 12,
        "feature": "companion",
    },
    "a vendor's terms": {**BASE, "residence": "HK", "address_country": "HK", "model": "openai-api"},
    "years ahead": {**BASE, "as_of": "2027-12-31T23:59:59+08:00", "residence": "IN", "address_country": "IN"},
}


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("q")
    (folder / "own" / "jurisdictions").mkdir(parents=True)
    text = CONFIG.format(listen=free_port(), admin=free_port())
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


def came_in(control: Control, role: str) -> Visitor:
    assert control.admin is not None
    visitor = Visitor(int(control.admin.origin.rpartition(":")[2]))
    invited = control.core.people.invite("cli", role, None, None)
    assert visitor.enrol(f"x#{invited.text}").status == 200
    return visitor


@pytest.fixture(scope="module")
def auditor(control: Control) -> Visitor:
    return came_in(control, AUDITOR)


def ask(visitor: Visitor, document: Any, query: str = "") -> Answer:
    return visitor.post(f"/admin/v1/decisions{query}", document)


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("explain", [False, True])
def test_it_answers_what_the_command_prints(
    auditor: Visitor, tmp_path: Path, name: str, explain: bool
) -> None:
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(ASKED[name]), encoding="utf-8")
    options = ["--explain"] if explain else []
    printed = CliRunner().invoke(app, ["decide", "--facts", str(file), "--json", *options])
    answer = ask(auditor, ASKED[name], "?explain=true" if explain else "")
    assert (answer.status, printed.exit_code) == (200, 0)
    assert answer.json() == json.loads(printed.stdout)
    assert ("trace" in answer.json()) == explain


def test_questions_differ_and_are_not_kept(control: Control, auditor: Visitor) -> None:
    """The control of the test above, and nothing of a question goes into the zone's tables."""
    told = {name: ask(auditor, document).json() for name, document in ASKED.items()}
    assert len({one["id"] for one in told.values()}) == len(ASKED)
    assert told["a vendor's terms"]["outcome"] == "DENY"
    number = "+8613800138000"
    assert ask(auditor, {**BASE, "phone": number}).status == 200
    control.core.database.write(lambda _: None)  # what was begun before is durable by then
    with sqlite3.connect(control.settings.zone.data / "zone.db") as raw:
        dump = "\n".join(raw.iterdump())
    assert number not in dump
    assert "admin.enrol" in dump, "the dump is of a zone in use"


@pytest.mark.parametrize(
    ("document", "param", "said"),
    [
        ({}, "as_of", "is missing"),
        ({**BASE, "residance": "SG"}, "residance", '"residence"'),
        ({**BASE, "residence": "sg"}, "residence", '"SG"'),
        ({**BASE, "feature": "companian"}, "feature", '"companion"'),
        (
            {**BASE, "operator": {"evidence": {"icp_fillng": {}}}},
            "operator.evidence.icp_fillng",
            "icp_filing",
        ),
        ({**BASE, "age": 151}, "age", "0 to 150"),
        ({**BASE, "age": float("nan")}, "age", "whole number"),
        ({**BASE, "address_confidence": float("inf")}, "address_confidence", "0 or more"),
        ({**BASE, "as_of": "2026-02-30"}, "as_of", "day"),
        ({**BASE, "as_of": "0001-01-01"}, "as_of", "1970"),
        ({**BASE, "as_of": "9999-12-31T23:59:59-23:00"}, "as_of", "3000"),
        ({**BASE, "operator": {"placed_on_market": "yesterday"}}, "operator.placed_on_market", "isoformat"),
        ({**BASE, "operator": []}, "operator", "table"),
        ({**BASE, "modality": [["text"]]}, "modality", "text"),
        ({**BASE, "event": ["turn"]}, "event", "is one of"),
        ({**BASE, "turn": {"index": 2**60}}, "turn.index", "whole number"),
        (
            {**BASE, "organisation": {"owners": [{"country": "SG", "percent": 101}]}},
            "organisation.owners",
            "0 to 100",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_field(
    auditor: Visitor, document: dict[str, Any], param: str, said: str
) -> None:
    answer = ask(auditor, document)
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["param"]) == (400, "invalid_value", param)
    assert said in error["message"]
    chinese = auditor.post("/admin/v1/decisions", document, accept_language="zh").json()["error"]
    assert chinese["message"].startswith(f"{param}：")


def test_the_body_is_bounded_and_an_object(auditor: Visitor) -> None:
    assert ask(auditor, {**BASE, "app": "x" * BODY_BYTES}).code == "body_too_large"
    assert ask(auditor, [BASE]).code == "bad_body"
    assert auditor.post("/admin/v1/decisions", BASE, content_type="text/plain").code == "bad_body"
    text = '{"a":' * 9_000 + "1" + "}" * 9_000
    for body in (text, "[" * 60_000):
        answer = auditor.ask(
            "POST", "/admin/v1/decisions", body, origin=auditor.origin, content_type="application/json",
            x_csrf_token=auditor.csrf,
        )  # fmt: skip
        assert answer.status == 400


def test_another_sites_page_asks_nothing(auditor: Visitor) -> None:
    assert auditor.post("/admin/v1/decisions", BASE, origin="http://evil.example").code == "cross_origin"
    assert auditor.post("/admin/v1/decisions", BASE, x_csrf_token="").code == "stale_form"


def test_machines_ask_by_their_role(control: Control) -> None:
    operator = came_in(control, OPERATOR)
    answers = {}
    for role in ("auditor", "operator", "metrics"):
        token = operator.post("/admin/v1/tokens", {"title": role, "role": role}).json()["text"]
        machine = Visitor(operator.port)
        answers[role] = machine.ask(
            "POST", "/admin/v1/decisions", json.dumps(BASE), authorization=f"Bearer {token}",
            content_type="application/json",
        ).status  # fmt: skip
    assert answers == {"auditor": 200, "operator": 200, "metrics": 401}


def test_packs_that_are_read_again_decide_from_then_on(control: Control) -> None:
    operator = came_in(control, OPERATOR)
    own = control.settings.packs_dir
    assert own is not None
    shipped = (files("dragoman") / "packs" / "jurisdictions" / "sg.toml").read_text("utf-8")
    before = ask(operator, BASE).json()
    changed = re.sub(r'version = "[^"]+"', 'version = "9.9.9"', shipped, count=1)
    try:
        (own / "jurisdictions" / "sg.toml").write_text(changed, encoding="utf-8")
        assert operator.post("/admin/v1/reload", {}).status == 200
        after = ask(operator, BASE).json()
        assert before["packs"]["sg"]["version"] != after["packs"]["sg"]["version"] == "9.9.9"
        assert after["id"] != before["id"]
        told = operator.ask("GET", "/admin/v1/packs/vocabulary").json()
        assert told["packs"]["sg"]["version"] == "9.9.9"
    finally:
        (own / "jurisdictions" / "sg.toml").unlink()
        operator.post("/admin/v1/reload", {})
    assert ask(operator, BASE).json() == before


def test_the_vocabulary_is_the_packs_own(auditor: Visitor) -> None:
    told = auditor.ask("GET", "/admin/v1/packs/vocabulary").json()
    assert told == vocabulary(load_packs())
    assert {one["name"] for one in told["features"]} > {"assistant", "companion"}


def names(page: str) -> list[str]:
    return [html.unescape(one) for one in re.findall(r"<tr><td[^>]*><code>([^<]+)</code>", page)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_shows_every_name_and_finds_some(auditor: Visitor, language: str) -> None:
    told = vocabulary(load_packs())
    whole = auditor.page("/vocabulary", accept_language=language).body
    assert names(whole) == [one["name"] for kind in KINDS for one in told[kind]]
    assert all(one["meaning"][language] in whole for one in told["features"])
    found = auditor.page("/vocabulary?q=Companion+PARTNER", accept_language=language).body
    assert "companion:partner" in names(found)
    assert 0 < len(names(found)) < len(names(whole)) / 10
    assert "us-ny.companion.notice" in auditor.page("/vocabulary?q=us-ny.companion.notice").body
    word = {"en": "a virtual partner", "zh": "虚拟伴侣"}[language]
    quoted = "".join(f"%{byte:02x}" for byte in word.encode())
    found = auditor.page(f"/vocabulary?q={quoted}").body
    assert names(found)[0] == "companion:partner"
    assert "assistant" not in names(found)


def test_a_search_that_finds_nothing_says_so_and_is_only_text(auditor: Visitor) -> None:
    page = auditor.page("/vocabulary?q=%3Cscript%3Ealert(1)", accept_language="en").body
    assert names(page) == []
    assert "Nothing with" in page
    assert "<script>alert" not in page
    long = auditor.page(f"/vocabulary?q={'x' * 5_000}", accept_language="en")
    assert (long.status, "x" * 201 in long.body) == (200, False)
