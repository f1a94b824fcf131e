"""Modules without weights: parameters that take no memory while a module is built, and none while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


@contextlib.contextmanager
def hollow() -> Iterator[None]:
    """Parameters of modules that are built inside lose their memory as soon as they are registered.

    Buffers keep theirs: code reads them while it builds.
    """
    register = nn.Module.register_parameter

    def registered(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, param)
        if param is not None and param.device.type != "meta":
            bare = torch.empty_strided(param.size(), param.stride(), dtype=param.dtype, device="meta")
            self._parameters[name] = nn.Parameter(bare, requires_grad=param.requires_grad)

    nn.Module.register_parameter = registered
    try:
        yield
    finally:
        nn.Module.register_parameter = register


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
