"""Chunked prefill: a piece of a prompt goes on from what the pieces before it left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from roofline.cost.cost import Cost
from roofline.number import Number, added, uniform
from roofline.program.axes import Sizes, rebind
from roofline.program.op import STATES, Op, Tensor
from roofline.program.program import Group
from roofline.program.workload import Precision


def states_begun(op: Op) -> tuple[Tensor, ...]:
    """The states that an operator writes without having read them: those of a prompt, which begins with none."""
    read = {tensor.name for tensor in op.reads}
    return tuple(tensor for tensor in op.writes if tensor.role in STATES and tensor.name not in read)


def going_on(
    stated: Iterable[tuple[Group, Op]], fixed: Sizes, costs: Sequence[Cost], sizes: Sizes, precision: Precision
) -> tuple[Cost, ...]:
    """The costs of a prefill step whose pieces read the states that the pieces before them left.

    ``stated`` are its operators with their groups, ``fixed`` the sizes of their program.

    A piece attends to more tokens than it has new ones, but for the first. Keys and values are no such states:
    attention reads those of all S tokens.
    """
    goes_on = sizes["S"] > sizes["T"]
    if goes_on is False:
        return tuple(costs)
    bind, later = uniform(like=sizes.values()), goes_on * 1.0
    bound = {letter: bind(size) for letter, size in fixed.items()} | dict(sizes)

    def read(local: Sizes, op: Op) -> Number:
        own = rebind(local, op.local)
        return added(tensor.elements(own) * bind(precision.width(tensor)) for tensor in states_begun(op))

    operators = tuple(stated)
    pairs, more = zip(operators, costs[: len(operators)], strict=True), costs[len(operators) :]  # the host's time
    found = tuple(
        replace(cost, bytes=cost.bytes + read(group.sizes(bound), op) * later) if states_begun(op) else cost
        for (group, op), cost in pairs
    )
    return (*found, *more)
