"""Notices and refusals that depend on a conversation, over control's sockets: due, shown, counted, due again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from turns_control import Relay, answer_record, new_key, person

from dragoman.control.app import Control
from dragoman.stores.turn_tables import uses

RULE = """
[[rules]]
rule_id = "aq.{name}"
kind = "{kind}"
applies_when = {{ event = ["turn"]{when} }}
effective_from = 2020-01-01
enforcement = "in_force"
on_missing = "{missing}"
source_refs = ["s"]
certainty = "v"
reason_code = "AQ_{code}"
title = {{ en = "{name}", zh = "{name}" }}
[rules.{kind}]
{body}
"""
PACK = """
[pack]
id = "aq"
version = "0.1.0"
schema_version = "1"
status = "unreviewed"
title = { en = "Nowhere", zh = "无处" }
iso = ["AQ"]
timezones = ["UTC"]
[[sources]]
id = "s"
title = "An act"
lang = "en"
official = false
""" + "".join(
    RULE.format(name=name, code=name.upper(), kind=kind, when=when, missing=missing, body=body)
    for name, kind, when, missing, body in [
        ("first", "notice", "", "oblige", 'id = "first"\ntrigger = "first_turn"\nlocale_text = { en = "An AI.", zh = "人工智能。" }'),
        ("hour", "reminder", "", "oblige", 'id = "hour"\ninterval_min = 60\nlocale_text = { en = "An hour.", zh = "一小时。" }'),
        ("end", "availability", ", turn_index = { gt = 5 }", "deny", 'mode = "prohibited"'),
    ]
)  # fmt: skip
CASE = """
[[cases]]
rule_id = "aq.{name}"
as_of = 2026-11-22
given = {{ residence = "AQ", address_country = "AQ", turn = {{ {turn} }} }}
[cases.expect]
{expect}
"""
CASES = "".join(
    CASE.format(name=name, turn=turn, expect=expect)
    for name, turn, expect in [
        ("first", "index = 1, continuous_minutes = 0", 'reason_codes = ["AQ_FIRST"]'),
        ("first", "index = 2, continuous_minutes = 0", 'absent_codes = ["AQ_FIRST"]'),
        ("hour", "index = 2, continuous_minutes = 60", 'reason_codes = ["AQ_HOUR"]'),
        ("hour", "index = 2, continuous_minutes = 59", 'absent_codes = ["AQ_HOUR"]'),
        ("end", "index = 6, continuous_minutes = 0", 'reason_codes = ["AQ_END"]'),
        ("end", "index = 5, continuous_minutes = 0", 'absent_codes = ["AQ_END"]'),
    ]
)
CONFIG = """
packs_dir = "packs"
[deployment]
audience = "public"
[zone]
data = "d"
country = "AQ"
[tenants.acme]
staff_residence = "AQ"
staff_adults = true
"""
MINUTE = 60_000


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("due")
    for name, text in {"jurisdictions": PACK, "cases": CASES}.items():
        (folder / "packs" / name).mkdir(parents=True)
        (folder / "packs" / name / "aq.toml").write_text(text, encoding="utf-8")
    (folder / "dragoman.toml").write_text(CONFIG, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


@pytest.fixture
def relay(control: Control) -> Relay:
    run: Path = control.settings.zone.data / "run"
    return Relay(run, person(run, new_key(run, tenant="acme")["text"]))


def due(opened: dict) -> list[str]:
    return [one["id"] for one in opened["notices"]]


def used_for(control: Control, relay: Relay, minutes: int) -> None:
    """Let the person's use have begun so long ago, with a turn a minute ago."""

    def work(connection: sa.Connection) -> None:
        now = connection.execute(
            sa.select(uses.c.last_at).where(uses.c.principal == relay.who["principal"])
        ).scalar_one()
        change = sa.update(uses).where(uses.c.principal == relay.who["principal"])
        connection.execute(change.values(began_at=now - minutes * MINUTE, last_at=now))

    control.core.database.write(work)


def test_notices_of_a_conversation(control: Control, relay: Relay) -> None:
    plan = relay.plan("POST", "/plan", relay.question(route="/v1/conversations/turns"))[1]
    assert plan["residual"] == ["aq.end", "aq.first", "aq.hour"]
    assert plan["notices"] == []
    name = relay.conversation()
    first = relay.open(name)[1]
    assert due(first) == ["first"]
    assert first["notices"][0]["text"] == {"en": "An AI.", "zh": "人工智能。"}
    assert first["decision_entry"]["outcome"] == "ALLOW_WITH"
    assert first["decision_entry"]["facts"]["turn.index"] == "0-<2"
    record = answer_record("Hi")
    relay.close(first["turn"], record, notices=["first"])
    relay.finish(first["turn"], record)
    shown = relay.v1("GET", f"/{name}/turns/{first['turn']}")[1]
    assert shown["answer"]["choices"][0]["message"]["content"] == "[AI-generated] \nAn AI.\n\nHi"
    assert [one["id"] for one in shown["dragoman"]["notices"]] == ["first"]
    assert due(relay.turn(name)) == []
    assert due(relay.turn(relay.conversation())) == ["first"], "each conversation begins"
    assert due(relay.turn(name, parent="root")) == ["first"], "so does another beginning"


