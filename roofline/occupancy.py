"""How many sequences a device holds while it serves: each at the length that it has on average in flight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roofline.axes import Sizes
from roofline.memory import activation_peak, weights_bytes
from roofline.number import exact
from roofline.program import Phase, Program
from roofline.traffic import Traffic, in_flight
from roofline.workload import Precision

MEMORY_SHARE = 0.9
"""The part of the capacity that an engine takes by default (vLLM's gpu_memory_utilization); the rest is the runtime's.
"""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Bytes on a device that serves: ``fixed`` and one longest sequence are there always, then ``each`` further one."""

    fixed: float
    longest: float
    each: float

    def beside(self, other: Occupancy) -> Occupancy:
        """Both on one device: a model and its draft."""
        return Occupancy(self.fixed + other.fixed, self.longest + other.longest, self.each + other.each)

    def most(self, capacity: float, share: float = MEMORY_SHARE) -> int:
        """The most sequences at once in ``share`` of ``capacity`` bytes; 0 where the weights and one do not fit.

        >>> Occupancy(fixed=10.0, longest=4.0, each=2.0).most(20.0, 1.0)  # 10 + 4 + 3 x 2
        4
        """
        left = capacity * share - self.fixed - self.longest
        return 0 if left < 0 else 1 + int(left / self.each)


def occupancy_of(program: Program, precision: Precision, traffic: Traffic, chunk: int | None) -> Occupancy:
    """What serving ``traffic`` holds: weights, the activations of one step, caches.

    Caches grow page by page, so sequences count at their mean length in flight, and one of them at its longest. What a
    shared prefix saves is not counted.
    """
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    fixed = float(weights_bytes(program, sizes, precision)) + _prompt_activations(program, precision, traffic, chunk)
    lengths, weights = in_flight(traffic)
    each = float(np.sum(weights * cache_of(program, precision, lengths)))
    longest = float(cache_of(program, precision, np.array([float(traffic.longest)]))[0])
    one, two = (_activations(program, precision, "decode", batch, 1, traffic.longest) for batch in (1, 2))
    return Occupancy(fixed, longest + one, each + two - one)


def cache_of(program: Program, precision: Precision, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bytes of cache of one sequence of each of ``lengths`` tokens."""
    sizes: Sizes = {**{letter: float(size) for letter, size in program.sizes.items()}, "B": 1.0, "T": 1.0, "S": lengths}
    held = np.zeros_like(lengths)
    for group, op, tensor in program.caches():
        held += program.resident(group, op, tensor, sizes) * float(precision.width(tensor))
    return held


def _prompt_activations(program: Program, precision: Precision, traffic: Traffic, chunk: int | None) -> float:
    """Activations of the largest piece of a prompt."""
    longest = max(traffic.prompt.tokens)
    piece = longest if chunk is None else min(chunk, longest)
    return _activations(program, precision, "prefill", 1, piece, longest)


def _activations(program: Program, precision: Precision, phase: Phase, batch: int, new: int, context: int) -> float:
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    sizes |= {"B": exact(batch), "T": exact(new), "S": exact(context)}
    return float(activation_peak(program, phase, sizes, precision))
