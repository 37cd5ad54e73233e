"""Conversations through the whole product: kept, continued, branched, stopped, resumed, erased; twins; both processes killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from whole_product import Server, pid_of, start

from dragoman.testing.provider import DONE, JSON, Script, chunk, whole

PATIENCE = 60.0
LABEL = "[AI-generated] "
SLOW = [f"w{n} " for n in range(150)]
RULES = """
[[rules]]
id = "op.never"
words = ["forbidden fruit"]
action = "refuse"
message = { en = "Not here.", zh = "此处不行。" }
[[rules]]
id = "op.name"
words = ["zoraida"]
action = "redact"
message = { en = "No names.", zh = "不写姓名。" }
placeholder = { en = "[name]", zh = "[姓名]" }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, provider):
    folder = tmp_path_factory.mktemp("conversations")
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    made = start(
        folder,
        f'rules = ["rules.toml"]\n[providers.fake]\nbase_url = "{provider.url}"\n[models.fake]\nprovider = "fake"\nmodel = "up"\n',
    )
    for name, text in {"one": "First.", "two": "Second, 世界 👋.", "again": "Second again."}.items():
        provider.scripts[name] = Script([whole(text)], content_type=JSON)
    told = [chunk({"content": "Second, 世界 👋."}), chunk({}, finish="stop"), DONE]
    provider.scripts["streamed"] = Script(told)
    provider.scripts["slow"] = Script(
        [chunk({"content": word}) for word in SLOW] + [chunk({}, finish="stop"), DONE], gap=0.02
    )
    provider.scripts["broken"] = Script([b"nonsense"], status=500)
    yield made
    made.stop()


