"""`dragoman simulate`: what it says of a record under other packs, and of records that are broken or say too little."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

sys.path.append(str(Path(__file__).parents[1] / "property"))
from recorded_zone import DAY, SEGMENT, entry_of, overlay, random_facts, turn_entries

from dragoman import _native
from dragoman.canonical import canonical
from dragoman.cli import app
from dragoman.core.facts import Facts, FactsError, instant
from dragoman.decide.engine import decide
from dragoman.decide.generalise import generalise
from dragoman.decide.packs import PackSet, load_packs
from dragoman.decide.representatives import stand_for
from dragoman.decide.world import Offer, World

ONCE = cache(load_packs)
CONFIG = """
[deployment]
seat = "SG"
[providers.main]
kind = "openai"
base_url = "https://models.example/v1"
key_env = "NO_SUCH_KEY"
pack = "openai-api"
[models.gpt]
provider = "main"
model = "big"
"""
WORLD = World.of("local", {"gpt": (Offer("main", "openai-api"),)})
READER: Mapping[str, Any] = {
    "as_of": "2026-11-22", "residence": "SG", "address_country": "SG", "address_kind": "residential",
    "identity": {"verified": ["residence", "age"]}, "account": "established", "age": 30, "age_source": "document",
    "model": "gpt", "channel": "api", "app": "app_shop", "feature": "assistant", "modality": ["text"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb is tried, not how quickly packs load."""
    for place in ("dragoman.control.cli_simulate", "dragoman.control.loaded"):
        monkeypatch.setattr(f"{place}.load_packs", lambda to=None: load_packs(to) if to else ONCE())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "dragoman.toml"
    file.write_text(CONFIG, "utf-8")
    return file


def facts(**more: Any) -> Facts:
    return Facts.parse({**READER, **more})


def record(data: Path, *decided: tuple[Facts, int], odd: list[dict[str, Any]] | None = None) -> Path:
    """A zone whose journal holds turns of these facts, and then odd entries."""
    journal = _native.Journal(data / "journal", "local", segment_bytes=SEGMENT)
    number = 0
    for one, turns in decided:
        name, entry = entry_of(decide(one, ONCE(), WORLD), one, ONCE())
        rows = [entry]
        for _ in range(turns):
            rows += turn_entries(number, name, one.as_of)
            number += 1
        journal.append_many([canonical(row) for row in rows])
    if odd:
        journal.append_many([canonical(row) for row in odd])
    journal.close()
    return data


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["simulate", *words])


def told(config: Path, zone: Path, *more: str) -> dict[str, Any]:
    said = run("--config", str(config), "--from", str(zone), "--processes", "1", "--json", *more)
    assert said.exit_code == 0, said.output
    report: dict[str, Any] = json.loads(said.output)
    return report


def test_equal_packs_change_nothing(config: Path, tmp_path: Path) -> None:
    zone = record(tmp_path / "zone", (facts(), 3), (facts(residence="DE", address_country="DE"), 4))
    same = overlay(tmp_path / "next", "providers/openai-api.toml")
    report = told(config, zone, "--packs", str(same))
    assert report["turns"] == {
        "all": 7, "same": 7, "changed": 0, "open": 0, "not_understood": 0, "without_facts": 0, "without_entry": 0,
    }  # fmt: skip
    assert report["packs"]["changed"] == []
    assert (
        run("--config", str(config), "--from", str(zone), "--packs", str(same), "--fail-on-change").exit_code
        == 0
    )


