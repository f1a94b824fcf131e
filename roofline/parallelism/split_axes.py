"""What a layout's degrees must divide: the axes that it splits, heads, widths and experts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.identity import Same
from roofline.number import Truth
from roofline.parallelism.layout import Layout, Mesh, is_expert, stored_letters
from roofline.program.axes import PART, SHARED, rebind
from roofline.program.phases import Phase
from roofline.program.program import Program

Holds: TypeAlias = Callable[[Layout], Truth]


@frozen
class Condition:
    """What a layout must satisfy: the flag at fault where it does not, what is wrong then, and the test."""

    flag: str
    problem: str
    holds: Holds


def axis_conditions(program: Program) -> Iterator[Condition]:
    """What follows from the sizes of the axes that are split, as each operator sees them, but for those of towers.

    A tower whose heads or widths the devices do not divide is whole on each of them: :func:`towers_apart`.
    """
    seen: dict[Condition, bool] = {}
    for phase in program.phases:
        seen |= dict.fromkeys((c for c in _axes(program, phase, towers=False)), True)
    yield from seen
    if not any(condition.flag == "ep" for condition in seen):
        yield Condition("ep", "splits experts, and there are none", lambda x: x.ep == 1)


def planned_conditions(program: Program) -> Iterator[Condition]:
    """What devices must divide of a traced module: the widths and the heads that its plan splits.

    What is gathered as soon as it is written may be split unevenly: the last device has fewer.
    """
    seen = dict[Condition, None]()
    for group, own in ((group, own) for phase in program.phases for group, op in program.in_phase(phase)
                       if op.shared and op.shared[-1].function != "all_gather" for own in op.shared):  # fmt: skip
        sizes = rebind(group.sizes({"B": 1, "T": 1, "S": 1, "M": 1, **program.sizes}), own.local)
        letters = [letter for letter in stored_letters(own) if letter.startswith(SHARED)]
        seen |= {_whole(int(sizes[letter]), "axis"): None for letter in letters if not letter.startswith(PART)}
        if "K" in stored_letters(own):
            heads = int(sizes["K"])
            seen[_whole(heads if heads > 1 else int(sizes["G"]), "heads")] = None
    yield from seen


@lru_cache(maxsize=1024)
def _whole(size: int, what: str) -> Condition:
    problem = f"does not divide the {size} heads" if what == "heads" else f"does not divide an axis of {size}"
    return Condition("tp", problem, lambda x: size % x.tp == 0)


def towers_apart(program: Program, phase: Phase, layout: Layout) -> Truth:
    """Whether towers run data-parallel on the devices of tensor parallelism, which do not divide them.

    Each device then holds all of a tower and encodes whole images, tiles or pieces of sound: what vLLM does under
    ``--mm-encoder-tp-mode data``, SGLang under ``--mm-enable-dp-encoder``.
    """
    split = [np.asarray(holds(layout)) for holds in _towers(Same(program), phase)]
    if not split:
        return False
    apart = ~np.logical_and.reduce(np.broadcast_arrays(*split))
    return bool(apart) if apart.ndim == 0 else apart


@lru_cache(maxsize=64)
def _towers(program: Same[Program], phase: Phase) -> tuple[Holds, ...]:
    return tuple(condition.holds for condition in _axes(program.it, phase, towers=True))


def _axes(program: Program, phase: Phase, *, towers: bool) -> Iterator[Condition]:
    seen: set[tuple[str, int, int]] = set()
    mesh = Mesh(Layout(tp=2), phase)
    for group, op in program.in_phase(phase):
        if group.in_tower != towers:
            continue
        sizes = rebind(group.sizes({"B": 1, "T": 1, "S": 1, "M": 1, **program.sizes}), op.local)
        letters = [letter for letter in mesh.splits(group, op) if letter in ("K", "F")]
        letters += ["E"] if is_expert(op) and "E" in stored_letters(op) else []
        for letter in letters:
            size, groups = int(sizes[letter]), int(sizes.get("G", 1)) if letter == "K" else 1
            if (key := (letter + "of experts" * is_expert(op), size, groups)) not in seen:
                seen.add(key)
                yield _axis(letter, size, groups, is_expert(op))


@lru_cache(maxsize=1024)
def _axis(letter: str, size: int, groups: int, experts: bool) -> Condition:
    if letter == "K":
        return _heads(size, groups)
    if letter == "E":
        return Condition("ep", f"is more than twice the {size} experts", lambda x: x.ep <= 2 * size)
    if experts:
        problem = f"is split over the width {size} of an expert, which tp / ep must divide"
        return Condition("tp", problem, lambda x: size % (x.tp // np.minimum(x.tp, x.ep)) == 0)
    return Condition("tp", f"does not divide the feed-forward width {size}", lambda x: size % x.tp == 0)


def _heads(kv_heads: int, groups: int) -> Condition:
    """Whole key/value heads for each device, or one that several share, with whole query heads for each."""
    heads = kv_heads * groups
    whole = f"does not divide the {kv_heads} heads"
    problem = whole if groups == 1 else f"does not divide the {heads} query heads in {kv_heads} groups"
    return Condition("tp", problem, lambda x: (kv_heads % x.tp == 0) | ((x.tp % kv_heads == 0) & (heads % x.tp == 0)))
