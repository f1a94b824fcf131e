"""What binds one step, and how long it takes, over a grid of batches and lengths, from one array evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.cost.chunks import going_on
from roofline.cost.cost import step_cost
from roofline.cost.memory_fit import largest_batch
from roofline.errors import UsageError, WorkloadError
from roofline.number import Grid
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase

PARTS = ("compute", "memory", "latency")
"""What the time of one device is made of."""


@frozen(eq=False)
class RegimeMap:
    """One step of a phase for every batch (row) and length (column).

    ``seconds`` are the parts of the expected time; ``largest`` is the largest batch that fits at each length, or None
    where the device's capacity is not known. [s]
    """

    prediction: Prediction
    phase: Phase
    batches: Grid
    lengths: Grid
    seconds: dict[str, Grid]
    largest: Grid | None

    @property
    def time_s(self) -> Grid:
        """The expected time of one step. [s]"""
        return np.asarray(sum(self.seconds.values()))

    @property
    def token_s(self) -> Grid:
        """Time per token and sequence: a decode step's time, or a prompt's over its tokens. [s]"""
        return self.time_s if self.phase.one_token else self.time_s / self.lengths[None, :]

    @property
    def bound_by(self) -> NDArray[np.int64]:
        """The place in ``PARTS`` of the largest part."""
        return np.asarray(np.argmax(np.stack([self.seconds[part] for part in PARTS]), axis=0), dtype=np.int64)

    @property
    def fits(self) -> NDArray[np.bool_] | None:
        """Where the step fits; None where the capacity is not known."""
        return None if self.largest is None else np.asarray(self.batches[:, None] <= self.largest[None, :])


def map_regimes(prediction: Prediction, phase: Phase, batches: Sequence[float], lengths: Sequence[float]) -> RegimeMap:
    """The map of ``phase`` for the model, the device and the precision of a prediction.

    Lengths are the attended tokens of a decode step, or the tokens of a prompt. Raises WorkloadError for a phase that
    the model has not or for a length beyond its positions, UsageError for a grid of fewer than two by two.
    """
    if prediction.count > 1:
        msg = f"a map of regimes is drawn for one device, given {prediction.count}; name one of them"
        raise UsageError(msg)
    program = prediction.program
    allowed = prediction.model.lengths
    positions = allowed.output if phase.one_token else allowed.positions
    if phase not in program.phases:
        msg = f"{prediction.model.name} has no {phase} phase; it has {', '.join(program.phases)}"
        raise WorkloadError(msg)
    if len(batches) < 2 or len(lengths) < 2 or min(*batches, *lengths) < 1:
        msg = f"a map needs two batches and two lengths at least, all from 1, given {len(batches)} and {len(lengths)}"
        raise UsageError(msg)
    if allowed.whole:
        msg = f"a map goes over lengths, and {prediction.model.name} reads whole images, {positions} tokens each"
        raise UsageError(msg)
    if max(lengths) > positions:
        field = allowed.decoder_field if phase.one_token else allowed.field
        msg = f"length {max(lengths):g} exceeds the model's {field} {positions}; shorten it"
        raise WorkloadError(msg)
    rows, columns = np.asarray(batches, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    across, up = np.meshgrid(columns, rows)
    seconds = step_seconds(prediction, phase, up.ravel(), across.ravel())
    whole = {part: value.reshape(up.shape) for part, value in seconds.items()}
    return RegimeMap(prediction, phase, rows, columns, whole, _largest(prediction, phase, columns))


def step_seconds(prediction: Prediction, phase: Phase, batches: Grid, lengths: Grid) -> dict[str, Grid]:
    """The parts of the expected time of one step for pairs of batch and length. [s]"""
    program, workload, passes = prediction.program, prediction.workload, np.ones_like(batches)
    sizes = dict(workload.step(phase, batches, lengths))
    if phase is Phase.PREFILL and workload.chunk is not None:
        pieces, passes = np.ceil(lengths / workload.chunk), np.ceil(batches * lengths / workload.chunk)
        new = lengths / pieces
        sizes |= {"B": batches * pieces / passes, "T": new, "S": (lengths + new) / 2}  # a mean piece for all
    costs = step_cost(program, phase, sizes, prediction.precision, prediction.engine)
    if phase is Phase.PREFILL:
        costs = going_on(program.in_phase(phase), program.sizes, costs, sizes, prediction.precision)
    timing = prediction.steps.machine.step(costs)
    return {part: np.broadcast_to(np.asarray(timing.seconds(part) * passes), np.shape(batches)) for part in PARTS}


def roof_boundary(prediction: Prediction, phase: Phase, lengths: Sequence[float]) -> Grid:
    """The batch from which compute takes longer than memory on the data sheet's roofs; NaN where it never does.

    FLOPs are proportional to the batch, B f, and bytes are w + B q, so that with the ridge point r the boundary is
    B = r w / (f - r q): the weights' part of the traffic has to be worked off.
    """
    columns = np.asarray(lengths, dtype=np.float64)
    program, device = prediction.program, prediction.hardware

    def roofs(batch: float) -> tuple[Grid, Grid]:
        sizes = prediction.workload.step(phase, np.full_like(columns, batch), columns)
        costs = step_cost(program, phase, sizes, prediction.precision)
        none = np.zeros_like(columns)
        compute = sum((c.count * (none + c.flops) / device.contraction_unit(c.dtype)[1] for c in costs), none)
        moved = sum((c.count * (none + c.bytes) for c in costs), none)
        return np.asarray(compute, dtype=np.float64), np.asarray(moved / device.bandwidth, dtype=np.float64)

    (compute, memory), (_, twice) = roofs(1.0), roofs(2.0)
    each = twice - memory
    weights = memory - each
    gain = compute - each
    return np.where(gain > 0, weights / np.where(gain > 0, gain, 1.0), np.nan)


def share_boundary(prediction: Prediction, phase: Phase, lengths: Sequence[float], most: float) -> Grid:
    """The batch from which compute's share of the expected time exceeds memory's, up to ``most``; NaN where none does.

    Found by bisection at each length, all at once.
    """
    columns = np.asarray(lengths, dtype=np.float64)

    def computes(batches: Grid) -> NDArray[np.bool_]:
        parts = step_seconds(prediction, phase, batches, columns)
        return np.asarray(parts["compute"] >= parts["memory"])

    low, high = np.ones_like(columns), np.full_like(columns, most)
    never, always = ~computes(high), computes(low)
    for _ in range(40):
        middle = np.sqrt(low * high)
        over = computes(middle)
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return np.where(always, 1.0, np.where(never, np.nan, high))


def _largest(prediction: Prediction, phase: Phase, lengths: Grid) -> Grid | None:
    room = prediction.steps.machine.room_bytes
    if room is None:
        return None
    program = prediction.program
    found = []
    for length in lengths.astype(int).tolist():
        workload = replace(prediction.workload, batch=1, generate=1, context=None)
        workload = replace(workload, context=length) if phase.one_token else replace(workload, prompt=length)
        found.append(largest_batch(program, workload, (phase,), prediction.precision, room))
    return np.asarray(found, dtype=np.float64)
