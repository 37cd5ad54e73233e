"""The OpenAPI description of `/admin/v1`, made from the route table and the types that the routes check."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

from dragoman.admin.table import ANYONE, AdminRoute

VERSION = "3.1.0"
PREFIX = "/admin/v1/"
_REFUSED = {
    "description": "Refused.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}},
}


class Published(BaseModel):
    """A document with a JSON Schema of its own, by which it is checked elsewhere."""

    model_config = ConfigDict(extra="allow")

    published: ClassVar[Callable[[], dict[str, Any]]]
    """The schema, its definitions under `$defs`."""


def document(routes: Iterable[AdminRoute]) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Refused": _refusal()}
    for route in routes:
        if route.path.startswith(PREFIX):
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": VERSION,
        "info": {"title": "Dragoman administration", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-dragoman_admin"},
            },
        },
    }


def _operation(route: AdminRoute, schemas: dict[str, Any]) -> dict[str, Any]:
    body, answer = route.body, route.answer
    names = re.findall(r"\{([a-z]+)\}", route.path)
    told: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{_name(route.path)}",
        "summary": route.says,
        "description": f"Role: {route.role}." + (" Asks a person for a fresh proof." if route.fresh else ""),
        "security": [] if route.role == ANYONE else [{"token": []}, {"session": []}],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names),
            *({"name": name, "in": "query", "schema": {"type": "string"}} for name in route.queries),
        ],
        "responses": {
            "2XX": {
                "description": "Done.",
                "content": {"application/json": {"schema": _schema(answer, schemas)}},
            },
            "4XX": _REFUSED,
        },
    }
    if body is not None:
        kind = "multipart/form-data" if route.files else "application/json"
        told["requestBody"] = {"required": True, "content": {kind: {"schema": _schema(body, schemas)}}}
        if route.files:
            files = {"type": "array", "items": {"type": "string", "format": "binary"}}
            schemas[body.__name__]["properties"]["files"] = files
    return told


def _moved(schema: Any) -> Any:
    """The schema with its own definitions referred to where this document holds them."""
    if isinstance(schema, list):
        return [_moved(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: one.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(one)
        for key, one in schema.items()
    }


def _name(path: str) -> str:
    return re.sub(r"[^a-z]+", "_", path.removeprefix(PREFIX)).strip("_")


def _schema(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """A reference to the type's own schema, or to the one it publishes."""
    if issubclass(kind, Published):
        made = _moved(kind.published())
        made["description"] = inspect.getdoc(kind)
        made.pop("$schema")
    else:
        made = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(made.pop("$defs", {}))
    schemas[kind.__name__] = made
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _refusal() -> dict[str, Any]:
    text = {"type": ["string", "null"]}
    error = dict.fromkeys(("message", "type", "param", "code"), text)
    return {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "object", "required": sorted(error), "properties": error}},
    }
