"""How a module says that tensor parallelism lays it: transformers' ``tp_plan``, or a plan of ``parallelize_module``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn


def plan_of(module: nn.Module) -> tuple[tuple[str, str], ...]:
    """The modules and parameters that the plan of a module names, each with its style; none without a plan.

    A plan is a mapping ``tp_plan`` or ``_tp_plan``: of transformers, ``{"layers.*.mlp.up_proj": "colwise"}``, or of
    torch.distributed, ``{"layers.*.mlp.up_proj": ColwiseParallel()}``. A ``*`` stands for one part of a path.
    """
    said = getattr(module, "tp_plan", None) or getattr(module, "_tp_plan", None)
    if not isinstance(said, Mapping):
        return ()
    rules = [(_pattern(str(path)), _style(style)) for path, style in said.items()]
    named = (*(path for path, _ in module.named_modules() if path), *(path for path, _ in module.named_parameters()))
    found = ((path, next((style for rule, style in rules if rule.fullmatch(path)), "")) for path in named)
    return tuple((path, style) for path, style in found if style)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^.]+".join(re.escape(part) for part in path.split("*")))


def _style(given: object) -> str:
    """The word of transformers for a style of torch.distributed; a style that has none is called by its class."""
    if isinstance(given, str):
        return given
    name, outputs = type(given).__name__, list(_placements(getattr(given, "output_layouts", ())))
    if name == "ColwiseParallel" and outputs in (["Shard(-1)"], ["Replicate"]):
        return "colwise" if outputs == ["Shard(-1)"] else "colwise_gather_output"
    if name == "RowwiseParallel" and outputs == ["Replicate"]:
        return "rowwise"
    return f"{name}({', '.join(outputs)})"


def _placements(given: Any) -> Iterator[str]:
    for each in given if isinstance(given, tuple | list) else (given,):
        dim = getattr(each, "dim", None)
        yield type(each).__name__ if dim is None else f"{type(each).__name__}({dim})"
