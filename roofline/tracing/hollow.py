"""Modules without weights: parameters that take no memory while a module is built, and none while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def hollow() -> Iterator[None]:
    """Parameters of modules that are built inside lose their memory as soon as they are registered.

    Buffers keep theirs: code reads them while it builds. What is made without values, and all of more than half a
    gigabyte, takes none from the beginning: a stack of experts is made whole before it is registered.
    """
    register = nn.Module.register_parameter

    def registered(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, param)
        if param is not None and param.device.type != "meta":
            bare = torch.empty_strided(param.size(), param.stride(), dtype=param.dtype, device="meta")
            self._parameters[name] = nn.Parameter(bare, requires_grad=param.requires_grad)

    nn.Module.register_parameter = registered
    try:
        with _Bare():
            yield
    finally:
        nn.Module.register_parameter = register


_EMPTY = (torch.empty, torch.empty_strided)
_FILLED = (torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
_LARGE, _HUGE = 2**20, 2**27
"""Elements from which what is made without values takes no memory, and from which nothing does."""


class _Bare(TorchFunctionMode):  # type: ignore[misc]
    """Large tensors that are made take no memory."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        least = _LARGE if function in _EMPTY else _HUGE
        made = function in (*_EMPTY, *_FILLED) and given.get("out") is None
        if made and _elements(given.get("size", args)) >= least:
            given["device"] = "meta"
        return function(*args, **given)


def _elements(size: Any) -> int:
    """The elements of what is made, of its sizes one by one or as one sequence; 0 of what are none."""
    sizes = size[0] if len(size) and isinstance(size[0], list | tuple) else size
    return prod(each for each in sizes if isinstance(each, int)) if sizes else 0


def without_data(tensor: Any, fake: Any) -> Any:
    """A tensor of the same sizes in ``fake``, whatever device it was on."""
    with fake:
        return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="cpu")


def main_dtype(module: nn.Module) -> torch.dtype | None:
    """The floating dtype that most parameters of a module have."""
    counts: dict[torch.dtype, int] = {}
    for parameter in module.parameters():
        if parameter.is_floating_point():
            counts[parameter.dtype] = counts.get(parameter.dtype, 0) + parameter.numel()
    return max(counts, key=lambda dtype: counts[dtype]) if counts else None
