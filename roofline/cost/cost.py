"""What a program costs under sizes and a precision, operator by operator: counts, no hardware."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import lru_cache, partial
from typing import Protocol

import numpy as np

from roofline.classes import frozen
from roofline.cost.eager_kernels import kernels_of
from roofline.cost.kernel_shapes import Shape, shape_of
from roofline.cost.polynomials import Evaluation, Whole, polynomials
from roofline.engines.engine import Engine
from roofline.identity import Same
from roofline.number import Number, as_fraction, exact, is_remembering, uniform
from roofline.program.axes import Sizes
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.transfers import Transfer, bus_bytes
from roofline.program.workload import Precision

_KEPT_AFTER = 3
"""How often counts are worked out before polynomials pay."""

_MADE = 2048
"""How many costs of a program's decode steps are kept."""


@frozen
class Cost:
    """One execution of an operator, and how many there are in a step.

    flops: contractions. vector_flops: elementwise work. special: transcendental operations. bytes: compulsory traffic.
    dtype: what its contractions run in. shape: what its kernel spreads over a device. kernels: the costs of what eager
    torch runs instead, counted when asked for. decoding: whether it belongs to a decode step. alone: whether it is run
    by itself, so that a last-level cache may still hold all of it from the run before; weight_sets: of how many equal
    sets of weights those runs take turns, 0 where the weights of each are new. A collective has a
    transfer, the bytes of its message, and those that each device sends over its link. replayed: 1 where an engine
    replays it from a graph, 0 where the host launches it, None where that is the machine's to say; padded: what its
    kernel computes where that graph holds more tokens than the step, None where it is the same. host_s: what the host
    does for a step, of a cost that is no operator's; ahead: while the device runs the one before. joined: whether the
    kernel of a collective computes it too; beside: whether a graph runs it beside others. hosted_bytes: what it reads
    of the host's memory. halves: 2 where it is run for each half of a step's tokens, which ``count`` has, so that the
    other half computes while this one's are sent. even_flops: of experts under an uneven load, what devices contract on
    average, where ``flops`` are the fullest's.
    """

    group: str
    name: str
    kind: str
    dtype: str
    count: Number
    flops: Number
    vector_flops: Number
    special: Number
    bytes: Number
    shape: Shape = None
    decoding: bool = False
    alone: bool = False
    kernels: Callable[[], tuple[Cost, ...]] | None = field(default=None, compare=False, repr=False)
    transfer: Transfer | None = None
    message_bytes: Number = 0
    link_bytes: Number = 0
    replayed: Number | None = None
    padded: Cost | None = None
    host_s: Number | None = None
    ahead: bool = False
    joined: bool = False
    beside: bool = False
    hosted_bytes: Number = 0
    halves: Number = 1
    even_flops: Number | None = None
    weight_sets: Number = 0

    @property
    def mean_flops(self) -> Number:
        """FLOPs of contractions, as a mean over the devices that share them."""
        return self.flops if self.even_flops is None else self.even_flops

    def in_halves(self, halves: Number) -> Cost:
        """The same once for each of so many halves, where ``self`` is what one of them costs."""
        return replace(self, count=self.count * halves, halves=halves)


def step_cost(
    program: Program, phase: Phase, sizes: Sizes, precision: Precision, engine: Engine | None = None
) -> tuple[Cost, ...]:
    """The cost of each operator in one step of ``phase``; ``sizes`` holds B, T and S, the program the rest.

    Costs are exact where sizes are ints or Fractions, arrays where they are arrays, formulas where they are symbols.
    With an ``engine``, they say how it launches the step, and what its kernels compute of a padded batch.
    """
    return _step(_counts_of(Same(program), phase, precision, tuple(sizes)), sizes, engine)


