"""What the verbs of packs and decisions share: their options, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from dragoman.core.facts import FactsError
from dragoman.decide.explain import LANGUAGES
from dragoman.decide.packs import PackSet, baseline_document, load_packs
from dragoman.decide.schema import PackError

BAD_INPUT = 2  # exit status for a document or pack that cannot be used

PacksDir = Annotated[Path | None, typer.Option("--packs-dir", help="Overlay folder of packs.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Lang = Annotated[str, typer.Option("--lang", help="en or zh.")]

T = TypeVar("T")


def baseline() -> dict[str, Any]:
    """A fully satisfied facts document to edit, as JSON values."""
    document: dict[str, Any] = json_values(baseline_document())
    return document


def load_or_fail(packs_dir: Path | None) -> PackSet:
    """The packs, or the sentence that says what is wrong with them."""
    return or_fail(lambda: load_packs(packs_dir))


def or_fail(action: Callable[[], T]) -> T:
    """What the action gives; what people may have got wrong ends the command in one sentence."""
    try:
        return action()
    except FileNotFoundError as error:
        fail(f"{error.filename}: there is no such file or folder")
    except (FactsError, PackError, OSError) as error:
        fail(str(error))


def language_or_fail(lang: str) -> None:
    """End the command where the language is none of ours."""
    if lang not in LANGUAGES:
        fail(f"--lang is one of {', '.join(LANGUAGES)}")


def fail(message: str) -> NoReturn:
    """End the command with a sentence."""
    typer.echo(f"dragoman: {message}", err=True)
    raise typer.Exit(BAD_INPUT)


def print_json(value: Any) -> None:
    """A JSON document on standard output."""
    typer.echo(json.dumps(json_values(value), ensure_ascii=False, indent=2))


def json_values(value: Any) -> Any:
    """The value with dates as ISO 8601 texts."""
    if isinstance(value, dict):
        return {key: json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    return value.isoformat() if isinstance(value, date | datetime) else value
