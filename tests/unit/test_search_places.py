"""Places for searches: one of a person, each person once in the line; and the page's search takes one too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dragoman.assistants import search_places
from dragoman.assistants.conversations import Person
from dragoman.assistants.search_places import SearchPlaces
from dragoman.errors import UnavailableError
from dragoman.web.guest import Guest
from dragoman.web.kept import Finding, Kept

ONE, OTHER = Person("ten", "one"), Person("ten", "other")


def test_who_sends_many_stands_in_the_line_once() -> None:
    async def life() -> list[str]:
        places, order = SearchPlaces(), []

        async def search(person: Person) -> None:
            async with places.place(person):
                order.append(person.principal)
                await asyncio.sleep(0)

        await asyncio.gather(*(search(who) for who in (ONE, ONE, ONE, ONE, OTHER)))
        return order

    assert asyncio.run(life()) == ["one", "other", "one", "one", "one"]


@pytest.mark.parametrize("holder", [ONE, OTHER])
def test_who_waits_too_long_is_told_and_leaves_nothing_held(
    monkeypatch: pytest.MonkeyPatch, holder: Person
) -> None:
    monkeypatch.setattr(search_places, "WAIT_S", 0.01)

    async def life() -> None:
        places = SearchPlaces()
        async with places.place(holder):
            with pytest.raises(UnavailableError):
                async with places.place(ONE):
                    raise AssertionError("two at once")
        for who in (ONE, OTHER):
            async with places.place(who):
                pass

    asyncio.run(life())


def test_the_page_says_that_others_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_places, "WAIT_S", 0.01)
    page = {"data": [], "last_id": None, "has_more": False, "complete": True}

    class Store:
        def read(self, _tenant: str, _work: Any) -> dict[str, Any]:
            return page

    async def life() -> tuple[Finding, Finding]:
        places = SearchPlaces()
        kept, guest = Kept(Store(), places), Guest("ten", "one")  # type: ignore[arg-type]
        async with places.place(OTHER):
            busy = await kept.found(guest, "lamp", None, "en")
        return busy, await kept.found(guest, "lamp", None, "en")

    busy, free = asyncio.run(life())
    assert (busy.problem, free.problem) == ("find_busy", None)


def test_the_page_says_what_is_wrong_with_what_is_looked_for() -> None:
    kept, guest = Kept(None, SearchPlaces()), Guest("ten", "one")  # type: ignore[arg-type]
    told = {q: asyncio.run(kept.found(guest, q, None, "zh")).problem for q in ("?!", "a b c d e f g h i j k")}
    assert told == {"?!": "find_word", "a b c d e f g h i j k": "q：查找的词不得超过 10 个"}
