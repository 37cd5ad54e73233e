"""Turns a configuration fault into one sentence: file, line, key, what is wrong, what to write instead.

It never prints a value: a mistyped secret must not reach a terminal or a log.
"""

from __future__ import annotations

import difflib
import os
import re
import types
from collections.abc import Iterator
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, SettingsError

from dragoman.errors import ConfigError
from dragoman.sentences import Sentence, by_value, nearest

S = TypeVar("S", bound=BaseSettings)

_SECRET_NAMES = frozenset(
    {"key", "api_key", "apikey", "secret", "token", "password", "credential", "authorization"}
)
_REFERENCE_ADVICE = Sentence(
    "a secret does not belong in this file, which people read, share and back up. "
    'Write key_env = "NAME" (an environment variable) or key_file = "path" (a file only you can read)',
    "机密不应写在此文件中，它会被查看、分享和备份。请写 key_env（环境变量的名称）或 key_file"
    "（仅自己可读的文件的路径）",
)
OF_PYDANTIC = {
    "missing": "缺少此项",
    "string_type": "须为文本",
    "string_too_short": "至少 {min_length} 个字符",
    "string_too_long": "最多 {max_length} 个字符",
    "string_pattern_mismatch": "须符合 `{pattern}`",
    "string_unicode": "须为有效的 Unicode 文本",
    "int_type": "须为整数",
    "int_parsing": "须为整数",
    "int_parsing_size": "整数过大",
    "int_from_float": "须为整数，不能有小数部分",
    "float_type": "须为数字",
    "float_parsing": "须为数字",
    "finite_number": "须为有限的数字",
    "bool_type": "须为 true 或 false",
    "bool_parsing": "须为 true 或 false",
    "greater_than": "须大于 {gt}",
    "greater_than_equal": "须不小于 {ge}",
    "less_than": "须小于 {lt}",
    "less_than_equal": "须不大于 {le}",
    "too_short": "至少 {min_length} 项",
    "too_long": "最多 {max_length} 项",
    "literal_error": "须为下列之一：{expected}",
    "dict_type": "须为表",
    "model_type": "须为表",
    "model_attributes_type": "须为表",
    "list_type": "须为列表",
    "tuple_type": "须为列表",
    "path_type": "须为文件路径",
    "date_type": "须为日期，例如 2027-01-01",
    "date_parsing": "须为日期，例如 2027-01-01",
    "date_from_datetime_parsing": "须为日期，例如 2027-01-01",
    "date_from_datetime_inexact": "须为日期，不含时间",
}
"""What pydantic says of a value, by its name of the fault, in Chinese."""
_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?")
_FIELD = re.compile(r'field "(\w+)"')
_KEY = re.compile(r"^\s*([A-Za-z0-9_.\"'-]+)\s*=")


def built(model: type[S], tree: dict[str, Any], text: str, file: str) -> S:
    """The settings of a parsed file and the environment. Raises ConfigError naming every fault."""
    try:
        return model(**tree)
    except ValidationError as error:
        raise ConfigError(explain(error, model, text, file)) from error
    except SettingsError as error:
        raise ConfigError([_override(error, model)]) from error


def explain(error: ValidationError, model: type[BaseModel], text: str, file: str) -> list[Sentence]:
    """One sentence per fault of a validation, in the order of the file's tree."""
    return [
        _sentence(fault, model, text, file) for fault in error.errors(include_input=False, include_url=False)
    ]


def unknown_overrides(model: type[BaseModel], prefix: str = "DRAGOMAN_") -> list[Sentence]:
    """Sentences for `DRAGOMAN_A__B` variables whose first part is no table of the file."""
    faults: list[Sentence] = []
    for name in sorted(os.environ):
        if name.startswith(prefix) and "__" in name:
            table = name[len(prefix) :].split("__", 1)[0].lower()
            if table not in model.model_fields:
                near = _nearest(table, model)
                faults.append(
                    Sentence(
                        f"environment variable {name}: unknown table `{table}`; {near}",
                        f"环境变量 {name}：没有名为 `{table}` 的表；{near.zh}",
                    )
                )
    return faults


