"""Bad requests and bad providers: a clear error for the one, harm to nobody else from the other."""

from __future__ import annotations

import gzip
import json
import threading
import time

import httpx
import pytest
from whole_product import start

from dragoman.testing.provider import DONE, RESET, Script, chunk
from promise import SLOW_SECONDS, eventually, within

GOOD = {"model": "fake", "messages": [{"role": "user", "content": "fine"}]}
FINE = [chunk({"role": "assistant", "content": "fine"}), chunk({}, finish="stop"), DONE]
RECORDED = b"".join(
    [
        chunk({"role": "assistant", "content": "one "}),
        chunk({"content": "two 三"}),
        chunk({}, finish="stop"),
        DONE,
    ]
)
BOMB = gzip.compress(b"\0" * 50_000_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory, provider):
    made = start(
        tmp_path_factory.mktemp("bad"),
        f'[label]\nalways = false\n[providers.fake]\nbase_url = "{provider.url}"\ndeadlines_ms = {{ first_byte = 30000, idle = 30000, total = 120000 }}\n[models.fake]\nprovider = "fake"\nmodel = "up"\n',
    )
    provider.scripts["fine"] = Script(FINE)
    yield made
    made.stop()


def deep(levels: int) -> bytes:
    inner = b"[" * levels + b"]" * levels
    return b'{"model":"fake","messages":[{"role":"user","content":"x"}],"metadata":' + inner + b"}"


REQUESTS = {
    "not JSON": (b"{", 400),
    "a list": (b"[]", 400),
    "empty body": (b"", 400),
    "invalid UTF-8": (b'{"model":"fake","messages":[{"role":"user","content":"\xff"}]}', 400),
    "duplicate key": (b'{"model":"fake","model":"other","messages":[{"role":"user","content":"x"}]}', 400),
    "too deep": (deep(100), 400),
    "too large": (
        b'{"model":"fake","messages":[{"role":"user","content":"' + b"x" * 11_000_000 + b'"}]}',
        413,
    ),
    "unknown field": (json.dumps({**GOOD, "temprature": 1}).encode(), 400),
    "wrong type": (json.dumps({**GOOD, "stream": "yes"}).encode(), 400),
    "n = 0": (json.dumps({**GOOD, "n": 0}).encode(), 400),
    "n = 1000": (json.dumps({**GOOD, "n": 1000}).encode(), 400),
    "no messages": (json.dumps({"model": "fake"}).encode(), 400),
    "empty messages": (json.dumps({**GOOD, "messages": []}).encode(), 400),
    "message no object": (json.dumps({**GOOD, "messages": ["x"]}).encode(), 400),
    "unknown role": (json.dumps({**GOOD, "messages": [{"role": "wizard", "content": "x"}]}).encode(), 400),
    "no model": (json.dumps({"messages": GOOD["messages"]}).encode(), 400),
    "unknown model": (json.dumps({**GOOD, "model": "nobody"}).encode(), 404),
    "remote tool": (json.dumps({**GOOD, "web_search_options": {}}).encode(), 400),
}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", REQUESTS)
def test_bad_request_is_a_clear_error(server, name, language):
    body, status = REQUESTS[name]
    headers = {"content-type": "application/json", "accept-language": language}
    with server.http() as client:
        answer = client.post("/v1/chat/completions", content=body, headers=headers)
    assert status == answer.status_code, answer.text[:300]
    error = answer.json()["error"]
    assert {"message", "type", "code", "param"} == set(error)
    assert len(error["message"]) > 8
    assert (language == "zh") == any("\u4e00" <= c <= "\u9fff" for c in error["message"])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer x", "x-api-key": "y"},
    ],
)
def test_no_or_two_credentials(server, headers):
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=GOOD, headers=headers)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"]["code"]


def ask(server, name, *, stream=True, **more):
    with server.http() as client:
        return client.post(
            "/v1/chat/completions",
            json={**GOOD, "messages": [{"role": "user", "content": name}], "stream": stream, **more},
        )


def still_fine(server):
    assert "fine" in ask(server, "fine").text


