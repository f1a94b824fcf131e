"""What torch really runs: every operator of a step as the dispatcher sees it, with shapes, strides and dtypes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from roofline.classes import frozen
from roofline.tracing.aten import moves_nothing
from roofline.validation.devices import load_torch


@frozen
class TensorSpec:
    """A tensor without its data. ``resident``: a weight or a cache, which a step finds in device memory."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str
    resident: bool

    @property
    def elements(self) -> int:
        """How many."""
        total = 1
        for length in self.shape:
            total *= length
        return total


@frozen
class TorchCall:
    """One operator that torch ran. ``arguments`` hold specs where tensors were; ``view``: it moves nothing."""

    name: str
    overload: str
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]
    outputs: tuple[tuple[int, ...], ...]
    view: bool

    @property
    def tensors(self) -> list[TensorSpec]:
        """The tensors among the arguments, those in lists too."""
        return list(_tensors((*self.arguments, *(value for _, value in self.keywords))))


@dataclass(slots=True)
class Capture:
    """The calls of a step, in order."""

    calls: list[TorchCall] = field(default_factory=list)

    def kernels(self) -> list[TorchCall]:
        """Those that compute or move something."""
        return [call for call in self.calls if not call.view]


def capture_step(step: Callable[[], object], resident: set[int] | None = None) -> Capture:
    """Run ``step`` once and note what it calls. ``resident``: addresses of the storages of weights and caches."""
    torch = load_torch()
    from torch.utils._python_dispatch import TorchDispatchMode  # noqa: PLC0415

    found, known = Capture(), resident or set()

    class Mode(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            found.calls.append(call_of(torch, function, args, kwargs or {}, result, known))
            return result

    with torch.inference_mode(False), torch.no_grad(), Mode():
        step()
    return found


def call_of(torch: Any, function: Any, args: Any, kwargs: Any, result: Any, resident: set[int]) -> TorchCall:
    """A call of the dispatcher and what it gave. ``resident``: addresses of the storages of weights and caches."""
    outputs = [x for x in (result if isinstance(result, (list, tuple)) else [result]) if isinstance(x, torch.Tensor)]
    inputs = [x for x in _flat((*args, *kwargs.values())) if isinstance(x, torch.Tensor)]
    storages = {_address(x) for x in inputs}
    view = bool(outputs) and all(_address(x) in storages for x in outputs) and not function._schema.is_mutable
    name, _, overload = str(function).removeprefix("aten.").partition(".")
    return TorchCall(
        name,
        overload or "default",
        tuple(_spec(torch, x, resident) for x in args),
        tuple((key, _spec(torch, x, resident)) for key, x in kwargs.items()),
        tuple(tuple(x.shape) for x in outputs),
        view or moves_nothing(name),
    )


def _spec(torch: Any, value: Any, resident: set[int]) -> Any:
    """A tensor as its spec, lists of them as tuples, all else as it is, or its text where it cannot be compared."""
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return TensorSpec(tuple(value.shape), tuple(value.stride()), kind, _address(value) in resident)
    if isinstance(value, (list, tuple)):
        return tuple(_spec(torch, x, resident) for x in value)
    return value


def _address(tensor: Any) -> int:
    return int(tensor.untyped_storage()._cdata)


def storage_addresses(tensors: Any) -> set[int]:
    """The storages of these tensors, by which a capture knows weights and caches."""
    return {_address(tensor) for tensor in tensors}


def _flat(values: Any) -> Any:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value


def _tensors(values: Any) -> Any:
    return (value for value in _flat(values) if isinstance(value, TensorSpec))
