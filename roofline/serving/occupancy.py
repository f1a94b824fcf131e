"""KV-cache occupancy while serving: how many sequences a device holds, each at its mean length in flight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roofline.cost.residency import activation_peak, weights_bytes
from roofline.number import Grid, exact
from roofline.program.axes import Sizes
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.traffic import Traffic, in_flight
from roofline.program.workload import Precision


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Bytes on a device that serves: ``fixed`` and one longest sequence are there always, then ``each`` further one.

    ``prompt`` are those of the cache of a mean prompt, which a pool that prefills hands over.
    """

    fixed: float
    longest: float
    each: float
    prompt: float = 0.0

    def beside(self, other: Occupancy) -> Occupancy:
        """Both on one device: a model and its draft."""
        return Occupancy(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def most(self, room: float) -> int:
        """The most sequences at once in ``room`` bytes; 0 where the weights and one do not fit.

        >>> Occupancy(fixed=10.0, longest=4.0, each=2.0).most(20.0)  # 10 + 4 + 3 x 2
        4
        """
        left = room - self.fixed - self.longest
        return 0 if left < 0 else 1 + int(left / self.each)


def occupancy_of(
    program: Program,
    precision: Precision,
    traffic: Traffic,
    chunk: int | None,
    kv_block: int = 1,
    *,
    prompts: bool = True,
) -> Occupancy:
    """What serving ``traffic`` holds: weights, the activations of one step, caches.

    Caches grow block by block, so sequences count at their mean length in flight, in whole blocks of ``kv_block``
    tokens, and one of them at its longest. What a shared prefix saves is not counted. Without ``prompts`` others read
    them, and no step has their activations.
    """
    fixed = _weights(program, precision)
    fixed += _prompt_activations(program, precision, traffic, chunk) if prompts else 0.0
    lengths, weights = in_flight(traffic)
    each = float(np.sum(weights * cache_of(program, precision, in_blocks(lengths, kv_block))))
    longest = float(cache_of(program, precision, in_blocks(np.array([float(traffic.longest)]), kv_block))[0])
    one, two = (_activations(program, precision, Phase.DECODE, batch, 1, traffic.longest) for batch in (1, 2))
    return Occupancy(fixed, longest + one, each + two - one, _mean_prompt(program, precision, traffic))


def in_blocks(lengths: Grid, kv_block: int) -> Grid:
    """The tokens that whole blocks of a cache have room for; a block of one token holds any mean.

    >>> in_blocks(np.array([1.0, 16.0, 17.0]), 16).tolist()
    [16.0, 16.0, 32.0]
    """
    return lengths if kv_block == 1 else np.asarray(np.ceil(lengths / kv_block) * kv_block)


def prefill_occupancy(program: Program, precision: Precision, traffic: Traffic) -> Occupancy:
    """What a replica holds that only reads prompts: weights, and for each prompt of a step its activations and caches.

    Any of them may be the longest. Its cache counts twice: one step's are handed over while the next one is computed.
    """
    longest = max(traffic.prompt.tokens)
    one, two = (_activations(program, precision, Phase.PREFILL, batch, longest, longest) for batch in (1, 2))
    caches = 2 * float(cache_of(program, precision, np.array([float(longest)]))[0])
    mean = _mean_prompt(program, precision, traffic)
    return Occupancy(_weights(program, precision), one + caches, two - one + caches, mean)


def _weights(program: Program, precision: Precision) -> float:
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    return float(weights_bytes(program, sizes, precision))


def _mean_prompt(program: Program, precision: Precision, traffic: Traffic) -> float:
    """Bytes of cache after a prompt, on average."""
    held = cache_of(program, precision, np.array(traffic.prompt.tokens, dtype=np.float64))
    return float(np.sum(np.asarray(traffic.prompt.weights) * held))


def cache_of(program: Program, precision: Precision, lengths: Grid) -> Grid:
    """Bytes of cache of one sequence of each of ``lengths`` tokens."""
    sizes: Sizes = {**{letter: float(size) for letter, size in program.sizes.items()}, "B": 1.0, "T": 1.0, "S": lengths}
    held = np.zeros_like(lengths)
    for group, op, tensor in program.caches():
        held += np.asarray(program.resident(group, op, tensor, sizes) * float(precision.width(tensor)))
    return held


def _prompt_activations(program: Program, precision: Precision, traffic: Traffic, chunk: int | None) -> float:
    """Activations of the largest piece of a prompt."""
    longest = max(traffic.prompt.tokens)
    piece = longest if chunk is None else min(chunk, longest)
    return _activations(program, precision, Phase.PREFILL, 1, piece, longest)


def _activations(program: Program, precision: Precision, phase: Phase, batch: int, new: int, context: int) -> float:
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    sizes |= {"B": exact(batch), "T": exact(new), "S": exact(context)}
    return float(activation_peak(program, phase, sizes, precision))
