"""Implementations that matter: where the code stores what a fused kernel, or a matmul, would not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from roofline.errors import WorkloadError
from roofline.models.traced.attention import SOFTMAXES, chains
from roofline.models.traced.calls import FLEX, Call, Recording
from roofline.models.traced.trace import Trace
from roofline.program.axes import Sizes

_LIGHT = ("pointwise", "softmax")
_SHORT = 40
_LENGTH = 2048
"""Tokens at which what is stored is compared with what it is made of, where inputs may be as long."""


def implementations(trace: Trace) -> tuple[str, ...]:
    """What of a traced forward pass is written so that it stores more than it must, each with its lines."""
    attended, paired, summed = _stored(trace)
    recording = trace.recording
    forward, _ = recording.passes
    fused, taken = ({chain.calls[0].place for chain in chains(recording, by)} for by in ("inductor", "engine"))
    changed = [call for call in forward if call.name == FLEX]
    copied = [call for call in forward if call.name == "cat" and _reads_cache(call, recording)]
    return (
        *(
            f"flex_attention changes scores ({each.where}): what its score_mod computes is not counted"
            for each in changed
        ),
        *_said("the caches are copied", "each step reads and writes them anew, which one in place would not", copied),
        *_said(
            "attention is written out",
            "eager torch stores its scores, a graph compiler runs it as one kernel",
            [call for call in attended if call.place in fused],
        ),
        *_said(
            "attention is written out",
            "its scores are stored, which an engine's kernel (--fusion engine) would not",
            [call for call in attended if call.place in taken - fused],
        ),
        *_said(
            "attention is written out",
            "its scores are stored, which a fused kernel would not",
            [call for call in attended if call.place not in taken],
        ),
        *_said("a matrix between two matmuls", "it is stored, which a fused kernel would not", paired),
        *_said("a contraction is a product and a sum", "the product is stored, which a matmul would not", summed),
    )


def check_stated(trace: Trace) -> None:
    """Raises WorkloadError, with its lines, for what an engine has one kernel of and nothing states it as such."""
    attended, paired, summed = _stored(trace)
    taken = {chain.calls[0].place for chain in chains(trace.recording, "engine")}
    for call in (call for call in (*attended, *paired, *summed) if call.place not in taken):
        own = call.where
        msg = (
            f"{trace.name}: fusion engine: {own} stores what a kernel of an engine keeps on the chip, and nothing says "
            "which; take fusion inductor, or a preset"
        )
        raise WorkloadError(msg)


def _stored(trace: Trace) -> tuple[list[Call], list[Call], list[Call]]:
    """What code stores that a kernel need not: scores of attention, other matrices between matmuls, products."""
    recording, sizes = trace.recording, {**trace.dims, "B": 1, "S": min(trace.most, _LENGTH)}
    forward, _ = recording.passes
    readers: dict[int, list[Call]] = {}
    for call in forward:
        for access in call.reads:
            readers.setdefault(access.value, []).append(call)
    attended, paired, summed = list[Call](), list[Call](), list[Call]()
    for call in forward:
        if _of_activations(call, recording) and _grows(call, sizes):
            between, behind = _until_heavy(call, readers)
            if any(_of_activations(each, recording) for each in behind):
                (attended if any(each.name in SOFTMAXES for each in between) else paired).append(call)
        elif call.name == "mul" and len(call.reads) == 2 and _grows(call, sizes):
            after = readers.get(call.writes[0].value, [])
            summed += [call] if after and all(each.name == "sum" for each in after) else []
    return attended, paired, summed


def _said(what: str, then: str, calls: Sequence[Call]) -> Iterator[str]:
    """One line for all calls, with their lines of code, and how many elements each leaves where that is short."""
    if calls:
        lines = list(dict.fromkeys(call.where for call in calls))
        stored = [text for call in calls if len(text := str(call.writes[0].elements)) <= _SHORT]
        size = f" ({stored[0]} elements)" if stored else ""
        yield f"{what} ({', '.join(lines[:3])}): {then}{size}"


def _grows(call: Call, sizes: Sizes) -> bool:
    """Whether a call writes more than either of what it is made of."""
    (written, *_) = call.writes
    return all(read.elements(sizes) < written.elements(sizes) for read in call.reads[:2])


def _until_heavy(call: Call, readers: Mapping[int, Sequence[Call]]) -> tuple[list[Call], list[Call]]:
    """Elementwise work that depends on a call, and what is behind that."""
    seen, left, between, behind = set[int](), [call], list[Call](), list[Call]()
    while left:
        for each in (each for access in left.pop().writes for each in readers.get(access.value, ())):
            if each.place not in seen:
                seen.add(each.place)
                light = each.kind in _LIGHT or each.name in SOFTMAXES
                (between if light else behind).append(each)
                left += [each] if light else []
    return between, behind


def _reads_cache(call: Call, recording: Recording) -> bool:
    return any(recording.values[access.value].role == "kv_cache" for access in call.reads)


def _of_activations(call: Call, recording: Recording) -> bool:
    return call.kind == "matmul" and all(recording.values[access.value].role != "weight" for access in call.reads[:2])
