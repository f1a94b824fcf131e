"""Engines as people read them: a table of all, a page of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from roofline.engines.engine import Engine
from roofline.reports.prediction import Row, table
from roofline.units import Dimension, format_quantity

_HEADER = ("name", "version", "date", "serves", "kernels", "merges", "folds", "graphs", "also")
_DIMENSIONS: dict[str, Dimension] = {
    **dict.fromkeys(("front_end", "host_step", "host_request", "host_launch"), "time_s"),
    **dict.fromkeys(("graph_memory", "workspace", "fixed", "token", "graph", "least", "above"), "bytes"),
}
"""Fields of an engine and of its memory rule that are quantities."""
_TOLD = ("name", "title", "version", "date", "aliases", "note", "source", "sources")


def engines_table(engines: Iterable[Engine]) -> list[str]:
    """One row per engine: version and date, what it merges, folds and replays."""
    rows = [
        (
            each.name, each.version, each.date, "+".join(each.serves), each.kernels, _listed(each.merges),
            _listed(each.folds), _listed(each.graphs), _listed(each.aliases),
        )
        for each in engines
    ]  # fmt: skip
    return table(_HEADER, rows, left=tuple(range(len(_HEADER))))


def engine_page(engine: Engine) -> list[str]:
    """All that an engine states, each with its source."""
    head = [f"{engine.words}: {engine.name}", *([engine.note] if engine.note else []), ""]
    rows: list[Row] = []
    for name, value in engine.model_dump(mode="json").items():
        if name not in _TOLD and name in engine.model_fields_set:
            rows.append((name, _words(value, name), engine.source_of(name).title))
    absent = [name for name in engine.stated if name not in {*engine.model_fields_set, *_TOLD}]
    return [*head, *table(("field", "value", "source"), rows, left=(0, 1, 2)), "", f"not stated: {', '.join(absent)}"]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "-"


def _words(value: Any, name: str = "") -> str:
    """A field's value in a line, quantities with their unit; numbers of a long list by their first and last."""
    if name in _DIMENSIONS:
        return format_quantity(value, _DIMENSIONS[name])
    if isinstance(value, dict):
        return "; ".join(f"{inner}: {_words(each, inner)}" for inner, each in value.items())
    if isinstance(value, list) and len(value) > 8:
        return f"{value[0]}, {value[1]}, {value[2]} ... {value[-1]} ({len(value)} of them)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