def costs_of(
    stated: Sequence[tuple[Group, Op]], fixed: Mapping[str, int], phase: Phase, sizes: Sizes, precision: Precision,
    engine: Engine | None = None,
) -> tuple[Cost, ...]:  # fmt: skip
    """The same of operators with their groups, which need not be those of one program; ``fixed`` are its sizes."""
    return _step(_Counts(fixed, phase, precision, tuple(sizes), tuple(stated)), sizes, engine)


def _step(counts: _Counts, sizes: Sizes, engine: Engine | None) -> tuple[Cost, ...]:
    bind, phase = uniform(like=sizes.values()), counts.phase
    bound: dict[str, Number] = {letter: bind(size) for letter, size in counts.fixed.items()}
    bound |= {letter: size if isinstance(size, np.ndarray) else bind(size) for letter, size in sizes.items()}
    whole = bound if engine is None else _captured(engine, phase, bound)
    cost, padded = counts.at(bound), counts.at(whole)
    replayed = None if engine is None else engine.replays(phase, _tokens(phase, bound))
    found = tuple(
        cost(place, replayed, None if whole is bound or op.sees_context else padded(place))
        for place, (_, op) in enumerate(counts.stated)
    )
    if engine is None:
        return found
    if engine.two_batches:
        found = _cut(found, counts, bound, engine, replayed)
    return (*found, *host_costs(engine, bound["B"]))


def _cut(
    found: tuple[Cost, ...], counts: _Counts, bound: Sizes, engine: Engine, replayed: Number | None
) -> tuple[Cost, ...]:
    """The costs of a step, with those of layers that dispatch tokens once for each half of it."""
    halves = engine.halves(counts.phase, _tokens(counts.phase, bound))
    if isinstance(halves, int) and halves == 1:
        return found
    half = {**bound, "B": exact(bound["B"]) / halves}
    whole = _captured(engine, counts.phase, half)
    cost, padded = counts.at(half), counts.at(whole)

    def one(place: int, op: Op) -> Cost:
        own = cost(place, replayed, None if whole is half or op.sees_context else padded(place))
        return own.in_halves(halves)

    return tuple(
        one(place, op) if group.dispatches else each
        for place, ((group, op), each) in enumerate(zip(counts.stated, found, strict=True))
    )


class _At(Protocol):
    """The cost of an operator of a step by its place, how it is launched, and what its kernel computes beyond."""

    def __call__(self, place: int, replayed: Number | None = None, padded: Cost | None = None, /) -> Cost: ...