def _override(error: SettingsError, model: type[BaseModel], prefix: str = "DRAGOMAN_") -> Sentence:
    """The sentence for a `DRAGOMAN_A` variable that holds neither a table nor a list."""
    told = _FIELD.search(str(error))
    field = told.group(1) if told else ""
    whole = f"{prefix}{field}".upper()
    names = sorted(n for n in os.environ if n.upper() == whole or n.upper().startswith(f"{whole}__"))
    variable = " or ".join(names) or f"{prefix}..."
    said = Sentence(f"environment variable {variable}: ", f"环境变量 {variable.replace(' or ', '、')}：")
    table = model.model_fields[field].annotation if told else None
    if not isinstance(table, type) or not issubclass(table, BaseModel) or len(names) != 1 or "__" in names[0]:
        return Sentence(
            f'{said}a table or a list is written as JSON, for example ["a", "b"]',
            f'{said.zh}表或列表须写成 JSON，例如 ["a", "b"]',
        )
    one = "level" if "level" in table.model_fields else next(iter(table.model_fields))
    key = f"{whole}__{one.upper()}=..."
    return Sentence(
        f"{said}`{field}` is a table: set one of its keys, {key}, or write it as JSON",
        f"{said.zh}`{field}` 是表：请设其中一个键 {key}，或写成 JSON",
    )


def _sentence(fault: Any, model: type[BaseModel], text: str, file: str) -> Sentence:
    path = [part for part in fault["loc"] if isinstance(part, str)]
    dotted = ".".join(path) or "file"
    place = _place(path, text, file)
    if fault["type"] == "extra_forbidden":
        parent = _model_at(model, path[:-1])
        if path and path[-1].lower() in _SECRET_NAMES:
            said = _REFERENCE_ADVICE
            return Sentence(f"{place}: {dotted}: {said}", f"{place}：{dotted}：{said.zh}")
        en, zh = f"{place}: unknown key `{dotted}`", f"{place}：没有名为 `{dotted}` 的键"
        if parent is None:
            return Sentence(en, zh)
        near = _nearest(path[-1], parent)
        return Sentence(f"{en}; {near}", f"{zh}；{near.zh}")
    said = _said(fault)
    if not path:
        return Sentence(f"{place}: {said}", f"{place}：{said.zh}")
    return Sentence(f"{place}: {dotted}: {said}", f"{place}：{dotted}：{said.zh}")


def _said(fault: Any) -> Sentence:
    """What is wrong with a value: our own check's sentence, or pydantic's."""
    given = fault.get("ctx", {})
    if isinstance(given.get("error"), ValueError):
        return by_value(given["error"])
    values = {name: str(one).replace(" or ", "、").replace(", ", "、") for name, one in given.items()}
    return Sentence(str(fault["msg"]), OF_PYDANTIC.get(fault["type"], "值无效").format(**values))


def _nearest(name: str, model: type[BaseModel]) -> Sentence:
    known = list(model.model_fields)
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return nearest(close, f"known here: {', '.join(known)}", f"此处可用：{'、'.join(known)}")


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    index = 0
    while current is not None and index < len(path):
        field = current.model_fields.get(path[index])
        if field is None:
            return None
        index += 1
        nested, keyed = nested_table(field.annotation)
        current = nested
        index += 1 if keyed else 0
    return current


def nested_table(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The table type inside an annotation, and whether a name of the user's choice stands before it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType, tuple, list, dict):
        for argument in get_args(annotation):
            nested, _ = nested_table(argument)
            if nested is not None:
                return nested, origin is dict
    return None, False


def _place(path: list[str], text: str, file: str) -> str:
    wanted = ".".join(path)
    for number, dotted in _keys(text):
        if dotted == wanted:
            return f"{file}:{number}"
    return file


def _keys(text: str) -> Iterator[tuple[int, str]]:
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header and "=" not in line.split("]", 1)[0]:
            table = _bare(header.group(1))
            yield number, table
            continue
        key = _KEY.match(line)
        if key:
            name = _bare(key.group(1))
            yield number, f"{table}.{name}" if table else name


def _bare(name: str) -> str:
    return name.replace('"', "").replace("'", "").replace(" ", "")
