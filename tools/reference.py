"""Writes the documents that say again what the code says: docs/settings.md, docs/routes.md, docs/admin-api.md.

`python tools/reference.py` with the development environment; tests/unit/test_reference.py fails where one is stale.
Settings come from the models that read `dragoman.toml`, routes from the tables that route, fields of a request from
the table that checks them.
"""

from __future__ import annotations

import ast
import datetime as dt
import inspect
import itertools
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dragoman.admin.build import admin_table
from dragoman.admin.openapi import document
from dragoman.control.appeals import AppealRoutes
from dragoman.control.conversations import ConversationRoutes
from dragoman.control.evidence import EvidenceRoutes
from dragoman.control.pages_app import OwnRoutes
from dragoman.control.signup import SignupRoutes
from dragoman.control.usage_route import UsageRoute
from dragoman.control.user_tokens import UserTokenRoutes
from dragoman.policy.rules import RuleFile
from dragoman.settings import Settings
from dragoman.settings_faults import nested_table

ROOT = Path(__file__).resolve().parent.parent
MADE = "<!-- Made by tools/reference.py. Change what it is made from, not this file. -->\n"
WORDS = {str: "text", int: "number", bool: "`true` or `false`", Path: "path", dt.date: "date"}
RELAY_ROUTES = {
    "/v1/chat/completions": ("POST", "A turn, streamed or whole."),
    "/v1/completions": ("POST", "A turn in OpenAI's older form."),
    "/v1/conversations/{conversation}/turns": ("POST", "A turn of a conversation, which is kept."),
    "/healthz": ("GET, HEAD", "The relay runs."),
    "/readyz": ("GET, HEAD", "It has contact with control and can answer."),
}
"""What the relay answers itself; it has no table in Python."""
CHECKED = {
    "Number": "number from {} to {}",
    "Integer": "integer from {} to {}",
    "Output": "integer from {}",
    "Bool": "`true` or `false`",
    "Text": "text",
    "OneOf": "one of {}",
    "Word": "a word",
    "Model": "a name of `GET /v1/models`; needed",
    "Stream": "`true` or `false`",
    "N": "how many choices",
    "BestOf": "how many choices to take the best of",
    "Messages": "the messages; needed",
    "Prompt": "text, or several; needed",
    "Tools": "tools",
    "Functions": "functions",
    "ToolChoice": "which tool",
    "ResponseFormat": "text, JSON, or a schema",
    "StreamOptions": "options of a stream",
    "Stop": "where to stop",
    "Modalities": "text, sound",
    "Audio": "spoken answers",
    "Tier": "how fast and how dear",
    "Metadata": "names and texts",
    "LogitBias": "numbers by token",
    "Any": "any value; its strings are scanned",
    "Store": "`false`; `true` needs the operator's grant",
    "Grant": "needs the operator's grant",
    "Retention": "`in_memory`; longer needs the operator's grant",
}
"""What `Check` of the engine's table of fields asks for."""


ABOUT_SETTINGS = """Each table and key of `dragoman.toml` with its type, bounds and default, as the program reads it. What they are for,
with examples, stands in `docs/configuration.md`. A key of a table is set from the environment as `DRAGOMAN_TABLE__KEY`:
`DRAGOMAN_ZONE__LISTEN` is `[zone] listen`.
"""
ABOUT_ROUTES = """What the public port answers, and the fields of a request with what is checked of them. How they are used stands in
`docs/api.md`, codes in `docs/errors.md`, bounds in `docs/limits.md`.
"""


def settings() -> str:
    """docs/settings.md."""
    parts = [
        "# Every setting\n",
        MADE,
        ABOUT_SETTINGS,
        *_tables(Settings, ""),
        "## A rule file\n",
        "Named by `rules`.\n",
        *_tables(RuleFile, "", "###"),
    ]
    return "\n".join(parts)


