"""Stored turns against a slow reference: opened, closed, abandoned, given up, repeated, with crashes between.

The reference keeps every turn as a plain record and works out each answer anew. A crash is a copy of the database's
files as they are: what a killed process leaves.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from dragoman.assistants import conversations as rules
from dragoman.assistants.context import room_for_history
from dragoman.assistants.opening import open_turn
from dragoman.assistants.turns import KEPT_MS, abandon_turn, close_turn, drop_claim, finish_turn, recover
from dragoman.control import turn_messages
from dragoman.core.turns import Residual
from dragoman.errors import RefusedError
from dragoman.ids import new_id
from dragoman.stores import schema
from dragoman.stores.conversations import SqlConversations
from dragoman.stores.database import Database
from dragoman.stores.migrate import migrate
from dragoman.stores.tenancy import rows_of
from dragoman.stores.turns import SqlTurns

EXAMPLES = int(os.environ.get("DRAGOMAN_CASES", "25"))
SHARED = Path("/dev/shm")  # nothing here needs the disk: a crash is a copy
TENANT = new_id("ten", "local")
PEOPLE = [rules.Person(TENANT, new_id("prn", "local")) for _ in range(2)]
LOGS = ["log_a", "log_b"]
STATUSES = ["finished", "refused", "cancelled", "failed"]
NOTHING = Residual([], None, (), "dec_local_" + "0" * 32, None, None)
QUESTION = {
    "tenant": TENANT, "app": None, "end_users": "none", "class": "c", "scopes": ["turns"], "model": "dragoman",
    "route": "/v1/conversations/turns", "channel": "api",
    "address": {"country": None, "kind": "unknown", "peer": "loopback"},
}  # fmt: skip


@dataclass
class Turn:
    """What the reference knows of a turn."""

    message: dict[str, Any]
    salt: bytes
    parent: str | None
    at: int
    state: str = "opened"
    status: str | None = None
    record: dict[str, Any] | None = None
    opened: Any = None
    deleted: bool = False
    unclaimed: bool = False

    @property
    def log(self) -> str:
        return str(self.message["log"])

    @property
    def conversation(self) -> str | None:
        return self.message["conversation"]

    @property
    def text(self) -> str:
        return json.dumps(self.record)

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.salt + self.text.encode()).hexdigest()


@dataclass
class Claimed:
    """An idempotency key in the reference."""

    turn: str
    body: str
    at: int


@dataclass
class Reference:
    """The slow truth."""

    turns: dict[str, Turn] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    heads: dict[str, list[str]] = field(default_factory=dict)
    shown: dict[str, str | None] = field(default_factory=dict)
    owners: dict[str, rules.Person] = field(default_factory=dict)
    claims: dict[tuple[str, str], Claimed] = field(default_factory=dict)
    ever: dict[str, set[str]] = field(default_factory=dict)

    def said(self, turn: str | None) -> list[str]:
        """Texts of the branch that ends in `turn`."""
        found: list[str] = []
        while turn is not None:
            one = self.turns[turn]
            if one.status not in {"refused", "denied"}:
                found = [*self._of(one), *found]
            turn = one.parent
        return found

    def _of(self, one: Turn) -> list[str]:
        asked = [message["content"] for message in one.message["input"]["messages"]]
        notes = {"failed": "[This answer failed.]", "cancelled": "[This answer was stopped.]"}
        answered = one.record["choices"][0]["message"]["content"] if one.record else ""
        return [*asked, answered or notes.get(one.status or "", "[This answer was interrupted.]")]

    def note(self, turn: str, state: str) -> None:
        self.turns[turn].state = state
        self.ever.setdefault(turn, set()).add(state)


class Machine(RuleBasedStateMachine):
    """Messages as a relay may send them, in any order and as often as it likes."""

    conversations = Bundle("conversations")
    turns = Bundle("turns")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=SHARED if SHARED.is_dir() else None))
        self.now, self.number, self.files = 1_800_000_000_000, 0, 0
        self.truth = Reference()
        migrate(self.folder / "0.db")
        self.open_files()
        self.database.write(lambda c: rows_of(c, TENANT).insert(
            schema.tenants, slug="t", title="T", state="active", created_at=0, changed_at=0
        ))  # fmt: skip

    def open_files(self) -> None:
        self.database = Database(self.folder / f"{self.files}.db")
        self.store = SqlTurns(self.database)
        self.people = SqlConversations(self.database, "local")

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            shutil.rmtree(self.folder)

    @rule()
    def crash(self) -> None:
        """The process is killed; another one opens what it left."""
        before, self.files = self.files, self.files + 1
        for end in ("", "-wal"):
            file = self.folder / f"{before}.db{end}"
            if file.exists():
                shutil.copy(file, self.folder / f"{self.files}.db{end}")
        self.database.close()
        self.open_files()

    @rule(ms=st.sampled_from([1, 60_000, 3_600_000, KEPT_MS, -86_400_000]))
    def time_passes(self, ms: int) -> None:
        """Or is set back."""
        self.now += ms

    @rule(target=conversations, who=st.sampled_from(PEOPLE))
    def create(self, who: rules.Person) -> str:
        name = new_id("cnv", "local")
        self.people.submit(
            TENANT, lambda r: rules.create(r, who, name, rules.Wanted(), None, self.now)
        ).result()
        self.truth.heads[name], self.truth.shown[name], self.truth.owners[name] = [], None, who
        return name

    @rule(
        target=turns, conversation=conversations, who=st.sampled_from(PEOPLE), log=st.sampled_from(LOGS),
        key=st.sampled_from([None, None, "k1", "k2"]), body=st.sampled_from(["a", "b"]),
        data=st.data(), length=st.sampled_from([1, 40, 900]),
    )  # fmt: skip
    def open_in_conversation(
        self,
        conversation: str,
        who: rules.Person,
        log: str,
        key: str | None,
        body: str,
        data: Any,
        length: int,
    ) -> Any:
        known = [turn for turn, one in self.truth.turns.items() if one.conversation == conversation]
        parent = data.draw(st.sampled_from(["last", "last", "root", new_id("trn", "local"), *known]))
        self.number += 1
        text = f"{self.number} " + "x" * length
        given = {"model": "dragoman", "messages": [{"role": "user", "content": text}]}
        return self.opened(who, log, key, body, conversation=conversation, parent=parent, input=given)

    @rule(
        target=turns, who=st.sampled_from(PEOPLE), log=st.sampled_from(LOGS),
        key=st.sampled_from(["k1", "k2", "k3"]), body=st.sampled_from(["a", "b"]),
    )  # fmt: skip
    def open_stateless(self, who: rules.Person, log: str, key: str, body: str) -> Any:
        return self.opened(who, log, key, body, conversation=None, parent=None, input=None)

    def opened(self, who: rules.Person, log: str, key: str | None, body: str, **more: Any) -> Any:
        salt = os.urandom(32)
        message = {
            "turn": new_id("trn", "local"), "log": log, "at": self.now, "tenant": TENANT, "key": None,
            "principal": who.principal, "idempotency": {"key": key, "body": body} if key else None,
            "question": QUESTION, "plan": "pln", "decision": "dec", "stream": False, "lang": "en", "rules_in": "r",
            "interventions": [], "salt": base64.urlsafe_b64encode(salt).decode().rstrip("="),
            "deadline_ms": 1000, **more,
        }  # fmt: skip
        expected, parent = self.expected(message)
        answer = self.send(message)
        if expected != "opened":
            assert answer == expected
            return multiple()
        turn = message["turn"]
        assert (answer["state"], answer["turn"]) == ("opened", turn)
        self.truth.turns[turn] = Turn(message, salt, parent, self.now, opened=answer)
        self.truth.note(turn, "opened")
        if key:
            held = self.truth.claims.get((who.principal, key))
            if held:
                self.over({(who.principal, key): held})
            self.truth.claims[who.principal, key] = Claimed(turn, body, self.now)
        if message["conversation"] is not None:
            self.truth.heads[message["conversation"]].append(turn)
            self.truth.shown[message["conversation"]] = turn
            self.check_history(message, parent, answer)
        return turn

    def check_history(self, message: dict[str, Any], parent: str | None, answer: dict[str, Any]) -> None:
        """A suffix of the branch, whole turns of two texts each, then the question; all of it where it fits."""
        said = [one["content"] for one in answer["upstream"]["messages"]]
        history, question = said[:-1], said[-1:]
        whole = self.truth.said(parent)
        assert question == [message["input"]["messages"][0]["content"]]
        assert history == whole[len(whole) - len(history) :]
        assert len(history) == 2 * answer["context"]["turns"]
        assert (answer["context"]["left_out"] == 0) == (history == whole)
        room = room_for_history(2048, {}, message["input"]["messages"])
        if sum(map(len, whole)) + 32 * len(whole) <= room:
            assert history == whole

    def expected(self, message: dict[str, Any]) -> tuple[Any, str | None]:
        """What the reference would answer: an error's code, a twin's answer, or `opened` and its parent."""
        truth, claimed = self.truth, message["idempotency"]
        if claimed:
            held = truth.claims.get((message["principal"], claimed["key"]))
            if held and held.at + KEPT_MS > self.now:
                return self.twin(held, claimed["body"]), None
        name = message["conversation"]
        if name is None:
            return "opened", None
        if name in truth.gone or truth.owners[name].principal != message["principal"]:
            return "conversation_not_found", None
        parent = {"last": truth.shown[name], "root": None}.get(message["parent"], message["parent"])
        if parent is not None:
            one = truth.turns.get(parent)
            if one is None or one.conversation != name:
                return "turn_not_found", None
            if one.state in {"opened", "closing"}:
                return "conversation_busy", None
        return "opened", parent

    def twin(self, held: Claimed, body: str) -> Any:
        first = self.truth.turns[held.turn]
        if held.body != body:
            return "idempotency_mismatch"
        if first.state in {"opened", "closing"}:
            return "turn_running"
        if first.state == "interrupted" or first.status in {"failed", "cancelled"}:
            code = "turn_cancelled" if first.status == "cancelled" else "turn_interrupted"
            return ("failed", held.turn, code)
        return ("finished", held.turn, first.record)

    def send(self, message: dict[str, Any]) -> Any:
        opening = turn_messages.opening(message, lambda _: 2048)
        try:
            raw = self.store.submit(
                TENANT, lambda r: open_turn(r, opening, self.now, lambda *_: NOTHING)
            ).result()
        except RefusedError as refused:
            return refused.code
        answer = json.loads(raw)
        if answer["state"] == "opened":
            return answer
        told = answer["error"]["code"] if answer["state"] == "failed" else answer["answer"]
        return answer["state"], answer["turn"], told

    @rule(turn=turns)
    def repeat_opening(self, turn: str) -> None:
        one = self.truth.turns[turn]
        if one.deleted or turn in self.truth.gone:
            return  # a relay repeats what it got no answer to, and nothing it gave up
        answer = self.send(one.message)
        assert answer == ("turn_interrupted" if one.state == "interrupted" else one.opened)

    @rule(turn=turns, status=st.sampled_from(STATUSES), text=st.sampled_from(["", "short", "y" * 500]))
    def close(self, turn: str, status: str, text: str) -> None:
        one = self.truth.turns[turn]
        if one.state == "opened":
            message = {"role": "assistant", "content": text}
            one.record = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        kept = one.status if one.state != "opened" else status
        body = {
            "digest": one.digest,
            "answer": one.text,
            "result": {"kind": "result", "status": kept or status},
        }
        expected = {"opened": None, "closing": None, "finished": None, "interrupted": "turn_interrupted"}
        code = self.put(lambda r: close_turn(r, turn, body, self.now))
        assert code == ("turn_not_found" if turn in self.truth.gone else expected[one.state])
        if code is None and one.state == "opened":
            one.status = status
            self.truth.note(turn, "closing")
        elif one.state in {"opened", "interrupted", "abandoned"}:
            one.record = None

    @rule(turn=turns)
    def close_differently(self, turn: str) -> None:
        one = self.truth.turns[turn]
        if one.state in {"closing", "finished"} and turn not in self.truth.gone:
            body = {"digest": "sha256:0", "answer": "{}", "result": {"kind": "result", "status": "finished"}}
            assert self.put(lambda r: close_turn(r, turn, body, self.now)) == "outcome_differs"

    @rule(turn=turns)
    def finish(self, turn: str) -> None:
        one = self.truth.turns[turn]
        code = self.put(lambda r: finish_turn(r, turn, one.digest, self.now))
        expected = {"opened": "outcome_differs", "interrupted": "turn_interrupted"}.get(one.state)
        assert code == ("turn_not_found" if turn in self.truth.gone else expected)
        if code is None:
            self.truth.note(turn, "finished")
            if one.deleted or one.unclaimed:
                self.truth.gone.add(turn)

    def unclaim(self, turn: str) -> None:
        """A turn without an intent called nobody: its key is free."""
        self.truth.claims = {key: held for key, held in self.truth.claims.items() if held.turn != turn}
        self.truth.turns[turn].unclaimed = self.truth.turns[turn].conversation is None

    @rule(turn=turns)
    def abandon(self, turn: str) -> None:
        one = self.truth.turns[turn]
        code = self.put(lambda r: abandon_turn(r, turn))
        if turn in self.truth.gone:
            assert code is None
            return
        expected = {
            "interrupted": "turn_interrupted",
            "closing": "outcome_differs",
            "finished": "outcome_differs",
        }
        assert code == expected.get(one.state)
        if code is None:
            self.truth.note(turn, "abandoned")
            self.forget(turn)

    def forget(self, turn: str) -> None:
        self.truth.gone.add(turn)
        one = self.truth.turns[turn]
        self.truth.claims = {key: held for key, held in self.truth.claims.items() if held.turn != turn}
        if one.conversation is not None and not one.deleted:
            heads = self.truth.heads[one.conversation]
            heads.remove(turn)
            self.truth.shown[one.conversation] = heads[-1] if heads else None

    @rule(log=st.sampled_from(LOGS), data=st.data())
    def restart_of_a_relay(self, log: str, data: Any) -> None:
        mine = [t for t, one in self.truth.turns.items() if one.log == log and t not in self.truth.gone]
        running = [turn for turn in mine if self.truth.turns[turn].state in {"opened", "closing"}]
        missing = set(data.draw(st.lists(st.sampled_from(running), unique=True))) if running else set()
        found = self.store.submit_zone(lambda z: recover(z, log, frozenset(missing), self.now)).result()
        closing = {turn for turn in missing if self.truth.turns[turn].state == "closing"}
        assert {one["turn"]: one["digest"] for one in found} == {
            t: self.truth.turns[t].digest for t in closing
        }
        for turn in running:
            one = self.truth.turns[turn]
            if one.state == "opened":
                one.status = "interrupted"
                self.truth.note(turn, "interrupted")
                if turn not in missing:
                    self.unclaim(turn)
            elif turn not in missing:
                self.truth.note(turn, "finished")
            else:
                continue
            if one.deleted or one.unclaimed:
                self.truth.gone.add(turn)

    @rule(conversation=conversations)
    def delete(self, conversation: str) -> None:
        if conversation in self.truth.gone:
            return
        who = self.truth.owners[conversation]
        other = next(one for one in PEOPLE if one != who)
        for person, code in ((other, "conversation_not_found"), (who, None)):
            assert self.put_people(lambda r, p=person: rules.delete(r, p, conversation)) == code
        self.truth.gone.add(conversation)
        for turn, one in self.truth.turns.items():
            if one.conversation == conversation and turn not in self.truth.gone:
                one.deleted = True
                if one.state not in {"opened", "closing"}:
                    self.truth.gone.add(turn)
        alive = {
            key: held for key, held in self.truth.claims.items() if not self.truth.turns[held.turn].deleted
        }
        self.truth.claims = alive

    @rule()
    def sweep(self) -> None:
        """Claims that are over go; with them the answers of stateless turns."""

        def work(zone: Any) -> int:
            found = zone.expired(self.now, 100)
            for tenant, claim in found:
                drop_claim(zone.of(tenant), claim)
            return len(found)

        dropped = self.store.submit_zone(work).result()
        over = {key: held for key, held in self.truth.claims.items() if held.at + KEPT_MS <= self.now}
        assert dropped == len(over)
        self.over(over)

    def over(self, over: dict[tuple[str, str], Claimed]) -> None:
        for key, held in over.items():
            del self.truth.claims[key]
            one = self.truth.turns[held.turn]
            if one.conversation is None and one.state not in {"opened", "closing"}:
                self.truth.gone.add(held.turn)
            one.unclaimed = one.conversation is None

    def put(self, work: Any) -> str | None:
        try:
            self.store.submit(TENANT, work).result()
        except RefusedError as refused:
            return refused.code
        return None

    def put_people(self, work: Any) -> str | None:
        try:
            self.people.submit(TENANT, work).result()
        except RefusedError as refused:
            return refused.code
        return None

    @invariant()
    def what_is_kept_is_the_truth(self) -> None:
        if not hasattr(self, "truth"):
            return

        def look(rows: Any) -> dict[str, Any]:
            return {turn: rows.turn(turn) for turn in self.truth.turns}

        kept = self.store.read(TENANT, look)
        for turn, one in self.truth.turns.items():
            found = kept[turn]
            assert (found is None) == (turn in self.truth.gone), (turn, one.state)
            if found is not None:
                assert found.state == one.state
                assert found.has_text != one.deleted
                assert (found.salt is None) == one.deleted
            assert not {"finished", "interrupted"} <= self.truth.ever.get(turn, set())


def test_turns_are_what_the_reference_says() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            # Shrinking a run of 40 steps takes minutes; a blob to repeat it is enough.
            phases=[Phase.generate, Phase.reuse],
        ),
    )
