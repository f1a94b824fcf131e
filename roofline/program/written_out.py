"""What eager modules write out: kernels that run as several operations leave in memory what lies between these.

A norm of root mean squares, an activation function behind which a gate multiplies, GELU by tanh, the routing of a
mixture of experts; cross-entropy, where it is no kernel of its own. What a backward pass reads of it is saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from roofline.program.op import Op, Tensor
from roofline.program.program import Group, Program

NORMED = "_normed"
"""How the name ends of what the gain of a norm multiplies, which its gradient alone needs."""

LOSS_WRITTEN_OUT = "cross_entropy_written_out"
"""The function of a loss that keeps the logarithms of all probabilities, in fp32."""


def written_out(program: Program) -> Program:
    """``program`` as the modules of transformers train it, each operation of torch by itself, but for the loss.

    >>> from roofline.models.model import load_model
    >>> from roofline.program.saved import saved_tensors
    >>> kept = saved_tensors(written_out(load_model("llama-3.1-8b").program()))
    >>> [each.tensor.name for each in kept if each.op.name in ("ffn_norm", "act")]
    ['x', 'h', 'ffn_norm_normed', 'ffn_norm_rstd', 'm', 'act_gate']

    Source: the modules of transformers 5, whose saved tensors ``tests/torch/test_saved.py`` counts.
    """
    return _each(program, _besides)


def loss_written_out(program: Program, *, narrow: bool = False) -> Program:
    """``program`` with a loss that keeps the logarithms of all probabilities, as torch's cross-entropy.

    ``narrow``: scores are computed in 16 bits, and turned into fp32 for it.
    """

    def written(op: Op) -> Op:
        """What picks a token, in whose place the loss stands; nothing keeps the scores in fp32 that it works on."""
        if op.function != "sampling":
            return op
        names = ("log_probabilities", *(("scores",) if narrow else ()))
        return replace(op, writes=(*op.writes, *(Tensor(f"loss_{x}", op.reads[0].axes, dtype="fp32") for x in names)))

    return _each(program, written)


def _each(program: Program, change: Callable[[Op], Op]) -> Program:
    """The program with every operator changed."""
    return replace(program, groups=tuple(_changed(group, change) for group in program.groups))


def _changed(group: Group, change: Callable[[Op], Op]) -> Group:
    return replace(group, ops=tuple(map(change, group.ops)))


def _besides(op: Op) -> Op:
    """An operator that also writes what its parts leave."""
    parts = tuple(replace(part, writes=(*part.writes, *_left_by(part))) for part in op.parts)
    between = [tensor for part in op.parts or (op,) for tensor in _left_by(part)]
    return replace(op, parts=parts, writes=(*op.writes, *between))


def _left_by(op: Op) -> tuple[Tensor, ...]:
    left = _LEFT.get(op.function) or _LEFT.get(op.name)
    return left(op) if left else ()


def _norm(op: Op) -> tuple[Tensor, ...]:
    """What the gain multiplies; of 16-bit rows that, and the row in fp32 in place of itself: as many bytes."""
    return (Tensor(op.name + NORMED, op.reads[0].axes, dtype="fp32"),)


def _gated(op: Op) -> tuple[Tensor, ...]:
    """What the function gives, where a gate multiplies it afterwards."""
    return (Tensor(f"{op.name}_gate", op.reads[0].axes),) if len(op.reads) > 1 else ()


def _gelu(op: Op) -> tuple[Tensor, ...]:
    """0.5 x (1 + tanh(...)): the tanh, one more than it, half of x."""
    axes = op.reads[0].axes
    return (*(Tensor(f"{op.name}_{name}", axes) for name in ("tanh", "sum", "half")), *_gated(op))


def _routing(op: Op) -> tuple[Tensor, ...]:
    """Probabilities of all experts, the sum of the best and these divided by it, twice, in fp32; their tokens' rows."""
    scores, (routes, *_) = op.reads[0], op.writes
    rows = " ".join(letter for letter in scores.letters if letter != "E")
    in_fp32 = {"probabilities": scores.axes, "sum": rows, "best": routes.axes, "sorted": routes.axes}
    kept = (Tensor(f"{op.name}_{name}", axes, dtype="fp32") for name, axes in in_fp32.items())
    return (*kept, Tensor(f"{op.name}_tokens", f"{rows} A D"))


_LEFT: dict[str, Callable[[Op], tuple[Tensor, ...]]] = {
    "rms": _norm, "gelu_new": _gelu, "routing": _routing,
    **dict.fromkeys(("silu", "gelu", "relu", "tanh", "sigmoid"), _gated),
}  # fmt: skip
