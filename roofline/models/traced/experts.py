"""Experts as an engine runs them: a chain of kernels whose first sorts the tokens, which code does in calls of its own.

Code copies each token once for each of its experts, in their order, and multiplies the copies. The kernels of an engine
take the tokens as they lie; what they sort is in the constants of the chain, and so is what passes between its matmuls.

Source: ``grouped_mm_experts_forward`` of transformers 5.23, integrations/moe.py; ``fused_moe`` of vLLM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from roofline.models.traced.calls import GROUPED, Access, Call, Contraction, Recording


def routed(recording: Recording) -> Recording:
    """The same with experts that read tokens as they lie, and the values that pass between their kernels named."""
    writers = {access.value: (call, access) for call in recording.calls for access in call.writes}
    readers: dict[int, int] = {}
    for access in (access for call in recording.calls for access in call.reads):
        readers[access.value] = readers.get(access.value, 0) + 1
    copied = dict(_copies(recording, writers, readers))
    dropped = {writers[recording.calls[place].reads[0].value][0].place for place in copied}
    calls = tuple(
        replace(call, reads=(copied[call.place], *call.reads[1:])) if call.place in copied else call
        for call in recording.calls
        if call.place not in dropped
    )
    passed = frozenset(access.value for call in recording.calls if call.name == GROUPED for access in call.writes)
    return replace(recording, calls=calls, routed=passed)


def _copies(
    recording: Recording, writers: dict[int, tuple[Call, Access]], readers: dict[int, int]
) -> Iterator[tuple[int, Access]]:
    """The places of matmuls of experts that read copies of tokens made for them alone, and the tokens."""
    for call in recording.calls:
        if call.name != GROUPED or not isinstance(call.shape, Contraction):
            continue
        source = writers.get(call.reads[0].value)
        if source is None or source[0].kind != "gather" or readers[call.reads[0].value] > 1:
            continue
        tokens = writers.get(source[0].reads[0].value)
        if tokens is not None and tokens[1].columns == call.shape.depth:
            yield call.place, tokens[1]