def test_a_reminder_over_all_conversations_until_it_was_shown(control: Control, relay: Relay) -> None:
    one, two = relay.conversation(), relay.conversation()
    relay.turn(one)
    relay.turn(two)
    used_for(control, relay, 59)
    assert due(relay.turn(one)) == []
    used_for(control, relay, 60)
    opened = relay.open(two)[1]
    assert due(opened) == ["hour"]
    record = answer_record("x")
    relay.close(opened["turn"], record, notices=[])
    relay.finish(opened["turn"], record)
    tenant, principal = relay.who["tenant"], relay.who["principal"]
    assert control.core.turns.read(tenant, lambda rows: rows.shown(principal)) == []
    opened = relay.open(two)[1]
    assert due(opened) == ["hour"], "one that was not shown is still due"
    relay.close(opened["turn"], record, notices=["hour"])
    relay.finish(opened["turn"], record)
    assert due(relay.turn(one)) == []
    kept = control.core.turns.read(tenant, lambda rows: rows.shown(principal))
    assert [(shown.notice, shown.kind) for shown in kept] == [("hour", "reminder")]


def test_a_refusal_that_only_the_conversation_knows(control: Control, relay: Relay) -> None:
    name = relay.conversation()
    for _ in range(5):
        relay.turn(name)
    opened = relay.open(name)[1]
    refusal = opened["refusal"]
    assert refusal["outcome"] == "DENY"
    assert refusal["reasons"][0]["code"] == "AQ_END"
    assert opened["notices"] == []
    decision = opened["decision_entry"]["decision"]
    assert decision in refusal["text"]["en"]
    told = {"dragoman_tenant": relay.who["tenant"], "dragoman_principal": relay.who["principal"]}
    status, statement = relay.call("pages.sock", "GET", f"/v1/interventions/{decision}", **told)
    assert status == 200
    assert "AQ_END" in str(statement)
    record = answer_record(refusal["text"]["en"], "content_filter")
    relay.close(opened["turn"], record, "denied", labels=[], decision=decision)
    relay.finish(opened["turn"], record)
    shown = relay.v1("GET", f"/{name}/turns/{opened['turn']}")[1]
    told = {part: shown["dragoman"][part] for part in ("outcome", "reasons", "appeal")}
    assert told == {"outcome": "DENY", "reasons": refusal["reasons"], "appeal": f"/appeal/{decision}"}
    before = relay.v1("GET", f"/{name}/turns/{shown['parent']}")[1]
    assert not {"outcome", "reasons", "appeal"} & set(before["dragoman"]), "the control: one that was allowed"
    assert (shown["status"], shown["dragoman"]["labels"], shown["dragoman"]["notices"]) == ("denied", [], [])
    assert shown["answer"]["choices"][0]["message"]["content"] == refusal["text"]["en"]


def test_what_is_shared_follows_the_file_the_person_and_a_suspension(control: Control, relay: Relay) -> None:
    """Turns within a minute share decisions; none of these is answered by one from before."""
    file = control.core.holder.loaded.file
    assert file is not None
    name = relay.conversation()
    assert due(relay.turn(name)) == ["first"]
    assert due(relay.turn(name)) == []
    run = control.settings.zone.data / "run"
    other = Relay(run, person(run, new_key(run, tenant="acme")["text"]))
    assert other.who["class"] == relay.who["class"], "the same facts"
    assert other.who["principal"] != relay.who["principal"]
    assert due(other.turn(other.conversation())) == ["first"], "another person's turns are its own"
    before = decided(control, relay, relay.turn(relay.conversation()))
    assert decided(control, relay, relay.turn(relay.conversation())) == before, "the control"
    try:
        file.write_text(CONFIG.replace('staff_residence = "AQ"', 'staff_residence = "SG"').replace(
            'country = "AQ"', 'country = "AQ"\n[deployment.evidence.test_bank]\nnumber = "7"'
        ))  # fmt: skip
        control.reloader.reload()
        moved = decided(control, relay, relay.turn(relay.conversation()))
        assert moved != before
    finally:
        file.write_text(CONFIG, encoding="utf-8")
        control.reloader.reload()
    assert decided(control, relay, relay.turn(relay.conversation())) == before, "and back"
    key = new_key(run, tenant="acme")["text"]
    asked = {"credential": {"kind": "api_key", "value": key}, "user_token": None, "peer": "loopback"}
    suspended = {"tenant": "acme", "reason": "unpaid"}
    assert relay.plan("POST", "/principal", asked)[0] == 200, "the control"
    try:
        assert relay.call("admin.sock", "POST", "/admin/v1/tenants/suspend", suspended)[0] == 200
        assert relay.plan("POST", "/principal", asked)[1]["error"]["code"] == "tenant_suspended"
    finally:
        assert relay.call("admin.sock", "POST", "/admin/v1/tenants/resume", {"tenant": "acme"})[0] == 200


def decided(control: Control, relay: Relay, opened: dict) -> str:
    """The decision that a turn keeps."""
    found = control.core.turns.read(relay.who["tenant"], lambda rows: rows.texts(opened["turn"]))
    assert found is not None
    return found.decision
