"""A page of turns: how much of it is read as Markdown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from dragoman.assistants.search_places import SearchPlaces
from dragoman.web import kept
from dragoman.web.guest import Guest
from dragoman.web.rendered import Rendered
from dragoman.web.rendering import Rendering

T = TypeVar("T")


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


class Store:
    """One conversation with one page of turns."""

    def __init__(self, turns: list[dict[str, Any]]) -> None:
        self._turns = turns

    def read(self, _tenant: str, _work: object) -> tuple[dict[str, Any], dict[str, Any], bool]:
        return {"id": "cnv"}, {"data": self._turns, "has_more": False, "first_id": None}, False


def bodies(shelf: kept.Kept, place: Rendering) -> list[str]:
    wish = kept.Wish(None, None, None)
    shown = asyncio.run(shelf.shown(Guest("ten", "one"), "cnv", wish, "en", place))
    assert shown is not None
    return [str(one.body) for one in shown.turns]


class Occupied(Rendering):
    """A place that others hold."""

    async def made(self, _work: object) -> None:
        return None


class Once(Rendering):
    """A place that tells how often it was taken."""

    taken = 0

    async def made(self, work: Callable[[], T]) -> T | None:
        self.taken += 1
        return await super().made(work)


def test_kept_answers_are_read_in_the_place_for_it_and_those_read_lately_without() -> None:
    turns = [turn("old", "**a**"), turn("none", None)]
    shelf, place = kept.Kept(Store(turns), SearchPlaces()), Once()  # type: ignore[arg-type]
    assert bodies(shelf, Occupied()) == ["<p>**a**</p>", ""]
    assert bodies(shelf, place) == bodies(shelf, place) == ["<p><strong>a</strong></p>", ""]
    assert place.taken == 1, "what was read once needs no place"
    turns.append(turn("new", "*b*"))
    assert bodies(shelf, Occupied()) == ["<p><strong>a</strong></p>", "", "<p>*b*</p>"]
