"""Texts of the admin pages: a name stands once in all files together, so that none is silently lost."""

from __future__ import annotations

import pytest

from dragoman.admin.texts import TEXTS, read


def test_a_name_that_comes_twice_is_an_error() -> None:
    one, other = {"review": {"en": "Review", "zh": "审阅"}}, {"case": {"en": "Case", "zh": "材料"}}
    assert read([("a.toml", one), ("b.toml", other)])["en"] == {"review": "Review", "case": "Case"}, "control"
    with pytest.raises(ValueError, match=r"^b\.toml: the text review is in a\.toml already$"):
        read([("a.toml", one), ("b.toml", one)])


def test_the_review_of_a_pack_is_no_evidence_of_a_person() -> None:
    assert (TEXTS["en"]["review"], TEXTS["en"]["review_case"]) == ("Review", "Evidence of a person")
