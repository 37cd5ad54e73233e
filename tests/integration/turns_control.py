"""A real control on its sockets, and the messages that a relay of stored turns would send it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import itertools
import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.ids import new_id, now_ms

LOG = "log_local_0f0f0f0f0f0f0f0f"
MANY = itertools.count()


class Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))


def answer_record(text: str, finish: str = "stop") -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "dragoman",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": finish,
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


@dataclass
class Relay:
    """What a relay says to control about one person's turns; and what that person reads of them."""

    run: Path
    who: dict[str, Any]
    log: str = LOG
    salts: dict[str, bytes] = field(default_factory=dict)
    lang: str = "en"

    def call(self, name: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = Unix(self.run / name)
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body)
        sent = {"dragoman-wire": "1", **{key.replace("_", "-"): value for key, value in headers.items()}}
        connection.request(method, path, raw, sent)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        is_json = "json" in (answer.getheader("content-type") or "")
        return answer.status, json.loads(data) if is_json and data else data.decode() or None

    def plan(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.call("plan.sock", method, path, body)

    def v1(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """A request about conversations of the person, as the relay passes it on."""
        return self.own(method, f"/v1/conversations{path}", body, **headers)

    def own(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """A request of the person to control's own `/v1` table."""
        said = {
            "dragoman_tenant": self.who["tenant"],
            "dragoman_principal": self.who["principal"],
            "dragoman_scopes": ",".join(self.who["scopes"]),
            "dragoman_locale": self.lang,
        }
        if self.who["key"]:
            said["dragoman_key"] = self.who["key"]
        return self.call("pages.sock", method, path, body, **said, **headers)

    def conversation(self, **body: Any) -> str:
        status, made = self.v1("POST", "", body)
        assert status == 201, made
        return str(made["id"])

    def question(self, **changes: Any) -> dict[str, Any]:
        same = {name: self.who[name] for name in ("tenant", "app", "end_users", "class", "scopes")}
        address = {"country": None, "kind": "unknown", "peer": "loopback"}
        route = {
            "route": "/v1/conversations/{id}/turns",
            "model": "dragoman",
            "channel": "api",
            "address": address,
        }
        return {**same, **route, **changes}

    def message(self, conversation: str | None, text: str = "Hello", **changes: Any) -> dict[str, Any]:
        """A `POST /turns` message."""
        turn = changes.pop("turn", None) or new_id("trn", "local")
        salt = self.salts.setdefault(turn, os.urandom(32))
        stateless = conversation is None
        body = {
            "turn": turn,
            "log": self.log,
            "at": now_ms(),
            "tenant": self.who["tenant"],
            "principal": self.who["principal"],
            "key": self.who["key"],
            "conversation": conversation,
            "parent": None if stateless else "last",
            "idempotency": {"key": f"k{next(MANY)}", "body": "sha256:" + "0" * 64} if stateless else None,
            "question": self.question(**({"route": "/v1/chat/completions"} if stateless else {})),
            "plan": new_id("pln", "local"),
            "decision": "dec_local_" + "0" * 32,
            "stream": False,
            "lang": self.lang,
            "input": None
            if stateless
            else {"model": "dragoman", "messages": [{"role": "user", "content": text}]},
            "rules_in": "sha256:" + "0" * 64,
            "interventions": [],
            "salt": base64.urlsafe_b64encode(salt).decode().rstrip("="),
            "deadline_ms": 1_800_000,
        }
        return {**body, **changes}

    def open(self, conversation: str | None, text: str = "Hello", **changes: Any) -> tuple[int, Any]:
        return self.plan("POST", "/turns", self.message(conversation, text, **changes))

    def digest(self, turn: str, text: str) -> str:
        return "sha256:" + hashlib.sha256(self.salts[turn] + text.encode()).hexdigest()

    def result(self, turn: str, status: str = "finished", **changes: Any) -> dict[str, Any]:
        entry = {"v": 1, "kind": "result", "turn": turn, "at": now_ms(), "status": status, "error": None}
        more = {"decision": "dec_local_" + "0" * 32, "labels": ["operator.label_always"], "notices": []}
        return {**entry, **more, "interventions": [], "finish": ["stop"], **changes}

    def outcome(self, turn: str, state: str, **more: Any) -> tuple[int, Any]:
        return self.plan(
            "PUT", f"/turns/{turn}/outcome", {"state": state, "tenant": self.who["tenant"], **more}
        )

    def close(
        self, turn: str, record: dict[str, Any], status: str = "finished", **changes: Any
    ) -> tuple[int, Any]:
        text = json.dumps(record, ensure_ascii=False)
        digest = self.digest(turn, text)
        entry = {**self.result(turn, status, **changes), "outcome": digest}
        return self.outcome(turn, "closing", digest=digest, answer=text, result=entry)

    def finish(self, turn: str, record: dict[str, Any]) -> tuple[int, Any]:
        return self.outcome(
            turn, "finished", digest=self.digest(turn, json.dumps(record, ensure_ascii=False))
        )

    def turn(
        self, conversation: str, text: str = "Hello", said: str = "Hi", **changes: Any
    ) -> dict[str, Any]:
        """A whole turn; what opening it answered."""
        status = changes.pop("status", "finished")
        opened = self.open(conversation, text, **changes)
        assert opened[0] == 200, opened
        assert opened[1]["state"] == "opened", opened
        record = answer_record(said)
        turn = opened[1]["turn"]
        assert self.close(turn, record, status)[0] == 204
        assert self.finish(turn, record)[0] == 204
        return dict(opened[1])

    def recover(self, *intents: str) -> list[dict[str, Any]]:
        status, found = self.plan("POST", "/turns/recover", {"log": self.log, "intents": list(intents)})
        assert status == 200, found
        return list(found["closing"])


def person(run: Path, text: str, token: str | None = None) -> dict[str, Any]:
    """Who stands behind a key, as the relay learns it."""
    relay = Relay(run, {})
    question = {"credential": {"kind": "api_key", "value": text}, "user_token": token, "peer": "loopback"}
    status, who = relay.plan("POST", "/principal", question)
    assert status == 200, who
    return dict(who)


def new_key(run: Path, tenant: str = "default", **more: Any) -> dict[str, Any]:
    relay = Relay(run, {})
    body = {"tenant": tenant, "end_users": "none", **more}
    status, made = relay.call("admin.sock", "POST", "/admin/v1/keys", body)
    assert status == 201, made
    return dict(made)
