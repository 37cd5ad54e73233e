"""The documents made from the code are not stale, and docs/configuration.md names the defaults that the code has."""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from dragoman.settings import Settings
from dragoman.settings_faults import nested_table

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
assert spec
assert spec.loader
reference = importlib.util.module_from_spec(spec)
sys.modules["reference"] = reference
spec.loader.exec_module(reference)

ROW = re.compile(r"^\| `(\w+)` \| (`[^`]*`|none|needed) \|", re.MULTILINE)
HEADING = re.compile(r"^(?:## \[|\| `\[\[)([a-z_.]+)", re.MULTILINE)
ELSEWHERE = {("providers", "base_url"), ("admin", "public_url")}
"""Needed of one kind of provider alone, and worked out from another key: what a model's default cannot say."""


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_made_from_the_code_is_as_it_would_be_made(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == reference.PAGES[name](), (
        "run: python tools/reference.py"
    )


def test_every_setting_has_its_row() -> None:
    text = reference.settings()
    assert [table for table in tables(Settings) if f"[{table}" not in text and f"[[{table}" not in text] == []
    assert "| `lease_ms` | number, from 500, to 60,000 | `2000` |" in text


def tables(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if nested_table(field.annotation)[0] is not None:
            yield name


def told(text: str) -> dict[str, dict[str, str]]:
    """What a page of settings says of defaults, by table and key."""
    places = [*HEADING.finditer(text), None]
    said: dict[str, dict[str, str]] = {}
    for place, after in itertools.pairwise(places):
        assert place is not None
        part = text[place.start() : after.start() if after else len(text)]
        said.setdefault(place[1].strip("."), {}).update(dict(ROW.findall(part)))
    return said


def differing(text: str, model: type[BaseModel]) -> list[str]:
    """Keys whose default on a page is not the model's."""
    wrong = []
    for table, rows in told(text).items():
        at: Any = model
        for part in table.split("."):
            at = nested_table(at.model_fields[part].annotation)[0] if part else at
        for key, default in rows.items():
            if key in at.model_fields and (table, key) not in ELSEWHERE:
                real = reference.default(at.model_fields[key])
                wrong += [f"{table}.{key}: {default}, not {real}"] if default != real else []
    return wrong


def test_configuration_names_the_defaults_that_are() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert sum(map(len, told(text).values())) > 50, "the rows are read"
    assert differing(text, Settings) == []


class _Zone(BaseModel):
    """A table of the negative control."""

    listen: str = "127.0.0.1:8080"
    turns: int | None = Field(default=None, ge=1, le=5)
    """How many."""


class _File(BaseModel):
    zone: _Zone = _Zone()


def test_another_default_and_a_new_setting_are_noticed() -> None:
    """Negative control."""
    page = (
        "## [zone]\n| key | default | meaning |\n|---|---|---|\n| `listen` | `{}` | |\n| `turns` | none | |\n"
    )
    assert differing(page.format('"127.0.0.1:8080"'), _File) == []
    assert differing(page.format('"127.0.0.1:9090"'), _File) == [
        'zone.listen: `"127.0.0.1:9090"`, not `"127.0.0.1:8080"`'
    ]
    assert "| `turns` | number, from 1, to 5 | none | How many. |" in "".join(reference._tables(_File, ""))


def test_a_field_that_cannot_be_read_stops_the_page() -> None:
    good = 'const CHAT: &[(&str, Check)] = &[\n    ("n", Check::N),\n];\n'
    assert "| `n` | how many choices |" in reference._fields(good, "CHAT")
    with pytest.raises(ValueError, match="not a field"):
        reference._fields(good.replace("Check::N)", "check(N))"), "CHAT")


def test_what_the_relay_answers_itself_is_what_it_routes() -> None:
    code = (ROOT / "crates/relay/src/accept/routes.rs").read_text(encoding="utf-8")
    literals = set(re.findall(r'"(/(?:v1/[a-z/]+|healthz|readyz))"', code))
    page = reference.routes()
    inner = {"/v1/conversations/turns"}
    assert {"/v1/chat/completions", "/healthz", "/v1/models"} <= literals
    assert [path for path in literals - inner if f"`{path}" not in page] == []