def test_a_changed_list_says_who_is_kept_out_and_by_what(config: Path, tmp_path: Path) -> None:
    zone = record(tmp_path / "zone", (facts(), 3), (facts(residence="DE", address_country="DE"), 4))
    shorter = overlay(tmp_path / "next", "providers/openai-api.toml", ('"SG", ', ""))
    report = told(config, zone, "--packs", str(shorter))
    assert (report["turns"]["same"], report["turns"]["changed"]) == (4, 3)
    (outcome,) = report["outcomes"]
    assert (outcome["after"], outcome["turns"], outcome["decisions"]) == ("DENY", 3, 1)
    rule = report["by_rule"][0]
    assert (rule["rule_id"], rule["differences"][0]["after"]) == ("openai-api.territory", "deny")
    assert [row["pack"] for row in report["by_pack"]] == ["openai-api"]
    places = {row["place"]: (row["changed"], row["same"]) for row in report["by_place"]}
    assert places == {"SG": (3, 0), "DE": (0, 4)}
    assert report["by_app"][0]["app"] == "app_shop"
    turn = outcome["examples"][0]["turn"]
    shown = CliRunner().invoke(app, ["ledger", "show", turn, "--data", str(zone), "--json"])
    assert outcome["examples"][0]["decision"] in shown.output
    plain = run("--config", str(config), "--from", str(zone), "--packs", str(shorter), "--fail-on-change")
    assert plain.exit_code == 1
    for part in ("openai-api.territory", "DENY", turn, "app_shop"):
        assert part in plain.output
    chinese = run(
        "--config", str(config), "--from", str(zone), "--packs", str(shorter), "--lang", "zh"
    ).output
    assert "改变的结果" in chinese
    assert turn in chinese


def test_another_date_shows_the_flips_between(config: Path, tmp_path: Path) -> None:
    provider = facts(
        residence="DE", address_country="DE",
        operator={"roles": ["ai_provider"], "placed_on_market": "2026-06-01", "seat": "SG"},
    )  # fmt: skip
    zone = record(tmp_path / "zone", (provider, 5))
    assert told(config, zone, "--as-of", "2026-11-30")["turns"]["changed"] == 0
    report = told(config, zone, "--as-of", "2026-12-03")
    assert report["turns"]["changed"] == 5
    marking = next(row for row in report["by_rule"] if row["rule_id"] == "eu.aiact.marking")
    duty = next(one for one in marking["differences"] if one["of"] == "obligation")
    assert (duty["name"], duty["before"], duty["after"]) == (
        "label.machine", "advisory from 2026-12-02", "in_force",
    )  # fmt: skip


def test_turns_on_both_sides_of_a_new_date_are_told_apart(config: Path, tmp_path: Path) -> None:
    minor = facts(residence="CN", address_country="CN", feature="companion", audience="public")
    name, entry = entry_of(decide(minor, ONCE(), WORLD), minor, ONCE())
    days = [0, 1, 30, 31, 32]
    rows = [row for n, day in enumerate(days) for row in turn_entries(n, name, minor.as_of + day * DAY)]
    zone = record(tmp_path / "zone", odd=[entry, *rows])
    later = overlay(
        tmp_path / "next", "jurisdictions/cn.toml",
        ('rule_id = "cn.companion.reminder"\nkind = "reminder"\n', 'rule_id = "cn.companion.reminder"\nkind = "reminder"\neffective_to = 2026-12-15\n'),
    )  # fmt: skip
    report = told(config, zone, "--packs", str(later))
    assert (report["turns"]["same"], report["turns"]["changed"]) == (2, 3)
    assert {row["rule_id"] for row in report["by_rule"]} == {"cn.companion.reminder"}


def test_a_parameter_is_shown_before_and_after(config: Path, tmp_path: Path) -> None:
    minor = facts(residence="CN", address_country="CN", feature="companion", audience="public")
    zone = record(tmp_path / "zone", (minor, 2))
    sooner = overlay(tmp_path / "next", "jurisdictions/cn.toml", ("interval_min = 120", "interval_min = 90"))
    report = told(config, zone, "--packs", str(sooner))
    found = [
        (one["name"], one["before"], one["after"]) for row in report["by_rule"] for one in row["differences"]
    ]
    assert found == [("reminder.interval_min", "120", "90")]