PROVIDERS = {
    "html with 200": Script([b"<html><body>maintenance</body></html>"], content_type="text/html"),
    "half a frame": Script([RECORDED[:40]]),
    "no finish": Script([chunk({"content": "and then"})]),
    "binary": Script([bytes(range(256)) * 20]),
    "never-ending line": Script([b"data: " + b"x" * 65536] + [b"x" * 65536] * 40),
    "gzip bomb": Script([BOMB], headers={"content-encoding": "gzip"}),
    "redirect": Script([b""], status=302, headers={"location": "http://127.0.0.1:1/"}),
    "error object": Script([b'data: {"error":{"message":"boom","type":"x"}}\n\n']),
    "wrong JSON": Script([b"data: {]\n\n", DONE]),
    "deep JSON": Script([b"data: " + b'{"choices":' + b"[" * 5000 + b"\n\n", DONE]),
    "reset at once": Script([RESET]),
    "empty": Script([]),
    "done alone": Script([DONE]),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", PROVIDERS)
def test_provider_garbage_hurts_only_its_own_turn(server, provider, name, stream):
    provider.scripts[name] = PROVIDERS[name]
    answer = ask(server, name, stream=stream)
    if answer.status_code == 200:
        assert '"error"' in answer.text
        assert "[DONE]" not in answer.text
    else:
        assert answer.status_code in {502, 504}
        assert answer.json()["error"]["code"].startswith("provider_")
    still_fine(server)


def test_one_byte_chunks_are_whole(server, provider):
    provider.scripts["bytes"] = Script([RECORDED[i : i + 1] for i in range(len(RECORDED))])
    text = ask(server, "bytes").text
    assert "one " in text
    assert "三" in text or "\\u4e09" in text
    assert text.rstrip().endswith("[DONE]")


def test_reset_at_every_byte_offset(server, provider):
    for offset in range(len(RECORDED)):
        name = f"reset {offset}"
        provider.scripts[name] = Script([RECORDED[:offset], RESET])
        answer = ask(server, name)
        whole = answer.status_code == 200 and "[DONE]" in answer.text
        finished = RECORDED.find(b'"finish_reason": "stop"') + 30 < offset
        assert not whole or finished, offset
        if not whole:
            assert '"error"' in answer.text, offset
    still_fine(server)


def test_every_one_of_these_turns_is_in_the_ledger(server):
    """Each intent has its result, however its provider ended, and the record holds."""
    still_fine(server)
    deadline = time.monotonic() + SLOW_SECONDS
    while True:
        report = server.dragoman("ledger", "verify", "--data", str(server.folder / "data"), config=False)
        assert report["sound"], report
        kinds = report["logs"][1]["kinds"]
        if report["logs"][1]["open"] == [] and kinds["intent"] == kinds["result"] > 0:
            return
        assert time.monotonic() < deadline, report
        time.sleep(0.5)


def test_client_gone_cancels_the_provider_within_a_second(server, provider):
    provider.scripts["long"] = Script([chunk({"content": "w "})] * 6000, gap=0.02)
    before = provider.cancelled
    with (
        server.http() as client,
        client.stream(
            "POST",
            "/v1/chat/completions",
            json={**GOOD, "stream": True, "messages": [{"role": "user", "content": "long"}]},
        ) as answer,
    ):
        next(answer.iter_lines())
    gone = time.monotonic()
    while provider.cancelled == before:
        assert time.monotonic() - gone < within(1.5)
        time.sleep(0.01)


def test_slow_reader_stops_the_reading_of_the_provider(server, provider):
    frame = chunk({"content": "x" * 60_000})
    sent = []

    class Counting(list):
        def __iter__(self):
            for piece in super().__iter__():
                sent.append(len(piece))
                yield piece

    provider.scripts["flood"] = Script(Counting([frame] * 2000))
    with (
        server.http() as client,
        client.stream(
            "POST",
            "/v1/chat/completions",
            json={**GOOD, "stream": True, "messages": [{"role": "user", "content": "flood"}]},
        ) as answer,
    ):
        lines = answer.iter_raw(1024)
        next(lines)
        before = -1
        deadline = time.monotonic() + SLOW_SECONDS
        while sum(sent) != before:
            assert time.monotonic() < deadline, "it is read while the client does not read"
            before = sum(sent)
            time.sleep(1.5)
        assert before < 40_000_000, "nothing more is read while the client does not read"


def test_graceful_stop_finishes_open_turns(tmp_path, provider):
    made = start(
        tmp_path,
        f'[providers.fake]\nbase_url = "{provider.url}"\n[models.fake]\nprovider = "fake"\nmodel = "up"\n',
    )
    provider.scripts["two seconds"] = Script(
        [chunk({"content": f"w{i} "}) for i in range(40)] + [chunk({}, finish="stop"), DONE], gap=0.05
    )
    got, before = {}, len(provider.seen)
    reader = threading.Thread(target=lambda: got.update(answer=ask(made, "two seconds")))
    reader.start()
    eventually("the turn is open", lambda: len(provider.seen) > before)
    assert made.stop() == 0
    reader.join(SLOW_SECONDS)
    assert got["answer"].text.rstrip().endswith("[DONE]")
    assert "w39 " in got["answer"].text
