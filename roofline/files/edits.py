"""Single fields of what a file holds, edited by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.errors import SpecError, near_matches, shown


def edited_fields(fields: Mapping[str, Any], edits: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``fields`` with each path of ``edits`` replaced: ``{"memory.hbm.bandwidth": "6 TB/s"}``.

    A number in place of a block that has a value, as a peak has with its clock, is that value; the rest stays. Raises
    SpecError where a path leads through a field that is not there.
    """
    edited = dict(fields)
    for path, value in edits.items():
        edited = _edited(edited, path.split("."), value, f"{where}: {path}")
    return edited


def _edited(fields: Mapping[str, Any], path: list[str], value: object, where: str) -> dict[str, Any]:
    head, *rest = path
    inner = fields.get(head)
    if not rest:
        below = [name for name, field in fields.items() if isinstance(field, Mapping) and head in field]
        if head not in fields and below:  # a capacity of memory, which has levels
            deeper = " or ".join(f"{where.rpartition(': ')[2].removesuffix(head)}{name}.{head}" for name in below)
            msg = f"{where}: no such field; did you mean {deeper}?"
            raise SpecError(msg)
        stays = isinstance(inner, Mapping) and "value" in inner and not isinstance(value, Mapping)
        return {**fields, head: {**inner, "value": value} if stays and isinstance(inner, Mapping) else value}
    if not isinstance(inner, Mapping):
        there = [name for name, field in fields.items() if isinstance(field, Mapping)]
        msg = f"{where}: {shown(head)} holds no fields to edit; {near_matches(head, there)}"
        raise SpecError(msg)
    return {**fields, head: _edited(inner, rest, value, where)}
