"""What the verbs of the command line share: the configuration, and how answers are shown.

Exit codes: 0 done, 1 refused or failed, 2 wrong use.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dragoman.control.admin_client import AdminClient, AdminError
from dragoman.errors import ConfigError, DragomanError
from dragoman.settings import Settings, find_file, load

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The configuration file. Default: ./dragoman.toml, else the built-in default."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON document.")]


@contextmanager
def told_plainly(*, as_json: bool) -> Iterator[None]:
    """Turn a refusal of ours into a sentence (or a JSON error) and exit 1."""
    try:
        yield
    except DragomanError as fault:
        problems = fault.problems if isinstance(fault, ConfigError) else [fault.message]
        if as_json:
            document = (
                fault.document
                if isinstance(fault, AdminError)
                else {"error": {"code": fault.code, "problems": problems}}
            )
            print(json.dumps(document, ensure_ascii=False))
        for problem in problems:
            print(f"dragoman: {problem}", file=sys.stderr)
        raise typer.Exit(1) from fault


def settings_of(config: Path | None) -> tuple[Settings, Path | None]:
    """The settings in force and the file they came from."""
    file = find_file(config)
    return load(file), file


def ask(
    config: Path | None,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    as_json: bool,
    show: Callable[[dict[str, Any]], str],
) -> None:
    """One verb on state: ask control (or the application under the lock) and show its answer."""
    with told_plainly(as_json=as_json):
        settings, file = settings_of(config)
        answer = AdminClient(settings, file).ask(method, path, body)
        print(json.dumps(answer, ensure_ascii=False) if as_json else show(answer))


def table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Rows as aligned text; a dash where a value is missing, yes or no for a truth value."""
    words = {None: "-", True: "yes", False: "no"}
    shown = [
        [
            words[value] if value is None or isinstance(value, bool) else str(value)
            for value in map(row.get, columns)
        ]
        for row in rows
    ]
    rows_of_cells = [list(columns), *shown]
    widths = [max(_cells(row[index]) for row in rows_of_cells) for index in range(len(columns))]
    lines = [
        "  ".join(
            text + " " * (width - _cells(text)) for text, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows_of_cells
    ]
    return "\n".join(lines)


def _cells(text: str) -> int:
    """Columns a terminal gives a text: two for a wide character (UAX 11), none for a combining mark."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )
