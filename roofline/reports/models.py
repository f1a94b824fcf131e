"""Models as people read them: the library as a table, one model as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from roofline.cost.kv_cache import cache_bytes, cache_growth
from roofline.models.model import Model
from roofline.models.outline import Outline
from roofline.models.sources import FACTS
from roofline.options.words import ModelOrder
from roofline.program.op import STATES
from roofline.program.program import Program
from roofline.program.workload import MAX_LENGTH, Precision
from roofline.reports.prediction import Row, count, quantity, table

SORTS: dict[ModelOrder, Callable[[Model], Any]] = {
    "name": lambda model: model.name,
    "family": lambda model: (model.model_type, model.parameters),
    "parameters": lambda model: model.parameters,
    "layers": lambda model: model.config.model_dump().get("num_hidden_layers", 0),
    "hidden": lambda model: model.config.model_dump().get("hidden_size", 0),
    "positions": lambda model: model.lengths.positions,
}
"""What the table can be sorted by, after its columns."""

_BF16 = Precision("bf16", "bf16", "bf16")


def models_table(models: Iterable[Model]) -> list[str]:
    """One row per preset: family, parameters, shape."""
    header = ("name", "family", "parameters", "layers", "hidden", "positions")
    rows = []
    for model in models:
        c = model.config.model_dump()
        positions = model.lengths.positions
        sizes = (c.get("num_hidden_layers"), c.get("hidden_size"), None if positions == 1 else positions)
        rows.append((model.name, model.model_type, count(model.parameters), *map(_size, sizes)))
    return table(header, rows, left=(0, 1))


def model_page(model: Model) -> list[str]:
    """A model's fields, its parameters by part, its KV cache, and its program as a table of statements."""
    program = model.program()
    lines = [f"{model.name} ({model.model_type}), {model.parameters:,} parameters", f"source: {model.source}"]
    lines += [
        f"{name}: {fact.value} ({fact.source})" if (fact := model.facts.get(name)) else f"{name}: not recorded"
        for name in FACTS
    ]
    if not isinstance(model.config, Outline):  # what a trace lost is warned of
        lines.append(f"not modelled: {'; '.join(model.left_out) or 'nothing that its fields state'}")
    lines += [f"warning: {warning}" for warning in model.warnings]
    lines += [*_cache_lines(model, program), ""]
    lines += table(("field", "value"), _field_rows(model.config.model_dump()), left=(0, 1))
    lines += ["", *table(("parameters of", "count", "of all"), _parameter_rows(program)), ""]
    rows = [
        (group.name, str(group.times(program.sizes)), ", ".join(group.phases), str(op))
        for group in program.groups
        for op in group.ops
    ]
    return [*lines, *table(("group", "x", "phases", "statement"), rows, left=(0, 2, 3))]


def _cache_lines(model: Model, program: Program) -> list[str]:
    """Bytes of cache that one more token takes, at the start and, where a window has ended some growth, at the end.

    And the bytes of what a sequence has instead of a cache, or beside it, whatever its length.
    """
    first, last = (cache_growth(program, _BF16, length) for length in (1, model.lengths.output))
    lines = []
    if first:
        lines.append(f"KV cache: {first:,} bytes per token and sequence in bf16 ({quantity(first, 'bytes')})")
    if first and last != first:
        lines[0] += f", {last:,} beyond the window of {program.sizes['W']:,} tokens"
    if crossed := cache_growth(program, _BF16, 1, "M"):
        held = f"{crossed:,} bytes per token that the encoder reads ({quantity(crossed, 'bytes')})"
        lines.append(f"cross-attention cache: {held}, which no step adds to")
    if state := int(cache_bytes(program, {**program.sizes, "B": 1, "T": 1, "S": 1, "M": 1}, _BF16, STATES)):
        held = f"{state:,} bytes per sequence in bf16 ({quantity(state, 'bytes')})"
        lines.append(f"state: {held}, whatever the length")
    return lines


def _field_rows(fields: Mapping[str, Any], room: str = "") -> list[Row]:
    """Fields and their values; those of a mapping by path, as far as they have a value or are switched on."""
    rows: list[Row] = []
    for name, value in fields.items():
        if value is None or value is False or value == []:
            continue
        if isinstance(value, dict):
            rows += _field_rows({key: held for key, held in value.items() if held is not None}, f"{name}.")
        else:
            rows.append((room + name, _shown(value)))
    return rows


def _size(size: int | None) -> str:
    """A size, a dash where nothing states it, or that there is no limit but the tool's own."""
    if size is None:
        return "-"
    return "any" if size == MAX_LENGTH else f"{size:,}"


def _shown(value: Any) -> str:
    """A field's value; a long list as how often each entry stands in it."""
    if isinstance(value, list) and len(value) > 8:
        return ", ".join(f"{value.count(entry)} x {entry}" for entry in dict.fromkeys(value))
    return str(value)


def _parameter_rows(program: Program) -> list[Row]:
    totals: dict[str, int] = {}
    for group, op, tensor in program.weights():
        name = f"{group.name}.{op.name}"
        totals[name] = totals.get(name, 0) + int(program.resident(group, op, tensor, program.sizes))
    whole = sum(totals.values())
    return [(name, f"{number:,}", f"{number / whole:.1%}") for name, number in totals.items()]
