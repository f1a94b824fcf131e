"""What a call of torch computes: sizes of contractions and attention, elementwise work, and what it overwrites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch

from roofline.models.traced.calls import GROUPED, Attended, Contraction, Kind
from roofline.models.traced.extents import ONE, Reader
from roofline.tracing import aten


def expression(size: Any) -> Any:
    """A size as torch's expression of letters, or the number that it is."""
    return size.node.expr if isinstance(size, torch.SymInt) else int(size)


def count(tensor: Any) -> Any:
    """Elements of a tensor, as torch's expression."""
    total: Any = 1
    for size in tensor.shape:
        total = total * expression(size)
    return total


def contraction(name: str, kind: Kind, args: Sequence[Any], outputs: Sequence[Any], reader: Reader) -> Any:
    """The sizes of a contraction; None for what is none."""
    if kind == "convolution":
        return (
            _convolution_backward(args, reader)
            if name == CONVOLUTION_BACKWARD
            else _convolution(args, outputs[0], reader)
        )
    if kind != "matmul":
        return None
    a, b = operands(name, args)
    batch, rows, depth, columns = _matrices(name, a, b)
    return Contraction(
        *(reader.read(prod([expression(size) for size in sizes])) for sizes in (batch, rows, depth, columns))
    )


def _matrices(name: str, a: Any, b: Any) -> tuple[Sequence[Any], ...]:
    """The axes of a matmul: of the batch, of rows, depth and columns."""
    if name == "linear":
        return (), a.shape[:-1], a.shape[-1:], b.shape[:1]
    if name == GROUPED:
        return (), a.shape[-2:-1] if a.dim() == 2 else a.shape[:-1], a.shape[-1:], b.shape[-1:]
    if name not in ("bmm", "baddbmm"):
        return (), a.shape[:-1], a.shape[-1:], b.shape[1:]
    if b.stride(0) == 0:  # one matrix for all, whatever the code calls it
        return (), a.shape[:2], a.shape[2:], b.shape[2:]
    return a.shape[:1], a.shape[1:2], a.shape[2:], b.shape[2:]


def operands(name: str, args: Sequence[Any]) -> tuple[Any, Any]:
    """The two tensors that a matmul contracts."""
    return (args[1], args[2]) if name in ("addmm", "baddbmm", "addmv") else (args[0], args[1])


def _convolution(args: Sequence[Any], output: Any, reader: Reader) -> Contraction:
    """A convolution as the matmul that it is of patches: 2 x places x channels out x taps x channels in of a group."""
    given, weight, transposed = args[0], args[1], bool(args[6]) if len(args) > 6 else False
    places = (given if transposed else output).shape
    sizes = [expression(size) for size in (places[0], *places[2:])]
    depth = [expression(size) for size in weight.shape[1:]]
    return Contraction(
        ONE, reader.read(prod(sizes)), reader.read(prod(depth)), reader.read(expression(weight.shape[0]))
    )


CONVOLUTION_BACKWARD = "convolution_backward"


def _convolution_backward(args: Sequence[Any], reader: Reader) -> Contraction:
    """The gradients of a convolution's input and weight, of those that are asked for: each takes what it took."""
    given, read, weight, asked = args[0], args[1], args[2], args[10]
    forward = _convolution((read, weight, None, None, None, None, args[7]), given, reader)
    return replace(forward, batch=reader.read(sum(map(bool, asked[:2]))))


def attended(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], reader: Reader) -> Attended:
    """The sizes of one of torch's fused attentions for a device."""
    names = [each.name for each in function._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    causal = bool(given.get("is_causal", False))
    return attended_sizes(given["query"], given["key"], given["value"], causal=causal, reader=reader)


def attended_sizes(query: Any, key: Any, value: Any, *, causal: bool, reader: Reader) -> Attended:
    """The sizes of an attention of ``q[... heads T H]``, ``k[... heads S H]``, ``v[... heads S U]``."""
    q, k, v = ([expression(size) for size in tensor.shape] for tensor in (query, key, value))
    heads, kv_heads = (q[-3], k[-3]) if len(q) > 3 else (1, 1)
    batch = q[:-3] if len(q) > 3 else q[:-2]
    grouped = isinstance(heads, int) and isinstance(kv_heads, int) and heads % kv_heads == 0
    sizes = (
        prod(batch),
        q[-2],
        k[-2],
        kv_heads if grouped else heads,
        heads // kv_heads if grouped else 1,
        q[-1],
        v[-1],
    )
    read = [reader.read(size) for size in sizes]
    return Attended(read[0], read[1], read[2], read[3], read[4], read[5], read[6], causal and q[-2] == k[-2])


def element_work(
    kind: Kind, name: str, args: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any]
) -> tuple[Any, Any]:
    """Vector FLOPs and transcendental operations of a call, as torch's expressions."""
    base = aten.base_name(name)
    if kind in ("matmul", "convolution", "attention", "gather", "unknown", "fill", "view", "empty") or not outputs:
        return 0, 0
    if kind == "reduction" or base == "embedding_dense_backward":
        each = 3 if base.startswith(("var", "std")) else 1
        return (each * count(inputs[0]) if inputs else 0), 0
    if kind == "pool":
        return _pooled(base, args, inputs, outputs), 0
    if kind == "resample":
        return aten.RESAMPLE_FLOPS * count(outputs[0]), 0
    flops, special = {
        "softmax": aten.SOFTMAX_FLOPS,
        "norm": (aten.NORM_FLOPS.get(base, 4), 0),
        "scan": (1, 0),
    }.get(kind, aten.FUNCTIONS.get(base, (1, 0)))
    if kind == "scatter":
        return count(inputs[-1]) if len(inputs) > 1 else 0, 0
    if kind == "pointwise" and base == "pow" and len(args) > 1 and not isinstance(args[1], int | float):
        special = 1
    return flops * count(outputs[0]), special * count(outputs[0])


def _pooled(name: str, args: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """One operation per tap of each window; of an adaptive one, one per input."""
    if "adaptive" in name:
        return count(inputs[0])
    return prod(args[1]) * count(outputs[0])


def written_names(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The tensors that a call overwrites: those that its schema marks so."""
    found = []
    for place, each in enumerate(function._schema.arguments):
        if each.alias_info is not None and each.alias_info.is_write:
            given = args[place] if place < len(args) else kwargs.get(each.name)
            found += [given] if isinstance(given, torch.Tensor) else list(given or [])
    return found
