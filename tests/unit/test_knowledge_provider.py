"""The provider `local` in the OpenAI wire shape: whole and streamed, choices, usage, citations, faults."""

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dragoman.knowledge.documents import parse
from dragoman.knowledge.engine import Knowledge
from dragoman.knowledge.model import Source
from dragoman.knowledge.provider import local_provider

CHAT = "/provider/v1/chat/completions"
LEGACY = "/provider/v1/completions"
HEADERS = {"dragoman-tenant": "ten_local_a", "dragoman-locale": "en"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    knowledge = Knowledge(tmp_path_factory.mktemp("knowledge"))
    abroad = Source("abroad", "ten_local_a", "Abroad", "Us", "CC0-1.0", jurisdictions=("XA",))
    knowledge.shelf.put(abroad, [parse("a.txt", b"Zeppelin deliveries land on Mondays.", "a")])
    return TestClient(Starlette(routes=local_provider(knowledge)), headers=HEADERS)


def chat(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "dragoman", "messages": [{"role": "user", "content": content}], **more}


def events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_whole_answer_cites_sentences_at_their_code_points(client: TestClient) -> None:
    body = client.post(CHAT, json=chat("怎么退货？", tools=[{"type": "function"}])).json()
    choice = body["choices"][0]
    text = choice["message"]["content"]
    assert (body["object"], body["model"], choice["finish_reason"]) == ("chat.completion", "dragoman", "stop")
    assert "点击“退货”" in text
    assert "来源：" in text
    for note in choice["message"]["annotations"]:
        cited = note["url_citation"]
        assert note["type"] == "url_citation"
        assert text[cited["start_index"] : cited["end_index"]] in ("[1]", "[2]")
        assert cited["url"].startswith(("/sources/osmanthus-lane/", "/sources/dragoman/"))
        assert cited["title"]
    assert (
        choice["message"]["annotations"][0]["url_citation"]["url"]
        == "/sources/osmanthus-lane/returns-zh#p2s1"
    )
    usage = body["usage"]
    assert (
        usage["total_tokens"]
        == usage["prompt_tokens"] + usage["completion_tokens"]
        > usage["prompt_tokens"]
        > 0
    )


def test_a_stream_says_the_same_and_ends_with_usage_and_done(client: TestClient) -> None:
    whole = client.post(CHAT, json=chat("怎么退货？", n=2)).json()
    got = events(
        client.post(
            CHAT, json=chat("怎么退货？", n=2, stream=True, stream_options={"include_usage": True})
        ).text
    )
    for index in (0, 1):
        mine = [c for e in got for c in e["choices"] if c["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert (
            "".join(c["delta"].get("content", "") for c in mine)
            == whole["choices"][index]["message"]["content"]
        )
        notes = [n for c in mine for n in c["delta"].get("annotations", [])]
        assert notes == whole["choices"][index]["message"]["annotations"]
        assert [c["finish_reason"] for c in mine if c["finish_reason"]] == ["stop"]
    assert got[-1]["choices"] == []
    assert got[-1]["usage"] == whole["usage"]
    assert all(e["usage"] is None for e in got[:-1])
    plain = events(client.post(CHAT, json=chat("怎么退货？", stream=True)).text)
    assert all("usage" not in e for e in plain)


def test_legacy_completions_take_prompt_lists_n_and_echo(client: TestClient) -> None:
    body = {"model": "m", "prompt": ["How do I return an item?", "怎么换货"], "n": 2, "echo": True}
    got = client.post(LEGACY, json=body).json()
    assert got["object"] == "text_completion"
    assert [c["index"] for c in got["choices"]] == [0, 1, 2, 3]
    assert got["choices"][1]["text"].startswith("How do I return an item?")
    assert got["choices"][2]["text"].startswith("怎么换货")
    streamed = events(client.post(LEGACY, json={**body, "stream": True}).text)
    for index in range(4):
        text = "".join(c["text"] for e in streamed for c in e["choices"] if c["index"] == index)
        assert text == got["choices"][index]["text"]


def test_max_tokens_cuts_and_says_length(client: TestClient) -> None:
    whole = client.post(CHAT, json=chat("怎么退货？")).json()["choices"][0]["message"]
    cut = client.post(CHAT, json=chat("怎么退货？", max_completion_tokens=5)).json()
    assert cut["choices"][0]["finish_reason"] == "length"
    assert whole["content"].startswith(cut["choices"][0]["message"]["content"])
    assert cut["usage"]["completion_tokens"] == 5
    assert cut["choices"][0]["message"]["annotations"] == []
    enough = client.post(CHAT, json=chat("怎么退货？", max_tokens=100000)).json()
    assert enough["choices"][0]["finish_reason"] == "stop"


def test_the_last_user_message_counts_and_may_be_parts(client: TestClient) -> None:
    messages = [
        {"role": "user", "content": "退款多久到账"},
        {"role": "assistant", "content": "..."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "怎么换货"}, {"type": "image_url", "image_url": {}}],
        },
    ]
    text = client.post(CHAT, json={"model": "m", "messages": messages}).json()["choices"][0]["message"][
        "content"
    ]
    assert "换货" in text.split("\n")[0]