@dataclass(slots=True)
class _Counts:
    """The costs of the operators of a step for any batch and lengths: asked for again, they are kept as polynomials.

    ``made``: costs of decode steps by what they depend on. Most of a step is the same at any context, and what is the
    same object is timed once.
    """

    fixed: Mapping[str, int]
    phase: Phase
    precision: Precision
    letters: tuple[str, ...]
    stated: tuple[tuple[Group, Op], ...]
    asked: int = 0
    kept: tuple[_Kept | None, ...] = ()
    made: dict[tuple[object, ...], Cost] = field(default_factory=dict)

    def at(self, bound: Sizes) -> _At:
        """The costs at these sizes, each worked out when it is asked for."""
        values = [bound[letter] for letter in self.letters]
        arrays = {place for place, size in enumerate(values) if isinstance(size, np.ndarray)}
        numbers = [size for size in values if isinstance(size, int | Fraction | float)]
        self.asked += 1
        if self.asked <= _KEPT_AFTER or len(numbers) + len(arrays) < len(values):
            return self._directly(bound)
        self.kept = self.kept or self._polynomials()
        exact_values = [0 if place in arrays else _whole(size) for place, size in enumerate(values)]
        broken = {place for place, value in enumerate(exact_values) if isinstance(value, Fraction)}
        directly = self._directly(bound)

        def cost(place: int, replayed: Number | None = None, padded: Cost | None = None) -> Cost:
            known, (group, _) = self.kept[place], self.stated[place]
            if known is None or known.letters & arrays or (arrays and (known.letters & broken or not known.dyadic)):
                return directly(place, replayed, padded)
            own = (place, padded is None, bool(arrays), replayed, *(exact_values[letter] for letter in known.letters))
            recurs = self.phase.one_token and (replayed is None or isinstance(replayed, int))
            if recurs and (made := self.made.get(own)) is not None and made.padded is padded:
                return made
            try:
                found = known.at(exact_values, group.sizes(bound), as_floats=bool(arrays))(replayed, padded)
            except OverflowError:
                return directly(place, replayed, padded)
            if recurs:
                self._keep(own, found)
            return found

        return cost

    def _keep(self, made_of: tuple[object, ...], cost: Cost) -> None:
        if len(self.made) >= _MADE:
            self.made.clear()
        self.made[made_of] = cost

    def _directly(self, bound: Sizes) -> _At:
        def cost(place: int, replayed: Number | None = None, padded: Cost | None = None) -> Cost:
            found = self._cost(place, bound)
            return found if replayed is None and padded is None else replace(found, replayed=replayed, padded=padded)

        return cost

    def _cost(self, place: int, bound: Sizes) -> Cost:
        group, op = self.stated[place]
        named = (self.precision, group.name, group.times(bound))
        return operator_cost(op, group.sizes(bound), *named, decoding=self.phase.one_token)

    def _polynomials(self) -> tuple[_Kept | None, ...]:
        lettered = {letter: exact(size) for letter, size in self.fixed.items()}
        lettered |= dict(zip(self.letters, polynomials(len(self.letters)), strict=True))
        return tuple(self._polynomial(place, lettered) for place in range(len(self.stated)))

    def _polynomial(self, place: int, lettered: Sizes) -> _Kept | None:
        try:
            known = _Kept.of(self._cost(place, lettered))
        except TypeError:  # a window, touched experts: no polynomial, and counted anew each time
            return None
        _, op = self.stated[place]
        shares = (tensor.share.denominator for tensor in (*op.reads, *op.writes))
        return replace(known, dyadic=known.dyadic and all(part & (part - 1) == 0 for part in shares))


@lru_cache(maxsize=256)
def _counts_of(program: Same[Program], phase: Phase, precision: Precision, letters: tuple[str, ...]) -> _Counts:
    return _Counts(program.it.sizes, phase, precision, letters, tuple(program.it.in_phase(phase)))


def _whole(size: Number) -> Whole:
    found = as_fraction(size)
    return found.numerator if found.denominator == 1 else found


@frozen
class _Kept:
    """A cost whose counts are polynomials of batch and lengths; ``letters`` are the places of those that it has.

    ``dyadic``: floats have the coefficients of all exactly, and the terms that are added up to them.
    """

    cost: Cost
    letters: frozenset[int]
    dyadic: bool
    counts: tuple[Evaluation, ...]
    shape: tuple[Evaluation, ...]

    @classmethod
    def of(cls, cost: Cost) -> _Kept:
        """A cost in letters, ready for any values of them."""
        counts = (cost.count, cost.flops, cost.vector_flops, cost.special, cost.bytes, cost.message_bytes)
        shape = () if cost.shape is None else tuple(getattr(cost.shape, each.name) for each in fields(cost.shape))
        found = [Evaluation.of(number) for number in (*counts, cost.link_bytes, cost.hosted_bytes, *shape)]
        letters = frozenset[int]().union(*(each.letters for each in found))
        return cls(cost, letters, all(each.dyadic for each in found), tuple(found[:8]), tuple(found[8:]))

    def at(self, values: Sequence[Whole], sizes: Sizes, *, as_floats: bool) -> Callable[..., Cost]:
        """The cost at values of the letters, but for how it is launched.

        ``sizes`` holds them and all others, for the kernels of eager torch. Raises OverflowError where numbers beside
        arrays are too large to be floats.
        """
        c, number = self.cost, Evaluation.as_float if as_floats else Evaluation.__call__
        count, flops, vector_flops, special, moved, message, link, hosted = [
            number(each, values) for each in self.counts
        ]
        shape: Shape = None
        if c.shape is not None:
            make: Callable[..., Shape] = type(c.shape)
            shape = make(*[number(each, values) for each in self.shape])
        assert isinstance(c.kernels, Kernels)
        kernels = Kernels(c.kernels.op, sizes, c.kernels.precision, c.group, count, c.decoding)
        return partial(
            Cost, c.group, c.name, c.kind, c.dtype, count, flops, vector_flops, special, moved, shape, c.decoding,
            c.alone, kernels, c.transfer, message, link, joined=c.joined, beside=c.beside, hosted_bytes=hosted,
        )  # fmt: skip