def _tables(model: type[BaseModel], path: str, level: str = "##") -> Iterator[str]:
    """The sections of a table's own tables, each after its parent."""
    bare = [name for name, field in model.model_fields.items() if nested_table(field.annotation)[0] is None]
    if not path and bare:
        yield f"{level} Outside any table\n"
        yield _rows(model, bare)
    for name, field in model.model_fields.items():
        nested, is_keyed = nested_table(field.annotation)
        if nested is None:
            continue
        here = f"{path}.{name}".strip(".") + (".NAME" if is_keyed else "")
        several = not is_keyed and get_origin(_plain(field.annotation)) is tuple
        yield f"{level} [{f'[{here}]' if several else here}]\n"
        yield f"{inspect.cleandoc(nested.__doc__ or '')}\n"
        yield _rows(nested, list(nested.model_fields))
        yield from _tables(nested, here, level)


def _rows(model: type[BaseModel], names: list[str]) -> str:
    """A table of keys."""
    said = _said(model)
    rows = [("key", "type", "default", "meaning"), ("---",) * 4]
    for name in names:
        field = model.model_fields[name]
        rows.append((f"`{name}`", _type(field), default(field), said.get(name, "")))
    width = 4 if any(row[3] for row in rows[2:]) else 3
    return "".join(f"| {' | '.join(cell.replace('|', BAR) for cell in row[:width])} |\n" for row in rows)


def _said(model: type[BaseModel]) -> dict[str, str]:
    """The sentence under each field, on one line."""
    (tree,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(model))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        one.target.id: " ".join(str(after.value.value).split())
        for one, after in itertools.pairwise(body)
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }


def default(field: FieldInfo) -> str:
    """A field's default as TOML would have it: `needed`, `none`, or the value in backticks."""
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return "none" if value is None else "see there"
    return f"`{_literal(value)}`"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return f'"{value}"' if isinstance(value, str | Path) else str(value)


def _type(field: FieldInfo) -> str:
    """A field's type and bounds in words."""
    plain = _plain(field.annotation)
    several = get_origin(plain) is tuple
    inner = _plain(get_args(plain)[0]) if several else plain
    said = _word(inner)
    bounds = {kind: getattr(one, kind) for one in field.metadata for kind in BOUNDS if hasattr(one, kind)}
    said += "".join(
        BOUNDS[kind].format(_number(bounds[kind])) for kind in BOUNDS if bounds.get(kind) is not None
    )
    return f"list of {said}" if several else said


BAR = "\\|"
"""A bar inside a cell."""
BOUNDS = {
    "ge": ", from {}",
    "le": ", to {}",
    "min_length": ", at least {} long",
    "max_length": ", at most {} long",
    "pattern": ", as `{}`",
}


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _word(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f'`"{one}"`' for one in get_args(kind))
    if get_origin(kind) is dict:
        nested = nested_table(kind)[0]
        return "tables by name" if nested is not None else f"{WORDS[get_args(kind)[1]]} by name"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table"
    return WORDS[kind]


def _plain(annotation: Any) -> Any:
    """An annotation without its None."""
    if get_origin(annotation) in (Union, types.UnionType):
        left = [one for one in get_args(annotation) if one is not type(None)]
        return left[0] if len(left) == 1 else annotation
    return annotation


def routes() -> str:
    """docs/routes.md."""
    shown = [(method, path, "relay", says) for path, (method, says) in RELAY_ROUTES.items()]
    tables = [
        OwnRoutes(*[None] * 4).routes(),
        UsageRoute(None).routes(),
        ConversationRoutes(None, "").routes(),
        AppealRoutes(None, "", None).routes(),
        EvidenceRoutes(*[None] * 3).routes(),
        UserTokenRoutes(*[None] * 3).routes(),
        SignupRoutes(None, secure=True).routes(),
    ]
    for route in (one for table in tables for one in table):
        says = " ".join((inspect.getdoc(route.endpoint) or "").split("\n\n")[0].split())
        methods = ", ".join(sorted((route.methods or set()) - {"HEAD"}))
        shown.append((methods, re.sub(r":path\}", "}", route.path), "control", says))
    shown.sort(key=lambda row: (row[1], row[0]))
    fields = (ROOT / "crates/engine/src/request/fields.rs").read_text(encoding="utf-8")
    parts = [
        "# Routes and fields\n",
        MADE,
        ABOUT_ROUTES,
        "## Routes\n",
        "| method | path | by | what |\n|---|---|---|---|\n"
        + "".join(f"| {m} | `{p}` | {by} | {says} |\n" for m, p, by, says in shown),
    ]
    for name, title in (("CHAT", "/v1/chat/completions"), ("COMPLETIONS", "/v1/completions")):
        parts += [f"## Fields of {title}\n", _fields(fields, name)]
    parts.append(
        "A field that is not here is refused by name, unless the provider's pack or `[providers.NAME] fields` lists it. A turn of a\n"
        "conversation takes the fields of a chat, and `parent`.\n"
    )
    return "\n".join(parts)


