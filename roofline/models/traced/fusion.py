"""Which calls become one kernel: elementwise work, norms and gathers that hang together between two heavy operators.

A level is the number of heavy operators (contractions, attention, sorts) that lie before a call. Calls of one level
that pass values to each other are one kernel, as a graph compiler makes of them: no kernel then waits for itself, since
what lies behind a heavy operator has a higher level.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from roofline.classes import frozen
from roofline.models.traced.calls import Access, Call, Recording
from roofline.models.traced.extents import ONE, Extent


@frozen
class Kernel:
    """Calls that run as one, and what they read from and leave in memory."""

    calls: tuple[Call, ...]
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]

    @property
    def main(self) -> Call:
        """The call that the kernel is named after: the first in a module that holds no other, else the last."""
        own = [call for call in self.calls if call.leaf and call.path]
        return own[0] if own else self.calls[-1]


def kernels_of(calls: Sequence[Call], used: frozenset[int], recording: Recording) -> list[Kernel]:
    """The kernels of calls in the order in which they can run; ``used`` are the values that are read elsewhere."""
    levels = _levels(calls, recording.again)
    parts: dict[tuple[int, bool, int], list[Call]] = {}
    owners = _owners(calls, levels)
    for call in calls:
        parts.setdefault((levels[call.place], call.heavy, owners[call.place]), []).append(call)
    readers = _readers(calls)
    return [_kernel(parts[key], used, readers, recording) for key in sorted(parts)]


def cut(kernel: Kernel, behind: Collection[int], recording: Recording) -> list[Kernel]:
    """A kernel in parts, of which each reads what stands complete ``behind`` the one before it alone."""
    after: dict[int, int] = {}
    parts: dict[int, list[Call]] = {}
    for call in kernel.calls:
        level = max((after.get(access.value, 0) for access in call.reads), default=0)
        parts.setdefault(level, []).append(call)
        after.update({access.value: level + (access.value in behind) for access in call.writes})
    if len(parts) == 1:
        return [kernel]
    used = frozenset(access.value for access in kernel.writes) | frozenset(behind)
    readers = _readers(kernel.calls)
    return [_kernel(parts[level], used, readers, recording) for level in sorted(parts)]


def alone(call: Call, recording: Recording) -> Kernel:
    """A call as a kernel by itself, as eager torch runs it."""
    reads = call.reads if call.shape is not None else tuple(_joined(call.reads, recording))
    return Kernel((call,), reads, tuple(_joined(call.writes, recording)))


def _levels(calls: Sequence[Call], again: frozenset[int]) -> dict[int, int]:
    """Call -> its level; what is made ``again`` runs where it is first read."""
    after: dict[int, int] = {}
    levels = {}
    for call in calls:
        level = max((after.get(access.value, 0) for access in call.reads), default=0)
        levels[call.place] = level
        for access in call.writes:
            after[access.value] = level + call.heavy
    readers = _readers(calls) if again else {}
    for call in reversed(calls):
        read = {place for access in call.writes for place in readers.get(access.value, ())}
        if call.place in again and read:
            levels[call.place] = min(levels[place] for place in read)
    return levels


def _owners(calls: Sequence[Call], levels: dict[int, int]) -> dict[int, int]:
    """Call -> the first call of the kernel that it belongs to."""
    owner = {call.place: call.place for call in calls}
    writer: dict[int, Call] = {}

    def find(place: int) -> int:
        while owner[place] != place:
            place = owner[place]
        return place

    for call in calls:
        for access in call.reads:
            source = writer.get(access.value)
            if source and not source.heavy and not call.heavy and levels[source.place] == levels[call.place]:
                first, second = sorted((find(source.place), find(call.place)))
                owner[second] = first
        writer.update({access.value: call for access in call.writes})
    return {call.place: find(call.place) for call in calls}


def _readers(calls: Sequence[Call]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for call in calls:
        for access in call.reads:
            found.setdefault(access.value, set()).add(call.place)
    return found


def _kernel(calls: list[Call], used: frozenset[int], readers: dict[int, set[int]], recording: Recording) -> Kernel:
    own = {call.place for call in calls}
    inside = {access.value for call in calls for access in call.writes}
    reads = [access for call in calls for access in call.reads if access.value not in inside]
    kept = [
        access
        for call in calls
        for access in call.writes
        if access.value in used or readers.get(access.value, set()) - own or recording.values[access.value].name
    ]
    if not kept:
        kept = [calls[-1].writes[0]]
    if len(calls) == 1 and calls[0].shape is not None:
        return Kernel(tuple(calls), calls[0].reads, tuple(kept))
    return Kernel(tuple(calls), tuple(_joined(reads, recording)), tuple(_joined(kept, recording)))


def _joined(accesses: Sequence[Access], recording: Recording) -> list[Access]:
    """Each storage once: all of it where it is touched as a whole, else its different parts together."""
    by_storage: dict[int, dict[str, Access]] = {}
    for access in accesses:
        by_storage.setdefault(recording.values[access.value].storage, {}).setdefault(access.part, access)
    return [_union(list(parts.values()), recording) for parts in by_storage.values()]


def _union(parts: Sequence[Access], recording: Recording) -> Access:
    first = parts[0]
    whole = recording.values[first.value].whole
    for part in parts:
        if part.elements == whole:
            return part
    if len(parts) == 1:
        return first
    together = Extent("min", (whole, Extent("sum", tuple(part.elements for part in parts))))
    return Access(first.value, together, together, ONE)