def test_a_threshold_inside_a_recorded_band_is_left_open(config: Path, tmp_path: Path) -> None:
    young = facts(residence="KR", address_country="KR", age=15)
    zone = record(tmp_path / "zone", (young, 4), (facts(residence="KR", address_country="KR", age=30), 2))
    band = generalise(young, ONCE())["age"]
    assert band == "15-<16"
    data = json.loads(json.dumps(entry_of(decide(young, ONCE(), WORLD), young, ONCE())[1]))
    wide = {**data, "decision": "dec_wide", "facts": {**data["facts"], "age": "14-<18"}}
    zone = record(tmp_path / "wide", odd=[wide, *turn_entries(9, "dec_wide", young.as_of)])
    higher = overlay(tmp_path / "next", "jurisdictions/kr.toml", ("consent_age = 14", "consent_age = 16"))
    report = told(config, zone, "--packs", str(higher))
    assert report["turns"]["open"] == 1
    assert report["open"][0]["facts"] == "age"
    words = ("--config", str(config), "--from", str(zone), "--packs", str(higher), "--fail-on-change")
    assert run(*words).exit_code == 3


def test_what_is_not_understood_or_not_there_is_counted_with_its_reason(config: Path, tmp_path: Path) -> None:
    name, entry = entry_of(decide(facts(), ONCE(), WORLD), facts(), ONCE())
    at = facts().as_of
    erased = {key: value for key, value in entry.items() if key != "facts"} | {"decision": "dec_erased"}
    strange = {**entry, "decision": "dec_strange", "facts": {**entry["facts"], "shoe_size": "40+"}}
    broken = {**entry, "decision": "dec_band", "facts": {**entry["facts"], "age": "old"}}
    odd = [
        erased, strange, broken, {**entry, "decision": "dec_unused"},
        *turn_entries(1, "dec_erased", at), *turn_entries(2, "dec_strange", at), *turn_entries(3, "dec_band", at),
        *turn_entries(4, "dec_nowhere", at), *turn_entries(5, name, at, simulated=True),
    ]  # fmt: skip
    zone = record(tmp_path / "zone", (facts(), 2), odd=odd)
    report = told(config, zone, "--as-of", "2026-11-23")
    assert report["turns"] == {
        "all": 6, "same": 2, "changed": 0, "open": 0, "not_understood": 2, "without_facts": 1, "without_entry": 1,
    }  # fmt: skip
    assert report["simulated_left_out"] == 1
    reasons = [row["reason"] for row in report["not_understood"]]
    assert any("shoe_size: is not a known fact" in reason for reason in reasons)
    assert any("age: is not a recorded band" in reason for reason in reasons)
    assert report["examples"]["without_entry"][0]["turn"] == "trn_local_4"