def _fields(code: str, table: str) -> str:
    """The rows of one constant of the engine's file. Raises ValueError for a line it cannot read."""
    body = code.split(f"const {table}: ", 1)[1].split("= &[", 1)[1].split("\n];", 1)[0]
    lines = []
    for entry in filter(None, (line.strip() for line in body.splitlines())):
        read = re.fullmatch(r'\("(\w+)", Check::(\w+)(?:\((.*)\))?\),', entry)
        if read is None:
            raise ValueError(f"not a field: {entry}")
        lines.append(f"| `{read[1]}` | {_check(read[2], read[3] or '')} |")
    return "| field | what is taken |\n|---|---|\n" + "\n".join(lines) + "\n"


def _check(kind: str, given: str) -> str:
    if kind == "OneOf":
        return CHECKED[kind].format(", ".join(f"`{word}`" for word in re.findall(r'"(\w+)"', given)))
    if "i64::MIN" in given:
        return "integer"
    return CHECKED[kind].format(*(part.strip() for part in given.split(",")))


def admin_api() -> str:
    """docs/admin-api.md."""
    told = document(admin_table(None, None).routes)  # type: ignore[arg-type]  # the table alone asks nothing
    parts = [
        "# The administration's API\n",
        MADE,
        "What `GET /admin/v1/openapi.json` of the admin listener describes. Who may come in and how stands in `docs/admin.md`.\n",
        "## Routes\n",
        "| method | path | role | body, query | answer | what |\n|---|---|---|---|---|---|",
    ]
    for path, methods in sorted(told["paths"].items()):
        parts += [_operation(method, path, one) for method, one in methods.items()]
    parts.append(
        "\n`*`: a person has to have proved to be there within the last 5 minutes.\n\n## Documents\n"
    )
    for name, schema in sorted(told["components"]["schemas"].items()):
        parts.append(f"### {name}\n\n{schema.get('description', 'The form of every refusal.')}\n")
        parts.append(_properties(schema))
    return "\n".join(parts)


def _operation(method: str, path: str, one: dict[str, Any]) -> str:
    role, fresh = re.fullmatch(r"Role: (\w+)\.( Asks.*)?", one["description"]).groups()  # type: ignore[union-attr]
    body = one.get("requestBody")
    queries = [f"`?{given['name']}`" for given in one["parameters"] if given["in"] == "query"]
    taken = ", ".join([*([] if body is None else [_named(body)]), *queries])
    answer = _named(one["responses"]["2XX"])
    return f"| {method.upper()} | `{path}` | {role}{'*' if fresh else ''} | {taken} | {answer} | {one['summary']} |"


def _named(content: Any) -> str:
    (kind,) = content["content"].values()
    name = kind["schema"]["$ref"].rpartition("/")[2]
    return f"[{name}](#{name.lower()})"


def _properties(schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = [
        f"| `{name}` | {_json_type(one)}{'; needed' if name in needed else ''} |"
        for name, one in schema.get("properties", {}).items()
    ]
    return "| member | type |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""


def _json_type(one: dict[str, Any]) -> str:
    if "anyOf" in one:
        return " or ".join(_json_type(part) for part in one["anyOf"])
    if "enum" in one:
        return " or ".join(f"`{value}`" for value in one["enum"])
    if "$ref" in one:
        name = one["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    kind = one.get("type", "any value")
    said = " or ".join(kind) if isinstance(kind, list) else str(kind)
    bounds = (
        ("minimum", ", from {}"),
        ("maximum", ", to {}"),
        ("minLength", ", at least {} long"),
        ("maxLength", ", at most {} long"),
    )
    return said + "".join(text.format(one[name]) for name, text in bounds if name in one)


PAGES = {"settings.md": settings, "routes.md": routes, "admin-api.md": admin_api}


def main() -> None:
    """Write every page."""
    for name, made in PAGES.items():
        (ROOT / "docs" / name).write_text(made(), encoding="utf-8")
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