class Talk:
    """One conversation of a key's owner."""

    def __init__(self, server: Server, key: str | None = None) -> None:
        self.client = server.http(key)
        made = self.client.post("/v1/conversations", json={"title": "Talk"})
        assert made.status_code == 201, made.text
        self.id = made.json()["id"]
        self.url = f"/v1/conversations/{self.id}"

    def ask(self, text: str, stream: bool = False, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        body = {"model": "fake", "stream": stream, "messages": [{"role": "user", "content": text}], **more}
        return self.client.post(f"{self.url}/turns", json=body, headers=headers)

    def begin(self, text: str, words: int = 3, **more: Any) -> tuple[str, str]:
        """Ask, read a few words of the stream, and leave; the turn's id and what was read."""
        body = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": text}], **more}
        seen = ""
        with self.client.stream("POST", f"{self.url}/turns", json=body) as answer:
            assert answer.status_code == 200, answer.read()
            turn = answer.headers["dragoman-turn"]
            for event in events(answer.iter_lines()):
                seen += text_of(event)
                if seen.count("w") >= words:
                    break
        return turn, seen

    def turns(self, query: str = "") -> list[dict[str, Any]]:
        return list(self.client.get(f"{self.url}/turns{query}").json()["data"])

    def turn(self, turn: str) -> dict[str, Any]:
        """A turn's document once it is over."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = next((one for one in self.turns("?limit=100") if one["id"] == turn), None)
            if found is not None and found["state"] != "running":
                return found
            time.sleep(0.05)
        raise AssertionError(f"{turn} is not over")

    def text(self, turn: str) -> str:
        return str(self.turn(turn)["answer"]["choices"][0]["message"]["content"])


def events(lines: Any) -> Any:
    for line in lines:
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


def text_of(event: dict[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))


def sent(provider) -> list[str]:
    return [message["content"] for message in provider.seen[-1]["messages"]]


def test_turns_are_remembered_streamed_and_whole(server, provider) -> None:
    talk = Talk(server)
    first = talk.ask("one")
    assert first.status_code == 200, first.text
    assert first.json()["choices"][0]["message"]["content"] == LABEL + "First."
    second = talk.ask("streamed", stream=True)
    assert second.text.endswith("data: [DONE]\n\n")
    assert "".join(map(text_of, events(second.text.split("\n")))) == LABEL + "Second, 世界 👋."
    assert sent(provider) == ["one", "First.", "streamed"]
    shown = talk.turns()
    assert [one["status"] for one in shown] == ["finished", "finished"]
    assert shown[1]["answer"]["choices"][0]["message"]["content"] == LABEL + "Second, 世界 👋."
    assert shown[1]["context"] == {"turns": 1, "left_out": 0}
    assert [one["id"] for one in shown] == [first.headers["dragoman-turn"], second.headers["dragoman-turn"]]


def test_answers_have_the_shape_that_sdks_read(server) -> None:
    talk = Talk(server)
    first = talk.ask("one")
    turn = talk.ask("streamed", stream=True)
    ChatCompletion.model_validate(first.json(), strict=True)
    stored = talk.client.get(f"{talk.url}/turns/{turn.headers['dragoman-turn']}?after=0").text
    for text in (turn.text, stored):
        chunks = [ChatCompletionChunk.model_validate(event) for event in events(text.split("\n"))]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).startswith(
            LABEL
        )
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    for one in talk.turns():
        ChatCompletion.model_validate(one["answer"])
        assert one["messages"][0]["role"] == "user"
    page = talk.client.get("/v1/conversations?limit=1").json()
    assert set(page) == {"object", "data", "first_id", "last_id", "has_more"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_question_that_a_rule_refuses_is_kept_and_never_goes_to_a_model(server, provider, stream) -> None:
    talk = Talk(server)
    talk.ask("one")
    calls = len(provider.seen)
    refused = talk.ask("one Zoraida, a forbidden fruit, zoraida?", stream=stream)
    assert refused.status_code == 200, refused.text
    assert "Not here." in refused.text
    assert len(provider.seen) == calls
    turn = talk.turn(refused.headers["dragoman-turn"])
    assert (turn["state"], turn["status"]) == ("finished", "refused")
    assert turn["messages"] == [{"role": "user", "content": "one [name], a forbidden fruit, [name]?"}]
    assert turn["answer"]["choices"][0]["message"]["content"].startswith("Not here.")
    done = [(one["rule"], one["action"]) for one in turn["dragoman"]["interventions"]]
    assert done == [("op.name", "redact"), ("op.name", "redact"), ("op.never", "refuse")]
    statement = talk.client.get(turn["dragoman"]["interventions"][-1]["url"]).json()
    assert statement["measure"]["action"] == "refuse"
    appealed = talk.client.post("/v1/appeals", json={"about": turn["id"], "text": "It is a pear."})
    assert appealed.status_code == 201, appealed.text
    # The negative control: what no rule refuses goes on from it, and nothing of it goes along.
    assert talk.ask("two").json()["choices"][0]["message"]["content"] == LABEL + "Second, 世界 👋."
    assert sent(provider) == ["one", "First.", "two"]
    assert [one["status"] for one in talk.turns()] == ["finished", "refused", "finished"]
    assert talk.turns()[2]["parent"] == turn["id"]
    for kind in ("json", "markdown", "html"):
        exported = talk.client.get(f"{talk.url}/export?format={kind}").text
        assert "a forbidden fruit" in exported, kind
        assert "Not here." in exported, kind
        assert "oraida" not in exported, kind
    found = talk.client.get("/v1/conversations", params={"q": "forbidden"}).json()["data"]
    assert any(hit["turn"] == turn["id"] for hit in found)
    assert talk.client.get("/v1/conversations", params={"q": "zoraida"}).json()["data"] == []


def test_a_word_that_a_rule_redacts_stands_in_no_title(server, provider) -> None:
    """Not in list, search, export or the database's bytes, where the same title by hand would be."""
    client, folder = server.http(), server.folder / "data"
    provider.scripts["Where is [name] from?"] = Script([whole("First.")], content_type=JSON)

    def where(mark: str) -> dict[str, bool]:
        page = client.get("/v1/conversations").json()["data"]
        files = [
            client.get(f"/v1/conversations/{one['id']}/export?format=html").text
            for one in page
            if one["turns"]
        ]
        hits = client.get("/v1/conversations", params={"q": mark}).json()["data"]
        stored = b"".join(file.read_bytes() for file in folder.glob("zone.db*"))
        return {
            "list": mark in json.dumps(page),
            "search": bool(hits),
            "export": any(mark in text for text in files),
            "database": mark.encode() in stored,
        }

    made = client.post("/v1/conversations", json={}).json()
    url = f"/v1/conversations/{made['id']}"
    for text, named in (
        ("A forbidden fruit for Zoraida", None),
        ("Where is Zoraida from?", "Where is [name] from?"),
    ):
        body = {"model": "fake", "messages": [{"role": "user", "content": text}]}
        assert client.post(f"{url}/turns", json=body).status_code == 200
        assert client.get(url).json()["title"] == named
    assert where("Zoraida") == dict.fromkeys(("list", "search", "export", "database"), False)
    # The negative control: a title that its owner gives is its own, and the same look finds it everywhere.
    client.patch(url, json={"title": "About Zoraida"})
    assert where("Zoraida") == dict.fromkeys(("list", "search", "export", "database"), True)
    client.delete(url)


def test_a_branch_leaves_the_other_standing(server, provider) -> None:
    talk = Talk(server)
    first = talk.ask("one").headers["dragoman-turn"]
    second = talk.ask("two").headers["dragoman-turn"]
    other = talk.ask("again", parent=first).headers["dragoman-turn"]
    assert sent(provider) == ["one", "First.", "again"]
    assert [one["id"] for one in talk.turns()] == [first, other]
    assert talk.turns()[1]["siblings"] == [second, other]
    assert [one["id"] for one in talk.turns(f"?branch={second}")] == [first, second]
    assert talk.ask("one", parent="trn_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab").status_code == 404


def test_a_reader_that_left_continues_anywhere(server) -> None:
    talk = Talk(server)
    turn, seen = talk.begin("slow")
    busy = talk.ask("one")
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "conversation_busy")
    with talk.client.stream("GET", f"{talk.url}/turns/{turn}?after={len(seen)}", timeout=PATIENCE) as answer:
        rest = "".join(answer.iter_text())
    assert rest.endswith("data: [DONE]\n\n")
    all_of_it = LABEL + "".join(SLOW)
    assert seen + "".join(map(text_of, events(rest.split("\n")))) == all_of_it
    assert talk.text(turn) == all_of_it
    for after in (0, 1, len(LABEL), 500, len(all_of_it) - 1, len(all_of_it)):
        stored = talk.client.get(f"{talk.url}/turns/{turn}?after={after}").text
        assert "".join(map(text_of, events(stored.split("\n")))) == all_of_it[after:]
        assert stored.endswith("data: [DONE]\n\n")


