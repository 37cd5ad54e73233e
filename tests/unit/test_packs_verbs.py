"""`dragoman packs show|diff|cite|new|vocabulary`: what they say, and that each can refuse."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dragoman.decide.cli import app
from dragoman.decide.packs import load_packs

ONCE = cache(load_packs)
SHIPPED = Path(__file__).parents[2] / "src/dragoman/packs"


@pytest.fixture(autouse=True)
def _read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verbs are tried, not how quickly packs load."""
    monkeypatch.setattr("dragoman.decide.cli_common.load_packs", lambda to: load_packs(to) if to else ONCE())


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["packs", *words])


def test_a_rule_is_shown_with_all_it_says() -> None:
    said = run("show", "cn.companion.reminder").output
    for part in (
        "the feature is companion",
        "2026-07-15",
        "obliges",
        "interval_min: 120",
        "cac.gov.cn",
        "[v]",
    ):
        assert part in said
    assert "功能为 companion" in run("show", "cn.companion.reminder", "--lang", "zh").output
    document = json.loads(run("show", "cn.companion.reminder", "--json").output)
    assert document["sources"][0]["article"] == "18"
    assert document["asks"]["interval_min"] == 120
    wrong = run("show", "cn.companion.remindr")
    assert (wrong.exit_code, 'did you mean "cn.companion.reminder"' in wrong.output) == (2, True)


@pytest.mark.parametrize("pack", ["cn", "eu", "openai-api", "web", "self-hosted"])
def test_every_kind_of_pack_is_shown(pack: str) -> None:
    assert run("show", pack).output.startswith(f"{pack} 0.1.0")
    assert json.loads(run("show", pack, "--json").output)["id"] == pack


def test_a_difference_says_what_it_means(tmp_path: Path) -> None:
    text = (SHIPPED / "jurisdictions/sg.toml").read_text("utf-8")
    file = tmp_path / "sg.toml"
    file.write_text(text, "utf-8")
    assert run("diff", str(file)).output == "0 of 1 packs differ\n"
    file.write_text(text.replace("effective_from = 2021-02-01", "effective_from = 2030-02-01"), "utf-8")
    said = run("diff", str(file)).output
    assert "sg.pdpa.breach: changed" in said
    assert "binds later" in said
    (rule,) = json.loads(run("diff", str(file), "--json").output)[0]["rules"]
    assert rule["fields"][0]["new"] == "2030-02-01"
    assert rule["fields"][0]["means"]["zh"] == "更晚生效"


def test_two_folders_are_compared(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, listed in ((one, '"AD", '), (other, "")):
        (folder / "providers").mkdir(parents=True)
        text = (SHIPPED / "providers/anthropic-api.toml").read_text("utf-8")
        (folder / "providers/anthropic-api.toml").write_text(text.replace('"AD", ', listed), "utf-8")
    (field,) = json.loads(run("diff", str(one), str(other), "--json").output)[0]["provider"]
    assert (field["field"], field["old"], field["new"]) == ("territory_allow", ["AD"], [])
    gone = run("diff", str(one), str(tmp_path / "none"))
    assert (gone.exit_code, "no such file" in gone.output) == (2, True)


def test_a_citation_is_found_from_either_side() -> None:
    (source,) = json.loads(run("cite", "sg.pdpa.breach", "--json").output)
    assert (source["title"], source["article"]) == ("Personal Data Protection Act", "26D")
    assert [rule["certainty"] for rule in source["rules"]] == ["g"]
    assert "cn.companion.reminder [v]" in run("cite", "Anthropomorphic").output
    assert "anthropic-api.ownership" in run("cite", "anthropic-api/terms").output
    assert "openai-api.territory" in run("cite", "openai-api.territory").output
    assert run("cite", "no such thing").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [("xx-new", "--iso", "CH"), ("us-tx", "--iso", "US-TX", "--parent", "us"),
     ("vendor", "--kind", "provider"), ("chat", "--kind", "channel")],
)  # fmt: skip
def test_a_new_pack_loads_and_its_cases_hold(words: tuple[str, ...], tmp_path: Path) -> None:
    overlay = str(tmp_path / "packs")
    made = run("new", *words, "--to", overlay)
    assert made.exit_code == 0, made.output
    checked = run("check", "--packs-dir", overlay)
    assert checked.exit_code == 0, checked.output
    again = run("new", *words, "--to", overlay)
    assert (again.exit_code, "nothing was written" in again.output) == (2, True)


def test_a_new_pack_needs_a_place_that_exists(tmp_path: Path) -> None:
    for words in (("xx",), ("xx", "--iso", "ch"), ("xx", "--kind", "law")):
        assert run("new", *words, "--to", str(tmp_path)).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_the_vocabulary_is_printed_and_a_document_held_to_it(tmp_path: Path) -> None:
    assert "companion: sustained emotional interaction" in run("vocabulary", "features").output
    assert "events" in json.loads(run("vocabulary", "--json").output)
    assert json.loads(run("vocabulary", "--baseline").output)["event"] == "turn"
    facts = tmp_path / "facts.json"
    facts.write_text('{"as_of": "2026-11-22", "feature": "compnion"}', "utf-8")
    wrong = CliRunner().invoke(app, ["decide", "--facts", str(facts)])
    assert (wrong.exit_code, 'did you mean "companion"' in wrong.output) == (2, True)
    assert 'did you mean "features"' in run("vocabulary", "featurs").output


def test_every_verb_teaches_by_an_example() -> None:
    for verb in ("check", "show", "diff", "cite", "new", "vocabulary", "refresh"):
        assert f"Example: dragoman packs {verb}" in " ".join(run(verb, "--help").output.split())
