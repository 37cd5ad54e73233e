"""A second provider takes over before the first byte has been delivered, and never after."""

from __future__ import annotations

import openai
import pytest
from whole_product import start

from dragoman.testing.provider import DONE, JSON, RESET, FakeProvider, Script, chunk, whole

GOOD = [chunk({"role": "assistant", "content": "from the second"}), chunk({}, finish="stop"), DONE]
WHOLE = whole("from the second")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    first, second = FakeProvider(), FakeProvider()
    body = f"""
[providers.first]
base_url = "{first.url}"
deadlines_ms = {{ connect = 5000, first_byte = 3000, idle = 3000, total = 60000 }}
[providers.second]
base_url = "{second.url}"
[models.pair]
provider = "first"
model = "m1"
fallbacks = ["backup"]
[models.backup]
provider = "second"
model = "m2"
"""
    server = start(tmp_path_factory.mktemp("failover"), body)
    yield server, first, second
    server.stop()
    first.close()
    second.close()


FAULTS = {
    "resets": Script([RESET]),
    "times out": Script([], hang=True),
    "answers 500": Script([b'{"error":{"message":"no"}}'], status=500, content_type=JSON),
    "answers 503": Script([b"busy"], status=503, content_type="text/plain"),
    "answers a page": Script([b"<html>sign in</html>"], content_type="text/html"),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_second_provider_takes_over_before_any_byte(pair, fault, stream):
    server, first, second = pair
    first.scripts[fault] = FAULTS[fault]
    second.scripts[fault] = Script(GOOD) if stream else Script([WHOLE], content_type=JSON)
    answer = server.client().chat.completions.create(
        model="pair", messages=[{"role": "user", "content": fault}], stream=stream
    )
    if stream:
        assert "from the second" in "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
    else:
        assert "from the second" in answer.choices[0].message.content


def test_no_takeover_after_the_first_byte(pair):
    server, first, second = pair
    name = "dies after a byte"
    first.scripts[name] = Script(
        [chunk({"role": "assistant", "content": "half an "}), chunk({"content": "answer"}), RESET], gap=0.05
    )
    second.scripts[name] = Script(GOOD)
    before = len(second.seen)
    got = ""
    with pytest.raises(openai.APIError):
        for piece in server.client().chat.completions.create(
            model="pair", messages=[{"role": "user", "content": name}], stream=True
        ):
            got += "".join(c.delta.content or "" for c in piece.choices)
    assert "half an " in got
    assert "from the second" not in got
    assert before == len(second.seen)


def test_both_fail_is_a_clear_error(pair):
    server, first, second = pair
    first.scripts["both"] = second.scripts["both"] = Script([b"x"], status=500, content_type="text/plain")
    with pytest.raises(openai.APIStatusError) as caught:
        server.client().chat.completions.create(model="pair", messages=[{"role": "user", "content": "both"}])
    assert caught.value.status_code == 502
    assert caught.value.code == "provider_failed"