def test_a_name_that_the_new_packs_forgot_is_not_taken_for_lawless(config: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    overlay(own, "jurisdictions/sg.toml", ("[[rules]]", OWN_RULE + "\n[[rules]]"))
    (own / "cases").mkdir()
    (own / "cases" / "sg-own.toml").write_text(OWN_CASES, "utf-8")
    odd = facts(feature="horoscope")
    zone = record(tmp_path / "zone", (odd, 2), (facts(feature="tarot"), 3))
    same = overlay(tmp_path / "next", "jurisdictions/sg.toml")
    report = told(config, zone, "--packs-dir", str(own), "--packs", str(same))
    # A name strange to both is decided as it was; one that only the old packs know is not.
    assert (report["turns"]["not_understood"], report["turns"]["same"]) == (2, 3)
    assert "horoscope" in report["not_understood"][0]["reason"]


def test_what_new_packs_ask_beyond_the_record_is_named(config: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    overlay(
        own,
        "jurisdictions/sg.toml",
        ("[[rules]]", OWN_RULE.replace("horoscope", "assistant") + "\n[[rules]]"),
    )
    (own / "cases").mkdir()
    (own / "cases" / "sg-own.toml").write_text(OWN_CASES.replace("horoscope", "assistant"), "utf-8")
    report = told(config, record(tmp_path / "zone", (facts(), 2)), "--packs", str(own))
    assert [row["fact"] for row in report["not_recorded"]] == ["media.realistic"]
    assert report["by_rule"][0]["rule_id"] == "sg.own"


def test_a_log_that_is_cut_or_damaged_is_an_error_with_file_and_entry(config: Path, tmp_path: Path) -> None:
    zone = record(tmp_path / "zone", *((facts(age=18 + n), 3) for n in range(5)))
    (segment,) = (zone / "journal").glob("*/segments/*.seg")
    whole = segment.read_bytes()
    at = whole.rindex(b'"kind":"result"')
    for what in (whole[: at - 200], whole[:at] + b"!" + whole[at + 1 :]):
        segment.write_bytes(what)
        said = run("--config", str(config), "--from", str(zone), "--as-of", "2027-01-01")
        assert said.exit_code == 2
        assert f"{segment} is damaged or cut short at entry " in said.output
    chinese = run("--config", str(config), "--from", str(zone), "--as-of", "2027-01-01", "--lang", "zh")
    assert "损坏或被截断" in chinese.output
    segment.write_bytes(whole)
    assert run("--config", str(config), "--from", str(zone), "--as-of", "2027-01-01").exit_code == 0
    (checkpoint,) = (zone / "journal").glob("*/checkpoint")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    assert (
        f"{checkpoint} is damaged"
        in run("--config", str(config), "--from", str(zone), "--as-of", "2027-01-01").output
    )


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"kind": "intent", "turn": "trn_1", "at": 1}, "does not say turn, decision and time"),
        ({"kind": "intent", "turn": "trn_1", "decision": "dec_1", "at": "soon"}, "does not say turn"),
        ({"kind": "result", "turn": 7, "decision": "dec_1", "at": 1}, "does not say turn"),
    ],
)
def test_an_entry_that_says_too_little_is_named(
    config: Path, tmp_path: Path, entry: dict[str, Any], why: str
) -> None:
    zone = record(tmp_path / "zone", odd=[{"v": 1, **entry}])
    said = run("--config", str(config), "--from", str(zone), "--as-of", "2027-01-01")
    assert said.exit_code == 2
    assert "entry 1: this" in said.output
    assert why in said.output


def test_an_export_tells_what_the_folder_tells(config: Path, tmp_path: Path) -> None:
    zone = record(
        tmp_path / "zone", (facts(), 3), (facts(residence="DE", address_country="DE", app="中文"), 4)
    )
    file = tmp_path / "export.jsonl"
    file.write_text(CliRunner().invoke(app, ["ledger", "export", "--data", str(zone)]).output, "utf-8")
    shorter = ("--packs", str(overlay(tmp_path / "next", "providers/openai-api.toml", ('"SG", ', ""))))
    one, other = told(config, zone, *shorter), told(config, file, *shorter)
    assert one["turns"]["changed"] == 3
    assert {**one, "source": ""} == {**other, "source": ""}
    cut = file.read_text("utf-8")[:-40]
    file.write_text(cut, "utf-8")
    said = run("--config", str(config), "--from", str(file), *shorter)
    assert said.exit_code == 2
    assert f"entry {len(cut.splitlines())} is no JSON" in said.output


def test_facts_documents_are_replayed_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    document = {**READER, "model": "openai-api"}
    lines = [
        document,
        {**document, "feature": "asistant"},
        {key: v for key, v in document.items() if key != "as_of"},
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", "utf-8")
    shorter = overlay(tmp_path / "next", "providers/openai-api.toml", ('"SG", ', ""))
    words = ("--from", str(file), "--packs", str(shorter))
    report = json.loads(run(*words, "--json").output)
    assert (report["turns"]["changed"], report["turns"]["not_understood"]) == (1, 2)
    assert report["outcomes"][0]["examples"] == [{"decision": f"{file}:1", "turn": None}]
    assert any('did you mean "assistant"' in row["reason"] for row in report["not_understood"])
    assert run(*words, "--fail-on-change").exit_code == 1
    file.write_text(json.dumps(document) + '\n{"as_of": ', "utf-8")
    said = run(*words)
    assert (said.exit_code, f"{file}, entry 2 is no JSON" in said.output) == (2, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--from", "nowhere", "--as-of", "2027-01-01"), "there is no such file or folder"),
        (("--from", "zone"), "without them nothing changes"),
        (("--from", "zone", "--as-of", "soon"), "--as-of"),
        (("--from", "zone", "--packs", "nowhere"), "is no folder"),
        (("--from", "empty", "--as-of", "2027-01-01"), "holds no log"),
    ],
)
def test_wrong_use_says_what_to_do(
    config: Path, tmp_path: Path, words: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "zone", (facts(), 1))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    said = run("--config", str(config), *words)
    assert said.exit_code == 2
    assert why in said.output


