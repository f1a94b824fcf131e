"""Gradients: the operators that push one back through an operator, derived from its statement."""

from __future__ import annotations

from dataclasses import replace

from roofline.program.op import Op, PerElement, Tensor, Work, elementwise


def gradient(tensor: Tensor) -> Tensor:
    """The gradient of a tensor: same axes, an activation, a name of its own."""
    return Tensor(tensor.name + "'", tensor.axes, gradient_of=tensor.name)


def backward(op: Op) -> tuple[Op, ...]:
    """The operators that push a gradient through ``op``.

    A contraction ``a, b -> y`` gives ``y', b -> a'`` and ``a, y' -> b'``, each over the same axes; a bias sums ``y'``;
    elementwise work is done once more over the same elements, reading ``y'`` besides the inputs; a gather scatters
    ``y'`` back to its rows.
    A fused operator is taken apart, last part first. An index has no gradient.
    """
    if op.parts:
        return tuple(step for part in reversed(op.parts) for step in backward(part))
    (y,) = op.writes
    if op.kind == "matmul":
        a, b, *biases = op.reads
        steps = [
            Op(f"{op.name}.{a.name}'", "matmul", (gradient(y), b), (gradient(a),), op.work),
            Op(f"{op.name}.{b.name}'", "matmul", (a, gradient(y)), (gradient(b),), op.work),
        ]
        steps += [
            elementwise(f"{op.name}.{bias.name}'", [gradient(y)], gradient(bias), PerElement(1, over=y))
            for bias in biases
        ]
    else:
        inputs = [tensor for tensor in op.reads if tensor.role != "index"]
        indices = [tensor for tensor in op.reads if tensor.role == "index"]
        reads = (gradient(y), *indices) if op.kind == "embedding" else (gradient(y), *inputs)
        work = op.work or (Work("vector", 1, y.letters),)
        steps = [Op(f"{op.name}.backward", op.kind, reads, tuple(map(gradient, inputs)), work, mixes=op.mixes)]
    return tuple(replace(step, local=op.local) for step in steps)
