"""What people read on the command line: columns that stand, commands that exist, snippets that can be pasted."""

from __future__ import annotations

import json
import queue
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dragoman.cli import app
from dragoman.control.cli_common import table
from dragoman.decide.cli_common import baseline
from dragoman.decide.explain import LANGUAGES
from dragoman.serve import Pair, _welcome

TOLD = {"zone": "local", "url": "http://127.0.0.1:8080", "key": "dragoman_local_x", "model": "dragoman"}


def _said() -> str:
    pair = Pair(None, queue.SimpleQueue())
    pair.told = dict(TOLD)
    return _welcome(pair)


def test_wide_characters_keep_the_columns() -> None:
    lines = table(
        [{"title": "示例公司", "n": 1, "new": True}, {"title": "Acme", "n": None, "new": False}],
        ("title", "n", "new"),
    ).splitlines()
    assert lines == ["title     n  new", "示例公司  1  yes", "Acme      -  no"]


def test_the_printed_program_runs_as_it_is_pasted() -> None:
    said = _said()
    program = said[said.index("from openai") : said.index("Stop with Ctrl-C")]
    compile(program, "pasted", "exec")
    with pytest.raises(IndentationError):  # what a snippet set in would do
        compile(program.replace("\n", "\n  ").replace("from", "  from", 1), "pasted", "exec")
    assert "\ncurl http://127.0.0.1:8080/v1/chat/completions" in said


def test_the_command_is_named_as_it_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dragoman").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "")
    assert f"{tmp_path}/dragoman models add --help" in _said()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert " dragoman models add --help" in _said()


def test_a_missing_facts_document_is_said_plainly(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["decide", "--facts", str(tmp_path / "none.json")])
    assert done.exit_code == 2
    assert done.stderr == f"dragoman: {tmp_path}/none.json: there is no such file or folder\n"


def test_a_decision_in_chinese_has_no_english_word_of_ours(tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps({**baseline(), "residence": "CN"}), encoding="utf-8")
    said = {lang: CliRunner().invoke(app, ["decide", "--facts", str(facts), "--lang", lang]).stdout
            for lang in LANGUAGES}  # fmt: skip
    ours = ("oblige", "; in force", "; in_force", "Marks", "Why")
    assert [word for word in ours if word in said["zh"]] == []
    assert {"oblige", "; in force", "Marks", "Why"} == {word for word in ours if word in said["en"]}
    assert "义务：" in said["zh"]
    assert "标记：V" in said["zh"]
