"""The menu of the administration: every page that has a name in it stands in it once, every group has a name."""

from __future__ import annotations

import pytest

from dragoman.admin.texts import TEXTS
from dragoman.admin.view import MENU, place_of


def test_every_page_stands_in_one_group() -> None:
    pages = [page for inside in MENU.values() for page in inside]
    assert len(pages) == len(set(pages))
    named = {name.removeprefix("page_") for name in TEXTS["en"] if name.startswith("page_")}
    assert {page for page in named if "_" not in page} == set(pages)
    assert {name for name in TEXTS["en"] if name.startswith("menu_")} == {f"menu_{group}" for group in MENU}


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ("home", ("home", "home")),
        ("packs_rule", ("law", "packs")),
        ("readiness_state", ("law", "readiness")),
        ("setup_change", ("setup", "setup")),
        ("appeal", ("cases", "appeals")),
        ("statement", ("cases", "interventions")),
        ("reviews_one", ("cases", "reviews")),
        ("account", (None, None)),
    ],
)
def test_a_page_is_found_under_its_group(template: str, place: tuple[str | None, str | None]) -> None:
    assert place_of(template) == place
