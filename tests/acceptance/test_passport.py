"""Passports through the whole product: the proof's own command verifies it, a changed byte does not, and others get 404."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from whole_product import COMMAND, Server, environment, start

from dragoman.testing.provider import JSON, Script, whole

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from ledger_spec import Key, SpecError
from ledger_spec import check_proof as spec_check

PATIENCE = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory, provider):
    folder = tmp_path_factory.mktemp("passports")
    made = start(
        folder,
        f'[providers.fake]\nbase_url = "{provider.url}"\n[models.fake]\nprovider = "fake"\nmodel = "up"\n'
        '[providers.far]\nbase_url = "https://api.openai.com/v1"\n[models.far]\nprovider = "far"\nmodel = "far-1"\n',
    )
    provider.scripts["one"] = Script([whole("First.")], content_type=JSON)
    yield made
    made.stop()


def ask(client: httpx.Client, model: str = "fake", text: str = "one") -> str:
    """A turn in a new conversation; the address of its passport."""
    url = f"/v1/conversations/{client.post('/v1/conversations', json={}).json()['id']}"
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    turn = client.post(f"{url}/turns", json=body).headers["dragoman-turn"]
    return f"{url}/turns/{turn}/passport"


def proven(client: httpx.Client, url: str) -> dict[str, Any]:
    """The passport once a signed checkpoint covers the turn."""
    deadline = time.monotonic() + PATIENCE
    while (found := client.get(url).json())["ledger"]["state"] != "proven":
        assert found["ledger"]["state"] in {"pending", "partly"}, found["ledger"]
        assert time.monotonic() < deadline, found["ledger"]
        time.sleep(0.1)
    return dict(found)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The shown command, as somebody elsewhere runs it: in a folder that holds the proof and nothing else."""
    words = shlex.split(command)
    assert words[0] == "dragoman"
    return subprocess.run(
        [COMMAND, *words[1:]], cwd=folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )


def test_the_shown_command_verifies_each_proof_and_fails_on_a_changed_byte(
    server: Server, tmp_path: Path
) -> None:
    client = server.http()
    url = ask(client)
    found = proven(client, url)
    proofs = found["ledger"]["proofs"]
    assert [one["kind"] for one in proofs] == ["intent", "result"]
    for one in proofs:
        told = client.get(one["url"])
        assert told.text == one["proof"]
        assert one["file"] in told.headers["content-disposition"]
        file = tmp_path / one["file"]
        file.write_bytes(told.content)
        done = run(one["command"], tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
        assert found["turn"] in done.stdout
        index, entry, _ = spec_check(one["proof"], Key.parse(found["ledger"]["key"]))
        assert index == one["index"]
        assert found["turn"].encode() in entry
        extra = told.text.index("extra ") + 30
        for place in (extra, len(told.text) // 2, len(told.text) - 10):
            changed = bytearray(told.content)
            changed[place] = ord("A") if changed[place] != ord("A") else ord("B")
            file.write_bytes(changed)
            assert run(one["command"], tmp_path).returncode != 0, f"byte {place} changed and nobody noticed"
            with pytest.raises((SpecError, ValueError)):
                spec_check(changed.decode(), Key.parse(found["ledger"]["key"]))
        other = found["ledger"]["key"].replace("journal", "elsewhere")[:-4] + "AAA="
        file.write_bytes(told.content)
        assert run(
            one["command"].replace(shlex.quote(found["ledger"]["key"]), shlex.quote(other)), tmp_path
        ).returncode


def test_an_allowed_and_a_refused_turn_say_what_was_decided(server: Server) -> None:
    client = server.http()
    allowed = proven(client, ask(client))
    assert allowed["answered_by"] == {"asked": "fake", "provider": "fake", "model": "up", "attempt": 0}
    assert allowed["decision"]["kept"] is True
    assert [(one["provider"], one["eligible"]) for one in allowed["providers"]] == [("fake", True)]
    refused = proven(client, ask(client, "far"))
    assert refused["answered_by"]["provider"] is None
    assert refused["decision"]["outcome"] in {"STEP_UP", "DENY", "NOT_READY"}
    (far,) = refused["providers"]
    assert far["eligible"] is False
    why = far["reasons"][0]
    assert why["citation"]["url"].startswith("https://")
    rule = next(one for one in refused["decision"]["rules"] if one["code"] == why["code"])
    assert (rule["source"], rule["text"]) == (why["citation"], why["text"])
    assert rule["kind"].startswith("provider.")
    for passport in (allowed, refused):
        intent = next(one for one in passport["ledger"]["proofs"] if one["kind"] == "result")
        _, entry, _ = spec_check(intent["proof"], Key.parse(passport["ledger"]["key"]))
        assert passport["decision"]["id"].encode() in entry, "the record names the decision that is shown"
        assert "127.0.0.1" not in str(passport), "no address of anybody"


def test_nobody_else_gets_it_and_erasure_ends_it(server: Server) -> None:
    client = server.http()
    url = ask(client)
    other = server.dragoman("keys", "create", "--title", "other")
    for query in ("", "?proof=result"):
        told = server.http(other["text"]).get(url + query)
        assert (told.status_code, told.json()["error"]["code"]) == (404, "conversation_not_found")
        assert httpx.get(server.url + url + query).status_code == 401
    assert client.post(url).status_code == 405
    assert client.get(url.replace("trn_", "trn_x")).status_code == 404
    assert client.delete(url.split("/turns/")[0]).status_code == 200
    assert client.get(url).json()["error"]["code"] == "conversation_not_found"
