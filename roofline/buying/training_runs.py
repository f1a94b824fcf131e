"""What training costs: forward and backward FLOPs per token from the operators' statements, 6 N D beside them, time.

The backward pass is derived: ``a, b -> y`` gives ``y', b -> a'`` and ``a, y' -> b'``, each of as many FLOPs as the
forward contraction, so that a network of matmuls takes three times its forward pass.
"""

from __future__ import annotations

from dataclasses import replace

from roofline.classes import frozen
from roofline.cost.cost import Cost, operator_cost
from roofline.errors import UsageError, WorkloadError
from roofline.models.model import Model
from roofline.number import exact
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.training import training_program
from roofline.program.workload import Precision
from roofline.timing.machine import Machine


@frozen
class TrainingRun:
    """A run over ``tokens`` tokens. FLOPs are those of the model, nothing recomputed; times are device-seconds. [s]

    ``six_nd`` is 6 x parameters x tokens, 4 x where the weights are frozen. Communication and the optimiser are not in
    it: no run is faster.
    """

    tokens: float
    flops: float
    six_nd: float
    time_s: float
    bound_s: float
    low_s: float
    high_s: float
    mfu: float
    frozen: bool = False

    @property
    def device_hours(self) -> float:
        """Hours of one device, or of so many devices together."""
        return self.time_s / 3600


def state_bytes(model: Model, *, frozen: bool = False) -> float:
    """Weights, gradients and Adam's states of all devices together, without activations. [B]

    16 a parameter: in mixed precision 2 for the weight, 2 for its gradient, 4 for a copy in fp32 and 4 for each of two
    moments (ZeRO, Rajbhandari et al. 2020, arXiv 1910.02054, section 3.1); in fp32 as many. Frozen weights are 2.

    >>> from roofline.models.model import load_model
    >>> state_bytes(load_model("gpt2")) / 124_439_808
    16.0
    """
    return float(model.parameters * (2 if frozen else 16))


def training_run(
    model: Model,
    machine: Machine,
    *,
    tokens: float,
    dtype: str,
    sequence: int = 4096,
    batch: int = 1,
    frozen: bool = False,
    mfu: float | None = None,
) -> TrainingRun:
    """What training, or fine-tuning with ``frozen`` weights (LoRA, its own small matrices not counted), takes.

    ``sequence`` tokens and ``batch`` sequences go through a device at once. ``mfu`` puts a utilisation that was
    measured in place of the expected time, which has no communication, no optimiser step and no recomputation.
    Raises UsageError for numbers out of range, WorkloadError for a sequence that the model does not take.
    """
    _check(model, tokens, sequence, batch, mfu)
    precision = Precision(dtype, dtype, dtype)
    program = model.program(Conventions(lm_head="all"))
    counted, timed = _costs(program, sequence, batch, precision, frozen=frozen)
    steps = tokens / (sequence * batch)
    flops = float(sum(cost.count * cost.flops for cost in counted))
    peak_s = sum(float(cost.count * machine.peak_s(cost)) for cost in counted)
    timing = machine.step(timed).as_float()
    time, bound, low, high = map(float, (timing.time_s, timing.bound_s, timing.low_s, timing.high_s))
    if mfu is not None:
        time = low = high = peak_s / mfu
        bound = min(bound, time)
    factor = 4 if frozen else 6
    return TrainingRun(
        tokens, flops * steps, factor * model.parameters * tokens, time * steps, bound * steps, low * steps,
        high * steps, peak_s / time, frozen,
    )  # fmt: skip


def _costs(
    program: Program, sequence: int, batch: int, precision: Precision, *, frozen: bool
) -> tuple[tuple[Cost, ...], tuple[Cost, ...]]:
    """The costs of one step as counted, and as timed: a fused attention computes its scores again on the way back."""
    step = training_program(program, (lambda _: False) if frozen else (lambda _: True))
    sizes = {letter: exact(size) for letter, size in step.sizes.items()}
    sizes |= {"B": exact(batch), "T": exact(sequence), "S": exact(sequence)}
    counted, timed = [], []
    for phase in step.phases:
        for group, op in step.in_phase(phase):
            local, times = group.sizes(sizes), group.times(sizes)
            cost = replace(operator_cost(op, local, precision, group.name, times), shape=None)
            timed.append(cost)
            again = [part for part in op.parts if phase is Phase.BACKWARD and not part.writes[0].gradient_of]
            flops = sum(replace(part, local=op.local).flops(local) for part in again)
            counted.append(replace(cost, flops=cost.flops - flops))
    return tuple(counted), tuple(timed)


def _check(model: Model, tokens: float, sequence: int, batch: int, mfu: float | None) -> None:
    if not 1 <= tokens <= 1e18:
        msg = f"tokens {tokens:g}: expected 1 to 1e18 tokens of training"
        raise UsageError(msg)
    if sequence < 1 or batch < 1:
        msg = f"sequence {sequence}, batch {batch}: expected whole numbers from 1"
        raise UsageError(msg)
    if mfu is not None and not 0 < mfu <= 1:
        msg = f"mfu {mfu:g}: expected a utilisation above 0 to 1 such as 0.4"
        raise UsageError(msg)
    if model.lengths.decoder_start is not None:
        msg = f"{model.name} is an encoder-decoder, whose training is not modelled: it takes two lengths"
        raise WorkloadError(msg)
    if sequence > model.lengths.positions:
        msg = f"sequence {sequence} exceeds the model's {model.lengths.field} {model.lengths.positions}"
        raise WorkloadError(msg)
