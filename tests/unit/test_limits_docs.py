"""docs/limits.md lists every limit of relay, engine and documents with its value, as the code has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMITS = ("crates/relay/src/limits.rs", "crates/engine/src/limits.rs")
PYTHON = (
    "src/dragoman/accounts/evidence.py",
    "src/dragoman/accounts/placed_tokens.py",
    "src/dragoman/admin/uploads.py",
    "src/dragoman/knowledge/documents.py",
    "src/dragoman/knowledge/ingest.py",
    "src/dragoman/knowledge/intake.py",
)
IN_PYTHON = re.compile(r'^(\w+) = ([\d_ *<.]+)\n"""LIMIT: (.+?)"""', re.MULTILINE)
CONSTANT = re.compile(r"((?:///[^\n]*\n)+)pub const (\w+): \w+ = ([\d_ *<]+);")


def rows(code: str) -> list[str]:
    """The table's rows for a file of limits."""
    found = CONSTANT.findall(code)
    assert len(found) == code.count("pub const ")
    return [f"| `{name}` | {value(formula):,} | {said(comment)} |" for comment, name, formula in found]


def rows_of_python(code: str) -> list[str]:
    """The table's rows for a file whose limits say LIMIT."""
    found = IN_PYTHON.findall(code)
    assert len(found) == code.count('"""LIMIT: ')
    return [
        f"| `{name}` | {value(formula.replace('.0', '')):,} | {comment[0].upper()}{comment[1:]} |"
        for name, formula, comment in found
    ]


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


def there(path: str) -> list[str]:
    code = (ROOT / path).read_text(encoding="utf-8")
    return rows_of_python(code) if path in PYTHON else rows(code)


@pytest.mark.parametrize("path", LIMITS + PYTHON)
def test_every_limit_is_listed_as_it_is(path: str) -> None:
    listed = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in there(path) if row not in listed] == []


def test_no_limit_is_listed_that_is_not_there() -> None:
    listed = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    known = [row for path in LIMITS + PYTHON for row in there(path)]
    assert [line for line in listed.splitlines() if line.startswith("| `") and line not in known] == []


def test_a_changed_value_is_noticed() -> None:
    assert rows("/// Things.\npub const A: usize = 2 * 1_024;\n") == ["| `A` | 2,048 | Things. |"]
    assert rows_of_python('A = 2 << 20\n"""LIMIT: things."""\n') == ["| `A` | 2,097,152 | Things. |"]
    assert rows("/// Many\n/// things.\npub const A: usize = 3 << 10;\n") == [
        "| `A` | 3,072 | Many things. |"
    ]
