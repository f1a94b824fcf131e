"""A training step predicted and measured: its passes, its operators, what it saves, the most memory that it holds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from roofline.classes import frozen
from roofline.cost.eager_kernels import kernels_of
from roofline.errors import UsageError
from roofline.number import exact
from roofline.prediction.figures import Figures, figures_of
from roofline.program.axes import Sizes, rebind, size_of
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.training.step import TrainingStep
from roofline.validation.attribution import Mark, mark_of
from roofline.validation.capture import TorchCall
from roofline.validation.comparison import LEAST_PART, OperatorComparison
from roofline.validation.scores import Pair
from roofline.validation.stopwatch import Samples

PASSES = ("forward", "backward", "update")

Timed: TypeAlias = Mapping[str, Sequence[tuple[TorchCall, float]]]
"""The kernels of each pass in order, each with its seconds."""


@frozen
class Measured:
    """What was measured of a step: samples of it [s], the medians of its passes [s], its kernels, bytes.

    ``saved_bytes``: activations that torch saves for backward. ``peak_bytes``: the most that its tensors take at once;
    None where nothing counts it.
    """

    step: Samples
    passes_s: Mapping[str, float]
    kernels: Timed
    saved_bytes: float
    peak_bytes: float | None
    flags: Sequence[str] = ()


@frozen
class Compared:
    """A number predicted beside it measured; None where it was not."""

    predicted: float
    measured: float | None

    @property
    def error(self) -> float | None:
        """predicted / measured - 1."""
        return self.predicted / self.measured - 1 if self.measured else None

    def to_dict(self) -> dict[str, float | None]:
        """As results carry it."""
        return {"predicted": self.predicted, "measured": self.measured, "error": self.error}


@frozen
class TrainingComparison:
    """One training step, whole, by pass and by operator, and its memory. Times in seconds, memory in bytes.

    ``others_s``: kernels that no predicted operator claims, by name. ``digest``: of the prediction, taken before.
    """

    step: TrainingStep
    digest: str
    predicted: Figures
    operators: tuple[OperatorComparison, ...]
    measured: Measured
    others_s: Mapping[str, float]
    not_run: Sequence[str]

    @property
    def name(self) -> str:
        """Model, batch and length."""
        q = self.step.question
        return f"{q.request.model.name} training {q.batch}x{q.sequence}, {q.recipe.name}, {q.optimizer.name}"

    @property
    def flags(self) -> Sequence[str]:
        """Why the measurement may not be trusted."""
        return self.measured.flags

    @property
    def whole_s(self) -> float:
        """The step as the clock had it."""
        return self.measured.step.raw_s

    @property
    def kernels_s(self) -> float:
        """All kernels of the step."""
        return sum(op.measured_s or 0.0 for op in self.operators) + sum(self.others_s.values())

    @property
    def error(self) -> float:
        """predicted / measured - 1."""
        return self.predicted.time_s / self.whole_s - 1

    def pairs(self) -> list[Pair]:
        """Predicted and measured of every operator that takes a part of the step worth counting."""
        least = LEAST_PART * self.whole_s
        return [
            Pair(op.predicted.time_s, op.measured_s, kind=op.kind)
            for op in self.operators
            if op.measured_s and max(op.measured_s, op.predicted.time_s) >= least
        ]

    @property
    def passes(self) -> dict[str, Compared]:
        """Each pass. [s]"""
        causes = dict.fromkeys(PASSES, 0.0)
        for name, op in zip(_passes_of(self.step), self.operators, strict=True):
            causes[name] += op.predicted.time_s
        return {name: Compared(seconds, self.measured.passes_s.get(name)) for name, seconds in causes.items()}

    @property
    def memory(self) -> dict[str, Compared]:
        """Saved activations, and the most that is held at once. [B]"""
        saved = sum(first(size) for size in self.step.steps.memory.held[0].saved)
        peak = self.step.memory[self.step.fullest].total
        return {
            "saved_activations": Compared(saved, self.measured.saved_bytes),
            "peak": Compared(float(peak), self.measured.peak_bytes),
        }

    def to_dict(self) -> dict[str, Any]:
        """The comparison as results carry it."""
        q, f, samples = self.step.question, self.predicted, self.measured.step
        return {
            "model": q.request.model.name, "batch": q.batch, "length": q.sequence, "dtype": q.recipe.name,
            "optimizer": q.optimizer.name, "prediction_sha256": self.digest,
            "predicted_s": f.time_s, "bound_s": f.bound_s, "low_s": f.low_s, "high_s": f.high_s,
            "measured_s": self.whole_s,
            "at_calibrated_speed_s": samples.time_s if samples.reference_s else None,
            "error": self.error, "noise": samples.noise,
            "passes_s": {name: each.to_dict() for name, each in self.passes.items()},
            "memory_bytes": {name: each.to_dict() for name, each in self.memory.items()},
            "unpredicted_s": dict(self.others_s), "not_run": list(self.not_run), "flags": list(self.flags),
            "operators": [op.to_dict() for op in self.operators],
            "samples_s": [[each.seconds, each.probe_s] for each in samples.every],
        }  # fmt: skip


def digest_of_step(step: TrainingStep) -> str:
    """The SHA-256 of a predicted step's JSON."""
    return hashlib.sha256(json.dumps(step.to_dict(), sort_keys=True, allow_nan=False).encode()).hexdigest()


