"""What is due goes, what is a second younger stays, what is named is held; a run is gone on with and entered."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from turns_control import Relay

from dragoman.control.app import Control
from dragoman.control.retention import Retention
from dragoman.ids import now_ms
from dragoman.stores import retention, schema
from dragoman.stores.retention import RetentionRows
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.turn_tables import conversations

DAY_MS = 86_400_000
DAYS = 800
"""More than the longest time that any shipped pack asks for: 731 days."""
FILE = f"""
[zone]
data = "d"
[retention]
conversations_days = {DAYS}
decisions_days = {DAYS}
interventions_days = {DAYS}
appeals_days = {DAYS}
sign_ins_days = {DAYS}
usage_days = {DAYS}
"""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("r")
    (folder / "dragoman.toml").write_text(FILE, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


def at(control: Control, now: int) -> Retention:
    core = control.core
    return Retention(core.holder, RetentionRows(core.database, "local"), core.conversations, lambda: now)


def put(control: Control, table: sa.Table, **values: Any) -> None:
    row = {one.name: "x" if isinstance(one.type, sa.Text) else 0 for one in table.c if not one.nullable}
    control.core.database.write(lambda c: c.execute(table.insert().values({**row, **values})))


def names(control: Control, column: sa.Column[Any]) -> set[str]:
    return set(control.core.database.read(lambda c: c.execute(sa.select(column)).scalars().all()))


def runs(control: Control) -> list[dict[str, Any]]:
    found = control.core.database.read(lambda c: c.execute(sa.select(schema.outbox.c.entry)).scalars().all())
    return [one for one in map(json.loads, found) if one.get("act") == "retention.run"]


def aged(control: Control, tenant: str, moment: int) -> dict[str, Any]:
    """A row of each class, as old as a moment; the column that names it."""
    name = f"x{moment}"
    put(control, schema.decisions, tenant=tenant, decision=name, at=moment, document="{}")
    put(control, schema.interventions, tenant=tenant, intervention=name, at=moment)
    put(control, schema.statements, tenant=tenant, intervention=name, at=moment)
    put(control, schema.appeals, tenant=tenant, appeal=name, about=f"about-{name}", at=moment, answer_by=None)
    put(control, schema.admin_invites, tenant=ZONE_TENANT, invite=name, verifier=name, used_at=moment)
    put(control, schema.admin_tokens, tenant=ZONE_TENANT, token=name, verifier=name, expires_at=moment)
    put(control, conversations, tenant=tenant, conversation=name, changed_at=moment, metadata="{}")
    return {
        "decisions": schema.decisions.c.decision,
        "interventions": schema.interventions.c.intervention,
        "statements": schema.statements.c.intervention,
        "appeals": schema.appeals.c.appeal,
        "invites": schema.admin_invites.c.invite,
        "tokens": schema.admin_tokens.c.token,
        "conversations": conversations.c.conversation,
    }


def test_what_is_as_old_as_its_time_goes_and_what_is_a_second_younger_stays(
    control: Control, relay: Relay
) -> None:
    now = now_ms() + 2_000 * DAY_MS
    due = now - DAYS * DAY_MS
    aged(control, relay.who["tenant"], due)
    columns = aged(control, relay.who["tenant"], due + 1000)
    report = {one["class"]: one for one in at(control, now).report()["classes"]}
    assert [report[name]["due"] for name in ("decisions", "interventions", "appeals", "conversations")] == [
        1
    ] * 4
    assert report["sign_ins"]["due"] == 2
    assert report["interventions"]["oldest"] == due
    assert report["interventions"]["rule"] == "retention.interventions_days"
    assert all(f"x{due}" in names(control, one) for one in columns.values()), "a report removes nothing"
    ran = at(control, now).run()
    assert ran.finished
    assert ran.gone["conversations"] == ran.gone["decisions"] == ran.gone["interventions"] == 1
    for name, column in columns.items():
        left = names(control, column)
        assert f"x{due}" not in left, name
        assert f"x{due + 1000}" in left, name
    entry = runs(control)[-1]
    gone = {one["class"]: one["gone"] for one in entry["classes"]}
    assert (gone["sign_ins"], gone["appeals"], entry["tenant"]) == (2, 1, ZONE_TENANT)
    later = at(control, now + 1000).run()
    assert later.gone["interventions"] == 1
    assert f"x{due + 1000}" not in names(control, columns["statements"])


def test_what_a_turn_or_an_appeal_names_is_held(control: Control, relay: Relay) -> None:
    tenant, now = relay.who["tenant"], now_ms() + (DAYS - 1) * DAY_MS
    relay.lang = "en"
    turn = relay.turn(relay.conversation())["turn"]
    old = now - DAYS * DAY_MS - 1
    for name, of in (("named", turn), ("objected", "t"), ("free", "t")):
        put(control, schema.interventions, tenant=tenant, intervention=name, turn=of, at=old)
        put(control, schema.statements, tenant=tenant, intervention=name, at=old)
    used = names(control, schema.decisions.c.decision)
    for name in ("dec_objected", "dec_free"):
        put(control, schema.decisions, tenant=tenant, decision=name, at=old, document="{}")
    for name in ("objected", "dec_objected"):
        put(control, schema.appeals, tenant=tenant, appeal=f"a-{name}", about=name, at=now, answer_by=None)
    put(control, schema.appeals, tenant=tenant, appeal="promised", about="p", at=old, answer_by=now)
    # Its conversation is younger than its time, by its last turn.
    assert at(control, now).run().finished
    assert names(control, schema.interventions.c.intervention) >= {"named", "objected"}
    assert "free" not in names(control, schema.interventions.c.intervention)
    assert "free" not in names(control, schema.statements.c.intervention)
    assert {"dec_objected"} | {one for one in used if one.startswith("dec_local")} <= names(
        control, schema.decisions.c.decision
    )
    assert "dec_free" not in names(control, schema.decisions.c.decision)
    assert "promised" in names(control, schema.appeals.c.appeal), (
        "it ages from the day of the promised answer"
    )


def test_a_conversation_goes_with_its_turns_and_frees_what_they_held(control: Control, relay: Relay) -> None:
    name = relay.conversation()
    turn = relay.turn(name)["turn"]
    put(control, schema.interventions, tenant=relay.who["tenant"], intervention="theirs", turn=turn)
    kept = relay.v1("GET", f"/{name}")
    assert kept[0] == 200
    assert at(control, now_ms() + DAYS * DAY_MS - 60_000).run().finished
    assert relay.v1("GET", f"/{name}")[0] == 200, "a minute is left"
    assert "theirs" in names(control, schema.interventions.c.intervention)
    assert at(control, now_ms() + DAYS * DAY_MS + 60_000).run().finished
    assert relay.v1("GET", f"/{name}")[0] == 404
    assert "theirs" not in names(control, schema.interventions.c.intervention)


def test_usage_goes_when_its_day_is_over_for_so_long(control: Control) -> None:
    for day in ("2020-01-01", "2020-01-02"):
        put(control, schema.usage_daily, tenant="t", day=day)
        put(control, schema.usage_daily, tenant="t", day=day, key="other")
    end = 1_577_923_200_000  # 2020-01-02 00:00 UTC
    at(control, end + DAYS * DAY_MS - 1).run()
    assert {"2020-01-01", "2020-01-02"} <= names(control, schema.usage_daily.c.day)
    assert at(control, end + DAYS * DAY_MS).run().gone["usage"] == 2
    assert names(control, schema.usage_daily.c.day) & {"2020-01-01", "2020-01-02"} == {"2020-01-02"}


def test_a_run_that_was_left_is_gone_on_with(
    control: Control, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    monkeypatch.setitem(
        retention.AGED, "decisions", (retention.Aged(schema.decisions.c.decision, schema.decisions.c.at, at_once=3),)
    )  # fmt: skip
    for n in range(10):
        put(control, schema.decisions, tenant=relay.who["tenant"], decision=f"left-{n}", at=n, document="{}")
    before, asked = len(runs(control)), 0

    def stopping() -> bool:
        nonlocal asked
        left = {one for one in names(control, schema.decisions.c.decision) if one.startswith("left-")}
        asked += 1
        return len(left) < 5

    now = now_ms()
    assert not at(control, now).run(stopping).finished
    assert len({one for one in names(control, schema.decisions.c.decision) if one.startswith("left-")}) == 4
    assert len(runs(control)) == before, "it is entered when it has ended"
    ran = at(control, now).run()
    assert ran.finished
    assert ran.gone["decisions"] == 10, "counted over both"
    assert len(runs(control)) == before + 1


def test_the_verbs_say_and_do_the_same(control: Control, relay: Relay) -> None:
    status, report = relay.call("admin.sock", "GET", "/admin/v1/retention")
    assert status == 200
    shown = {one["class"]: one for one in report["classes"]}
    assert set(shown) == {
        "conversations", "decisions", "interventions", "appeals", "evidence", "guests", "sign_ins", "usage"
    }  # fmt: skip
    asked = {one["rule"]: one for one in shown["decisions"]["law"]}
    assert asked["cn.logs"]["least_days"] == 184, "six calendar months at their longest"
    assert asked["kr.pipa.logs"]["least_days"] == 731
    assert asked["cn.logs"]["source"]["article"] == "23"
    status, ran = relay.call("admin.sock", "POST", "/admin/v1/retention/run", {})
    assert (status, ran["finished"]) == (200, True)
    assert relay.call("admin.sock", "POST", "/admin/v1/retention/run", {"days": 1})[0] == 400
    core = control.core
    with core.retention._busy:
        status, refused = relay.call("admin.sock", "POST", "/admin/v1/retention/run", {})
    assert (status, refused["error"]["code"]) == (409, "retention_running")


def test_a_day_after_a_run_the_next_begins(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.control.retention.LOOK_SECONDS", 0.01)
    before = len(runs(control))
    rows = RetentionRows(control.core.database, "local")
    ended = at(control, now_ms()).run()
    assert ended.finished
    finished = rows.run()["finished"]
    soon = at(control, finished + 24 * 3_600_000 - 1)
    soon.start()
    soon._ending.wait(0.5)
    soon.stop()
    assert rows.run()["finished"] == finished, "not a moment early"
    due = at(control, finished + 24 * 3_600_000)
    due.start()
    for _ in range(600):
        if rows.run().get("finished", finished) != finished:
            break
        due._ending.wait(0.1)
    due.stop()
    assert len(runs(control)) == before + 2


def test_a_clock_that_jumps_erases_nothing_for_a_day(control: Control) -> None:
    core, hour = control.core, 3_600_000
    assert at(control, now_ms()).run().finished
    clocks = {"wall": now_ms() + DAY_MS, "boot": 0}
    watched = Retention(
        core.holder,
        RetentionRows(core.database, "local"),
        core.conversations,
        lambda: clocks["wall"],
        lambda: clocks["boot"],
    )

    def pass_by(wall: int, boot: int) -> bool:
        clocks["wall"] += wall
        clocks["boot"] += boot
        return watched.is_due()

    assert pass_by(hour, hour), "the control: time goes by on both"
    assert pass_by(9 * hour, 9 * hour), "asleep for a night"
    assert not pass_by(10 * 365 * DAY_MS, 60_000)
    assert not pass_by(DAY_MS - 1, DAY_MS - 1)
    assert pass_by(1, 1), "a day later whoever minds has seen it"
    assert not pass_by(-2 * hour, 60_000), "set back as well"
