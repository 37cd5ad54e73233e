"""The golden messages, read from control's side: shapes, digests, and that control accepts or makes each of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.accounts.simulated import Simulated, facts_of_simulated
from dragoman.accounts.texts import refused, wrong_zone
from dragoman.budgets.allotments import Allotments
from dragoman.budgets.book import Book, NoLimits, limit_document, rate_document
from dragoman.canonical import canonical, digest
from dragoman.control import questions
from dragoman.control.journal_feed import project
from dragoman.control.loaded import Holder, read_all
from dragoman.control.planner import Planner
from dragoman.errors import RefusedError
from dragoman.policy.rules import EMPTY_DOCUMENT, Rule, rule_set
from dragoman.settings_limits import Limit, Rate
from dragoman.stores.budgets import Budgets
from dragoman.stores.database import Database
from dragoman.stores.migrate import migrate

GOLDEN = Path(__file__).parent / "v1"


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def shape(value: Any) -> Any:
    """Names and kinds, without the values."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_every_golden_file_is_known_here() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    for file in GOLDEN.glob("*.json"):
        name = file.name.removesuffix(".json")
        assert name in text, f"no test here reads {name}"


@pytest.mark.parametrize(
    "name", ["principal.request.api_key", "principal.request.session", "principal.request.socket"]
)
def test_principal_questions_are_accepted(name: str) -> None:
    assert questions.principal_question(golden(name)) == golden(name)


def test_a_socket_credential_from_elsewhere_is_refused() -> None:
    with pytest.raises(RefusedError):
        questions.principal_question({**golden("principal.request.socket"), "peer": "remote"})


def test_plan_question_is_accepted_whole_only() -> None:
    question = golden("plan.request")
    assert questions.plan_question(question) == question
    for name in question:
        with pytest.raises(RefusedError):
            questions.plan_question({n: v for n, v in question.items() if n != name})
    with pytest.raises(RefusedError):
        questions.plan_question({**question, "text": "no text is ever asked"})


def test_plan_has_the_golden_shape() -> None:
    question, expected = golden("plan.request"), golden("plan.response.allow")
    planner = Planner(
        Holder(read_all(None, lambda _: None)), lambda _: {"end_users": "none", "account": "established"}
    )
    plan = planner.plan(question, 1_795_000_000_000)
    assert set(plan) == set(expected)
    assert plan["question"] == expected["question"] == digest(question)
    assert set(plan["decision_entry"]) == set(golden("entry.decision"))
    assert plan["labels"][0] == expected["labels"][0]
    assert shape(plan["attempts"]) == shape(expected["attempts"])
    assert shape(plan["limits"]) == shape(expected["limits"])
    members = {"outcome", "text", "reasons", "lifts", "step_up", "address"}
    assert golden("plan.response.deny")["refusal"].keys() == members


def test_rule_set_digest_is_over_the_exact_document() -> None:
    document = golden("ruleset.response")
    rule = document["rules"][0]
    made = rule_set([Rule(**{name: value for name, value in rule.items() if name != "view"})], lambda _: None)
    assert json.loads(made.body) == document
    assert made.digest == digest(document) == golden("plan.response.allow")["rules_in"]
    assert golden("ruleset.empty.response") == EMPTY_DOCUMENT


def test_relay_configuration_digest_leaves_itself_out() -> None:
    document = golden("relay.config")
    assert document["digest"] == digest({name: value for name, value in document.items() if name != "digest"})
    made = read_all(None, lambda _: None).relay
    assert set(made) == set(document)
    assert made["digest"] == digest({name: value for name, value in made.items() if name != "digest"})


def test_changes_and_errors_have_their_shape() -> None:
    assert set(golden("changes.reset.response")) == set(golden("changes.response")) | {"reset"}
    assert shape(refused("invalid_key").document()) == shape(golden("error.response"))
    assert (
        wrong_zone("eu", "https://eu.example.org").document()["error"].keys()
        == golden("error.wrong_zone.response")["error"].keys()
    )
    assert set(golden("principal.response")) >= {"principal", "tenant", "class", "expires"}


