"""The walk of `make prove` in short: its steps, its record, and that it notices what is broken."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
sys.path.append(str(Path(__file__).parents[1] / "golden"))
sys.path.append(str(Path(__file__).parents[2] / "tools"))
import walk
from walk_controls import CONTROLS, steps_named
from walk_product import Product, product
from walk_steps import SIZES, Record, Walk

pytestmark = pytest.mark.browser
SHORT = steps_named("first_page", "labelled")


@pytest.fixture(scope="module")
def made(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("walk") / "product") as it:
        yield it


def test_steps_are_recorded_with_pictures(browser: Any, made: Product, tmp_path: Path) -> None:
    record = Record(tmp_path, "0123456789ab")
    walk.go(Walk(browser, SIZES["phone"], "zh", made, record), SHORT)
    lines = [json.loads(line) for line in record.file.read_text(encoding="utf-8").splitlines()]
    assert [(one["number"], one["step"], one["passed"]) for one in lines] == [
        (at, step.name, True) for at, step in enumerate(SHORT, 1)
    ], lines
    for one in lines:
        assert (one["run"], one["commit"]) == ("phone-zh", "0123456789ab")
        assert one["feature"]
        assert one["saw"]
        assert all((tmp_path / name).stat().st_size for name in one["pictures"])
        assert one["pictures"]
    assert walk.figures(record)["passed"] is True


def test_a_missing_label_is_noticed_and_the_walk_goes_on(browser: Any, made: Product, tmp_path: Path) -> None:
    (control,) = [one for one in CONTROLS if one.name == "no label"]
    record = Record(tmp_path, "0123456789ab")
    broken = Walk(browser, SIZES["desktop"], "en", made, record, control.spoil, 5_000)
    walk.go(broken, (*control.steps, *steps_named("first_page")))
    assert [one["passed"] for one in record.lines] == [False, True], record.lines
    figures = walk.figures(record)
    assert (figures["failed"], figures["passed"]) == (["desktop-en labelled"], False)
    broken.control, broken.broken = control.name, None
    walk.go(broken, control.steps)
    assert walk.figures(record)["unnoticed"] == ["no label: labelled"], (
        "a control that nobody notices is told"
    )
