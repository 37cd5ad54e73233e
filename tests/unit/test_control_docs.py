"""Every setting, verb, event and error code of control stands in the docs."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from dragoman import events
from dragoman.cli import app
from dragoman.policy.rules import Rule, RuleFile, load_rules
from dragoman.settings import Settings
from dragoman.settings_faults import nested_table

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"


def doc(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def settings_keys(model: Any) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        nested = nested_table(field.annotation)[0]
        if nested is not None:
            yield from settings_keys(nested)


def test_every_setting_is_documented() -> None:
    text = "".join(map(doc, ("configuration.md", "budgets.md", "edge.md", "signup.md")))
    missing = [
        name
        for name in set(settings_keys(Settings)) | set(Rule.model_fields)
        if not re.search(rf"\b{name}\b", text)
    ]
    assert missing == []


def test_every_verb_is_documented() -> None:
    text = doc("cli.md")
    root = typer.main.get_command(app)
    verbs = [
        (name, verb)
        for name, command in root.commands.items()  # type: ignore[attr-defined]
        for verb in getattr(command, "commands", None) or [""]
    ]
    assert ("keys", "revoke") in verbs
    missing = [pair for pair in verbs if not _told(text, *pair)]
    assert missing == []


def _told(text: str, name: str, verb: str) -> bool:
    whole = f"dragoman {name} {verb}".strip()
    return whole in text or bool(verb and re.search(rf"dragoman {name} [^|]*`{verb}", text))


def test_every_event_is_documented() -> None:
    text = doc("events.md")
    kinds = [
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event
    ]
    assert kinds
    assert [kind.name for kind in kinds if f"`{kind.name}` | {kind.level}" not in text] == []


def codes() -> set[str]:
    """Second arguments of RefusedError(...) and _refused(...), first of refused(...) and _error(...)."""
    found = set()
    for file in [
        *(ROOT / "src/dragoman/control").glob("*.py"),
        *(ROOT / "src/dragoman/accounts").glob("*.py"),
        *(ROOT / "src/dragoman/assistants").glob("*.py"),
        *(ROOT / "src/dragoman/admin").glob("*.py"),
        *(ROOT / "src/dragoman/stores").glob("*.py"),
    ]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = (
                getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            )
            place = {"RefusedError": 1, "refused": 0, "_error": 0, "_refused": 1}.get(name)
            if place is not None and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                found.add(str(node.args[place].value))
    return found


def test_every_error_code_is_documented() -> None:
    text = doc("events.md") + doc("errors.md") + doc("admin.md")
    assert {"revoked_key", "model_not_found", "conversation_busy"} <= codes()
    assert sorted(code for code in codes() if f"`{code}`" not in text) == []


def test_the_rule_file_of_the_docs_loads(tmp_path: Path) -> None:
    example = doc("configuration.md").split("```toml\n", 1)[1].split("```", 1)[0]
    assert RuleFile(**tomllib.loads(example)).rules
    file = tmp_path / "rules.toml"
    file.write_text(example, encoding="utf-8")
    assert load_rules([file])[0].id == "house.codename"
