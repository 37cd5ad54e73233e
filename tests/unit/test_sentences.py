"""Every fault of the configuration is said in Chinese too, without an English sentence in it; a new one has to be."""

from __future__ import annotations

import ast
import copy
import errno
import pickle
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from dragoman import settings_faults
from dragoman.errors import ConfigError
from dragoman.policy.rules import RuleFile
from dragoman.sentences import Sentence, by_system, by_value, no_toml
from dragoman.settings import Settings, load
from dragoman.settings_faults import explain, nested_table

SOURCE = Path(settings_faults.__file__).parent
CHECKED = (
    *sorted(SOURCE.glob("settings*.py")),
    SOURCE / "policy/rules.py",
    SOURCE / "providers/catalogue.py",
)
"""Where values of a file are checked: what a `ValueError` there says reaches a page."""
CHINESE = re.compile(r"[\u4e00-\u9fff]")
QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|'[^']*'|https?://\S+|\S*[._/=\[\]]\S*")
ENGLISH = re.compile(r"[A-Za-z]{2,}( [a-z]{2,}){2,}")
"""Three words of English in a row, where names, commands and addresses are left out."""
BAD: tuple[Any, ...] = (
    "", "x", "sk-" + "x" * 40, "x" * 5_000, "\u202e", "http://h.example", "https://u:p@h.example/?q", "0.0.0.0/0",
    [" "], -1, 10**30, 0.5, float("nan"), True, None, [], ["x"], [1], ["x"] * 2_000, {}, {"x": 1}, {"x": "x"},
    {"x y": {}}, {"local": {"kind": "openai"}}, tomllib.loads("a = 2027-01-01T10:00:00")["a"],
)  # fmt: skip
"""Values of every kind that TOML has, most of them wrong wherever they stand."""


def english(text: str) -> str | None:
    """A piece of an English sentence in a text."""
    found = ENGLISH.search(QUOTED.sub(" ; ", text))
    return found.group() if found else None


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def constant(node: ast.AST) -> str:
    """What stands in a literal, holes left out."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(part.value if isinstance(part, ast.Constant) else "`-`" for part in parts)


def tables(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A table of the file and those inside it."""
    inside = (nested_table(field.annotation)[0] for field in model.model_fields.values())
    return {model}.union(*(tables(table) for table in inside if table is not None))


def faults_of(model: type[BaseModel], tree: dict[str, Any]) -> list[tuple[str, Sentence]]:
    """What is wrong with a table, by pydantic's name of it and as it is said."""
    try:
        model(**tree)
    except ValidationError as fault:
        kinds = [one["type"] for one in fault.errors(include_input=False, include_url=False)]
        return list(zip(kinds, explain(fault, model, "", "f.toml"), strict=True))
    return []


@pytest.mark.parametrize("model", [Settings, RuleFile])
def test_whatever_stands_anywhere_in_a_file_is_refused_in_chinese_too(model: type[BaseModel]) -> None:
    seen: set[str] = set()
    for table in tables(model):
        for name in (*table.model_fields, "nobody_knows_this"):
            for value in BAD:
                for kind, said in faults_of(table, {name: value}):
                    seen.add(kind)
                    assert kind in {*settings_faults.OF_PYDANTIC, "value_error", "extra_forbidden"}, (
                        table,
                        name,
                    )
                    assert CHINESE.search(said.zh), (table, name, said)
                    assert "值无效" not in said.zh, (table, name, said)
                    assert english(said.zh) is None, (table, name, said.zh)
    assert {"value_error", "extra_forbidden", "literal_error"} <= seen, "the check meets what it is about"


def test_every_sentence_is_written_in_both_languages() -> None:
    looked = 0
    for file in sorted(SOURCE.rglob("*.py")):
        for call in calls(ast.parse(file.read_text(encoding="utf-8")), "Sentence"):
            if len(call.args) != 2:
                continue  # of a text by language, or a call that is no literal
            en, zh = call.args
            if isinstance(zh, ast.Constant | ast.JoinedStr):
                looked += 1
                assert not CHINESE.search(constant(en)), f"{file}:{call.lineno}"
                assert english(constant(zh)) is None, f"{file}:{call.lineno}: {constant(zh)}"
                assert CHINESE.search(constant(zh)) or re.search(r"[：；]", constant(zh)), (
                    f"{file}:{call.lineno}"
                )
    assert looked > 80


def test_no_check_of_a_value_speaks_english_alone() -> None:
    """What `ConfigError` is given, mypy sees; what a `ValueError` is given, this."""
    looked = 0
    for file in CHECKED:
        for call in calls(ast.parse(file.read_text(encoding="utf-8")), "ValueError"):
            looked += 1
            (said,) = call.args
            made = (
                isinstance(said, ast.Call) and isinstance(said.func, ast.Name) and said.func.id == "Sentence"
            )
            assert made or (isinstance(said, ast.Name) and said.id.isupper()), f"{file}:{call.lineno}"
    assert looked > 30


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("须为整数", None),
        ("`run it like this` 之后", None),
        ("zone.listen：请写 主机:端口，例如 127.0.0.1:8080", None),
        ("rules：write it like this", "write it like this"),
        ("文件无效 (no such file or directory)", "no such file or directory"),
    ],
)
def test_english_is_known_when_it_stands_in_chinese(text: str, found: str | None) -> None:
    assert english(text) == found


def test_a_sentence_is_its_english_and_keeps_its_chinese(tmp_path: Path) -> None:
    said = Sentence("one", "一")
    assert (said, said.zh, said.text) == ("one", "一", {"en": "one", "zh": "一"})
    assert [one.zh for one in (copy.deepcopy(said), pickle.loads(pickle.dumps(said)))] == ["一", "一"]
    assert by_value(ValueError(said)) is said
    assert by_value(ValueError("other")).zh == "值无效"
    assert by_system(FileNotFoundError(errno.ENOENT, "No such file")).text == {
        "en": "No such file",
        "zh": "文件不存在",
    }
    assert by_system(OSError(errno.EPIPE, "Broken pipe")).zh == "系统错误 EPIPE"
    file = tmp_path / "d.toml"
    file.write_text("[zone]\nlisten = \n", encoding="utf-8")
    with pytest.raises(ConfigError) as fault:
        load(file)
    (said,) = fault.value.problems
    assert (said.startswith(f"{file}: not valid TOML: "), said.zh) == (
        True,
        f"{file}：不是有效的 TOML（第 2 行第 10 列）",
    )
    assert no_toml(file, UnicodeDecodeError("utf-8", b"", 0, 1, "?")).zh == f"{file}：不是有效的 TOML"
