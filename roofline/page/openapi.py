"""The server as OpenAPI 3.1: options from their definitions, answers from their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from roofline.options.option import Field
from roofline.page.questions import QUESTIONS, Json, Question
from roofline.schema import schema_of
from roofline.version import tool_version

REFUSAL: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "one line: what was given, what was expected, how to fix it"}
    },
    "additionalProperties": False,
}


def description() -> Json:
    """The OpenAPI description of all questions. The definitions of an answer keep their names, with its path before."""
    schemas: Json = {"Refusal": REFUSAL}
    paths = {f"/api/{path}": {"get": _operation(path, each, schemas)} for path, each in QUESTIONS.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "roofline", "version": tool_version(), "description": "The verbs of roofline as JSON."},
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def parameters_of(path: str) -> list[Json]:
    """What a question takes, each with its meaning and its schema."""
    question = QUESTIONS[path]
    own = [_parameter(name, says, {"type": "string"}) for name, says in question.own.items()]
    return [*own, *map(_of_field, question.fields)]


def _operation(path: str, question: Question, schemas: Json) -> Json:
    """A path; the schema of its answer goes to ``schemas``."""
    found = schema_of(question.declaration())
    found.pop("$schema")
    for name, inner in found.pop("$defs", {}).items():
        schemas[f"{path}.{name}"] = _moved(inner, path)
    schemas[path] = _moved(found, path)
    refused = {"description": "refused, in one line", **_json("Refusal")}
    return {
        "operationId": path,
        "summary": question.says,
        "parameters": parameters_of(path),
        "responses": {"200": {"description": "the answer", **_json(path)}, "400": refused},
    }


def _json(name: str) -> Json:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


def _moved(node: Any, path: str) -> Any:
    """A schema whose definitions stand under the components."""
    if isinstance(node, list):
        return [_moved(inner, path) for inner in node]
    if not isinstance(node, Mapping):
        return node
    whole = {name: _moved(inner, path) for name, inner in node.items()}
    if isinstance(where := whole.get("$ref"), str):
        whole["$ref"] = where.replace("#/$defs/", f"#/components/schemas/{path}.")
    return whole


def _of_field(field: Field) -> Json:
    """An option as a parameter of a query."""
    own = [kind for kind in field.kinds if kind is not NoneType]
    plain = {bool: "boolean", int: "integer", float: "number"}
    schema: Json = {"type": plain.get(own[0], "string") if len(own) == 1 else "string"}
    if field.words:
        schema["enum"] = list(field.words)
    if isinstance(field.option.default, bool | int | float | str) and field.option.default not in ("", False):
        schema["default"] = field.option.default if schema["type"] != "string" else str(field.option.default)
    if field.option.many:
        schema = {"type": "array", "items": {"type": "string"}}
    return _parameter(field.name, field.text, schema)


def _parameter(name: str, says: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": says, "schema": schema}