def test_the_terms_of_a_configured_provider_have_to_be_there(config: Path, tmp_path: Path) -> None:
    zone = record(tmp_path / "zone", (facts(), 1))
    own = overlay(tmp_path / "own", "providers/openai-api.toml", ('id = "openai-api"', 'id = "own-terms"'))
    (own / "providers/openai-api.toml").rename(own / "providers/own-terms.toml")
    config.write_text(
        f'packs_dir = "{own}"\n' + CONFIG.replace('pack = "openai-api"', 'pack = "own-terms"'), "utf-8"
    )
    same = overlay(tmp_path / "next", "providers/openai-api.toml")
    said = run("--config", str(config), "--from", str(zone), "--packs", str(same))
    assert (said.exit_code, "terms of pack own-terms, which is missing here" in said.output) == (2, True)


def test_facts_that_stand_for_a_record_are_recorded_alike() -> None:
    packs = ONCE()
    for one in random_facts(150, 3):
        general = generalise(one, packs)
        stand = stand_for(general, one.as_of, packs.cuts)
        assert stand.split == ()
        assert [generalise(way, packs) for way in stand.variants] == [general]
        again = decide(stand.variants[0], packs, WORLD)
        assert again.outcome == decide(one.without(["guardian_consent.method"]), packs, WORLD).outcome


def test_a_band_that_is_cut_stands_for_each_part_and_too_many_parts_for_none() -> None:
    cuts = {"age": (14, 16, 18), "turn.index": tuple(range(40)), "turn.continuous_minutes": tuple(range(40))}
    stand = stand_for({"age": "13-<18", "residence": "DE"}, 0, cuts)
    assert [one.values["age"] for one in stand.variants] == [13, 14, 16]
    assert stand.split == ("age",)
    wide = {"turn.index": "0+", "turn.continuous_minutes": "0+"}
    assert stand_for(wide, 0, cuts).variants == ()
    for wrong in ({"phone": ["XX"]}, {"operator.evidence.icp_filing": {}}, {"age": 17}):
        with pytest.raises(FactsError):
            stand_for(wrong, 0, cuts)


def test_a_notice_due_again_has_a_band_of_its_own() -> None:
    packs: PackSet = ONCE()
    week = 7 * 24 * 60
    notice = next(rule for rule in packs.packs["us-ut"].rules if "every" in rule.payload).payload["id"]
    bands = {
        generalise(Facts(0, {f"turn.minutes_since.{notice}": minutes}), packs)[f"turn.minutes_since.{notice}"]
        for minutes in (week - 1, week)
    }
    assert len(bands) == 2
    assert instant("2026-11-22") == facts().as_of


OWN_RULE = """
[[rules]]
rule_id = "sg.own"
kind = "label.visible"
applies_when = { feature = ["horoscope"], realistic = true }
effective_from = 2026-01-01
enforcement = "in_force"
on_missing = "oblige"
source_refs = ["pdpa11"]
certainty = "v"
reason_code = "SG_OWN"
title = { en = "A rule of one's own", zh = "自有规则" }

[rules.label.visible]
modality = ["text"]
locale_text = { en = "AI", zh = "AI" }
"""
OWN_CASES = """
[[cases]]
rule_id = "sg.own"
as_of = 2026-11-22
given = { residence = "SG", address_country = "SG", feature = "horoscope" }
[cases.expect]
reason_codes = ["SG_OWN"]

[[cases]]
rule_id = "sg.own"
as_of = 2025-11-22
given = { residence = "SG", address_country = "SG" }
[cases.expect]
absent_codes = ["SG_OWN"]
"""
