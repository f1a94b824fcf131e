"""Each kernel of a captured step by itself, on random inputs: weights and caches cold, activations warm, as in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from roofline.validation.capture import TensorSpec, TorchCall
from roofline.validation.devices import Call, Device
from roofline.validation.stopwatch import Samples, Stopwatch, Tell, silent

MOST_COPIES = 64


def distinct(calls: Sequence[TorchCall]) -> dict[TorchCall, int]:
    """Each different kernel once, and how often it runs."""
    return dict(Counter(call for call in calls if not call.view))


def replay(
    watch: Stopwatch, calls: Mapping[TorchCall, int], budget_s: float, *, tell: Tell = silent
) -> tuple[dict[TorchCall, Samples], dict[TorchCall, str]]:
    """The times of single calls, and why some could not be timed. An interruption keeps what was measured."""
    names = {f"{index} {call.name}": call for index, call in enumerate(calls)}
    ready, refused = {}, {}
    for name, call in names.items():
        try:
            ready[name] = prepared_call(watch.device, call)
            ready[name](0)
        except (RuntimeError, TypeError, IndexError, ValueError) as failure:
            ready.pop(name, None)
            refused[call] = str(failure).splitlines()[0][:200]
    if ready:
        watch.run(ready, budget_s, tell=tell)
    return {names[name]: samples for name, samples in watch.samples().items()}, refused


def prepared_call(device: Device, call: TorchCall) -> Call:
    """The call on inputs of its own; of what is resident so many copies that each turn finds it outside the cache."""
    function = getattr(getattr(device.torch.ops.aten, call.name), call.overload)
    resident = sum(_bytes(device, spec) for spec in call.tensors if spec.resident)
    copies = 1
    if resident > 1e5:
        copies = max(1, min(MOST_COPIES, round(8 * device.cache_bytes / resident + 0.5)))
    sets = [_inputs(device, call) for _ in range(copies)]

    def run(turn: int) -> object:
        arguments, keywords = sets[turn % copies]
        return function(*arguments, **keywords)

    return run


def _inputs(device: Device, call: TorchCall) -> tuple[list[Any], dict[str, Any]]:
    rows = _rows(call)
    return (
        [_made(device, value, rows) for value in call.arguments],
        {key: _made(device, value, rows) for key, value in call.keywords},
    )


def _rows(call: TorchCall) -> int:
    """The numbers that an index may hold: rows of the table that it points into, columns of what is gathered from."""
    sizes = [spec.shape for spec in call.tensors if spec.shape]
    if call.name == "gather" and sizes:
        return int(sizes[0][int(call.arguments[1])])
    return int(sizes[0][0]) if sizes else 1


def _made(device: Device, value: Any, rows: int) -> Any:
    if isinstance(value, TensorSpec):
        return _tensor(device, value, rows)
    if isinstance(value, tuple):
        return [_made(device, x, rows) for x in value]
    return value


def _tensor(device: Device, spec: TensorSpec, rows: int) -> Any:
    """Random numbers in the layout of the original: an expanded axis stays one row, a transposed one transposed."""
    torch = device.torch
    dtype = getattr(torch, spec.dtype)
    length = 1 + sum((size - 1) * step for size, step in zip(spec.shape, spec.stride, strict=True)) if spec.shape else 1
    if not all(spec.shape):
        return torch.empty(spec.shape, dtype=dtype, device=device.kind)
    if dtype.is_floating_point:
        base = device.random(length, dtype=dtype)
    elif dtype == torch.bool:
        base = torch.ones(length, dtype=dtype, device=device.kind)
    else:
        base = torch.randint(0, max(1, rows), (length,), dtype=dtype, device=device.kind)
    return torch.as_strided(base, spec.shape, spec.stride)


def _bytes(device: Device, spec: TensorSpec) -> float:
    return float(spec.elements * getattr(device.torch, spec.dtype).itemsize)
