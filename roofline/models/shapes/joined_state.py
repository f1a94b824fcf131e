"""The program of a head of multi-token prediction: a layer behind the state of the model that it guesses for."""

from __future__ import annotations

from dataclasses import replace

from roofline.layers.head import joined_state
from roofline.models.shapes.decoder_config import DecoderConfig
from roofline.program.op import Op
from roofline.program.program import Program

_SHARED = ("embedding", "head")


def with_joined_state(program: Program, config: DecoderConfig) -> Program:
    """A program of one layer as such a head: with its projection in front, and without weights that it shares."""
    groups = []
    for group in program.groups:
        ops = tuple(_borrowed(op) for op in group.ops) if group.name in _SHARED else group.ops
        if group.name == "embedding":
            ops = ops[0], *joined_state(kind=config.norm), *ops[1:]
        groups.append(replace(group, ops=ops))
    return replace(program, groups=tuple(groups))


def _borrowed(op: Op) -> Op:
    """The same with weights of another network, which are read and lie there."""
    if op.name not in ("token_embedding", "lm_head"):
        return op
    return replace(op, reads=tuple(replace(each, role="input") if each.role == "weight" else each for each in op.reads))
