"""What a program costs under sizes and a precision, operator by operator: counts, no hardware."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from roofline.cost.eager_kernels import kernels_of
from roofline.cost.kernel_shapes import Shape, shape_of
from roofline.number import Number, uniform
from roofline.program.axes import Sizes
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.transfers import Transfer, bus_bytes
from roofline.program.workload import Precision


@dataclass(frozen=True, slots=True)
class Cost:
    """One execution of an operator, and how many there are in a step.

    flops: contractions. vector_flops: elementwise work. special: transcendental operations. bytes: compulsory traffic.
    dtype: what its contractions run in. shape: what its kernel spreads over a device. kernels: the costs of what eager
    torch runs instead, counted when asked for. decoding: whether it belongs to a decode step. alone: whether it is run
    by itself, so that a last-level cache may still hold all of it from the run before. A collective has a
    transfer, the bytes of its message, and those that each device sends over its link.
    """

    group: str
    name: str
    kind: str
    dtype: str
    count: Number
    flops: Number
    vector_flops: Number
    special: Number
    bytes: Number
    shape: Shape = None
    decoding: bool = False
    alone: bool = False
    kernels: Callable[[], tuple[Cost, ...]] | None = field(default=None, compare=False, repr=False)
    transfer: Transfer | None = None
    message_bytes: Number = 0
    link_bytes: Number = 0


def step_cost(program: Program, phase: Phase, sizes: Sizes, precision: Precision) -> tuple[Cost, ...]:
    """The cost of each operator in one step of ``phase``; ``sizes`` holds B, T and S, the program the rest.

    Costs are exact where sizes are ints or Fractions, arrays where they are arrays, formulas where they are symbols.
    """
    bind = uniform(like=sizes.values())
    bound: dict[str, Number] = {letter: bind(size) for letter, size in program.sizes.items()}
    bound |= {letter: size if isinstance(size, np.ndarray) else bind(size) for letter, size in sizes.items()}
    return tuple(
        operator_cost(op, group.sizes(bound), precision, group.name, group.times(bound), decoding=phase.one_token)
        for group, op in program.in_phase(phase)
    )


def operator_cost(
    op: Op, sizes: Sizes, precision: Precision, group: str = "", count: Number = 1, *, decoding: bool = False
) -> Cost:
    """The cost of one execution of ``op``."""
    bind = uniform(like=sizes.values())

    def width(tensor: Tensor) -> Number:
        return bind(precision.width(tensor))

    def kernels() -> tuple[Cost, ...]:
        return tuple(
            operator_cost(kernel, sizes, precision, group, count, decoding=decoding) for kernel in kernels_of(op)
        )

    message = op.message_bytes(sizes, width) if op.transfer else 0
    return Cost(
        group=group,
        name=op.name,
        kind=op.kind,
        dtype=precision.compute_dtype(op),
        count=count,
        flops=op.flops(sizes),
        vector_flops=op.vector_flops(sizes),
        special=op.special(sizes),
        bytes=op.bytes(sizes, width),
        shape=shape_of(op, sizes, width),
        decoding=decoding,
        kernels=kernels,
        transfer=op.transfer,
        message_bytes=message,
        link_bytes=bus_bytes(op.transfer.operation, message, op.transfer.devices) if op.transfer else 0,
    )
