"""What the documents name is there: files, folders, modules of the relay, and every folder in the map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
PLACES = (
    "crates/",
    "src/dragoman/",
    "tests/",
    "docs/",
    "tools/",
    "bench/rig",
    "control/",
    "decide/",
    "engine/src/",
)
BASES = ("", "src/dragoman/", "crates/")


def named(text: str) -> set[str]:
    """Paths in backticks or links that begin with a place of ours; braces are written out."""
    spans = re.findall(r"`([^`\n]+)`|\]\(([^)\s]+)\)", text)
    found = {word for pair in spans for span in pair for word in span.split() if word.startswith(PLACES)}
    return {part for word in found for part in _braces(word)}


def _braces(word: str) -> list[str]:
    several = re.search(r"\{([^}]*,[^}]*)\}", word)
    if several is None:
        return [word]
    return [word[: several.start()] + one + word[several.end() :] for one in several[1].split(",")]


def is_there(path: str) -> bool:
    return any(any(ROOT.glob(base + path.rstrip("/"))) for base in BASES)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_paths_are_there(document: Path) -> None:
    assert [path for path in sorted(named(document.read_text(encoding="utf-8"))) if not is_there(path)] == []


def _code(folder: Path) -> list[Path]:
    """What is not only the tests of the file beside it."""
    return [path for path in folder.glob("*.rs") if path.name != "tests.rs"]


def test_the_map_has_every_folder() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    python = [
        f"src/dragoman/{p.name}" for p in (ROOT / "src/dragoman").iterdir() if (p / "__init__.py").exists()
    ]
    rust = [f"src/{p.name}" for p in ROOT.glob("crates/*/src/*") if any(_code(p))]
    assert len(python) + len(rust) > 15
    assert [folder for folder in (*python, *rust) if folder not in text] == []


def test_modules_of_a_turn_are_there() -> None:
    """`name::part` in the table of steps is a file and an item of the relay or the engine."""
    text = (
        (ROOT / "ARCHITECTURE.md")
        .read_text(encoding="utf-8")
        .split("## The life of a turn")[1]
        .split("## ")[0]
    )
    code = {
        path.relative_to(ROOT / "crates"): path.read_text(encoding="utf-8")
        for path in ROOT.glob("crates/*/src/**/*.rs")
    }
    missing = [
        item
        for item in re.findall(r"`(?:[a-z]\w*::|[A-Z]\w*::)+(\w+)`", text)
        if not any(re.search(rf"\b(fn|mod|struct) {item}\b", said) for said in code.values())
    ]
    assert missing == []


def test_a_path_that_is_not_there_is_noticed() -> None:
    assert named("`src/dragoman/nowhere.py` and `tests/{unit,nowhere}`") == {
        "src/dragoman/nowhere.py",
        "tests/unit",
        "tests/nowhere",
    }
    assert [is_there(path) for path in ("tests/unit", "tests/nowhere", "control/planner.py")] == [
        True,
        False,
        True,
    ]
