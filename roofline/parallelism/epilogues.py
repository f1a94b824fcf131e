"""What the kernel of an all-reduce computes too: the norm behind it, and what narrows that norm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from roofline.program.op import Op


def with_epilogues(ops: Sequence[Op]) -> tuple[Op, ...]:
    """The operators of a group with those found that run in the kernel of an all-reduce, of all that ask for it.

    A norm stands right behind the all-reduce; what narrows it may come a repeat later. Others have their own kernels.
    """
    norms = {
        written.name
        for before, op in pairwise(ops)
        if op.joins and op.kind == "norm" and before.transfer and before.transfer.operation == "all_reduce"
        for written in op.writes
    }
    return tuple(replace(op, joins="found" if _is_in(op, norms) else "") if op.joins else op for op in ops)


def _is_in(op: Op, norms: set[str]) -> bool:
    return any(tensor.name in norms for tensor in (op.writes if op.kind == "norm" else op.reads))
