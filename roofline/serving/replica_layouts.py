"""What a replica of a model may run on: one device, or several that split its tensors, its experts and its sequences.

Replicas do not talk to each other. Data-parallel ranks that hold the experts together do, in every layer: they are one
replica (data-parallel attention: each rank attends to its own sequences, experts are spread over all devices). Ranks
that share no experts are replicas by themselves, so that a layout without such a group has dp 1. Stages of a pipeline
each decode another group of sequences at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from roofline.identity import Same
from roofline.parallelism.dimensions import divisors
from roofline.parallelism.divisibility import can_split
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharding import shard
from roofline.program.program import Program
from roofline.program.workload import Workload

ONE = Layout()

LARGEST_REPLICA = 512
"""The most devices that one replica is split over."""


def replica_layouts(program: Program, devices: int) -> list[Layout]:
    """The layouts of a replica on a number of devices that divides ``devices``, of those that divide the program.

    >>> from roofline.models.model import load_model
    >>> [str(layout) for layout in replica_layouts(load_model("llama-3.1-8b").program(), 8)]
    ['one device', 'tp 2', 'pp 2', 'tp 4', 'tp 2, pp 2', 'pp 4', 'tp 8', 'tp 4, pp 2', 'tp 2, pp 4', 'pp 8']
    >>> [str(layout) for layout in replica_layouts(load_model("mixtral-8x7b").program(), 2)][1:]
    ['dp 2, ep 2', 'tp 2', 'tp 2, ep 2', 'pp 2']
    """
    any_batch = Workload(devices, 1, 1 + devices)  # sequences for every rank, tokens for every part of a cache
    tried = list(_candidates(devices))
    held = can_split(Layout.stacked(tried), program, program.phases, any_batch)
    return [layout for layout, holds in zip(tried, held, strict=True) if holds]


def ranks_of(layout: Layout) -> int:
    """The data-parallel ranks that share experts in a layout, which may have several such replicas.

    >>> ranks_of(Layout(tp=2, dp=8, ep=8)), ranks_of(Layout(tp=8, dp=2, ep=8))
    (4, 1)
    """
    return max(1, int(layout.ep) // int(layout.tp))


def replica_program(program: Program, layout: Layout) -> Program:
    """What each device of a replica runs, collectives among it; the stages of a pipeline one after the other."""
    return program if layout == ONE else _sharded(Same(program), layout)


@lru_cache(maxsize=256)
def _sharded(program: Same[Program], layout: Layout) -> Program:
    """One object each, since memos key on it."""
    return shard(program.it, layout)


def _candidates(devices: int) -> Iterator[Layout]:
    """Layouts of one replica: where ranks of data parallelism share one, its experts are spread over all devices.

    Of a pipeline, over all devices of a stage, and the cache of a sequence is in one place of it.
    """
    for size in divisors(devices):
        for pp in divisors(size) if size <= LARGEST_REPLICA else ():
            stage = size // pp
            for tp in divisors(stage):
                for ep in divisors(tp) if tp == stage else (stage,):
                    for dcp in divisors(tp) if pp == 1 else (1,):
                        yield Layout(tp=tp, pp=pp, dp=stage // tp, ep=ep, dcp=dcp)
