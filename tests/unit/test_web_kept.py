"""A page of turns: how much of it is read as Markdown."""

from __future__ import annotations

from typing import Any

from dragoman.web import kept
from dragoman.web.rendered import Rendered


def turn(name: str, text: str | None) -> dict[str, Any]:
    answer = None if text is None else {"choices": [{"message": {"content": text}}]}
    rest: dict[str, Any] = {
        "messages": [],
        "state": "done",
        "status": "finished",
        "stopped": False,
        "error": None,
    }
    rest["dragoman"] = {"interventions": []}
    return {"id": name, "parent": None, "siblings": [name], "answer": answer, **rest}


def test_the_newest_answers_are_formatted_and_no_more_than_the_limit() -> None:
    half = "a" * (kept.FORMATTED // 2)
    turns = [turn("old", "a"), turn("middle", half), turn("none", None), turn("new", half)]
    assert kept.plain_turns(turns) == {"old"}
    assert kept.plain_turns(turns[1:]) == set()


def test_a_plain_answer_keeps_its_text() -> None:
    text = "[AI-generated] **a** [1]"
    plain, formatted = (kept.said(turn("t", text), "en", how) for how in (None, Rendered()))
    assert plain.label == formatted.label == "AI-generated"
    assert plain.body == "<p>**a** [1]</p>"
    assert formatted.body == "<p><strong>a</strong> [1]</p>"


def test_a_turn_that_its_user_stopped_says_so_again_and_a_finished_one_does_not() -> None:
    assert kept.said({**turn("t", "a"), "stopped": True}, "en", None).trouble == "stopped"
    assert kept.said(turn("t", "a"), "en", None).trouble is None
