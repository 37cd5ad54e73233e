"""docs/limits.md lists every limit of relay and engine with its value, as the code has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMITS = ("crates/relay/src/limits.rs", "crates/engine/src/limits.rs")
CONSTANT = re.compile(r"((?:///[^\n]*\n)+)pub const (\w+): \w+ = ([\d_ *<]+);")


def rows(code: str) -> list[str]:
    """The table's rows for a file of limits."""
    found = CONSTANT.findall(code)
    assert len(found) == code.count("pub const ")
    return [f"| `{name}` | {value(formula):,} | {said(comment)} |" for comment, name, formula in found]


def said(comment: str) -> str:
    """Join a doc comment's lines."""
    return " ".join(line.removeprefix("///").strip() for line in comment.strip().splitlines())


def value(formula: str) -> int:
    """Work out `10 * 1024 * 1024` or `10 << 20`."""
    if "<<" in formula:
        number, _, shift = formula.partition("<<")
        return int(number) << int(shift)
    product = 1
    for factor in formula.split("*"):
        product *= int(factor)
    return product


@pytest.mark.parametrize("path", LIMITS)
def test_every_limit_is_listed_as_it_is(path: str) -> None:
    listed = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in rows((ROOT / path).read_text(encoding="utf-8")) if row not in listed] == []


def test_no_limit_is_listed_that_is_not_there() -> None:
    listed = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    there = [row for path in LIMITS for row in rows((ROOT / path).read_text(encoding="utf-8"))]
    assert [line for line in listed.splitlines() if line.startswith("| `") and line not in there] == []


def test_a_changed_value_is_noticed() -> None:
    assert rows("/// Things.\npub const A: usize = 2 * 1_024;\n") == ["| `A` | 2,048 | Things. |"]
    assert rows("/// Many\n/// things.\npub const A: usize = 3 << 10;\n") == [
        "| `A` | 3,072 | Many things. |"
    ]
