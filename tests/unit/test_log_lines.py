"""Log lines: one record a line, ASCII alone, bounded, and only fields that are listed."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman import events
from dragoman.control.foreign_lines import ForeignLines
from dragoman.events import FIELD_LIMIT, ConfigKept, Event, LibrarySaid, emit, send_to

ROOT = Path(__file__).resolve().parents[2]
NASTY = [
    "a\nb",
    'a\r\n{"event": "forged"}',
    "\x1b[2J\x1b]0;title\x07",
    "\u202eltr\u2066",
    "\u2028\u2029\u0085",
    "\x00\x7f\x9b",
    'x" level="info',
    "中文\U0001f600",
    "\ud800",
]
FIELDS = {
    *(
        "bucket",
        "code",
        "config",
        "conversation",
        "count",
        "decision",
        "edge",
        "effect",
        "kind",
        "limit",
        "log",
        "milliseconds",
        "minutes",
    ),
    *(
        "next",
        "origin",
        "outcome",
        "pid",
        "reason",
        "reusable",
        "role",
        "rows",
        "seq",
        "source",
        "spent",
        "status",
    ),
    *(
        "tags",
        "turns",
        "wait_ms",
        "what",
        "where",
        "why",
        "zone",
        "turn",
        "key",
        "tenant",
        "provider",
        "model",
    ),
    *("us", "actor", "action", "days", "index", "digest", "version", "file", "bytes", "ms", "act"),
    *("appeal", "about", "left"),
}
"""Names a field of control's events may have: ids, codes, numbers. A name that is new here is looked at by a person."""


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    send_to(stream, "debug")
    yield stream
    send_to(sys.stderr)


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("nasty", NASTY)
def test_a_value_stays_on_its_line(lines: io.StringIO, form: str, nasty: str) -> None:
    send_to(lines, "debug", form)
    emit(ConfigKept(nasty))
    said = lines.getvalue()
    assert said.count("\n") == 1
    assert said.endswith("\n")
    assert all(" " <= c < "\x7f" for c in said[:-1]), said
    if form == "json":
        record = json.loads(said)
        assert set(record) == {"at", "level", "event", "reason"}
        assert record["reason"] == nasty
    else:
        assert re.fullmatch(r'\S+Z|\S+\+00:00 ERROR config_kept reason="(?:[^"\\]|\\.)*"\n', said), said


def test_a_value_is_bounded(lines: io.StringIO) -> None:
    emit(ConfigKept("x" * 10 * FIELD_LIMIT))
    assert len(json.loads(lines.getvalue())["reason"]) == FIELD_LIMIT


def test_every_field_of_an_event_is_listed() -> None:
    kinds = [k for k in vars(events).values() if isinstance(k, type) and issubclass(k, Event)]
    assert len(kinds) > 10
    named = {(kind.__name__, field.name) for kind in kinds for field in dataclasses.fields(kind)}
    assert [pair for pair in sorted(named) if pair[1] not in FIELDS] == []
    for forbidden in (
        "text",
        "body",
        "content",
        "message",
        "question",
        "answer",
        "header",
        "user",
        "title",
        "sub",
    ):
        assert forbidden not in FIELDS


def test_every_field_that_the_relay_names_is_one_it_writes() -> None:
    source = (ROOT / "crates/relay/src/lines.rs").read_text("utf-8")
    listed = set(re.findall(r'"(\w+)"', source.split("FIELDS: &[&str] = &[", 1)[1].split("];", 1)[0]))
    named = set()
    for path in (ROOT / "crates/relay/src").rglob("*.rs"):
        if not path.stem.endswith("tests"):
            named |= set(_relay_fields(path.read_text("utf-8")))
    assert {"error", "turn"} <= named
    assert named - listed == set(), "add it to FIELDS in lines.rs where it can never hold what a person wrote"


def _relay_fields(text: str) -> Iterator[str]:
    """Names before `=` and shorthand names in the calls of `tracing`'s macros."""
    for call in re.finditer(r"tracing::(?:error|warn|info|debug|trace)!\(", text):
        inside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text[call.end() : call.end() + 600])
        depth, end = 1, 0
        while depth and end < len(inside):
            depth += {"(": 1, ")": -1}.get(inside[end], 0)
            end += 1
        for part in re.split(r",(?![^(\[{]*[)\]}])", inside[: end - 1]):
            found = re.match(r"\s*(?:target:.*|[%?]?(\w+)\s*(?:=(?!=).*)?$)", part, re.DOTALL)
            if found and found[1]:
                yield found[1]


def test_the_scan_of_the_relay_finds_fields() -> None:
    text = 'tracing::warn!(error = %e.to_string(), turn, ?said, log = f(a, b), "an event (with x = 1)");'
    assert list(_relay_fields(text)) == ["error", "turn", "said", "log"]


def test_what_libraries_say_is_told_without_their_words(lines: io.StringIO) -> None:
    log = logging.getLogger("somebody.else")
    log.propagate = False
    log.handlers[:] = [ForeignLines()]
    try:
        raise ValueError("what a person wrote")
    except ValueError:
        log.exception("what a person wrote: %s", "more of it")
    log.warning("what a person wrote")
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(one["event"], one["source"], one["kind"]) for one in said] == [
        ("library_said", "somebody.else", "ValueError"),
        ("library_said", "somebody.else", "warning"),
    ]
    assert "person" not in lines.getvalue()
    assert LibrarySaid.level == "error"


def test_a_process_that_took_over_prints_nothing_else() -> None:
    program = (
        "import sys, threading, warnings, logging\n"
        "from dragoman.control.foreign_lines import take_over\ntake_over()\n"
        "def fail(): raise ValueError('what a person wrote')\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "warnings.warn('what a person wrote')\n"
        "logging.getLogger('uvicorn.error').error('what a person wrote')\n"
        "raise KeyError('what a person wrote')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [one["source"] for one in said] == ["thread", "py.warnings", "uvicorn.error", "interpreter"]
    assert "person" not in done.stderr
    assert done.returncode == 1