def check_step(step: TrainingStep) -> None:
    """Raises UsageError for a step that is not one device's, in one microbatch, with nothing made again."""
    c = step.choice
    if step.question.target is not None:
        msg = f"{step.question.request.model.name}: validate --train times networks of one length"
        raise UsageError(msg)
    if step.devices > 1 or step.microbatches > 1 or c.policy.name != "none":
        msg = f"{c.words}: validate --train times one device, one microbatch, with nothing made again"
        raise UsageError(msg)


def compare_step(step: TrainingStep, digest: str, measured: Measured) -> TrainingComparison:
    """A predicted step beside what was measured of it."""
    found, others, not_run = _joined(measured.kernels, _predicted_kernels(step))
    names = [*_names(step), "optimizer"]
    figures = [*_figures(step), _update_figures(step)]
    counts = [round(first(each.cost.count)) for each in step.steps.passes.operators]
    kinds = [each.cost.kind for each in step.steps.passes.operators]
    operators = tuple(
        OperatorComparison(name, kind, count, each, found.get(name))
        for name, kind, count, each in zip(names, [*kinds, "elementwise"], [*counts, 1], figures, strict=True)
    )
    return TrainingComparison(step, digest, _whole(step, figures), operators, measured, others, not_run)


def first(value: Any) -> float:
    """The number that an array of one holds."""
    return float(getattr(value, "item", lambda: value)())


# Predicted operators

_NUMBERS = ("count", "flops", "vector_flops", "special", "bytes", "message_bytes", "link_bytes")


def _names(step: TrainingStep) -> list[str]:
    """Each operator's name, with its group before it where two groups have one of that name."""
    operators = step.steps.passes.operators
    several = Counter(each.op.name for each in operators)
    return [each.op.name if several[each.op.name] == 1 else f"{each.group.name}.{each.op.name}" for each in operators]


def _passes_of(step: TrainingStep) -> list[str]:
    operators = step.steps.passes.operators
    return [*("forward" if Phase.FORWARD in each.group.phases else "backward" for each in operators), "update"]


def _figures(step: TrainingStep) -> list[Figures]:
    """The figures of each operator over all its repeats."""
    machine, found = step.steps.machine, []
    for each in step.steps.passes.operators:
        numbers = {name: first(getattr(each.cost, name)) for name in _NUMBERS}
        cost = replace(each.cost, **numbers)  # type: ignore[arg-type]  # numbers all
        found.append(figures_of([(cost, each.timing.each(first))], machine))
    return found


def _update_figures(step: TrainingStep) -> Figures:
    steps, memory, zero = step.steps, step.steps.memory, step.choice.sharding.zero
    moved, flops = (
        float(sum(first(of(memory.weights, zero, place)) for place in range(3)))
        for of in (memory.resting.updated_bytes, memory.resting.elementwise_flops)
    )
    timing = step.parts.update
    mbu = moved / (float(timing.time_s) * float(steps.machine.rates.bandwidth))
    return Figures(timing, 0.0, flops, moved, 0.0, mbu)


def _whole(step: TrainingStep, figures: Sequence[Figures]) -> Figures:
    """The step: its time, and the counts of all its operators."""
    flops, vector, moved = (sum(getattr(each, name) for each in figures) for name in ("flops", "vector_flops", "bytes"))
    rates = step.steps.machine.rates
    mbu = moved / (float(step.timing.time_s) * float(rates.bandwidth))
    return Figures(step.timing, flops, vector, moved, step.mfu, mbu)


# Kernels


