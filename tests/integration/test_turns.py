"""Stored turns and conversations over control's real sockets: the order of docs/wire.md, twins, context, recovery."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.testclient import TestClient
from turns_control import Relay, answer_record, new_key, person

from dragoman.assistants import context, conversations, finding, opening, search, usage
from dragoman.assistants.turns import recover
from dragoman.control import conversations as routes
from dragoman.control import turn_messages, v1_request
from dragoman.control.app import Control
from dragoman.control.residual import Residuals
from dragoman.control.turns import TurnDesk
from dragoman.errors import RefusedError
from dragoman.ids import new_id, now_ms
from dragoman.stores import conversations as kept
from dragoman.stores import schema

CONFIG = """
[deployment]
seat = "SG"
[zone]
data = "d"
[tenants.acme]
title = "Acme"
[models.small]
provider = "local"
model = "dragoman-local"
context_tokens = 512
"""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("t")
    (folder / "dragoman.toml").write_text(CONFIG, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


@pytest.fixture
def run(control: Control) -> Path:
    return control.settings.zone.data / "run"


@pytest.fixture
def relay(run: Path) -> Relay:
    return Relay(run, person(run, new_key(run)["text"]))


def said(opened: dict[str, Any]) -> list[str]:
    return [message["content"] for message in opened["upstream"]["messages"]]


def test_a_conversation_remembers_its_turns(relay: Relay) -> None:
    name = relay.conversation(title="Lamps", metadata={"a": "b"})
    first = relay.turn(name, "One", "Answer one")
    assert first["context"] == {"turns": 0, "left_out": 0}
    second = relay.turn(name, "Two", "Answer two")
    assert said(second) == ["One", "Answer one", "Two"]
    assert second["upstream"]["model"] == "dragoman"
    assert second["context"] == {"turns": 1, "left_out": 0}
    page = relay.v1("GET", f"/{name}/turns")[1]
    assert [turn["id"] for turn in page["data"]] == [first["turn"], second["turn"]]
    assert page["data"][0]["children"] == [second["turn"]]
    shown = page["data"][1]["answer"]["choices"][0]["message"]["content"]
    assert shown == "[AI-generated] Answer two"
    assert page["data"][1]["dragoman"]["labels"][0]["rule_id"] == "operator.label_always"
    assert relay.v1("GET", f"/{name}")[1]["head"] == second["turn"]


def test_branches_and_the_shown_one(relay: Relay) -> None:
    name = relay.conversation()
    one = relay.turn(name, "One", "1")["turn"]
    two = relay.turn(name, "Two", "2")["turn"]
    other = relay.turn(name, "Two again", "2b", parent=one)
    assert said(other) == ["One", "1", "Two again"]
    root = relay.turn(name, "Begin anew", "n", parent="root")
    assert said(root) == ["Begin anew"]
    shown = relay.v1("GET", f"/{name}/turns")[1]["data"]
    assert [turn["id"] for turn in shown] == [root["turn"]]
    assert shown[0]["siblings"] == [one, root["turn"]]
    old = relay.v1("GET", f"/{name}/turns?branch={one}")[1]["data"]
    assert [turn["id"] for turn in old] == [one, other["turn"]]
    assert old[0]["children"] == [two, other["turn"]]
    assert relay.v1("PATCH", f"/{name}", {"head": two})[1]["head"] == two
    assert said(relay.turn(name, "Three", "3")) == ["One", "1", "Two", "2", "Three"]
    page = relay.v1("GET", f"/{name}/turns?limit=1")[1]
    assert page["has_more"]
    before = relay.v1("GET", f"/{name}/turns?limit=5&before={page['first_id']}")[1]
    assert [turn["id"] for turn in before["data"]] == [one, two]


def test_a_repeated_message_gets_the_answer_it_got(relay: Relay) -> None:
    name = relay.conversation()
    relay.turn(name, "One", "1")
    message = relay.message(name, "Two")
    first = relay.plan("POST", "/turns", message)
    assert relay.plan("POST", "/turns", message) == first
    assert relay.open(name)[1]["error"]["code"] == "conversation_busy"
    record = answer_record("2")
    turn = message["turn"]
    assert relay.finish(turn, record)[1]["error"]["code"] == "outcome_differs"
    for _ in range(2):
        assert relay.close(turn, record)[0] == 204
    assert relay.close(turn, answer_record("other"))[1]["error"]["code"] == "outcome_differs"
    assert relay.open(name)[1]["error"]["code"] == "conversation_busy"
    assert relay.outcome(turn, "abandoned")[1]["error"]["code"] == "outcome_differs"
    for _ in range(2):
        assert relay.finish(turn, record)[0] == 204
    assert relay.close(turn, record)[0] == 204
    assert (
        relay.outcome(new_id("trn", "local"), "finished", digest="x")[1]["error"]["code"] == "turn_not_found"
    )


def test_a_wrong_digest_is_refused(relay: Relay) -> None:
    turn = relay.open(relay.conversation())[1]["turn"]
    text = json.dumps(answer_record("x"))
    body = {"digest": "sha256:" + "1" * 64, "answer": text, "result": relay.result(turn)}
    assert relay.outcome(turn, "closing", **body)[1]["error"]["code"] == "digest_mismatch"


def test_an_abandoned_turn_leaves_nothing(relay: Relay) -> None:
    name = relay.conversation()
    one = relay.turn(name)["turn"]
    claim = {"key": "again", "body": "sha256:a"}
    turn = relay.open(name, idempotency=claim)[1]["turn"]
    assert relay.outcome(turn, "abandoned") == (204, None)
    assert relay.outcome(turn, "abandoned") == (204, None)
    assert relay.v1("GET", f"/{name}")[1]["head"] == one
    assert relay.open(name, idempotency=claim)[1]["state"] == "opened"


def test_twins_in_every_state(relay: Relay) -> None:
    claim = {"key": "twin", "body": "sha256:a"}
    turn = relay.open(None, idempotency=claim)[1]["turn"]
    assert relay.open(None, idempotency=claim)[1]["error"]["code"] == "turn_running"
    record = answer_record("stateless")
    relay.close(turn, record)
    assert relay.open(None, idempotency=claim)[1]["error"]["code"] == "turn_running"
    relay.finish(turn, record)
    status, twin = relay.open(None, idempotency=claim)
    assert (status, twin) == (
        200,
        {"state": "finished", "turn": turn, "status": "finished", "stream": False, "answer": record},
    )
    other = relay.open(None, idempotency={**claim, "body": "sha256:b"})
    assert (other[0], other[1]["error"]["code"]) == (422, "idempotency_mismatch")
    failed = relay.open(None, idempotency={"key": "failing", "body": "x"})[1]["turn"]
    told = {
        "type": "server_error",
        "code": "provider_error",
        "param": None,
        "message": {"en": "e", "zh": "z"},
    }
    bad = {**answer_record(""), "choices": [], "status": 502, "error": told}
    relay.close(failed, bad, "failed")
    relay.finish(failed, bad)
    twin = relay.open(None, idempotency={"key": "failing", "body": "x"})[1]
    assert twin == {"state": "failed", "turn": failed, "status": 502, "error": told}
    lost = relay.open(None, idempotency={"key": "lost", "body": "x"})[1]["turn"]
    relay.recover(lost)
    twin = relay.open(None, idempotency={"key": "lost", "body": "x"})[1]
    assert (twin["state"], twin["error"]["code"]) == ("failed", "turn_interrupted")


def test_recovery_settles_every_turn_of_the_log(relay: Relay, run: Path) -> None:
    relay.log = new_id("log", "local")
    other = Relay(run, relay.who, log=new_id("log", "local"))
    name, record = relay.conversation(), answer_record("half")
    opened = relay.open(name)[1]["turn"]
    standing, missing = relay.open(None)[1]["turn"], relay.open(None)[1]["turn"]
    elsewhere = other.open(None)[1]["turn"]
    for turn in (standing, missing):
        relay.close(turn, record)
    closing = relay.recover(opened, missing)
    assert [one["turn"] for one in closing] == [missing]
    assert closing[0]["result"]["outcome"] == closing[0]["digest"]
    assert relay.recover(missing) == closing, "as often as it is asked, until it is finished"
    assert relay.recover() == []
    assert relay.close(opened, record)[1]["error"]["code"] == "turn_interrupted"
    assert relay.outcome(opened, "abandoned")[1]["error"]["code"] == "turn_interrupted"
    shown = relay.v1("GET", f"/{name}/turns/{opened}")[1]
    assert (shown["state"], shown["error"]["code"]) == ("interrupted", "turn_interrupted")
    for turn in (standing, missing):
        assert relay.finish(turn, record)[0] == 204
    assert other.close(elsewhere, record)[0] == 204, "another log's turns go on"


def test_the_key_of_a_turn_without_an_intent_is_free_after_recovery(control: Control, relay: Relay) -> None:
    relay.log = new_id("log", "local")
    name, key = relay.conversation(), {"key": "again", "body": "b"}
    for conversation in (None, name):
        turn = relay.open(conversation, idempotency=key)[1]["turn"]
        relay.recover()
        again = relay.open(conversation, idempotency=key)[1]
        assert (again["state"], again["turn"] == turn) == ("opened", False)
        relay.recover(again["turn"])
        twin = relay.open(conversation, idempotency=key)[1]
        assert (twin["state"], twin["turn"]) == ("failed", again["turn"]), (
            "the control: it may have been asked"
        )
        key["key"] = "another"
    copied = relay.open(None, idempotency=key)[1]["turn"]
    control.core.turns.submit_zone(
        lambda z: recover(z, relay.log, frozenset(), now_ms(), copied=True)
    ).result()
    twin = relay.open(None, idempotency=key)[1]
    assert (twin["state"], twin["turn"]) == ("failed", copied), "a backup's log may hold its end"
    states = [one["state"] for one in relay.v1("GET", f"/{name}/turns")[1]["data"]]
    assert states == ["interrupted", "interrupted"], "what a person wrote is shown"


class Sent:
    """A message as control has read it."""

    def __init__(self, document: Any) -> None:
        self.document = document

    async def json(self) -> Any:
        return self.document


@pytest.mark.parametrize("dies", [False, True])
def test_a_message_of_a_dead_relay_opens_nothing(control: Control, relay: Relay, dies: bool) -> None:
    """Its turn would stay open beside a later run of the relay, which was told of every other one."""
    core, go = control.core, threading.Event()
    desk = TurnDesk(core.turns, Residuals(core.planner, core.holder), core.holder)
    relay.log = new_id("log", "local")
    name, key = relay.conversation(), {"key": "k", "body": "b"}

    async def life() -> None:
        held = core.database.submit(lambda _: go.wait(60))
        opening = asyncio.create_task(desk.open(Sent(relay.message(name, idempotency=key))))
        await asyncio.sleep(0)  # it waits for the writer now
        if dies:
            recovery = desk.recover(Sent({"log": relay.log, "intents": []}))
            recovering = asyncio.create_task(recovery)
            await asyncio.sleep(0)
        go.set()
        if dies:
            with pytest.raises(RefusedError) as refused:
                await opening
            assert (refused.value.status, refused.value.code) == (409, "relay_run_over")
            assert (await recovering)[1] == {"closing": []}
        else:
            assert (await opening)[0] == 200, "the control"
        assert held.result()

    asyncio.run(life())
    shown = relay.v1("GET", f"/{name}/turns")[1]["data"]
    assert len(shown) == (0 if dies else 1)
    parent = {"parent": "root", "idempotency": key}
    assert relay.open(name, **parent)[1].get("state") == ("opened" if dies else None)


def test_a_turn_that_is_given_back_leaves_the_branch_that_was_shown(relay: Relay) -> None:
    name = relay.conversation()
    first = relay.turn(name)["turn"]
    relay.turn(name, parent="root")
    assert relay.v1("PATCH", f"/{name}", {"head": first})[1]["head"] == first
    given = relay.open(name, parent="last")[1]["turn"]
    assert relay.outcome(given, "abandoned")[0] == 204
    assert relay.v1("GET", f"/{name}")[1]["head"] == first
    given = relay.open(name, parent="last")[1]["turn"]
    second = relay.turn(name, parent="root")["turn"]
    assert relay.outcome(given, "abandoned")[0] == 204
    assert relay.v1("GET", f"/{name}")[1]["head"] == second, "one that was opened since stays"


def test_what_goes_along_of_turns_that_did_not_finish(relay: Relay) -> None:
    name = relay.conversation()
    relay.turn(name, "Refused", "A notice", status="refused")
    relay.turn(name, "Stopped", "Half", status="cancelled")
    relay.turn(name, "Stopped at once", "", status="cancelled")
    lost = relay.open(name, "Lost")[1]["turn"]
    relay.recover(lost)
    last = relay.turn(name, "Last", "x")
    assert said(last) == [
        "Stopped",
        "Half",
        "Stopped at once",
        "[This answer was stopped.]",
        "Lost",
        "[This answer was interrupted.]",
        "Last",
    ]
    assert last["context"] == {"turns": 3, "left_out": 0}


def test_history_is_cut_to_the_models_context(relay: Relay) -> None:
    name = relay.conversation()
    ask = relay.question(model="small")
    for n in range(6):
        body = {"model": "small", "messages": [{"role": "user", "content": f"Question {n}"}]}
        opened = relay.turn(name, "", "a" * 300, input=body, question=ask)
    assert opened["context"] == {"turns": 2, "left_out": 3}
    assert said(opened) == ["Question 3", "a" * 300, "Question 4", "a" * 300, "Question 5"]
    whole = relay.turn(name, "On a model with room", "x")
    assert whole["context"] == {"turns": 6, "left_out": 0}


def test_a_stored_answer_continues_from_any_code_point(relay: Relay) -> None:
    name = relay.conversation()
    turn = relay.turn(name, "Hi", "Grüße, 世界 👋")["turn"]
    text = "[AI-generated] Grüße, 世界 👋"
    for after in range(len(text) + 2):
        status, frames = relay.v1("GET", f"/{name}/turns/{turn}?after={after}")
        assert status == 200
        events = [line.removeprefix("data: ") for line in frames.split("\n\n") if line]
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == text[after:]
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["dragoman"]["turn"] == turn
    running = relay.open(name)[1]["turn"]
    assert relay.v1("GET", f"/{name}/turns/{running}?after=0")[1]["error"]["code"] == "turn_elsewhere"
    assert relay.v1("POST", f"/{name}/turns/{running}/stop")[1]["error"]["code"] == "turn_elsewhere"
    relay.recover(running)
    _, frames = relay.v1("GET", f"/{name}/turns/{running}?after=0")
    assert "[DONE]" not in frames
    assert "turn_interrupted" in frames
    stopped = relay.v1("POST", f"/{name}/turns/{running}/stop")[1]
    assert stopped["state"] == "interrupted"


def test_conversations_are_listed_renamed_and_idempotent(relay: Relay, run: Path) -> None:
    relay.who = person(run, new_key(run)["text"])
    made = sorted(
        relay.conversation(title=f"c{n}") for n in range(5)
    )  # those of one millisecond have no order
    page = relay.v1("GET", "?limit=2")[1]
    assert [one["id"] for one in page["data"]] == [made[4], made[3]]
    rest = relay.v1("GET", f"?limit=9&after={page['last_id']}")[1]
    assert [one["id"] for one in rest["data"]] == [made[2], made[1], made[0]]
    assert not rest["has_more"]
    assert relay.v1("PATCH", f"/{made[0]}", {"title": "Renamed"})[1]["title"] == "Renamed"
    first = relay.v1("POST", "", {"title": "x"}, idempotency_key="abc")
    assert relay.v1("POST", "", {"title": "x"}, idempotency_key="abc") == first
    assert relay.v1("POST", "", {"title": "y"}, idempotency_key="abc")[0] == 422
    for bad in ({"title": 5}, {"title": "x" * 201}, {"metadata": {"a": 1}}, {"odd": 1}, {"title": "\ud800"}):
        status, told = relay.v1("POST", "", bad)
        assert status == 400, bad
        assert told["error"]["param"] in {"title", "metadata", "odd"}
    for odd in ("101", "0", "-1", "x", "00000000199", "0" * 8 + "9" * 30, "9" * 5_000):
        assert relay.v1("GET", f"?limit={odd}")[0] == 400, odd
    assert relay.v1("GET", "?after=nonsense")[0] == 400


def test_deleting_erases_texts_and_lets_a_running_turn_end(relay: Relay, control: Control) -> None:
    marker = "unmistakable-" + new_id("x0", "local")
    name = relay.conversation(title=marker)
    relay.turn(name, marker, marker)
    running = relay.open(name, marker)[1]["turn"]
    closing = relay.open(name, marker, parent="root")[1]["turn"]
    record = answer_record(marker)
    relay.close(closing, record)
    data = control.settings.zone.data
    stored = b"".join(file.read_bytes() for file in data.glob("zone.db*"))
    assert marker.encode() in stored, "the control: it was there"
    seq = relay.plan("GET", "/changes?after=999999999")[1]["seq"]
    assert relay.v1("DELETE", f"/{name}")[1] == {
        "id": name,
        "object": "conversation.deleted",
        "deleted": True,
    }
    stored = b"".join(file.read_bytes() for file in data.glob("zone.db*"))
    assert marker.encode() not in stored
    changes = relay.plan("GET", f"/changes?after={seq}")[1]["changes"]
    assert [(one["tags"], one["effect"]) for one in changes] == [([f"conversation:{name}"], "stop")]
    for path in ("", "/turns", f"/turns/{running}"):
        assert relay.v1("GET", f"/{name}{path}")[1]["error"]["code"] == "conversation_not_found"
    acts = control.core.database.read(
        lambda c: [row.entry for row in c.execute(sa.select(schema.outbox.c.entry))]
    )
    told = [json.loads(entry) for entry in acts if name in entry]
    assert [(one["act"], one["turns"]) for one in told] == [("conversation.delete", 3)]
    assert relay.close(running, record)[0] == 204
    for turn in (running, closing):
        assert relay.finish(turn, record)[0] == 204
    assert relay.finish(running, record)[1]["error"]["code"] == "turn_not_found", "nothing of it is left"
    stored = b"".join(file.read_bytes() for file in data.glob("zone.db*"))
    assert marker.encode() not in stored
    assert relay.open(name)[1]["error"]["code"] == "conversation_not_found"


def test_a_disk_that_refuses_is_503_and_leaves_nothing(relay: Relay, control: Control) -> None:
    name = relay.conversation()
    limit = "PRAGMA max_page_count"
    full = control.core.database.write(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    control.core.database.write(lambda c: c.exec_driver_sql(f"{limit}={full}").scalar_one())
    big = "x" * 200_000
    try:
        status, told = relay.open(name, big)
        assert (status, told["error"]["code"]) == (503, "unavailable")
        answers = [
            relay.v1("POST", "", {"metadata": {str(n): "y" * 512 for n in range(16)}}) for _ in range(40)
        ]
        assert {"unavailable"} == {told["error"]["code"] for status, told in answers if status == 503}
    finally:
        control.core.database.write(lambda c: c.exec_driver_sql(f"{limit}=1000000").scalar_one())
    assert relay.v1("GET", f"/{name}")[1]["turns"] == 0
    assert relay.open(name, big)[1]["state"] == "opened"


def test_limits_are_told_and_hold(relay: Relay, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relay.who = person(run, new_key(run)["text"])
    monkeypatch.setattr(conversations, "CONVERSATIONS_PER_PRINCIPAL", 2)
    monkeypatch.setattr(opening, "TURNS_PER_CONVERSATION", 2)
    for _ in range(2):
        relay.conversation()
    status, told = relay.v1("POST", "", {})
    assert (status, told["error"]["code"], told["error"]["type"]) == (
        429,
        "too_many_conversations",
        "rate_limit_error",
    )
    relay.v1("DELETE", f"/{relay.v1('GET', '?limit=1')[1]['data'][0]['id']}")
    left = relay.v1("GET", "")[1]["data"][0]["id"]
    assert relay.v1("POST", "", {})[0] == 201, "room again"
    for _ in range(2):
        relay.turn(left, parent="root")
    assert relay.open(left)[1]["error"]["code"] == "conversation_full"


def test_guests_of_a_public_port_keep_no_conversations(control: Control, relay: Relay) -> None:
    key = {"dragoman-key": "key_local_x"}
    tenant = relay.who["tenant"]
    guest = {"dragoman-tenant": tenant, "dragoman-principal": "prn_local_x", "dragoman-scopes": "turns"}
    for guests, headers, status in ((False, guest, 403), (True, guest, 201), (False, {**guest, **key}, 201)):
        table = routes.ConversationRoutes(control.core.conversations, "local", lambda guests=guests: guests)
        client = TestClient(Starlette(routes=table.routes()))
        answer = client.post("/v1/conversations", headers={**headers, "dragoman-locale": "zh"})
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["error"]["code"] == "guest_conversations"
            assert "访客" in answer.json()["error"]["message"]
            assert client.get("/v1/conversations", headers=headers).json()["data"] == []


def test_a_page_is_bounded_in_bytes(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    name = relay.conversation()
    turns = [relay.turn(name, f"Turn {n}", "x" * 1_000)["turn"] for n in range(4)]
    monkeypatch.setattr(kept, "PATH_BYTES", 2_000)
    seen: list[str] = []
    query = "?limit=100"
    while True:
        page = relay.v1("GET", f"/{name}/turns{query}")[1]
        assert 1 <= len(page["data"]) <= 3
        seen = [one["id"] for one in page["data"]] + seen
        if not page["has_more"]:
            break
        query = f"?limit=100&before={page['first_id']}"
    assert seen == turns


def test_limits_stand_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    table = text.split("## Limits")[1]
    for number in (
        conversations.TITLE_CHARS,
        conversations.METADATA_PAIRS,
        conversations.METADATA_NAME_CHARS,
        conversations.METADATA_VALUE_CHARS,
        conversations.CONVERSATIONS_PER_PRINCIPAL,
        conversations.PAGE,
        conversations.PAGE_MOST,
        opening.TURNS_PER_CONVERSATION,
        context.HISTORY_TURNS,
        v1_request.BODY_LIMIT,
        finding.QUERY_CHARS,
        finding.TEXT_CHARS,
        search.LOOKED_AT,
        search.READ_CHARS,
    ):
        assert re.search(rf"(?<![\d,]){number:,}(?!\d|,\d)", table), number
    assert f"newest {search.UNREAD} wait" in " ".join(text.split())
    assert f"{context.IMAGE_TOKENS:,} for a picture" in text
    assert f"{context.MESSAGE_TOKENS} for each message" in text
    assert f"{turn_messages.KEY_CHARS} characters at most" in text
    assert f"pause of {usage.GAP_MS // 60_000} minutes" in text
