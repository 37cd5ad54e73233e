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

S = TypeVar("S", bound=BaseSettings)

_SECRET_NAMES = frozenset(
    {"key", "api_key", "apikey", "secret", "token", "password", "credential", "authorization"}
)
_REFERENCE_ADVICE = (
    "a secret does not belong in this file, which people read, share and back up. "
    'Write key_env = "NAME" (an environment variable) or key_file = "path" (a file only you can read)'
)
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


def explain(error: ValidationError, model: type[BaseModel], text: str, file: str) -> list[str]:
    """One sentence per fault of a validation, in the order of the file's tree."""
    return [
        _sentence(fault, model, text, file) for fault in error.errors(include_input=False, include_url=False)
    ]


def unknown_overrides(model: type[BaseModel], prefix: str = "DRAGOMAN_") -> list[str]:
    """Sentences for `DRAGOMAN_A__B` variables whose first part is no table of the file."""
    faults = []
    for name in sorted(os.environ):
        if name.startswith(prefix) and "__" in name:
            table = name[len(prefix) :].split("__", 1)[0].lower()
            if table not in model.model_fields:
                faults.append(f"environment variable {name}: unknown table `{table}`{_nearest(table, model)}")
    return faults


def _override(error: SettingsError, model: type[BaseModel], prefix: str = "DRAGOMAN_") -> str:
    """The sentence for a `DRAGOMAN_A` variable that holds neither a table nor a list."""
    told = _FIELD.search(str(error))
    field = told.group(1) if told else ""
    whole = f"{prefix}{field}".upper()
    names = sorted(n for n in os.environ if n.upper() == whole or n.upper().startswith(f"{whole}__"))
    said = f"environment variable {' or '.join(names) or prefix + '...'}: "
    table = model.model_fields[field].annotation if told else None
    if not isinstance(table, type) or not issubclass(table, BaseModel) or len(names) != 1 or "__" in names[0]:
        return f'{said}a table or a list is written as JSON, for example ["a", "b"]'
    one = "level" if "level" in table.model_fields else next(iter(table.model_fields))
    return f"{said}`{field}` is a table: set one of its keys, {whole}__{one.upper()}=..., or write it as JSON"


def _sentence(fault: Any, model: type[BaseModel], text: str, file: str) -> str:
    path = [part for part in fault["loc"] if isinstance(part, str)]
    dotted = ".".join(path) or "file"
    place = _place(path, text, file)
    if fault["type"] == "extra_forbidden":
        parent = _model_at(model, path[:-1])
        if path and path[-1].lower() in _SECRET_NAMES:
            return f"{place}: {dotted}: {_REFERENCE_ADVICE}"
        return f"{place}: unknown key `{dotted}`{_nearest(path[-1], parent) if parent else ''}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place}: {dotted}: {message}" if path else f"{place}: {message}"


def _nearest(name: str, model: type[BaseModel]) -> str:
    known = list(model.model_fields)
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; known here: {', '.join(known)}"


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