def test_interventions_are_accepted_and_checked() -> None:
    body = golden("interventions.request")
    assert questions.interventions(body) == body["interventions"]
    for name in ("id", "turn", "tenant", "principal", "at", "origin", "automated"):
        broken = {n: v for n, v in body["interventions"][0].items() if n != name}
        with pytest.raises(RefusedError):
            questions.interventions({"interventions": [broken]})
    for times in (0, 2**53, True, "2"):
        with pytest.raises(RefusedError):
            questions.interventions({"interventions": [{**body["interventions"][0], "n": times}]})


def test_allotments_are_granted_in_the_golden_shape(tmp_path: Path) -> None:
    migrate(tmp_path / "zone.db")
    database = Database(tmp_path / "zone.db")
    limit = Limit(id="team-daily", tenant="default", each="key", unit="tokens", per="day", most=100_000)
    book = Book(lambda: ((limit,), ()), NoLimits())
    request, expected = golden("allotments.request"), golden("allotments.response")
    try:
        answer = asyncio.run(Allotments(book, Budgets(database, "local")).take(request, expected["now"]))
    finally:
        database.close()
    # 5,000 were granted before; a quarter of the 95,000 that are left would be more than what is wanted.
    assert answer == expected
    assert limit_document(limit) == golden("plan.response.allow")["budgets"][0]
    assert (
        shape(golden("principal.response.limits")["budgets"][0]).keys() == shape(limit_document(limit)).keys()
    )
    rate = Rate(id="pace", unit="requests", most=600, burst=60)
    assert rate_document(rate) == golden("plan.response.allow")["rates"][0]
    assert golden("plan.response.deny")["budgets"] == golden("plan.response.deny")["rates"] == []


def test_entries_are_projected() -> None:
    entries = [golden("entry.decision"), golden("entry.intent"), golden("entry.result")]
    batch = project(b"".join(canonical(entry) + b"\n" for entry in entries), 0)
    assert batch.entries == 3
    assert [(row.turns, row.input, row.output, row.unknown) for row in batch.usage] == [(1, 3, 9, 0)]
    assert batch.usage[0].day == "2026-09-21"
    spent = [(spend.limit, spend.index, spend.amount) for spend in batch.spends]
    assert spent == [("team-daily", 2, 12)]
    assert batch.spends[0].bucket == golden("entry.intent")["budget"][0]["bucket"]
    assert shape(golden("journal.response")) == shape(golden("cursor.response")) == {"next": "int"}
    with pytest.raises(RefusedError):
        project(b"[]\n", 0)


def test_entries_of_simulated_turns_are_in_no_report() -> None:
    names = ("entry.decision.simulated", "entry.intent.simulated", "entry.result.simulated")
    entries = [golden(name) for name in names]
    assert all(entry["simulated"] is True for entry in entries)
    batch = project(b"".join(canonical(entry) + b"\n" for entry in entries), 0)
    assert (batch.entries, list(batch.usage)) == (3, [])
    real = [{name: value for name, value in entry.items() if name != "simulated"} for entry in entries]
    assert real == [golden(name.removesuffix(".simulated")) for name in names]
    assert project(b"".join(canonical(entry) + b"\n" for entry in real), 0).usage, "the control"


def test_a_simulated_plan_and_principal_say_so() -> None:
    question, expected = golden("plan.request"), golden("plan.response.simulated")
    pretence = facts_of_simulated(Simulated.parse({"residence": "SG", "place": "SG", "age": 30}))
    plan = Planner(Holder(read_all(None, lambda _: None)), lambda _: pretence).plan(
        question, 1_795_000_000_000
    )
    assert set(plan) == set(expected)
    assert plan["simulated"] is expected["simulated"] is True
    assert set(plan["decision_entry"]) == set(golden("entry.decision.simulated"))
    assert expected["refusal"]["outcome"] == "NOT_CARRIED_OUT"
    assert set(golden("principal.response.simulated")) == {*golden("principal.response"), "simulated"}
