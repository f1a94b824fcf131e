"""Groups of a traced program: layers that are alike become one that repeats, and their tensors bear one name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from roofline.classes import frozen
from roofline.models.traced.blocks import Segment, fused_across, segments_of
from roofline.models.traced.calls import Recording
from roofline.models.traced.fusion import Kernel, alone, kernels_of


@frozen
class Part:
    """Kernels that run ``repeat`` times in a row: a layer, or what lies between layers. ``home`` is its module.

    ``shared``: every time with the same weights. ``first``: the number of its first layer; -1 between layers.
    ``weights``: for each weight of the first, those of all that stand in its place. ``backward``: of which pass it is.
    """

    name: str
    home: str
    kernels: tuple[Kernel, ...]
    repeat: int = 1
    shared: bool = False
    first: int = -1
    weights: tuple[tuple[int, ...], ...] = ()
    backward: bool = False


@frozen
class Folded:
    """The parts of a program in order; ``same``: storage -> the one whose name it bears."""

    parts: tuple[Part, ...]
    same: dict[int, int]


def folded(recording: Recording, *, repeats: bool = True, fused: bool = True) -> Folded:
    """The parts of a recording, layers in a row that are alike as one, or each by itself without ``repeats``.

    ``fused``: whether calls that hang together are one kernel; else each is one.
    """
    passes = [fused_across(list(segments_of(calls, recording.blocks))) for calls in recording.passes]
    runs_of = [list(_runs(own, recording)) if repeats else [[segment] for segment in own] for own in passes]
    segments, runs = [segment for own in passes for segment in own], [run for own in runs_of for run in own]
    same = _Same()
    for run in runs:
        first, *others = [_storages(segment, recording) for segment in run]
        for other in others:
            for one, another in zip(first, other, strict=True):
                same.join(one, another)
    owners = _read_in(segments)
    names = [name for own in runs_of for name in _names(own)]
    parts = [
        replace(_part(run, name, owners, recording, fused=fused), backward=place >= len(runs_of[0]))
        for place, (run, name) in enumerate(zip(runs, names, strict=True))
    ]
    return Folded(tuple(parts), {value.storage: same.first(value.storage) for value in recording.values})


class _Same:
    """Storages that bear one name."""

    def __init__(self) -> None:
        self._of: dict[int, int] = {}

    def first(self, storage: int) -> int:
        while self._of.get(storage, storage) != storage:
            storage = self._of[storage]
        return storage

    def join(self, one: int, other: int) -> None:
        self._of.setdefault(self.first(other), self.first(one))
        self._of[self.first(other)] = self.first(one)


def _runs(segments: Sequence[Segment], recording: Recording) -> Iterator[list[Segment]]:
    """Segments in rows of such that are alike."""
    run: list[Segment] = []
    look: object = None
    for segment in segments:
        own = _look(segment, recording) if segment.block else None
        if run and own is not None and own == look and _go_together(run, segment, recording):
            run.append(segment)
            continue
        if run:
            yield run
        run, look = [segment], own
    if run:
        yield run


def _go_together(run: Sequence[Segment], segment: Segment, recording: Recording) -> bool:
    """Whether a segment is a layer of the same list: each weight is another's than all before, or always the same."""
    if run[0].block.rpartition(".")[0] != segment.block.rpartition(".")[0]:
        return False
    places = zip(
        zip(*(_weights(each, recording) for each in run), strict=True), _weights(segment, recording), strict=True
    )
    return all(_is_next(before, own) for before, own in places)


def _is_next(before: Sequence[int], own: int) -> bool:
    if len(before) == 1:
        return True
    return own == before[0] if before[0] == before[1] else own not in before


def _look(segment: Segment, recording: Recording) -> tuple[object, ...]:
    """What a segment computes, whatever its layer is called and whatever its tensors are."""
    places: dict[int, int] = {}
    found: list[object] = []
    for call in segment.calls:
        touched = []
        for access in (*call.reads, *call.writes):
            value = recording.values[access.value]
            kept = value.role if value.role in ("weight", "index") else ""
            place = places.setdefault(value.storage, len(places))
            touched.append((place, id(access.elements), kept, value.dtype))
        found.append((call.name, tuple(touched), id(call.vector), call.shape))
    return tuple(found)


def _storages(segment: Segment, recording: Recording, *, weights: bool = False) -> list[int]:
    """The storages that a segment touches, in order: its weights, or all others."""
    touched = (recording.values[a.value] for call in segment.calls for a in (*call.reads, *call.writes))
    return list(dict.fromkeys(value.storage for value in touched if (value.role == "weight") == weights))


def _weights(segment: Segment, recording: Recording) -> list[int]:
    return _storages(segment, recording, weights=True)


def _read_in(segments: Sequence[Segment]) -> dict[int, set[int]]:
    """Value -> the segments that read it."""
    found: dict[int, set[int]] = {}
    for place, segment in enumerate(segments):
        for call in segment.calls:
            for access in call.reads:
                found.setdefault(access.value, set()).add(place)
    return found


def _part(run: Sequence[Segment], name: str, owners: dict[int, set[int]], recording: Recording, *, fused: bool) -> Part:
    """A run of segments as one part: what any of them leaves for others, the first does."""
    first = run[0]
    used = {
        position
        for segment in run
        for position, value in enumerate(_written(segment))
        if value in recording.returned or _elsewhere(value, segment, owners)
    }
    outside = frozenset(value for position, value in enumerate(_written(first)) if position in used)
    if fused:
        kernels = kernels_of(first.calls, outside, recording)
    else:
        kernels = [alone(call, recording) for call in first.calls if call.writes]
    number = first.block.rpartition(".")[2]
    weights = tuple(zip(*(_weights(segment, recording) for segment in run), strict=True))
    shared = len(run) > 1 and bool(weights) and all(len(set(place)) == 1 for place in weights)
    layer = int(number) if number.isdigit() else -1
    return Part(name, first.home, tuple(kernels), len(run), shared, layer, weights)


def _written(segment: Segment) -> list[int]:
    return [access.value for call in segment.calls for access in call.writes]


def _elsewhere(value: int, segment: Segment, owners: dict[int, set[int]]) -> bool:
    """Whether another segment reads a value: more segments than one do, or one without the call that wrote it."""
    readers = owners.get(value, set())
    own = any(value == access.value for call in segment.calls for access in call.reads)
    return len(readers) > 1 or (bool(readers) and not own)


def _names(runs: Sequence[Sequence[Segment]]) -> list[str]:
    """A name for each part: its list of layers, with their numbers where there are several; else its module."""
    bases = [_base(run[0], place, len(runs)) for place, run in enumerate(runs)]
    names: list[str] = []
    for run, base in zip(runs, bases, strict=True):
        several = bases.count(base) > 1 and run[0].block
        name = f"{base}.{_numbers(run)}" if several else base
        names.append(unique(name, names))
    return names


def _base(segment: Segment, place: int, parts: int) -> str:
    if segment.block:
        return segment.block.rpartition(".")[0] or "layers"
    if segment.home:
        return segment.home
    return "start" if place == 0 else "end" if place == parts - 1 else "between"


def _numbers(run: Sequence[Segment]) -> str:
    ends = [segment.block.rpartition(".")[2] for segment in (run[0], run[-1])]
    return ends[0] if ends[0] == ends[1] else "-".join(ends)


def unique(name: str, taken: Iterable[str]) -> str:
    """``name``, with a number behind it if it is taken."""
    known = set(taken)
    if name not in known:
        return name
    return next(each for number in range(2, len(known) + 3) if (each := f"{name}.{number}") not in known)
