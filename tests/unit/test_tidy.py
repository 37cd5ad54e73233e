"""Each rule of tools/tidy.py, with what it must accept and what it must refuse."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "tools" / "tidy.py"
spec = importlib.util.spec_from_file_location("tidy", PATH)
assert spec
assert spec.loader
tidy = importlib.util.module_from_spec(spec)
sys.modules["tidy"] = tidy
spec.loader.exec_module(tidy)

PRODUCT = "src/dragoman/decide/engine.py"
TRY = "try:\n    f()\nexcept{}:\n    g()\n"
CASES = [
    (tidy.file_size, PRODUCT, "x = 1\n" * 400, "x = 1\n" * 401),
    (tidy.file_size, "tests/unit/test_x.py", "x = 1\n" * 800, "x = 1\n" * 801),
    (tidy.file_size, "crates/engine/src/a.rs", "\n" * 500, "\n" * 501),
    (tidy.function_size, PRODUCT, "def f():\n" + "    x = 1\n" * 69, "def f():\n" + "    x = 1\n" * 70),
    (tidy.broad_except, PRODUCT, TRY.format(" ValueError"), TRY.format(" Exception")),
    (tidy.broad_except, PRODUCT, TRY.format(" (OSError, KeyError)"), TRY.format(" (OSError, Exception)")),
    (tidy.broad_except, PRODUCT, "x = 1\n", TRY.format("")),
    (tidy.imports, PRODUCT, "def f():\n    import json\n", "def f():\n    from dragoman.core import facts\n"),
    (tidy.imports, PRODUCT, "from dragoman.core import facts\n", "import dragoman\n"),
    (tidy.borders, PRODUCT, '"""About CN."""\nx = "XX"\n', 'x = "CN"\n'),
    (tidy.borders, PRODUCT, 'x = "channel"\n', 'x = "wechat_mini"\n'),
    (tidy.secrets, "docs/a.md", "AKIA...", "AKIA" + "A1B2C3D4E5F6G7H8"),
    (tidy.foreign, "docs/a.md", "the work", "see /work/" + "main/x"),
    (tidy.unfinished, PRODUCT, "x = 1  # why\n", "x = 1  # " + "TO" + "DO\n"),
]


@pytest.mark.parametrize(("rule", "path", "good", "bad"), CASES)
def test_rule_accepts_the_good_and_refuses_the_bad(rule, path, good, bad):
    assert list(rule(tidy.Source(path, good))) == []
    assert list(rule(tidy.Source(path, bad)))


@pytest.mark.parametrize("stem", sorted(tidy.BANNED_STEMS))
def test_names_that_say_nothing_are_refused(stem):
    assert list(tidy.file_name(tidy.Source(f"src/dragoman/{stem}.py", "")))


def test_data_folders_may_name_countries():
    assert list(tidy.borders(tidy.Source("src/dragoman/packs/x.py", 'x = "CN"\n'))) == []


def test_two_tests_of_one_name_are_refused():
    paths = [
        "tests/unit/test_a.py",
        "tests/unit/conftest.py",
        "tests/wire/conftest.py",
        "src/dragoman/a/test_a.py",
    ]
    good = [tidy.Source(path, "") for path in paths]
    assert list(tidy.same_names(good)) == []
    assert len(list(tidy.same_names([*good, tidy.Source("tests/wire/test_a.py", "")]))) == 1
