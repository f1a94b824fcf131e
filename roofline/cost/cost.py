"""What a program costs under sizes and a precision, operator by operator: counts, no hardware."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from roofline.cost.eager_kernels import kernels_of
from roofline.cost.kernel_shapes import Shape, shape_of
from roofline.engines.engine import Engine
from roofline.number import Number, is_remembering, uniform
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
    transfer, the bytes of its message, and those that each device sends over its link. replayed: 1 where an engine
    replays it from a graph, 0 where the host launches it, None where that is the machine's to say; padded: what its
    kernel computes where that graph holds more tokens than the step, None where it is the same.
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
    replayed: Number | None = None
    padded: Cost | None = None


def step_cost(
    program: Program, phase: Phase, sizes: Sizes, precision: Precision, engine: Engine | None = None
) -> tuple[Cost, ...]:
    """The cost of each operator in one step of ``phase``; ``sizes`` holds B, T and S, the program the rest.

    Costs are exact where sizes are ints or Fractions, arrays where they are arrays, formulas where they are symbols.
    With an ``engine``, they say how it launches the step, and what its kernels compute of a padded batch.
    """
    bind = uniform(like=sizes.values())
    bound: dict[str, Number] = {letter: bind(size) for letter, size in program.sizes.items()}
    bound |= {letter: size if isinstance(size, np.ndarray) else bind(size) for letter, size in sizes.items()}
    whole = bound if engine is None else _captured(engine, phase, bound)
    found = []
    for group, op in program.in_phase(phase):
        named = (precision, group.name, group.times(bound))
        cost = operator_cost(op, group.sizes(bound), *named, decoding=phase.one_token)
        if whole is not bound and not op.sees_context:
            more = operator_cost(op, group.sizes(whole), *named, decoding=phase.one_token)
            cost = replace(cost, padded=more)
        found.append(cost)
    return tuple(found) if engine is None else launched(found, engine, phase, _tokens(phase, bound))


def launched(costs: Iterable[Cost], engine: Engine, phase: Phase, tokens: Number) -> tuple[Cost, ...]:
    """The costs of a step of so many tokens, with how ``engine`` launches it."""
    replayed = engine.replays(phase, tokens)
    return tuple(replace(cost, replayed=replayed) for cost in costs)


def _tokens(phase: Phase, sizes: Sizes) -> Number:
    return sizes["B"] if phase.one_token else sizes["B"] * sizes["T"]


def _captured(engine: Engine, phase: Phase, bound: Sizes) -> Sizes:
    """The sizes that a replayed decode step is padded to; ``bound`` itself where it is as captured.

    A prompt that is replayed in pieces is padded by less than a tile and counts as it is.
    """
    batch = engine.padded(phase, bound["B"]) if phase.one_token else bound["B"]
    same = batch is bound["B"] or (not is_remembering(batch) and bool(np.all(np.asarray(batch == bound["B"]))))
    return bound if same else {**bound, "B": batch}


def operator_cost(
    op: Op, sizes: Sizes, precision: Precision, group: str = "", count: Number = 1, *, decoding: bool = False
) -> Cost:
    """The cost of one execution of ``op``."""
    bind = uniform(like=sizes.values())

    def width(tensor: Tensor) -> Number:
        return bind(precision.width(tensor))

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
        kernels=Kernels(op, sizes, precision, group, count, decoding),
        transfer=op.transfer,
        message_bytes=message,
        link_bytes=bus_bytes(op.transfer.operation, message, op.transfer.devices) if op.transfer else 0,
    )


@dataclass(frozen=True, slots=True)
class Kernels:
    """What eager torch runs for an operator, counted when it is asked for."""

    op: Op
    sizes: Sizes
    precision: Precision
    group: str
    count: Number
    decoding: bool

    def __call__(self) -> tuple[Cost, ...]:
        """The cost of each kernel."""
        asked = (self.sizes, self.precision, self.group, self.count)
        return tuple(operator_cost(kernel, *asked, decoding=self.decoding) for kernel in kernels_of(self.op))
