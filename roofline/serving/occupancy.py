"""KV-cache occupancy while serving: how many sequences a device holds, each at its mean length in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from math import inf

import numpy as np

from roofline.classes import frozen
from roofline.cost.residency import FloatWidths, activation_peak, weights_bytes
from roofline.number import Grid, Number, as_float, exact
from roofline.program.axes import Sizes
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.traffic.lengths import Shown
from roofline.program.traffic.traffic import Traffic, in_flight, reserved_in_flight
from roofline.program.workload import Precision

MANY = 4096
"""So many sequences that all experts are touched."""

UNBOUNDED = 10**12
"""How many sequences fit where nothing that they hold grows."""


@frozen
class Line:
    """Bytes that grow with the sequences: ``constant`` and those of ``each``, once there are many; those of ``first``.

    Few sequences touch few experts, and may take less than many would say.
    """

    constant: float = 0.0
    each: float = 0.0
    first: float = 0.0

    def at(self, sequences: Grid) -> Grid:
        """The bytes of so many sequences."""
        return np.where(sequences <= 1, self.first, self.constant + self.each * sequences)

    def __add__(self, other: Line) -> Line:
        return Line(self.constant + other.constant, self.each + other.each, self.first + other.first)


@frozen
class Occupancy:
    """Bytes on a device that serves: weights and the cache of one longest sequence, then ``each`` further one's.

    Beside them are the activations of a step: of ``reading`` a prompt of each sequence, up to the ``most_read`` at
    once, or of ``decoding`` all. ``prompt`` are those of the cache of a mean prompt, which a pool that prefills hands
    over; ``encoding`` the activations of one request's images in the tower.
    """

    weights: float
    longest: float
    each: float
    reading: Line = Line()
    most_read: float = inf
    decoding: Line = Line()
    prompt: float = 0.0
    encoding: float = 0.0

    def beside(self, other: Occupancy) -> Occupancy:
        """Both on one device: a model and its draft."""
        return Occupancy(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def least(self) -> float:
        """What one sequence takes, the longest. [B]"""
        step = max(min(self.reading.first, self.most_read), self.decoding.first, self.encoding)
        return self.weights + self.longest + step

    def caches(self, sequences: Grid) -> Grid:
        """The caches of so many sequences, of which one is at its longest. [B]"""
        return np.asarray(self.longest + self.each * (sequences - 1))

    def activations(self, sequences: Grid) -> Grid:
        """The activations of a step of so many. [B]

        >>> Occupancy(10.0, 4.0, 2.0, reading=Line(0.0, 1.0, 1.0), most_read=2.0).activations(np.array([1, 2, 4]))
        array([1., 2., 2.])
        """
        step = np.maximum(np.minimum(self.reading.at(sequences), self.most_read), self.decoding.at(sequences))
        return np.asarray(np.maximum(step, self.encoding))

    def most(self, room: float) -> int:
        """The most sequences at once in ``room`` bytes; 0 where the weights and one do not fit.

        >>> Occupancy(weights=10.0, longest=4.0, each=2.0).most(20.0)  # 10 + 4 + 3 x 2
        4
        >>> Occupancy(10.0, 4.0, 2.0, reading=Line(0.0, 1.0, 1.0), most_read=2.0).most(20.0)  # two prompts at once
        3
        """
        left = room - self.weights - self.longest
        most = Line(self.most_read, first=self.most_read)
        read = max(self._within(left, self.reading), self._within(left, most))
        encoded = self._within(left, Line(self.encoding, first=self.encoding))
        return min(read, encoded, self._within(left, self.decoding))

    def _within(self, left: float, activations: Line) -> int:
        """How many sequences fit beside their activations; any number where none of them grow."""
        if activations.first > left:
            return 0
        if self.each + activations.each == 0:
            return UNBOUNDED
        return max(1, int((left - activations.constant + self.each) / (self.each + activations.each)))


def fullest(stages: Sequence[Occupancy], groups: int) -> Occupancy:
    """What no stage of a pipeline holds more of, by the sequences of one of ``groups`` whose caches all of them keep.

    Activations are those of the one group that a stage works at.

    >>> held = fullest([Occupancy(10.0, 4.0, 2.0), Occupancy(12.0, 3.0, 1.0)], groups=2)
    >>> held.weights, held.longest, held.each  # a sequence of each group is the first
    (12.0, 6.0, 4.0)
    """
    if len(stages) == 1:
        return stages[0]
    most = Occupancy(*(max((getattr(one, each.name) for one in stages), key=_size) for each in fields(Occupancy)))
    return replace(most, longest=most.longest + (groups - 1) * most.each, each=groups * most.each)


def _size(held: float | Line) -> float:
    return held if isinstance(held, int | float) else held.constant + held.each * MANY


def occupancies_of(
    program: Program,
    precision: Precision,
    traffic: Traffic,
    chunks: Sequence[int | None],
    kv_block: int = 1,
    *,
    prompts: bool = True,
    reserves: bool = False,
) -> list[Occupancy]:
    """What serving ``traffic`` holds with each of some chunks of prompts: weights, activations of a step, caches.

    Caches grow block by block, so sequences count at their mean length in flight, in whole blocks of ``kv_block``
    tokens, and one of them at its longest; where an engine ``reserves`` caches, at their whole length. What a shared
    prefix saves is not counted. Without ``prompts`` others read them, and no step has their activations. Chunks differ
    in the activations of prompts alone. [B]
    """
    lengths, weights = (reserved_in_flight if reserves else in_flight)(traffic)
    each = float(np.sum(weights * cache_of(program, precision, in_blocks(lengths, kv_block))))
    longest = float(cache_of(program, precision, in_blocks(np.array([float(traffic.longest)]), kv_block))[0])
    read = _reading(program, precision, traffic, chunks) if prompts else [(Line(), 0.0)] * len(chunks)
    decoding, _ = _line(program, precision, Phase.DECODE, 1, traffic.longest)
    mean = _mean_prompt(program, precision, traffic)
    seen = encoding_peak(program, precision, traffic.shown) if prompts else 0.0
    held = _weights(program, precision)
    return [Occupancy(held, longest, each, reading, most, decoding, mean, seen) for reading, most in read]


def in_blocks(lengths: Grid, kv_block: int) -> Grid:
    """The tokens that whole blocks of a cache have room for; a block of one token holds any mean.

    >>> in_blocks(np.array([1.0, 16.0, 17.0]), 16).tolist()
    [16.0, 16.0, 32.0]
    """
    return lengths if kv_block == 1 else np.asarray(np.ceil(lengths / kv_block) * kv_block)


def prefill_occupancy(program: Program, precision: Precision, traffic: Traffic) -> Occupancy:
    """What a replica holds that only reads prompts: weights, and for each prompt of a step its activations and caches.

    Towers encode what each request shows there.

    Any of them may be the longest. Its cache counts twice: one step's are handed over while the next one is computed.
    """
    longest = max(traffic.prompt.tokens)
    reading, _ = _line(program, precision, Phase.PREFILL, longest, longest)
    caches = 2 * float(cache_of(program, precision, np.array([float(longest)]))[0])
    mean = _mean_prompt(program, precision, traffic)
    seen = encoding_peak(program, precision, traffic.shown)
    return Occupancy(_weights(program, precision), caches, caches, reading, prompt=mean, encoding=seen)


def pass_occupancy(
    program: Program, precision: Precision, traffic: Traffic, phase: Phase, chunk: int | None, kv_block: int = 1
) -> Occupancy:
    """What a replica holds that reads ``traffic`` and generates nothing: weights, activations, caches of decoders.

    Any of what a pass reads may be the longest.
    """
    cut = chunk if phase is Phase.PREFILL else None
    ((reading, most_read),) = _reading(program, precision, traffic, [cut], phase)
    longest = in_blocks(np.array([float(max(traffic.prompt.tokens))]), kv_block)
    cache = float(cache_of(program, precision, longest)[0])
    return Occupancy(_weights(program, precision), cache, cache, reading, most_read if cut else inf)


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
        elements = np.asarray(program.resident(group, op, tensor, sizes), dtype=np.float64)
        held += elements * float(precision.width(tensor))
    return held


def encoding_peak(program: Program, precision: Precision, shown: Shown) -> float:
    """Activations of the images, or of the sound, of one request in the tower. [B]"""
    peaks = [0.0]
    for phase in shown.phases:
        sizes: dict[str, Number] = {letter: float(size) for letter, size in program.sizes.items()}
        sizes |= {letter: as_float(size) for letter, size in (shown.sizes(phase) or {}).items()}
        peaks.append(float(activation_peak(program, phase, sizes, FloatWidths(precision))))
    return max(peaks)


def _reading(
    program: Program,
    precision: Precision,
    traffic: Traffic,
    chunks: Sequence[int | None],
    phase: Phase = Phase.PREFILL,
) -> list[tuple[Line, float]]:
    """Activations of reading prompts as they arrive, and those of the most tokens of them that a step holds."""
    longest = max(traffic.prompt.tokens)
    pieces = [longest if chunk is None else min(chunk, longest) for chunk in chunks]
    at_once = [1.0 if chunk is None else chunk / piece for chunk, piece in zip(chunks, pieces, strict=True)]
    return _lines(program, precision, phase, pieces, longest, at_once)


def _line(program: Program, precision: Precision, phase: Phase, new: int, context: int) -> tuple[Line, float]:
    """Activations of a step by the sequences that it holds, and those of one."""
    return _lines(program, precision, phase, [new], context, [1.0])[0]


def _lines(
    program: Program, precision: Precision, phase: Phase, new: Sequence[int], context: int, also: Sequence[float]
) -> list[tuple[Line, float]]:
    """Activations of steps of so many ``new`` tokens by the sequences that they hold, and those of ``also`` so many."""
    sizes: dict[str, Number] = {letter: float(size) for letter, size in program.sizes.items()}
    sequences = np.array([[1.0, MANY, MANY + 1, more] for more in also])
    sizes |= {"B": sequences, "T": np.array(new, dtype=np.float64)[:, None], "S": float(context)}
    peaks = np.broadcast_to(np.asarray(activation_peak(program, phase, sizes, FloatWidths(precision))), sequences.shape)
    return [
        (Line(many - MANY * (more - many), more - many, first), asked) for first, many, more, asked in peaks.tolist()
    ]