def launched(costs: Iterable[Cost], engine: Engine, phase: Phase, tokens: Number, requests: Number) -> tuple[Cost, ...]:
    """The costs of a step of so many tokens and requests, with how ``engine`` launches it, and its host's time last."""
    replayed = engine.replays(phase, tokens)
    return (*(replace(cost, replayed=replayed) for cost in costs), *host_costs(engine, requests))


def host_costs(engine: Engine, requests: Number) -> tuple[Cost, ...]:
    """What the host of ``engine`` does for a step of so many requests; nothing where it states none."""
    if not (engine.host_step or engine.host_request):
        return ()
    named, seconds = ("host", "host", "host", ""), engine.host_s(requests)
    return (Cost(*named, 1, 0, 0, 0, 0, host_s=seconds, ahead=engine.host_ahead),)


def _tokens(phase: Phase, sizes: Sizes) -> Number:
    return sizes["B"] if phase.one_token else sizes["B"] * sizes["T"]


def _captured(engine: Engine, phase: Phase, bound: Sizes) -> Sizes:
    """The sizes that a replayed decode step is padded to; ``bound`` itself where it is as captured.

    A prompt that is replayed in pieces is padded by less than a tile and counts as it is.
    """
    batch = engine.padded(phase, bound["B"]) if phase.one_token else bound["B"]
    same = batch is bound["B"] or (not is_remembering(batch) and bool(np.all(np.asarray(batch == bound["B"]))))
    return bound if same else {**bound, "B": batch}


def operator_cost(
    op: Op, sizes: Sizes, precision: Precision, group: str = "", count: Number = 1, *, decoding: bool = False
) -> Cost:
    """The cost of one execution of ``op``, under its load."""
    bind, even = uniform(like=sizes.values()), op.flops(sizes) if op.load else None
    op = op.loaded

    def width(tensor: Tensor) -> Number:
        return bind(precision.width(tensor))

    message = op.message_bytes(sizes, width) if op.transfer else 0
    return Cost(
        group=group,
        name=op.name,
        kind=op.kind,
        dtype=precision.compute_dtype(op),
        count=count,
        flops=op.flops(sizes),
        vector_flops=op.vector_flops(sizes),
        special=op.special(sizes),
        bytes=op.transfer.traffic(message) if op.transfer else op.bytes(sizes, width),
        shape=shape_of(op, sizes, width),
        decoding=decoding,
        kernels=Kernels(op, sizes, precision, group, count, decoding),
        transfer=op.transfer,
        message_bytes=message,
        link_bytes=bus_bytes(op.transfer.operation, message, op.transfer.devices) if op.transfer else 0,
        joined=op.joins == "found",
        beside=op.beside,
        hosted_bytes=op.hosted_bytes(sizes, width),
        even_flops=even,
    )


@frozen
class Kernels:
    """What eager torch runs for an operator, counted when it is asked for."""

    op: Op
    sizes: Sizes
    precision: Precision
    group: str
    count: Number
    decoding: bool

    def __call__(self) -> tuple[Cost, ...]:
        """The cost of each kernel."""
        asked = (self.sizes, self.precision, self.group, self.count)
        return tuple(operator_cost(kernel, *asked, decoding=self.decoding) for kernel in kernels_of(self.op))
