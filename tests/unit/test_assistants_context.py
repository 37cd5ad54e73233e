"""What goes along of a conversation, and the facts `turn.*`: pure rules against plain statements of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragoman.assistants import answers
from dragoman.assistants.context import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    carried,
    compact,
    estimate,
    estimate_message,
    room_for_history,
    upstream,
)
from dragoman.assistants.usage import GAP_MS, continued, turn_facts
from dragoman.core.turns import Due, PathTurn, Shown, Use

MINUTE = 60_000


def turn(depth: int, tokens: int = 10, status: str | None = "finished", **more: Any) -> PathTurn:
    state = "interrupted" if status == "interrupted" else "finished"
    asked = more.pop("asked", f'{{"role":"user","content":"q{depth}"}}')
    replied = more.pop("replied", f'{{"role":"assistant","content":"a{depth}"}}')
    return PathTurn(f"t{depth}", depth, state, status, "en", tokens, asked, more.pop("rounds", None), replied)


def said(messages: str) -> list[str]:
    return [message["content"] for message in json.loads(f"[{messages}]")]


def test_tokens_are_estimated_upwards() -> None:
    assert estimate("") == 0
    assert estimate("abc") == 1
    assert estimate("abcd") == 2
    assert estimate("1234567890") == 10
    assert estimate("世界") == 3
    assert estimate("👋") == 2
    assert estimate("é") == 1
    assert estimate_message({"role": "user", "content": "abc"}) == MESSAGE_TOKENS + 1
    picture = [
        {"type": "text", "text": "abc"},
        {"type": "image_url", "image_url": {"url": "data:" + "x" * 9999}},
    ]
    assert estimate_message({"role": "user", "content": picture}) == MESSAGE_TOKENS + 1 + IMAGE_TOKENS
    assert (
        estimate_message({"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}) > MESSAGE_TOKENS
    )


@given(st.text())
def test_no_text_is_estimated_below_a_quarter_of_its_code_points(text: str) -> None:
    assert estimate(text) * 4 >= len(text)
    assert estimate(text) <= len(text.encode("utf-8", "surrogatepass")) + 1


def test_room_is_the_context_less_question_and_answer() -> None:
    question = [{"role": "user", "content": "abc"}]
    cost = MESSAGE_TOKENS + 1
    assert room_for_history(1000, {}, question) == 1000 - 250 - cost
    assert room_for_history(1000, {"max_tokens": 100}, question) == 1000 - 100 - cost
    assert room_for_history(1000, {"max_completion_tokens": 900}, question) == 1000 - 500 - cost
    assert room_for_history(10, {}, question) == 0
    assert room_for_history(1000, {"tools": [{"type": "function"}]}, question) < 1000 - 250 - cost
    assert room_for_history(1000, {"max_tokens": -5}, question) == 1000 - 250 - cost


def test_whole_turns_go_along_newest_first() -> None:
    path = [turn(depth) for depth in (4, 3, 2, 1)]
    assert said(carried(path, 40).messages) == ["q1", "a1", "q2", "a2", "q3", "a3", "q4", "a4"]
    cut = carried(path, 39)
    assert (said(cut.messages), cut.turns, cut.left_out) == (["q2", "a2", "q3", "a3", "q4", "a4"], 3, 1)
    nothing = carried(path, 9)
    assert (nothing.messages, nothing.turns, nothing.left_out) == ("", 0, 4)
    assert carried([], 100).left_out == 0


def test_a_path_that_ended_early_says_what_is_left_out() -> None:
    ended = carried([turn(9), turn(8)], 1000)
    assert (ended.turns, ended.left_out) == (2, 7)


def test_what_was_not_finished_goes_along_as_it_was_shown() -> None:
    path = [
        turn(5, status="denied"),
        turn(4, status="cancelled", replied=None),
        turn(3, status="interrupted", replied=None),
        turn(2, status="failed", replied=None),
        turn(1, status="refused"),
    ]
    found = carried(path, 1000)
    assert said(found.messages) == [
        "q2",
        "[This answer failed.]",
        "q3",
        "[This answer was interrupted.]",
        "q4",
        "[This answer was stopped.]",
    ]
    assert (found.turns, found.left_out) == (3, 0)


def test_rounds_of_tools_have_their_place() -> None:
    one = turn(1, rounds='{"role":"tool","content":"r"}')
    assert said(carried([one], 100).messages) == ["q1", "r", "a1"]


def test_the_upstream_body_is_the_input_with_the_history_in_it() -> None:
    body = upstream(
        '{"model":"m","top_p":1}', '{"role":"user","content":"a"}', '{"role":"user","content":"b"}'
    )
    assert json.loads(body) == {
        "model": "m",
        "top_p": 1,
        "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    }
    assert json.loads(upstream("{}", "", "1")) == {"messages": [1]}


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_compact_text_can_always_be_stored(value: Any) -> None:
    text = compact([value, "\ud800"])
    text.encode()
    assert json.loads(text) == [value, "\ud800"]


def test_what_of_an_answer_goes_along() -> None:
    def record(**message: Any) -> dict[str, Any]:
        return {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]}

    assert json.loads(answers.replied(record(content="x"), "finished") or "") == {
        "role": "assistant",
        "content": "x",
    }
    assert answers.replied(record(content="x"), "refused") is None
    assert answers.replied(record(content=""), "cancelled") is None
    refusal = answers.replied(record(content=None, refusal="no"), "finished")
    assert json.loads(refusal or "")["content"] == "no"
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert (
        json.loads(answers.replied(record(content=None, tool_calls=calls), "finished") or "")["tool_calls"]
        == calls
    )
    assert answers.replied(record(content=None, tool_calls=calls), "cancelled") is None, "half a call is none"
    assert json.loads(answers.replied({"choices": [{"text": "t"}]}, "finished") or "")["content"] == "t"
    for odd in ({}, {"choices": 5}, {"choices": []}, {"choices": [1]}):
        assert answers.replied(odd, "finished") is None
        assert answers.finish_of(odd) is None


def test_the_opening_is_the_relays() -> None:
    label = Due("label.visible", "r", None, {"en": "AI-generated", "zh": "AI 生成"})
    notice = Due("notice", "n", "n1", {"en": "Note.", "zh": "注意。"})
    assert answers.opening([label], "en") == "[AI-generated] "
    assert answers.opening([label], "zh") == "【AI 生成】"
    assert answers.opening([label, notice], "en") == "[AI-generated] \nNote.\n\n"
    assert answers.opening([notice], "zh") == "注意。\n\n"
    bracketed = Due("label.visible", "r", None, {"en": "[AI]  ", "zh": "【AI】"})
    assert answers.opening([bracketed], "en") == "[AI] "
    assert answers.opening([bracketed], "zh") == "【AI】"
    assert answers.carried_out([label, notice], {"labels": ["r"], "notices": []}) == [label]
    assert answers.carried_out([label, notice], None) == []


def test_a_use_goes_on_until_a_pause() -> None:
    assert continued(None, 5) == Use(5, 5)
    assert continued(Use(0, 100), 100 + GAP_MS) == Use(0, 100 + GAP_MS)
    assert continued(Use(0, 100), 101 + GAP_MS) == Use(101 + GAP_MS, 101 + GAP_MS)
    assert continued(Use(0, 100), 99) == Use(99, 99)


def test_a_reminder_counts_within_the_running_use_only() -> None:
    now = 300 * MINUTE
    use = Use(now - 121 * MINUTE, now - 5 * MINUTE)
    old = Shown("two_hours", "reminder", now - 130 * MINUTE)
    assert turn_facts(7, use, [old], now) == {"turn.index": 7, "turn.continuous_minutes": 121}
    new = Shown("two_hours", "reminder", now - 60 * MINUTE)
    assert turn_facts(7, use, [new], now)["turn.minutes_since.two_hours"] == 60
    notice = Shown("terms", "notice", now - 130 * MINUTE)
    assert turn_facts(7, use, [notice], now)["turn.minutes_since.terms"] == 130


def test_a_clock_that_went_back_makes_facts_unknown() -> None:
    now = 1000 * MINUTE
    use, later = Use(now, now + MINUTE), Shown("n", "notice", now + 1)
    assert turn_facts(1, use, [later, Shown("r", "reminder", now - 1)], now) == {"turn.index": 1}
    ahead = turn_facts(1, Use(0, now - 400 * 86_400_000), [], now)
    assert ahead["turn.continuous_minutes"] == 0, "a jump ahead begins a new use"
