"""Dropout, as a transform of a program: after the softmax of attention, and before each residual addition."""

from __future__ import annotations

from dataclasses import replace

from roofline.program.op import Op, PerElement, Tensor, elementwise, fuse
from roofline.program.program import Program


def with_dropout(program: Program) -> Program:
    """``program`` as it is trained with dropout in its layers: what each branch adds, and attention's probabilities.

    A mask of one byte for each element is written, which the backward pass reads. Before a residual addition dropout is
    a part of its kernel; the probabilities that drop out are a tensor of their own. Fused attention makes its mask
    again from the seed of its random numbers and writes none.

    >>> from roofline.models.model import load_model
    >>> layers = [group for group in with_dropout(load_model("gpt2").program()).groups if group.name == "layers"]
    >>> print(next(op for op in layers[0].ops if op.name == "ffn_norm"))
    ... # doctest: +ELLIPSIS
    ffn_norm: a[B T D], x[B T D], ... -> ffn_norm.residual_mask[B T D], x[B T D], h[B T D]

    Source: Vaswani et al. 2017 (arXiv 1706.03762), section 5.4; masks of one byte: Korthikanti et al. 2022
    (arXiv 2205.05198), section 4.1.
    """
    return replace(
        program,
        groups=tuple(replace(group, ops=_dropped(group.ops)) if group.stacked else group for group in program.groups),
    )


def _dropped(ops: tuple[Op, ...]) -> tuple[Op, ...]:
    found: list[Op] = []
    renamed: dict[str, Tensor] = {}
    for op in ops:
        step = replace(op, reads=tuple(renamed.pop(tensor.name, tensor) for tensor in op.reads))
        found.append(_before_residuals(step) if op.parts and op.kind == "norm" else step)
        if op.kind == "softmax" and {"T", "S"} <= set(op.writes[0].letters):
            (p,) = op.writes
            renamed[p.name] = Tensor(f"{p.name}_dropped", p.axes)
            found.append(_dropout(p, renamed[p.name], op.name).rebound(**op.local))
    return tuple(found)


def _before_residuals(op: Op) -> Op:
    """A kernel that adds branches to a stream, with dropout of each branch."""
    parts: list[Op] = []
    for part in op.parts:
        branch = part.reads[0]
        if part.function != "add":
            parts.append(part)
            continue
        dropped = Tensor(f"{branch.name}_dropped", branch.axes)
        parts += [_dropout(branch, dropped, part.name), replace(part, reads=(dropped, *part.reads[1:]))]
    written = [tensor.name for tensor in op.writes]
    masks = [part.writes[1].name for part in parts if part.function == "dropout"]
    whole = fuse(op.name, [replace(part, local={}) for part in parts], kind=op.kind, keep=[*written, *masks])
    return replace(whole, local=op.local)


def _dropout(x: Tensor, y: Tensor, name: str) -> Op:
    """A random number for each element, compared and multiplied with."""
    op = elementwise(f"{name}_dropout", [x], y, PerElement(2), function="dropout")
    return replace(op, writes=(y, Tensor(f"{name}_mask", x.axes, dtype="int8")))
