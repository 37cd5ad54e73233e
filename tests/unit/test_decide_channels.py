"""Platforms' rules: the country code of a number, their dates, the trace, and what was not read of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dragoman.core.facts import Facts
from dragoman.decide.conditions import compile_condition
from dragoman.decide.engine import decide
from dragoman.decide.explain import trace
from dragoman.decide.packs import baseline_document, load_packs
from dragoman.decide.schema import PackError
from dragoman.decide.shown import pack_document, pack_lines
from dragoman.decide.world import World

PACKS = load_packs()
WORLD = World.from_packs(PACKS)
SINGAPORE, ITALY = "+6591234567", "+393123456789"


def facts(**edits: Any) -> Facts:
    return Facts.parse({**baseline_document(), **edits})


def test_a_platforms_date_ends_what_a_decision_holds() -> None:
    begins = int(datetime(2026, 1, 15, tzinfo=UTC).timestamp() * 1000)
    ahead = decide(facts(as_of="2026-01-10", channel="whatsapp", phone=SINGAPORE), PACKS, WORLD)
    assert (ahead.outcome, ahead.holds_until) == ("ALLOW", begins)
    last, first = (
        decide(facts(as_of=begins + step, channel="whatsapp", phone=SINGAPORE), PACKS, WORLD)
        for step in (-1, 0)
    )
    assert (last.outcome, first.outcome) == ("ALLOW", "DENY")
    assert last.id == ahead.id != first.id
    own = decide(facts(as_of="2026-01-10", channel="api", phone=SINGAPORE), PACKS, WORLD)
    assert own.holds_until is None or own.holds_until > begins, "the control: our own channel has no such day"


@pytest.mark.parametrize(("phone", "applies"), [(SINGAPORE, True), (ITALY, False), (None, None)])
def test_the_trace_has_the_channels_rules_as_they_were_judged(
    phone: str | None, applies: bool | None
) -> None:
    told = facts(channel="whatsapp", phone=phone)
    steps = {step.rule_id: step for step in trace(told, PACKS, WORLD)}
    assert steps["whatsapp.general_purpose"].applies is applies
    refused = decide(told, PACKS, WORLD).outcome == "DENY"
    assert refused == (applies is not False)
    assert not [
        one for one in trace(facts(channel="api"), PACKS, WORLD) if one.rule_id.startswith("whatsapp.")
    ]


def test_the_trace_knows_whose_number_it_is() -> None:
    """A rule of those who belong to a place applies by the number alone."""
    steps = {step.rule_id: step for step in trace(facts(phone="+79161234567"), PACKS, WORLD)}
    at_home = [rule.rule_id for rule in PACKS.packs["ru"].rules if "'home'" in str(_raw("ru", rule.rule_id))]
    assert at_home
    assert any(steps[rule].applies is True for rule in at_home)
    elsewhere = {step.rule_id: step for step in trace(facts(phone=SINGAPORE), PACKS, WORLD)}
    assert not any(rule in elsewhere and elsewhere[rule].applies for rule in at_home), "the control"


def _raw(pack: str, rule_id: str) -> dict[str, Any]:
    return next(row for row in PACKS.packs[pack].document["rules"] if row["rule_id"] == rule_id)


@pytest.mark.parametrize("code", ["+39", "039", "IT", "999", "", "³9"])
def test_a_country_code_that_is_none_does_not_load(code: str) -> None:
    with pytest.raises(PackError, match="country code"):
        compile_condition({"calling_code": [code]}, "here")
    compile_condition({"calling_code": ["39", "55"]}, "here")


def test_who_reads_a_pack_is_told_that_the_platforms_rules_are_unread() -> None:
    read, unread = PACKS.packs["whatsapp"], PACKS.packs["telegram"]
    assert "What the platform asks of an assistant was not read" in "\n".join(pack_lines(unread, "en"))
    assert "尚未查阅" in "\n".join(pack_lines(unread, "zh"))
    assert "not read" not in "\n".join(pack_lines(read, "en")).splitlines()[1]
    assert pack_document(unread)["channel"]["terms_read"] is False
    assert pack_document(read)["channel"]["terms_read"] is True
