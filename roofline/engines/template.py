"""A commented engine to fill in, made from one that exists; and what is wrong with such a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from roofline.engines.engine import A_NAME, Engine
from roofline.engines.library import load_engine, read_engine_fields
from roofline.errors import SpecError, shown
from roofline.files.findings import problems
from roofline.files.pydantic_models import pydantic_model
from roofline.files.review import reviewed
from roofline.files.template import commented_yaml
from roofline.schema import Says

_LEFT_OUT = ("aliases", "note", "source", "sources", "mature", "name", "title")


def new_engine(name: str, template: str) -> str:
    """YAML text of an engine called ``name`` with what ``template`` states, marked as copied from there.

    Raises SpecError for a name that cannot be one, and for an unknown template.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", name):
        msg = f"{shown(name)}: expected {A_NAME}"
        raise SpecError(msg)
    known = load_engine(template)
    fields, _ = read_engine_fields(template)
    head: dict[str, Any] = {"name": name, "title": f"{name} (from {known.name})"}
    kept = {field: value for field, value in fields.items() if field not in _LEFT_OUT}
    where = {"title": f"copied from {known.name}, to be replaced", "ref": "file or page of a named version"}
    return commented_yaml({**head, **kept, "source": "copy", "sources": {"copy": where}}, comments())


def comments() -> dict[str, str]:
    """What each field holds, in a few words."""
    found = {}
    for name, field in pydantic_model(Engine).model_fields.items():
        said = [part.meaning for part in field.metadata if isinstance(part, Says)]
        if text := (said[0] if said else field.description):
            found[name] = text
    return found


def review_engine(path: Path) -> list[str]:
    """Every problem of an engine's file, one line each; an empty list means that it will do. Raises nothing."""
    return reviewed(path, _problems)


def _problems(fields: dict[str, Any]) -> list[str]:
    try:
        Engine.model_validate(fields)
    except ValueError as failure:
        return list(problems(failure, Engine))
    return []
