"""Answers are read once, and not kept beyond the bounds: what is kept is given again, the same object."""

from __future__ import annotations

from dragoman.web.answer import html
from dragoman.web.rendered import KEPT_S, Rendered

CITED = [{"url_citation": {"url": "/sources/a/b", "title": "T"}}]


def test_a_text_with_its_citations_is_read_once() -> None:
    room = Rendered()
    cited, plain = room.html("**a** [1]", CITED), room.html("**a** [1]", [])
    assert (cited, plain) == (html("**a** [1]", CITED), html("**a** [1]", []))
    assert cited != plain
    assert room.html("**a** [1]", CITED) is cited
    assert room.html("**a** [1]", []) is plain


def test_the_least_recent_goes_first() -> None:
    room = Rendered(most=2 * len(html("aa", [])))
    first, second = room.html("aa", []), room.html("bb", [])
    assert room.html("aa", []) is first
    room.html("cc", [])
    assert room.html("aa", []) is first
    again = room.html("bb", [])
    assert again == second
    assert again is not second


def test_what_was_not_looked_at_for_long_goes() -> None:
    now = [0.0]
    room = Rendered(clock=lambda: now[0])
    made = room.html("aa", [])
    now[0] = KEPT_S
    assert room.html("aa", []) is made, "until then"
    now[0] = 2 * KEPT_S + 1
    assert room.html("aa", []) is not made
