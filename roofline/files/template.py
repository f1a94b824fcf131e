"""Fields as a YAML file that people fill in: blocks on lines of their own, a comment above what needs one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def commented_yaml(fields: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """The text of a file with ``fields``, and above each what ``comments`` says of it.

    >>> print(commented_yaml({"name": "mine", "graphs": {"decode": "whole"}}, {"name": "lower case"}), end="")
    # lower case
    name: mine
    graphs: {decode: whole}
    """
    lines: list[str] = []
    for field, value in fields.items():
        if field in comments:
            lines.append(f"# {comments[field]}")
        lines += _written(field, value)
    return "\n".join(lines) + "\n"


def _written(field: str, value: Any, indent: str = "") -> list[str]:
    """A field as block YAML down to the blocks that hold plain values, which take one line."""
    if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
        inner_lines = [line for name, inner in value.items() for line in _written(name, inner, indent + "  ")]
        return [f"{indent}{field}:", *inner_lines]
    return [f"{indent}{field}: {_flow(value)}"]


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    plain = not isinstance(value, str) or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._/+()-]*", text)
    numeric = isinstance(value, str) and re.fullmatch(r"[0-9.:-]+|true|false|null|yes|no", text)
    return text if plain and not numeric else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
