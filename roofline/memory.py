"""What stays resident, the peak of the activations, and what fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from roofline.axes import Sizes, rebind
from roofline.number import Number, exact
from roofline.op import Tensor
from roofline.program import Phase, Program
from roofline.workload import Precision, Workload


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes resident on the device while the workload runs, at its longest."""

    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int

    @property
    def total_bytes(self) -> int:
        """Weights, cache and activations together."""
        return self.weights_bytes + self.kv_cache_bytes + self.activation_bytes


def footprint(program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision) -> Footprint:
    """Weights (tied ones once), the KV cache at the workload's longest, and the largest peak of the phases."""
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    weights = sum(
        program.resident(group, op, tensor, sizes) * precision.width(tensor) for group, op, tensor in program.weights()
    )
    held = sizes | {"B": exact(workload.batch), "T": exact(1), "S": exact(workload.longest)}
    cache = sum(
        program.resident(group, op, tensor, held) * precision.width(tensor) for group, op, tensor in program.caches()
    )
    peaks = [activation_peak(program, phase, sizes | longest_step(workload, phase), precision) for phase in phases]
    return Footprint(int(weights), int(cache), int(max(peaks)))


def longest_step(workload: Workload, phase: Phase) -> dict[str, Number]:
    """B, T and S of the step of ``phase`` that holds most."""
    new, held = (1, workload.longest) if phase == "decode" else (workload.prompt, workload.prompt)
    return {"B": exact(workload.batch), "T": exact(new), "S": exact(held)}


def activation_peak(program: Program, phase: Phase, sizes: Sizes, precision: Precision) -> Number:
    """The most bytes of activations alive at once: a tensor lives from its first write to its last read.

    Every buffer is its own, nothing is recomputed, and no workspace of a library is counted.
    """
    steps = list(_steps(program, phase, sizes))
    last = {tensor.name: i for i, (reads, _, _) in enumerate(steps) for tensor in reads}
    alive: dict[str, Number] = {}
    peak: Number = 0
    for i, (reads, writes, bound) in enumerate(steps):
        for tensor in (*reads, *writes):
            if tensor.role in ("activation", "index"):
                size = tensor.elements(bound) * precision.width(tensor)
                alive[tensor.name] = max(size, alive.get(tensor.name, 0))
        peak = max(peak, sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last.get(name, -1) > i}
    return peak


def _steps(
    program: Program, phase: Phase, sizes: Sizes
) -> Iterator[tuple[tuple[Tensor, ...], tuple[Tensor, ...], Sizes]]:
    """Reads and writes in running order; a repeated group runs twice, which shows what lives across its repeats."""
    for group in program.groups:
        if phase in group.phases:
            local = group.sizes(sizes)
            for _ in range(2 if group.times(sizes) > 1 else 1):
                for op in group.ops:
                    yield op.reads, op.writes, rebind(local, op.local)


def largest_batch(
    program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision, room: float
) -> int:
    """The most sequences at once that fit in ``room`` bytes; 0 if not one does.

    Cache and activations are proportional to the batch, weights are not, so the answer is a quotient.
    """
    one = footprint(program, replace(workload, batch=1), phases, precision)
    return max(0, int((room - one.weights_bytes) // (one.kv_cache_bytes + one.activation_bytes)))


def longest_context(
    program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision, room: float, positions: int
) -> int:
    """The longest sequence, prompt and generated tokens together, that fits in ``room`` bytes; 0 if none does.

    The prompt grows, the generated length stays; the model's positions are the limit. Found by bisection.
    """

    def fits(length: int) -> bool:
        if workload.context is not None:
            longer = replace(workload, context=length)
        else:
            generated = 0 if phases == ("encode",) else workload.generate
            longer = replace(workload, prompt=max(1, length - generated))
        return footprint(program, longer, phases, precision).total_bytes <= room

    low, high = 0, positions
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
