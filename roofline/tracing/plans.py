"""How a module says that tensor parallelism lays it: transformers' ``tp_plan``, or a plan of ``parallelize_module``."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from torch import nn

_DISTRIBUTED = "torch.distributed.tensor"


def plan_of(module: nn.Module) -> tuple[tuple[str, str], ...]:
    """The modules and parameters that the plan of a module names, each with its style; none without a plan.

    A plan is a mapping ``tp_plan`` or ``_tp_plan``: of transformers, ``{"layers.*.mlp.up_proj": "colwise"}``, or of
    torch.distributed, ``{"layers.*.mlp.up_proj": ColwiseParallel()}``; a ``*`` stands for one part of a path. Else it
    is what ``parallelize_module`` made of the module.
    """
    said = getattr(module, "tp_plan", None) or getattr(module, "_tp_plan", None)
    named = [(path, each) for path, each in (*module.named_modules(), *module.named_parameters()) if path]
    if not isinstance(said, Mapping):
        made = ((path, _made(each)) for path, each in module.named_modules())
        return tuple((path, style) for path, style in made if style)
    rules = [(_pattern(str(path)), style) for path, style in said.items()]
    found = ((path, next((_style(style, each) for rule, style in rules if rule.fullmatch(path)), "")) for path, each in
             named)  # fmt: skip
    return tuple((path, style) for path, style in found if style)


@contextlib.contextmanager
def on_one_device(module: nn.Module) -> Iterator[None]:
    """The module without what ``parallelize_module`` has it do to what it reads and returns."""
    held: list[tuple[dict[int, Any], int, Any]] = [
        (hooks, key, hook)
        for each in module.modules()
        for hooks in (each._forward_pre_hooks, each._forward_hooks)
        for key, hook in hooks.items()
        if getattr(hook, "__module__", "").startswith(_DISTRIBUTED)
    ]
    for hooks, key, _ in held:
        del hooks[key]
    try:
        yield
    finally:
        for hooks, key, hook in held:
            hooks[key] = hook


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^.]+".join(re.escape(part) for part in path.split("*")))


def _style(given: object, of: object) -> str:
    """The word of transformers for a style of torch.distributed; a style that has none is called by its class."""
    return given if isinstance(given, str) else _word(type(given).__name__, getattr(given, "output_layouts", ()), of)


def _made(module: nn.Module) -> str:
    """The style that ``parallelize_module`` gave a module; none where it did not."""
    for hook in module._forward_hooks.values():
        if getattr(hook, "__module__", "").startswith(_DISTRIBUTED):
            for cell in getattr(hook, "__closure__", ()) or ():
                made = cell.cell_contents
                if isinstance(made, partial):
                    function: Callable[..., Any] = made.func
                    return _word(function.__qualname__.partition(".")[0], made.args[0], module)
            return "a style of its own"
    return ""


def _word(name: str, outputs: Any, of: object) -> str:
    laid = list(_placements(outputs))
    if isinstance(of, nn.Embedding) and laid == ["Replicate"] and name in ("ColwiseParallel", "RowwiseParallel"):
        return "embedding_colwise" if name == "ColwiseParallel" else "embedding_rowwise"
    if name == "ColwiseParallel" and laid in (["Shard(-1)"], ["Replicate"]):
        return "colwise" if laid == ["Shard(-1)"] else "colwise_gather_output"
    if name == "RowwiseParallel" and laid == ["Replicate"]:
        return "rowwise"
    return f"{name}({', '.join(laid)})"


def _placements(given: Any) -> Iterator[str]:
    for each in given if isinstance(given, tuple | list) else (given,):
        dim = getattr(each, "dim", None)
        yield type(each).__name__ if dim is None else f"{type(each).__name__}({dim})"
