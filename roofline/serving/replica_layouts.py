"""What a replica of a model may run on: one device, or several that split its tensors and its experts.

Replicas do not talk to each other, so that data parallelism is their number. Pipelines are left out: in decoding they
add latency and save no traffic within a box.
"""

from __future__ import annotations

from collections.abc import Iterator

from roofline.parallelism.divisibility import can_split
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharding import shard
from roofline.program.program import Program
from roofline.program.workload import Workload

ONE = Layout()

LARGEST_REPLICA = 64
"""The most devices that one replica is split over."""

_ANY = Workload(1, 1, 2)  # batches and prompts are not split


def replica_layouts(program: Program, devices: int) -> list[Layout]:
    """Tensor parallel degrees that divide ``devices`` and the program; experts split, or each cut into parts.

    >>> from roofline.models.model import load_model
    >>> [str(layout) for layout in replica_layouts(load_model("llama-3.1-8b").program(), 8)]
    ['one device', 'tp 2', 'tp 4', 'tp 8']
    >>> [str(layout) for layout in replica_layouts(load_model("mixtral-8x7b").program(), 4)]
    ['one device', 'tp 2', 'tp 2, ep 2', 'tp 4', 'tp 4, ep 4']
    """
    return [layout for layout in _candidates(devices) if bool(can_split(layout, program, program.phases, _ANY))]


def replica_program(program: Program, layout: Layout) -> Program:
    """What each device of a replica runs, collectives among it."""
    return program if layout == ONE else shard(program, layout)


def _candidates(devices: int) -> Iterator[Layout]:
    for degree in range(1, min(devices, LARGEST_REPLICA) + 1):
        if devices % degree == 0:
            yield Layout(tp=degree)
            if degree > 1:
                yield Layout(tp=degree, ep=degree)
