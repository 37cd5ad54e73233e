"""The published schemas say what the readers do: every shipped pack passes, what a reader refuses does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from dragoman.core.facts import Facts, FactsError
from dragoman.decide.asked import decide_facts
from dragoman.decide.cases import case_facts
from dragoman.decide.cli import app
from dragoman.decide.cli_common import baseline, json_values
from dragoman.decide.engine import decide
from dragoman.decide.packs import baseline_document, load_packs
from dragoman.decide.published import NAMES, schemas
from dragoman.decide.world import World

PACKS = load_packs()
WORLD = World.from_packs(PACKS)
CHECKS = {name: Draft202012Validator(schema) for name, schema in schemas().items()}


def test_the_schemas_are_schemas() -> None:
    for schema in schemas().values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("pack", sorted(PACKS.packs))
def test_every_shipped_pack_passes(pack: str) -> None:
    document = json_values(dict(PACKS.packs[pack].document))
    assert [error.message[:200] for error in CHECKS["pack"].iter_errors(document)] == []


def _without(*path: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for part in path[:-1]:
            document = document[part]
        del document[path[-1]]

    return change


def _with(value: Any, *path: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for part in path[:-1]:
            document = document[part]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize("change", [
    _without("pack", "title"),
    _without("rules", 0, "source_refs"),
    _with(1, "rules", 0, "severity"),
    _with("maybe", "rules", 0, "certainty"),
    _with("deny", "rules", 0, "on_missing"),
    _with(["XQ"], "pack", "iso"),
    _with({"event": ["trun"]}, "rules", 0, "applies_when"),
    _with({"all": []}, "rules", 0, "applies_when"),
    _with("20210201", "rules", 0, "effective_from"),
    _with({"en": "only"}, "rules", 0, "title"),
])  # fmt: skip
def test_what_does_not_load_does_not_pass(change: Callable[[Any], None]) -> None:
    document = json_values(copy.deepcopy(dict(PACKS.packs["sg"].document)))
    assert not list(CHECKS["pack"].iter_errors(document))
    change(document)
    assert list(CHECKS["pack"].iter_errors(document))


def test_the_baseline_and_every_decision_pass() -> None:
    assert not list(CHECKS["facts"].iter_errors(baseline()))
    document = baseline_document()
    for case in PACKS.cases[::7]:
        decision = decide(case_facts(case, document), PACKS, WORLD).to_dict()
        assert [error.message[:200] for error in CHECKS["decision"].iter_errors(json_values(decision))] == []


@pytest.mark.parametrize("document", [
    {}, {"as_of": "2026-11-22", "residnce": "SG"}, {"as_of": "2026-11-22", "residence": "sg"},
    {"as_of": "2026-11-22", "age": 151}, {"as_of": "2026-11-22", "event": "trun"},
    {"as_of": "2026-11-22", "operator": {"counters": {"cn_mau": -1}}},
    {"as_of": "2026-11-22", "organisation": {"owners": [{"country": "SG", "percent": 101}]}},
])  # fmt: skip
def test_schema_and_reader_refuse_the_same_facts(document: dict[str, Any]) -> None:
    assert list(CHECKS["facts"].iter_errors(document))
    with pytest.raises(FactsError):
        decide_facts(Facts.parse(document), PACKS)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_published_is_what_the_command_prints(name: str) -> None:
    printed = CliRunner().invoke(app, ["packs", "schema", name]).output
    assert json.loads(printed) == schemas()[name]
