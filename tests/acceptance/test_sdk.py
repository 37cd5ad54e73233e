"""The official `openai` SDK against a running server: what a developer does first."""

from __future__ import annotations

import json

import openai
import pytest
from whole_product import start

from dragoman.testing.provider import DONE, JSON, Script, chunk


@pytest.fixture(scope="module")
def server(tmp_path_factory, provider):
    made = start(
        tmp_path_factory.mktemp("sdk"),
        f'[providers.fake]\nbase_url = "{provider.url}"\n[models.fake]\nprovider = "fake"\nmodel = "upstream"\n',
    )
    yield made
    made.stop()


def ask(client, text, **more):
    return client.chat.completions.create(
        messages=[{"role": "user", "content": text}], **{"model": "fake", **more}
    )


@pytest.mark.parametrize(
    ("question", "label"), [("How do I return an order?", "AI"), ("怎么退货？", "AI 生成")]
)
def test_offline_answer_has_citations_and_label(offline, question, label):
    client = offline.client(default_headers={"accept-language": "zh" if "怎" in question else "en"})
    said = ask(client, question, model="dragoman")
    message = said.choices[0].message
    assert label in message.content
    assert "[1]" in message.content
    assert message.annotations
    assert message.annotations[0].url_citation.url.startswith("/sources/")
    assert said.usage.total_tokens > 0


def test_offline_stream_equals_the_whole_answer(offline):
    client = offline.client()
    whole = ask(client, "How do I return an order?", model="dragoman").choices[0].message.content
    stream = ask(client, "How do I return an order?", model="dragoman", stream=True)
    assert whole == "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def test_models_are_listed(server):
    assert {"dragoman", "fake"} <= {m.id for m in server.client().models.list()}
    assert server.client().models.retrieve("fake").id == "fake"


def test_stream_with_usage(server, provider):
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    last = (
        b"data: "
        + json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [],
                "usage": usage,
            }
        ).encode()
        + b"\n\n"
    )
    provider.scripts["stream"] = Script(
        [
            chunk({"role": "assistant", "content": "Hel"}),
            chunk({"content": "lo"}),
            chunk({}, finish="stop"),
            last,
            DONE,
        ]
    )
    pieces = list(ask(server.client(), "stream", stream=True, stream_options={"include_usage": True}))
    text = "".join(c.delta.content or "" for p in pieces for c in p.choices)
    assert text.endswith("Hello")
    assert "AI-generated" in text
    assert pieces[-1].usage.total_tokens == 5
    assert {"fake"} == {p.model for p in pieces}
    assert provider.seen[-1]["model"] == "upstream"
    assert not any(p.usage for p in ask(server.client(), "stream", stream=True))


def test_legacy_completions(server, provider):
    answer = {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": "Paris", "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    provider.scripts["The capital is"] = Script([json.dumps(answer).encode()], content_type=JSON)
    said = server.client().completions.create(
        model="fake", prompt="The capital is", suffix=".", echo=False, n=1
    )
    assert said.choices[0].text.endswith("Paris")
    assert provider.seen[-1]["suffix"] == "."


def test_tool_calls_and_two_choices(server, provider):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
    }
    choices = [
        {
            "index": i,
            "message": {"role": "assistant", "content": None, "tool_calls": [call]},
            "finish_reason": "tool_calls",
        }
        for i in (0, 1)
    ]
    whole = {"id": "chatcmpl-2", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    provider.scripts["tools"] = Script([json.dumps(whole).encode()], content_type=JSON)
    tool = {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    said = ask(server.client(), "tools", tools=[tool], n=2)
    assert len(said.choices) == 2
    for choice in said.choices:
        assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Rome"}
    assert [tool] == provider.seen[-1]["tools"]


def test_json_schema_passes_through(server, provider):
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    }
    whole = {
        "id": "chatcmpl-3",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": '{"a":1}'}, "finish_reason": "stop"}
        ],
    }
    provider.scripts["schema"] = Script([json.dumps(whole).encode()], content_type=JSON)
    said = ask(server.client(), "schema", response_format=schema)
    assert json.loads(said.choices[0].message.content) == {"a": 1}
    assert schema == provider.seen[-1]["response_format"]


@pytest.mark.parametrize(
    ("wrong", "error", "code"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "model_not_found"),
        ({"n": 0}, openai.BadRequestError, None),
        ({"n": 1000}, openai.BadRequestError, None),
        ({"messages": []}, openai.BadRequestError, None),
        ({"temperature": "hot"}, openai.BadRequestError, None),
        ({"extra_body": {"temprature": 1}}, openai.BadRequestError, "unknown_field"),
    ],
)
def test_error_classes(server, wrong, error, code):
    with pytest.raises(error) as caught:
        server.client().chat.completions.create(
            **{"model": "fake", "messages": [{"role": "user", "content": "x"}], **wrong}
        )
    body = caught.value.body
    assert {"message", "type", "code", "param"} <= set(body)
    assert code in {None, body["code"]}


@pytest.mark.parametrize("key", ["x", "dragoman_local_abc", "dragoman_local_aaaaaaaa_bbbbbbbbbbbb_cccccc"])
def test_bad_keys(server, key):
    with pytest.raises(openai.AuthenticationError):
        ask(server.client(key), "stream")


def test_key_of_another_zone(server):
    other = server.key.replace("dragoman_local_", "dragoman_elsewhere_")
    with pytest.raises(openai.APIStatusError) as caught:
        ask(server.client(other), "stream")
    assert caught.value.status_code in {401, 421}
