"""The token that reads the counters: what its file may hold, and what counts as it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.accounts.keys import SECRET_LENGTH
from dragoman.admin.metrics_token import FILE_BYTES, LEAST_BYTES, MetricsToken
from dragoman.errors import ConfigError

GOOD = "a-token-for-the-scraper"


def holding(folder: Path, text: str) -> MetricsToken:
    (folder / "scrape").write_text(text, encoding="utf-8")
    return MetricsToken(folder / "scrape")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a token of 16"),
        ("x" * (LEAST_BYTES - 1) + "   \n", "is not a token of 16"),
        ("x" * (FILE_BYTES + 1), "is not a token of 16"),
        ("s." + "x" * SECRET_LENGTH, "holds an administrator's session or token"),
        ("dragomanadmin_local_" + "x" * 43 + "_" + "y" * 6, "holds an administrator's session or token"),
    ],
)
def test_what_is_no_token_of_its_own_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    token = holding(tmp_path, text)
    with pytest.raises(ConfigError, match=problem):
        token.check()


def test_a_file_that_is_not_there_is_refused_and_opens_nothing(tmp_path: Path) -> None:
    token = MetricsToken(tmp_path / "scrape")
    with pytest.raises(ConfigError, match="cannot be read"):
        token.check()
    assert not token.is_this("")
    assert not MetricsToken(None).is_this("")
    MetricsToken(None).check()


def test_the_token_alone_is_it_and_a_new_one_at_once(tmp_path: Path) -> None:
    token = holding(tmp_path, GOOD + "\n")
    token.check()
    assert token.is_this(GOOD)
    for wrong in ("", GOOD[:-1], GOOD + "x", GOOD.upper(), GOOD + "\n", "\udc80", "口令"):
        assert not token.is_this(wrong)
    holding(tmp_path, "another-token-of-the-scraper")
    assert token.is_this("another-token-of-the-scraper")
    assert not token.is_this(GOOD)
    holding(tmp_path, "short")
    assert not token.is_this("short"), "a token that grew too short opens nothing"
