"""Networks at full size that run without numbers: floating-point tensors are shapes, whole numbers are real.

A network's weights and states lie on the meta device, where nothing is computed and nothing takes memory; tokens,
positions, masks and grids of patches lie on the CPU, so that code which looks at them finds what it would. Torch's
counter reads shapes alone, and sees every matmul as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_WHOLE = ("bool", "uint8", "int8", "int16", "int32", "int64")

_OTHERWISE = "no tensor"
"""What is remembered of an operator that gives something else than tensors."""


def _described(torch: Any, value: Any) -> Any:
    """All that an operator's result depends on of an argument whose numbers are not there."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.stride(), value.dtype
    if isinstance(value, (list, tuple)):
        return tuple(_described(torch, each) for each in value)
    if isinstance(value, dict):
        return tuple((name, _described(torch, each)) for name, each in value.items())
    return type(value), value


def _shapes_of(torch: Any, found: Any) -> Any:
    if isinstance(found, torch.Tensor):
        return (tuple(found.shape), found.stride(), found.dtype) if found.device.type == "meta" else _OTHERWISE
    if isinstance(found, (list, tuple)) and all(isinstance(each, torch.Tensor) for each in found):
        each = [_shapes_of(torch, one) for one in found]
        return _OTHERWISE if _OTHERWISE in each else (type(found), each)
    return _OTHERWISE


def _made(torch: Any, shapes: Any) -> Any:
    if isinstance(shapes[0], type):
        kind, each = shapes
        return kind(_made(torch, one) for one in each)
    shape, strides, dtype = shapes
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")


@contextmanager
def shapes_alone() -> Iterator[None]:
    """No number is computed within that depends on one of a tensor on the meta device."""
    torch = pytest.importorskip("torch")
    tree = pytest.importorskip("torch.utils._pytree")
    modes = pytest.importorskip("torch.utils._python_dispatch")
    aten, whole = torch.ops.aten, (None, *(getattr(torch, name) for name in _WHOLE))

    def on_meta(value: Any) -> Any:
        return value.to("meta") if isinstance(value, torch.Tensor) and value.device.type != "meta" else value

    def places(index: Any) -> list[Any]:
        """A mask of known booleans as the places that it names, which are so many; any other index as it is."""
        known = isinstance(index, torch.Tensor) and index.device.type != "meta"
        return list(torch.nonzero(index, as_tuple=True)) if known and index.dtype is torch.bool else [index]

    remembered: dict[Any, Any] = {}

    def remembering(func: Any, args: Any, kwargs: Any) -> Any:
        """What an operator gives, whose layers' like it has shown before: new tensors of the same shape."""
        key = None if func._schema.is_mutable else (func, _described(torch, args), _described(torch, kwargs))
        try:
            if key is None or hash(key) is None:
                return func(*args, **kwargs)
        except TypeError:  # an argument that is no plain value
            return func(*args, **kwargs)
        if (shapes := remembered.get(key)) is None:
            found = func(*args, **kwargs)
            shapes = remembered[key] = _shapes_of(torch, found)
            return found
        return func(*args, **kwargs) if shapes is _OTHERWISE else _made(torch, shapes)

    class Shapes(modes.TorchDispatchMode):  # type: ignore[misc, name-defined]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            given = [each for each in tree.tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
            if func is aten._to_copy.default:  # what is moved stays where it is, with its numbers or without
                kwargs.pop("device", None)
                return func(*args, **kwargs)
            if not given and kwargs.get("dtype") in whole and str(kwargs.get("device")) == "meta":
                return func(*args, **{**kwargs, "device": "cpu"})
            if all(each.device.type != "meta" for each in given):
                return func(*args, **kwargs)
            if func is aten.topk.default:  # which are picked changes no count, and loops over experts ask for them
                largest, _ = func(*args, **kwargs)
                return largest, torch.arange(largest.shape[-1]).expand(largest.shape)
            if func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):
                args = (args[0], [place for index in args[1] for place in places(index)], *args[2:])
            if all(each.device.type == "meta" for each in given):
                return remembering(func, args, kwargs)
            return remembering(func, tree.tree_map(on_meta, args), tree.tree_map(on_meta, kwargs))

    with Shapes():
        yield
