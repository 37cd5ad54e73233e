"""Names that clients give to files: what is shown and kept of them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.admin.uploads import NAME_CHARS, shown_name


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("returns.md", "returns.md"),
        ("../../etc/passwd.txt", "etc/passwd.txt"),
        ("C:\\Users\\ann\\returns.md", "C:/Users/ann/returns.md"),
        ("/a//b/./c.md", "a/b/c.md"),
        ("\u202egpj.md", "gpj.md"),
        ("a\u2066b\u2069\u200f.md", "ab.md"),
        ("a\x00b\r\n.md", "ab.md"),
        ("say %22hi%22%0D%0A.md", 'say "hi".md'),
        ("  two   spaces .md", "two spaces .md"),
        ("cafe\u0301.md", "café.md"),
        ("..", ""),
        (".. / . /", ""),
        ("", ""),
        ("x" * 300 + ".md", "x" * (NAME_CHARS - 3) + ".md"),
        ("退货.md", "退货.md"),
        ("\U000323b0.md", "\U000323b0.md"),  # a name may have what this Python's Unicode has not yet
    ],
)
def test_a_name_keeps_what_people_read_and_nothing_else(said: str, shown: str) -> None:
    assert shown_name(said) == shown


@given(st.text(max_size=40))
def test_no_name_climbs_hides_or_turns(said: str) -> None:
    shown = shown_name(said)
    assert len(shown) <= NAME_CHARS
    assert not shown.startswith("/")
    assert ".." not in shown.split("/")
    assert not any(unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for one in shown)
