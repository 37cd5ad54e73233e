"""What was done to an answer is told to its reader: a redaction, a vendor's block, a law of the place."""

from __future__ import annotations

import json

import pytest
from whole_product import start

from dragoman.decide.packs import baseline_document
from dragoman.testing.provider import DONE, JSON, Script, chunk

RULES = """
[[rules]]
id = "op.word"
words = ["禁用词语", "forbidden phrase"]
action = "redact"
message = { en = "House rules.", zh = "内部规则。" }
placeholder = { en = "[gone]", zh = "[已去]" }
"""
CONFIG = """
rules = ["rules.toml"]
[deployment]
seat = "SG"
roles = {roles}
contact = "appeals@operator.example"
{evidence}
[tenants.acme]
title = "Acme"
[providers.fake]
base_url = "{url}"
[models.fake]
provider = "fake"
model = "up"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, provider):
    folder = tmp_path_factory.mktemp("disclosure")
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    operator = baseline_document()["operator"]
    held = [f'[deployment.evidence."{name}"]\nnumber = "1"' for name in operator["evidence"]]
    body = CONFIG.format(roles=json.dumps(operator["roles"]), evidence="\n".join(held), url=provider.url)
    made = start(folder, body, DRAGOMAN_ZONE__COUNTRY="SG")
    provider.scripts["hi"] = Script([chunk({"content": "hello"}), chunk({}, finish="stop"), DONE])
    yield made
    assert made.stop() == 0


def ask(server, text, key=None, **headers):
    """A whole answer's headers, text and `dragoman` object, from a streamed one."""
    body = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": text}]}
    with server.http(key) as client:
        answer = client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    frames = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    said = "".join(c["delta"].get("content") or "" for frame in frames for c in frame["choices"])
    told = next(frame["dragoman"] for frame in reversed(frames) if "dragoman" in frame)
    finish = [c["finish_reason"] for frame in frames for c in frame["choices"] if c["finish_reason"]]
    return answer.headers, said, told, finish


def reasons(server, name, key=None):
    with server.http(key) as client:
        return client.get(f"/v1/interventions/{name}")


def test_a_redaction_is_disclosed_and_read_by_its_owner_alone(server, provider):
    pieces = [chunk({"content": part}) for part in ("before 禁", "用词", "语 after")]
    provider.scripts["redact"] = Script([*pieces, chunk({}, finish="stop"), DONE])
    _, said, told, _ = ask(server, "redact", **{"accept-language": "zh"})
    assert "禁用词语" not in said
    assert "before [已去] after" in said
    name = told["interventions"][0]["id"]
    statement = reasons(server, name).json()
    assert statement["rule"]["id"] == "op.word"
    assert "appeals@operator.example" in statement["text"]["en"]
    other = server.dragoman("keys", "create", "--tenant", "acme")["text"]
    assert reasons(server, name, other).status_code == 404


@pytest.mark.parametrize(
    "script",
    [
        Script([chunk({"content": ""}), chunk({}, finish="content_filter"), DONE]),
        Script([b'{"error": {"message": "no", "code": "content_filter"}}'], status=400, content_type=JSON),
    ],
    ids=["finish", "error"],
)
def test_a_vendors_block_becomes_an_intervention(server, provider, script):
    provider.scripts["block"] = script
    _, _, told, finish = ask(server, "block")
    assert finish == ["content_filter"]
    statement = reasons(server, told["interventions"][0]["id"]).json()
    assert statement["ground"]["origin"] == "vendor"


def test_a_law_of_the_place_is_carried_out(server):
    """A declared person in another place: that place's notice, and its machine label in the head."""
    made = server.dragoman("keys", "create", "--tenant", "acme", "--end-users", "declared")
    person = ("--sub", "u-1", "--residence", "DE", "--age", "30")
    token = server.dragoman("keys", "token", made["key"], *person)["token"]
    headers, _, told, _ = ask(server, "hi", made["text"], **{"dragoman-user-token": token})
    assert headers["ai-disclosure"] == "mode=ai-originated"
    assert [notice["rule_id"] for notice in told["notices"]] == ["eu.aiact.notice"]
    assert "eu.aiact.marking" in [label["rule_id"] for label in told["labels"]]
    elsewhere, *_ = ask(server, "hi")
    assert "ai-disclosure" not in elsewhere, "the control: staff at the operator's seat"
    said, read = kept(server, made["text"], token)
    assert {"format": "http", "fields": {"mode": "ai-originated"}} in [one.get("machine") for one in said]
    assert read == said, "what was said to machines is read again as it was said"


def kept(server, key, token):
    """The labels of a turn of a conversation, as its answer had them and as it is read later."""
    with server.http(key) as client:
        client.headers["dragoman-user-token"] = token
        name = client.post("/v1/conversations", json={}).json()["id"]
        turn = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        answer = client.post(f"/v1/conversations/{name}/turns", json=turn)
        (read,) = client.get(f"/v1/conversations/{name}/turns").json()["data"]
    frames = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    (said,) = [frame["dragoman"] for frame in frames if "dragoman" in frame]
    return said["labels"], read["dragoman"]["labels"]