def _predicted_kernels(step: TrainingStep) -> dict[str, list[tuple[str, Mark]]]:
    """The kernels of each pass in order: the operator that each belongs to, and its mark."""
    network = step.question.network.step
    lengths = {letter: exact(size) for letter, size in step.question.lengths.items()}
    bound = {**network.sizes, "B": exact(step.question.batch), **lengths}
    names = dict(zip(((e.group.name, e.op.name) for e in step.steps.passes.operators), _names(step), strict=True))
    phases = (Phase.FORWARD, Phase.BACKWARD)
    return {str(phase): list(_of_phase(network, phase, bound, names)) for phase in phases}


def _of_phase(
    network: Program, phase: Phase, bound: Sizes, names: Mapping[tuple[str, str], str]
) -> Iterable[tuple[str, Mark]]:
    for group in network.groups:
        if phase not in group.phases:
            continue
        local = group.sizes(bound)
        once = [
            (names[group.name, op.name], _mark(kernel, rebind(local, kernel.local)))
            for op in group.ops
            for kernel in ((op,) if op.kind == "attention" else kernels_of(op))
        ]
        yield from once * int(group.times(bound))


def _mark(kernel: Op, sizes: Sizes) -> Mark:
    """What a kernel computes and how large it is; of a contraction the two sides of its output in either order."""
    out = kernel.writes[0]
    if kernel.kind == "matmul":
        return _contraction(*_sides(kernel, sizes))
    if kernel.kind == "attention":
        heads, queries, keys = (_product(sizes, list(side)) for side in ("BKG", "T", "S"))
        return ("attention_backward" if kernel.name.endswith(".backward") else "attention", heads, queries, keys)
    return (_torch_name(kernel), int(out.elements(sizes)))


def _sides(kernel: Op, sizes: Sizes) -> tuple[int, int, int]:
    """Rows, depth and columns of a contraction; of a packed one, which has columns side by side, or sums over all."""
    if kernel.parts:
        several = [_sides(part, rebind(sizes, part.local)) for part in kernel.parts]
        (rows, depth, columns), summed_up = several[0], len({part.writes[0].name for part in kernel.parts}) == 1
        if summed_up:
            return rows, sum(each[1] for each in several), columns
        return rows, depth, sum(each[2] for each in several)
    first_letters, second, out = (tensor.letters for tensor in (*kernel.reads[:2], kernel.writes[0]))
    depth_letters = [x for x in first_letters if x in second and x not in out]
    rows_letters = [x for x in out if x in first_letters]
    columns_letters = [x for x in out if x not in first_letters]
    return (_product(sizes, rows_letters), _product(sizes, depth_letters), _product(sizes, columns_letters))


def _contraction(rows: int, depth: int, columns: int) -> Mark:
    return ("matmul", depth, *sorted((rows, columns)))


def _product(sizes: Sizes, letters: Sequence[str]) -> int:
    total = 1
    for letter in letters:
        total *= int(size_of(letter, sizes))
    return total


def _torch_name(kernel: Op) -> str:
    if kernel.kind == "embedding":
        return "embedding_dense_backward" if kernel.name.endswith(".backward") else "embedding"
    if kernel.name.endswith(".sum"):
        return "add"
    summed_up = kernel.kind == "elementwise" and kernel.writes[0].gradient_of and not kernel.function
    return "sum" if summed_up else kernel.name


def _mark_of(call: TorchCall) -> Mark:
    mark = mark_of(call)
    return _contraction(*mark[1:]) if mark[0] == "matmul" else mark


def _joined(
    kernels: Timed, predicted: Mapping[str, Sequence[tuple[str, Mark]]]
) -> tuple[dict[str, float], dict[str, float], list[str]]:
    """Seconds by operator, seconds of what nobody predicted by torch's names, what was predicted and did not run."""
    found: dict[str, float] = defaultdict(float)
    others: dict[str, float] = defaultdict(float)
    lost: Counter[tuple[str, str]] = Counter()
    for name, calls in kernels.items():
        waiting: dict[Mark, list[str]] = defaultdict(list)
        for operator, mark in predicted.get(name, ()):
            waiting[mark].append(operator)
        for call, seconds in calls:
            owners = waiting.get(_mark_of(call))
            if name == "update":
                found["optimizer"] += seconds
            elif owners:
                found[owners.pop(0)] += seconds
            else:
                others[call.name] += seconds
        lost += Counter((owner, str(mark[0])) for mark, owners in waiting.items() for owner in owners)
    return dict(found), dict(others), [f"{operator}: {kernel} x {runs}" for (operator, kernel), runs in lost.items()]
