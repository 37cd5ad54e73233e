"""The list of the setup page: what is stated and there turns a line green, and each item names what asks for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.admin.texts import LANGUAGES, TEXTS
from dragoman.checks.checklist import AMBER, GREEN, LATER, LINES, RED, STATES, Line, checklist, texts
from dragoman.checks.results import Subject
from dragoman.control.loaded import read_all
from dragoman.control.rule_check import compile_rules
from dragoman.knowledge.documents import parse
from dragoman.knowledge.engine import SAMPLES, Knowledge
from dragoman.knowledge.model import Source

BARE = '[zone]\ndata = "d"\n'
STATED = """
[deployment]
seat = "SG"
owners = [{ country = "SG", percent = 100 }]
roles = ["ai_deployer"]
feature = "assistant"
contact = "mailto:appeal@example.org"
markets = ["SG"]
[deployment.evidence."representative.ie"]
number = "R-1"
[deployment.evidence."dpo.sg"]
number = "D-1"
"""


OF_DOCUMENTS = {"documents_there", "documents_more", "documents_samples", "documents_none", "samples_there"}


def lines_of(folder: Path, text: str) -> dict[str, Line]:
    file = folder / "dragoman.toml"
    file.write_text(BARE + text, encoding="utf-8")
    loaded = read_all(file, compile_rules)
    return {line.name: line for line in checklist(Subject(loaded.settings, loaded))}


def test_documents_of_ones_own_turn_their_line_green(tmp_path: Path) -> None:
    knowledge = Knowledge(tmp_path / "d" / "knowledge")
    assert codes(lines_of(tmp_path, "")["documents"]) == {"documents_samples"}
    mine = Source(id="help", tenant="ten_a", title="Help pages", owner="Us", licence="CC0-1.0")
    knowledge.shelf.put(mine, [])
    assert lines_of(tmp_path, "")["documents"].state == AMBER, "a source without a document is none"
    knowledge.shelf.put(
        mine, [parse("a.md", b"# Zebra\n\nText.", "a"), parse("b.md", b"# Okapi\n\nText.", "b")]
    )
    line = lines_of(tmp_path, "")["documents"]
    assert (line.state, codes(line)) == (GREEN, {"documents_there", "samples_there"})
    assert "Help pages: 2" in line.items[0].text["en"]
    for sample in SAMPLES:
        knowledge.remove(sample)
    assert codes(lines_of(tmp_path, "")["documents"]) == {"documents_there"}
    for name in ("b", "c", "d"):
        knowledge.shelf.put(replace(mine, id=name), [parse("a.md", b"Text.", "a")])
    assert codes(lines_of(tmp_path, "")["documents"]) == {"documents_there", "documents_more"}
    for source in knowledge.shelf.sources():
        knowledge.remove(source)
    assert codes(lines_of(tmp_path, "")["documents"]) == {"documents_none"}


def codes(line: Line) -> set[str]:
    return {one.code for one in line.items}


def test_a_bare_file_leaves_every_line_open_and_each_item_says_who_asks(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, "")
    assert list(lines) == [name for name, _ in LINES]
    assert {name: line.state for name, line in lines.items()} == {
        "organisation": AMBER,
        "markets": AMBER,
        "model": AMBER,
        "documents": AMBER,
        "channel": LATER,
        "public": RED,  # nobody can log in yet
    }
    for line in lines.values():
        for one in line.items:
            assert one.by, one
            assert set(one.text) == set(LANGUAGES)
    seat = next(one for one in lines["organisation"].items if one.code == "seat_unknown")
    assert "eu.gdpr.representative" in seat.by
    assert seat.source is not None
    assert seat.source.url.startswith("https://")


def test_what_is_stated_turns_a_line_green(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, STATED)
    assert lines["organisation"].state == GREEN
    assert codes(lines["markets"]) == {"market_answered", "packs_unreviewed"}
    assert lines["markets"].state == GREEN


def test_a_market_names_the_rules_that_keep_it_out_once(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, '[deployment]\nmarkets = ["DE", "FR"]\n')
    wanted = [one for one in lines["markets"].items if one.by == ("eu.gdpr.representative",)]
    assert [one.state for one in wanted] == [RED]
    assert wanted[0].text["en"].startswith("DE, FR: ")
    assert lines["markets"].state == RED


def test_a_model_is_told_and_its_missing_key_is_seen(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k", encoding="utf-8")
    model = (
        '[providers.house]\nbase_url = "http://127.0.0.1:1/v1"\nkey_file = "key"\n'
        '[models.house]\nprovider = "house"\nmodel = "m"\n'
    )
    file = tmp_path / "dragoman.toml"
    file.write_text(BARE + model, encoding="utf-8")
    loaded = read_all(file, compile_rules)
    subject = Subject(loaded.settings, loaded)
    assert codes(checklist(subject)[2]) == {"model_there"}
    key.unlink()
    assert codes(checklist(subject)[2]) == {"model_there", "credential_missing"}
    assert checklist(subject)[2].state == AMBER


PUBLIC = """
public_url = "https://ask.example.org"
[edge]
certificate = "c.pem"
key = "k.pem"
[providers.house]
base_url = "http://127.0.0.1:1/v1"
[models.house]
provider = "house"
model = "m"
"""


def public_lines(folder: Path) -> dict[str, Line]:
    for name in ("c.pem", "k.pem"):
        (folder / name).write_text("no certificate", encoding="utf-8")
    return lines_of(folder, PUBLIC + STATED.replace("[deployment]", '[deployment]\nstage = "public"'))


def test_the_gates_of_the_public_stage_are_the_settings_own(tmp_path: Path) -> None:
    line = public_lines(tmp_path)["public"]
    gates = {"gate_deployment_stage_met", "gate_zone_public_url_met", "gate_edge_certificate_met"}
    assert gates | {"admin_none", "certificate_unreadable"} <= codes(line)
    assert {one.by for one in line.items if one.code in gates} == {
        ("deployment.stage",),
        ("zone.public_url",),
        ("edge.certificate",),
    }


def test_every_sentence_is_said_by_some_configuration(tmp_path: Path) -> None:
    both = [lines_of(tmp_path, ""), public_lines(tmp_path)]
    said = {code for lines in both for line in lines.values() for code in codes(line)}
    assert set(texts()) - said == {"admin_there", *OF_DOCUMENTS} - {"documents_none"}, (
        "tests/integration/test_setup.py has somebody in"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_has_words_for_every_line_and_state(language: str) -> None:
    wanted = {f"setup_{name}" for name, _ in LINES} | {f"state_{state}" for state in STATES}
    assert {name for name in wanted if not TEXTS[language].get(name)} == set()