def test_stop_keeps_what_was_shown(server, provider) -> None:
    talk = Talk(server)
    turn, seen = talk.begin("slow")
    assert talk.client.post(f"{talk.url}/turns/{turn}/stop", timeout=PATIENCE).status_code == 200
    text = talk.text(turn)
    assert text.startswith(seen)
    assert len(text) < len(LABEL + "".join(SLOW))
    assert talk.ask("one").status_code == 200
    assert sent(provider) == ["slow", text.removeprefix(LABEL), "one"]
    again = talk.client.post(f"{talk.url}/turns/{turn}/stop")
    assert (again.status_code, again.json()["state"]) == (200, "finished")


def test_twins_call_the_model_once(server, provider) -> None:
    talk = Talk(server)
    key = {"idempotency-key": "twin-1"}
    before = len(provider.seen)
    answers = [talk.ask("one", headers=key) for _ in range(3)]
    assert len(provider.seen) == before + 1
    assert {a.json()["choices"][0]["message"]["content"] for a in answers} == {LABEL + "First."}
    assert [a.headers.get("dragoman-replayed") for a in answers] == [None, "true", "true"]
    other = talk.ask("two", headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    stateless = {"model": "fake", "messages": [{"role": "user", "content": "two"}]}
    pair = [
        talk.client.post("/v1/chat/completions", json=stateless, headers={"idempotency-key": "twin-2"})
        for _ in range(2)
    ]
    assert len(provider.seen) == before + 2
    said = [one.json()["choices"][0] for one in pair]
    assert said[0]["message"]["content"] == said[1]["message"]["content"] == LABEL + "Second, 世界 👋."
    assert said[0]["finish_reason"] == said[1]["finish_reason"]
    made = [
        talk.client.post("/v1/conversations", json={}, headers={"idempotency-key": "twin-3"}).json()["id"]
        for _ in range(2)
    ]
    assert made[0] == made[1]


def test_a_twin_waits_for_nothing(server, provider) -> None:
    talk = Talk(server)
    turn, _ = talk.begin("slow")
    begun = threading.Event()
    answers: list[int] = []

    def ask() -> None:
        other = Talk(server)
        body = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": "slow"}]}
        with other.client.stream(
            "POST", f"{other.url}/turns", json=body, headers={"idempotency-key": "running"}, timeout=PATIENCE
        ) as answer:
            next(answer.iter_lines())
            begun.set()
            twin = other.client.post(f"{other.url}/turns", json=body, headers={"idempotency-key": "running"})
            answers.append(twin.status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(PATIENCE)
    assert answers == [409]
    talk.client.post(f"{talk.url}/turns/{turn}/stop", timeout=PATIENCE)


def test_a_failed_turn_is_shown_and_does_not_block(server, provider) -> None:
    talk = Talk(server)
    failed = talk.ask("broken")
    assert failed.status_code >= 500
    shown = talk.turns()[0]
    assert (shown["status"], shown["state"]) == ("failed", "finished")
    assert shown["error"]["code"] == failed.json()["error"]["code"]
    assert talk.ask("one").status_code == 200
    assert sent(provider) == ["broken", "[This answer failed.]", "one"]


def test_deleting_ends_what_runs_and_erases(server, provider) -> None:
    marker = "unmistakable"
    provider.scripts[marker] = Script(
        [chunk({"content": f"w {marker} "}) for _ in SLOW] + [chunk({}, finish="stop"), DONE], gap=0.02
    )
    talk = Talk(server)
    turn, _ = talk.begin(marker)
    assert talk.client.delete(talk.url).json()["deleted"] is True
    for path in ("", "/turns", f"/turns/{turn}", f"/turns/{turn}?after=0"):
        deadline = time.monotonic() + PATIENCE
        while (status := talk.client.get(talk.url + path).status_code) != 404 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert status == 404, path
    assert talk.ask("one").status_code == 404
    data = server.folder / "data"
    stored = b"".join(file.read_bytes() for file in data.glob("zone.db*"))
    assert marker.encode() not in stored
    assert talk.id.encode() in stored, "the control: the act of deleting names it"


def test_a_stranger_finds_nothing(server) -> None:
    talk = Talk(server)
    turn = talk.ask("one").headers["dragoman-turn"]
    made = server.dragoman("keys", "create", "--tenant", "default", "--title", "other")
    with server.http(made["text"]) as other:
        for method, path in [
            ("GET", ""),
            ("GET", "/turns"),
            ("GET", f"/turns/{turn}"),
            ("PATCH", ""),
            ("PUT", f"/turns/{turn}/feedback"),
            ("DELETE", f"/turns/{turn}/feedback"),
            ("DELETE", ""),
        ]:
            bodies = {"PATCH": {}, "PUT": {"rating": "good"}}
            answer = other.request(method, talk.url + path, json=bodies.get(method))
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "conversation_not_found")
        body = {"model": "fake", "messages": [{"role": "user", "content": "one"}]}
        assert other.post(f"{talk.url}/turns", json=body).status_code == 404
    said = talk.client.put(f"{talk.url}/turns/{turn}/feedback", json={"rating": "good"})
    assert (said.status_code, said.json()["feedback"]["rating"]) == (200, "good"), (
        "the control: its owner may"
    )


def restarted(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{server.url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError((server.folder / "serve.log").read_text()[-3000:])


def kill(server: Server, role: str) -> None:
    os.kill(pid_of(server, role), signal.SIGKILL)


def test_killed_mid_stream_is_shown_interrupted(server, provider) -> None:
    talk = Talk(server)
    first = talk.ask("one").headers["dragoman-turn"]
    turn, _ = talk.begin("slow")
    calls = len(provider.seen)
    kill(server, "relay")
    time.sleep(0.1)
    restarted(server)
    shown = talk.turn(turn)
    assert (shown["state"], shown["error"]["code"]) == ("interrupted", "turn_interrupted")
    resumed = talk.client.get(f"{talk.url}/turns/{turn}?after=0").text
    assert "turn_interrupted" in resumed
    assert "[DONE]" not in resumed
    assert len(provider.seen) == calls, "never asked again by itself"
    assert talk.ask("two").status_code == 200
    assert sent(provider) == ["one", "First.", "slow", "[This answer was interrupted.]", "two"]
    assert talk.text(first) == LABEL + "First."


def test_control_killed_loses_nothing(server, provider) -> None:
    talk = Talk(server)
    first = talk.ask("one").headers["dragoman-turn"]
    kill(server, "control")
    time.sleep(0.1)
    restarted(server)
    deadline = time.monotonic() + PATIENCE
    while (answer := talk.ask("two")).status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    assert sent(provider)[-3:] == ["one", "First.", "two"]
    assert talk.turns()[0]["id"] == first


def test_the_examples_of_the_docs_run(offline) -> None:
    """Each `curl` of docs/api.md in its order; ids come from the answers before."""
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = [f"curl {one}" for block in blocks for one in block.split("curl ")[1:]]
    assert len(commands) > 9
    known = {"DRAGOMAN": offline.url, "KEY": offline.key, "PATH": os.environ["PATH"]}
    for command in commands:
        done = subprocess.run(
            ["bash", "-euc", command], env=known, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        assert '"error":{' not in done.stdout, (command, done.stdout)
        for name, kind in (("CONVERSATION", "cnv"), ("TURN", "trn")):
            found = re.search(rf"{kind}_[a-z0-9-]+_[0-9a-f-]{{36}}", done.stdout)
            if found and name not in known:
                known[name] = found.group()
    assert {"CONVERSATION", "TURN"} <= set(known)
    assert '"deleted":true' in done.stdout


def test_the_record_names_what_was_kept(server) -> None:
    talk = Talk(server)
    talk.ask("one")
    verdict = server.dragoman("ledger", "verify", check=False)
    assert verdict["sound"] is True, verdict
