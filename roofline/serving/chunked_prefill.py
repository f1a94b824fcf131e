"""Chunked prefill: one step over decoding sequences and pieces of prompts beside them, as engines batch them.

An operator that looks at no other token of its sequence runs once over all tokens of the step, so that weights are
read once; one that looks at the context or keeps a state of it (attention, scans) runs for each stream, and sums over
its sequences. A piece that goes on with a prompt reads the state that the piece before it left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.cost.chunks import states_begun
from roofline.cost.cost import Cost, launched, operator_cost
from roofline.engines.engine import Engine
from roofline.number import Number, grid, is_remembering, mean, where
from roofline.parallelism.layout import Gathered
from roofline.program.axes import Sizes, rebind
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.workload import Precision

_COUNTS = ("flops", "vector_flops", "special", "bytes")


@frozen(eq=False)
class Stream:
    """Sequences of one phase in a step: how many, and of what lengths.

    ``sequences`` may be an array over steps. ``weights`` (which sum to 1), ``new`` and ``context`` have the points of
    the lengths on their last axis, and steps before it where they differ by step. ``scored``: tokens of a sequence that
    the head runs on [tokens]. ``share``: the part of the data-parallel ranks that hold such a stream at once, whose
    tokens the experts that they share see; the rank that holds it sets the time of all else.
    """

    phase: Phase
    sequences: Number
    weights: Number
    new: Number
    context: Number
    scored: int = 1
    share: Number = 1.0

    @property
    def tokens(self) -> Number:
        """New tokens of the stream in a step.

        Of sequences that all have as many it is exact: rounding of the weights pads no batch to a larger graph.
        """
        if isinstance(self.new, np.ndarray) and (self.new == self.new.flat[0]).all():
            return self.sequences * float(self.new.flat[0])
        return self.sequences * self.mean(self.new)

    def mean(self, value: Number) -> Number:
        """The mean of a value over the points."""
        if is_remembering(value):
            return mean(value)
        averaged: Number = np.sum(np.asarray(np.asarray(self.weights) * value), axis=-1)
        return averaged


def mixed_step_costs(
    program: Program, streams: Sequence[Stream], precision: Precision, engine: Engine | None = None
) -> tuple[Cost, ...]:
    """The cost of each operator of a step that holds these streams; arrays over steps where streams are.

    With an ``engine``, they say how it launches the step, and what its kernels compute of a padded batch.

    >>> from roofline.models.model import load_model
    >>> decode = Stream(Phase.DECODE, 8.0, [1.0], [1.0], [100.0])
    >>> chunk = Stream(Phase.PREFILL, 1.0, [1.0], [120.0], [120.0])
    >>> costs = mixed_step_costs(load_model("gpt2").program(), [decode, chunk], Precision("fp16", "fp16", "fp16"))
    >>> [(cost.name, float(cost.shape.rows)) for cost in costs if cost.name == "up"]  # 8 + 120 tokens
    [('up', 128.0)]
    >>> [(cost.name, cost.decoding) for cost in costs if cost.kind == "attention"]
    [('attention', True), ('attention', False)]
    """
    sizes = {letter: float(size) for letter, size in program.sizes.items()}
    if engine is None:
        return tuple(_step_costs(program, streams, precision, sizes))
    decoding = all(stream.phase.one_token for stream in streams)
    phase = Phase.DECODE if decoding else Phase.PREFILL
    tokens: Number = sum(stream.tokens for stream in streams)
    requests: Number = sum(stream.sequences for stream in streams)
    padding, halves = engine if decoding else None, engine.halves(phase, tokens)
    costs = _step_costs(program, streams, precision, sizes, padding)
    if not isinstance(halves, int) or halves > 1:
        costs = _cut(program, streams, precision, sizes, padding, halves)
    return launched(costs, engine, phase, tokens, requests)


def _cut(
    program: Program, streams: Sequence[Stream], precision: Precision, sizes: dict[str, float], padding: Engine | None,
    halves: Number,
) -> Iterator[Cost]:  # fmt: skip
    """The costs of a step, with those of layers that dispatch tokens once for each half of it."""
    half = [replace(stream, sequences=stream.sequences / halves) for stream in streams]
    yield from _step_costs(program, streams, precision, sizes, padding, dispatching=False)
    for cost in _step_costs(program, half, precision, sizes, padding, dispatching=True):
        yield cost.in_halves(halves)


def _step_costs(
    program: Program,
    streams: Sequence[Stream],
    precision: Precision,
    sizes: dict[str, float],
    padding: Engine | None = None,
    *,
    dispatching: bool | None = None,
) -> Iterator[Cost]:
    """Those of all layers, or of those alone that dispatch tokens, or do not."""
    done: list[tuple[str, Op]] = []
    for stream in streams:
        for group, op in program.in_phase(stream.phase):
            if dispatching is not None and group.dispatches is not dispatching:
                continue
            if op.sees_context:
                yield over_lengths(group, op, stream, precision, sizes)
            elif (group.name, op) not in done:
                done.append((group.name, op))
                sharing = [other for other in streams if _runs(program, group.name, op, other.phase)]
                yield over_tokens(group, op, sharing, precision, sizes, padding)


def _runs(program: Program, group: str, op: Op, phase: Phase) -> bool:
    return any(other.name == group and op == its for other, its in program.in_phase(phase))


def over_tokens(
    group: Group,
    op: Op,
    streams: Sequence[Stream],
    precision: Precision,
    sizes: dict[str, float],
    padding: Engine | None,
) -> Cost:
    """One pass over the tokens of all streams, or over their sequences where only a last token counts."""
    last = op.local.get("T") == 1
    rows = sum(
        (stream.sequences * stream.scored if last else stream.tokens) * (stream.share if sees_all_ranks(op) else 1.0)
        for stream in streams
    )
    decoding = all(stream.phase.one_token for stream in streams)
    requests: Number = sum(stream.sequences for stream in streams)

    def over(batch: Number) -> Cost:
        bound = group.sizes(
            {**sizes, "B": np.asarray(batch, dtype=np.float64), "T": 1.0, "S": 1.0, "requests": requests}
        )
        cost = operator_cost(op, bound, precision, group.name, group.times(sizes), decoding=decoding)
        return replace(cost, bytes=np.asarray(cost.bytes, dtype=np.float64)) if cost.transfer else cost

    if padding is None:
        return over(rows)
    return replace(over(rows), padded=over(padding.padded(Phase.DECODE, np.asarray(rows, dtype=np.float64))))


def sees_all_ranks(op: Op) -> bool:
    """Whether it works on the tokens of all data-parallel ranks, as experts do that they share."""
    return op.transfer is None and isinstance(op.local.get("B"), Gathered)


def over_lengths(group: Group, op: Op, stream: Stream, precision: Precision, sizes: dict[str, float]) -> Cost:
    """The sum over the sequences of a stream. A count is c + B d: c for weights, read once, d for each sequence.

    Lengths are arrays over the points, or numbers that remember and stand for those of each sequence.
    """
    points = {"T": grid(stream.new), "S": grid(stream.context)}
    one, two = (operator_cost(op, group.sizes({**sizes, "B": grid(float(b)), **points}), precision) for b in (1, 2))
    sums: dict[str, Number] = {}
    for name in _COUNTS:
        first, second = (grid(getattr(cost, name)) for cost in (one, two))
        sums[name] = stream.mean(2 * first - second) + stream.sequences * stream.mean(second - first)
    sums["bytes"] = sums["bytes"] + stream.sequences * _carried_over(group, op, stream, precision, sizes)
    mean: Sizes = {
        **sizes,
        "B": grid(stream.sequences),
        "T": grid(stream.mean(stream.new)),
        "S": grid(stream.mean(stream.context)),
    }
    decoding = stream.phase.one_token
    whole = operator_cost(op, group.sizes(mean), precision, group.name, group.times(sizes), decoding=decoding)
    return replace(
        whole,
        flops=sums["flops"],
        vector_flops=sums["vector_flops"],
        special=sums["special"],
        bytes=sums["bytes"],
    )


def _carried_over(group: Group, op: Op, stream: Stream, precision: Precision, sizes: dict[str, float]) -> Any:
    """Bytes of states that a sequence goes on from, where it is not at its beginning; means over the points.

    Where a point stands for all pieces of a prompt, by their mean length, its first piece counts as the others do.
    """
    bound = rebind(group.sizes({**sizes, "B": 1.0}), op.local)
    held = sum(tensor.elements(bound) * precision.width(tensor) for tensor in states_begun(op))
    return float(held) * stream.mean(where(grid(stream.context) > grid(stream.new), 1.0, 0.0))
