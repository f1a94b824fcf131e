"""The JSON Schema of a device's and of a system's file, so that editors complete and check them."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import TypeAdapter

from roofline.hardware.fields import FlopsPerS
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System


def schema_text(of: Literal["device", "system"] = "device") -> str:
    """The schema as it is shipped: ``hardware_specs/schema.json``, ``hardware_specs/systems/schema.json``."""
    return json.dumps(json_schema(of), indent=1, sort_keys=True) + "\n"


def json_schema(of: Literal["device", "system"] = "device") -> dict[str, Any]:
    """The JSON Schema (2020-12) of a file: quantities are text with a unit, a peak is one or a mapping."""
    model = HardwareSpec if of == "device" else System
    schema: dict[str, Any] = _plain(model.model_json_schema(by_alias=True))
    rate = TypeAdapter(FlopsPerS).json_schema()
    _let_peaks_be_rates(schema, rate)
    year = {"anyOf": [{"type": "string"}, {"type": "integer"}], "description": "2026 or 2026-08"}
    schema["properties"]["released"] = year
    schema["$defs"]["Price"]["properties"]["date"] = year
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"roofline {of}", **schema}


def _plain(node: Any) -> Any:
    """A schema without titles and without the null of a field that may be left out: nobody writes null."""
    if isinstance(node, list):
        return [_plain(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    kept = {name: _plain(inner) for name, inner in node.items() if not (name == "title" and isinstance(inner, str))}
    if kept.get("default", 0) is None:
        del kept["default"]
    choices = [choice for choice in kept.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **{name: inner for name, inner in kept.items() if name != "anyOf"}}
    return {**kept, "anyOf": choices} if choices else kept


def _let_peaks_be_rates(node: Any, rate: dict[str, Any]) -> None:
    """A plain rate is allowed wherever the schema asks for the mapping of a peak."""
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _let_peaks_be_rates(child, rate)
    if isinstance(node, dict) and node.get("additionalProperties") == {"$ref": _PEAK}:
        node["additionalProperties"] = {"anyOf": [rate, {"$ref": _PEAK}]}


_PEAK = "#/$defs/Peak"
