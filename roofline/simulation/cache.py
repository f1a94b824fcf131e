"""The paged KV cache of a replica: bytes in blocks, what sequences hold of them, and how full it has been."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np

from roofline.classes import frozen
from roofline.cost.residency import activation_peak, weights_bytes
from roofline.errors import WorkloadError
from roofline.number import Grid, exact
from roofline.parallelism.pipeline import stage_programs
from roofline.prediction.step import Steps
from roofline.program.phases import Phase
from roofline.program.traffic.lengths import NOTHING, Shown
from roofline.program.traffic.traces import Whole
from roofline.serving.occupancy import cache_of, encoding_peak
from roofline.units import format_quantity


@frozen(eq=False)
class CacheRoom:
    """What a device of a replica has for caches, and what a sequence takes of it: ``by_blocks`` of so many blocks. [B]

    Sequences grow block by block. Windows stop growing and states never do, so that blocks need not cost alike.
    """

    bytes: float
    block: int
    by_blocks: Grid

    @classmethod
    def of(cls, steps: Steps, memory: float, longest: int, most: int, shown: Shown = NOTHING) -> CacheRoom:
        """The room beside weights and the activations of a step, in ``memory`` bytes of each device.

        ``longest`` are the most tokens of a sequence, ``most`` the most sequences that are decoded at once; what is
        ``shown`` towers encode on it too.
        """
        program, precision = steps.program, steps.precision
        sizes = {letter: exact(size) for letter, size in program.sizes.items()}
        read = min(steps.engine.mixed_tokens or steps.engine.pass_tokens or longest, longest)
        shapes = ((Phase.PREFILL, 1, read), (Phase.DECODE, most, 1))
        alive = max(
            float(activation_peak(program, phase, {**sizes, "B": exact(batch), "T": exact(new), "S": exact(longest)},
                                  precision))
            for phase, batch, new in shapes
        )  # fmt: skip
        alive = max(alive, encoding_peak(program, precision, shown))
        block = steps.engine.kv_block
        tokens = np.arange(1.0, ceil(longest / block) + 1) * block
        held = np.concatenate([[0.0], cache_of(program, precision, tokens)])
        return cls(memory - float(weights_bytes(program, sizes, precision)) - alive, block, held)

    @classmethod
    def of_stages(cls, steps: Steps, memory: float, longest: int, most: int) -> CacheRoom:
        """The room of one group of sequences of a pipeline, of which there are as many as stages: an equal part of the
        stage that holds the fewest.
        """
        rooms = [
            cls.of(replace(steps, program=stage), memory, longest, most)
            for stage in stage_programs(steps.program, steps.layout)
        ]
        fullest = min(rooms, key=lambda room: room.bytes / max(float(room.by_blocks[-1]), 1e-30))
        return replace(fullest, bytes=fullest.bytes / int(steps.layout.pp))

    def with_draft(self, draft: Steps) -> CacheRoom:
        """What a draft leaves of it, whose weights are beside, and which keeps a cache of the same tokens."""
        program, precision = draft.program, draft.precision
        sizes = {letter: exact(size) for letter, size in program.sizes.items()}
        tokens = np.arange(1.0, len(self.by_blocks)) * self.block
        held = np.concatenate([[0.0], cache_of(program, precision, tokens)])
        return replace(self, bytes=self.bytes - float(weights_bytes(program, sizes, precision)),
                       by_blocks=self.by_blocks + held)  # fmt: skip

    def of_tokens(self, tokens: Whole | int) -> Grid:
        """What sequences of so many tokens hold, in whole blocks. [B]"""
        return self.by_blocks[(np.asarray(tokens, dtype=np.int64) + (self.block - 1)) // self.block]

    def of_sequence(self, tokens: int) -> float:
        """What one sequence of so many tokens holds. [B]"""
        return float(self.by_blocks[-(-tokens // self.block)])

    def sequences(self, tokens: int) -> int:
        """How many sequences of so many tokens it holds: as many as can be counted where its size is not known."""
        each, most = float(self.of_tokens(tokens)), np.iinfo(np.int64).max
        return int(min(self.bytes / each, most)) if each else most

    def holds(self, tokens: int) -> bool:
        """Whether a sequence of so many tokens fits."""
        return float(self.of_tokens(tokens)) <= self.bytes

    def check(self, longest: int) -> None:
        """Raises WorkloadError where not one sequence of the longest request fits."""
        if not self.holds(longest):
            left, asked = (
                format_quantity(max(0.0, size), "bytes") for size in (self.bytes, float(self.of_tokens(longest)))
            )
            msg = (
                f"does not fit: a request of {longest:,} tokens has {asked} of cache, beside weights and activations "
                f"{left} of a device are left; name more devices, or shorter lengths, or --dtype fp8"
            )
            raise WorkloadError(msg)