def test_place_decides_what_is_read(client: TestClient) -> None:
    ask = chat("When do zeppelin deliveries land?")
    at = {"dragoman-address": json.dumps({"country": "XA", "kind": "residential", "peer": "remote"})}
    assert "Mondays" in client.post(CHAT, json=ask, headers=at).text
    assert "Mondays" not in client.post(CHAT, json=ask).text
    assert "Mondays" not in client.post(CHAT, json=ask, headers={**at, "dragoman-tenant": "ten_local_b"}).text


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, b"{", "body"),
        (CHAT, b"[]", "body"),
        (CHAT, b"[" * 100_000, "body"),
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": "x"}, "messages"),
        (CHAT, chat("x", n=0), "n"),
        (CHAT, chat("x", n=1000), "n"),
        (CHAT, chat("x", n=True), "n"),
        (CHAT, chat("x", max_tokens="5"), "max_tokens"),
        (LEGACY, {"prompt": [1, 2]}, "prompt"),
        (LEGACY, {"prompt": []}, "prompt"),
        (LEGACY, {}, "prompt"),
    ],
)
def test_faults_are_openai_shaped(client: TestClient, path: str, body: object, param: str) -> None:
    got = client.post(path, content=body if isinstance(body, bytes) else json.dumps(body).encode())
    assert got.status_code == 400
    assert got.json()["error"].keys() == {"message", "type", "param", "code"}
    assert got.json()["error"]["param"] == param


def test_without_the_relays_headers_nothing_is_served(client: TestClient) -> None:
    bare = TestClient(client.app)
    assert bare.post(CHAT, json=chat("怎么退货？")).status_code == 400


@pytest.mark.parametrize("content", ["", "？！", None, [], 5, "写一首诗", "hello", "qwxz vbnm"])
def test_strange_questions_get_a_plain_sentence(client: TestClient, content: object) -> None:
    got = client.post(CHAT, json=chat(content)).json()["choices"][0]
    assert got["finish_reason"] == "stop"
    assert len(got["message"]["content"]) > 20
    assert got["message"]["annotations"] == []


def test_half_a_surrogate_pair_is_a_question_like_another(client: TestClient) -> None:
    sent = b'{"model":"m","messages":[{"role":"user","content":"\\uD800 \xe6\x80\x8e\xe4\xb9\x88\xe9\x80\x80\xe8\xb4\xa7"}]}'
    got = client.post(CHAT, content=sent)
    assert got.status_code == 200
    whole = json.dumps("a \U0001f600 b").encode()
    pair = client.post(CHAT, content=b'{"model":"m","messages":[{"role":"user","content":' + whole + b"}]}")
    assert pair.status_code == 200
