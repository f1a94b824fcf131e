"""Tensor, pipeline, data, expert, context, decode context and sequence parallelism: axis -> degree.

Which collectives that implies is derived in ``sharding.py``.

| parallelism | splits | in |
|---|---|---|
| tensor | K, then G where key/value heads are fewer; F; V | projections, attention, feed-forward, tables |
| sequence | T | what tensor parallelism leaves whole: norms, residuals, routers |
| data | B | everything: replicas |
| expert | E | experts, on the devices of tensor, then of data parallelism |
| context | T of new tokens, S of a cache | everything |
| decode context | S of a cache, in place of K and G | attention of one new token, on the devices of tensor |
| pipeline | L | stages |

Sources: Megatron-LM (arXiv 1909.08053), section 3; Narayanan et al. 2021 (arXiv 2104.04473), section 3; Korthikanti et
al. 2022 (arXiv 2205.05198), section 4.2; GShard (arXiv 2006.16668), section 3; Llama 3 (arXiv 2407.21783), section 3.3;
Bhatia et al. 2025, Helix parallelism (arXiv 2507.07120), section 2.1, for attention whose cache is split by position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import cache, lru_cache
from math import gcd
from types import EllipsisType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.errors import ShapeError, UsageError
from roofline.identity import Same
from roofline.layers.expert_load import Routing, Touched
from roofline.number import Number, ceil_div, maximum, minimum, product
from roofline.parallelism.dimensions import DEGREES, Degree, devices_of
from roofline.program.axes import ANONYMOUS, PART, SHARED, Binding, Sizes, rebind, resolve
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group

Dims: TypeAlias = frozenset[str]
"""Dimensions of the mesh of devices."""

Rows: TypeAlias = int | NDArray[np.bool_] | NDArray[np.int64] | tuple[EllipsisType | None, ...]
"""Which of the layouts in arrays: one, those of a mask or of places, or all, along new last axes."""

MAX_DEGREE = 1_000_000

TENSOR, _EXPERT, _CONTEXT = (frozenset(names.split()) for names in ("tp_fs tp_f tp_es tp_e", "tp_es tp_e dp_e", "cp"))
_CACHE = frozenset(("tp_fs", "tp_es"))
_NONE: Dims = frozenset()


@frozen
class Layout:
    """Degrees of tensor, pipeline, data, expert, context, decode context and sequence parallelism.

    Numbers, or int arrays of one shape, a layout each. Experts have no devices of their own: ep divides tp x dp. A
    cache is split by position over dcp of the tp devices that would hold it alike. Sequences are split over the devices
    of tensor parallelism, where sp is tp, or not, where it is 1.
    """

    tp: Degree = 1
    pp: Degree = 1
    dp: Degree = 1
    ep: Degree = 1
    cp: Degree = 1
    dcp: Degree = 1
    sp: Degree = 1

    @property
    def devices(self) -> Degree:
        """How many devices the layout takes."""
        return devices_of(self.to_dict())

    def redundant_experts(self, experts: int) -> Degree:
        """How many further places there are for copies of ``experts``, of which each device of ep holds as many.

        >>> Layout(dp=72, ep=72).redundant_experts(256)  # four on each device
        32
        """
        return -(-experts // self.ep) * self.ep - experts

    @property
    def stage_devices(self) -> Degree:
        """How many devices a pipeline stage takes."""
        return self.devices // self.pp

    @classmethod
    def of(cls, **degrees: int) -> Layout:
        """A layout from flags, 1 where one is left out. Raises UsageError for a degree that is none."""
        for name, degree in degrees.items():
            if not isinstance(degree, int) or isinstance(degree, bool) or not 1 <= degree <= MAX_DEGREE:
                msg = f"{name} {degree!r}: expected a whole number from 1 to {MAX_DEGREE:,}"
                raise UsageError(msg)
        layout = cls(**degrees)
        if layout.sp not in (1, layout.tp):
            over = "sequences are split over the devices of tensor parallelism"
            msg = f"sp {layout.sp}: {over}; expected 1 or tp, which is {layout.tp}"
            raise UsageError(msg)
        return layout

    @classmethod
    def stacked(cls, layouts: Sequence[Layout]) -> Layout:
        """Layouts of numbers, or of arrays of one axis, as one of arrays."""
        columns = ([np.atleast_1d(getattr(layout, flag)) for layout in layouts] for flag in DEGREES)
        return cls(*(np.concatenate([np.zeros(0, dtype=np.int64), *column]) for column in columns))

    def at(self, rows: Rows) -> Layout:
        """Some of the layouts in arrays, by a mask or as numpy indexes; one of them, of plain numbers, by its row."""
        picked = (np.asarray(degree)[rows] for degree in self.to_dict().values())
        return Layout(*(int(degree) if np.ndim(degree) == 0 else degree for degree in picked))

    def to_dict(self) -> dict[str, Degree]:
        """The degrees by flag."""
        return {flag: getattr(self, flag) for flag in DEGREES}

    def __str__(self) -> str:
        """Degrees above 1: ``tp 8, pp 2``."""
        return ", ".join(f"{name} {degree}" for name, degree in self.to_dict().items() if degree > 1) or "one device"


def _fewer(a: Degree, b: Degree) -> Degree:
    """``minimum`` of degrees, which is a degree."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    fewer: NDArray[np.int64] = np.minimum(a, b)
    return fewer


def _shared(a: Degree, b: Degree) -> Degree:
    """The greatest common divisor, which is a degree."""
    if isinstance(a, int) and isinstance(b, int):
        return gcd(a, b)
    shared: NDArray[np.int64] = np.gcd(a, b)
    return shared


def _widths(x: Layout) -> Degree:
    """Over how many tensor-parallel devices the width of an expert is split."""
    return x.tp // _fewer(x.tp, x.ep)


def replicas(x: Layout) -> Degree:
    """How many devices hold the same experts, among those of data parallelism."""
    return x.dp // _fewer(x.ep // _fewer(x.tp, x.ep), x.dp)


def _positions(x: Layout) -> Degree:
    """Over how many of those a cache is split by position: neighbours first."""
    return _shared(x.dcp, _widths(x))


@frozen
class MeshDimension:
    """A dimension of the devices of a pipeline stage, the flag that it serves, for people, and how many it counts."""

    name: str
    flag: str
    count: Callable[[Layout], Degree]


MESH = (
    MeshDimension("tp_fs", "tp", _positions),
    MeshDimension("tp_f", "tp", lambda x: _widths(x) // _positions(x)),
    MeshDimension("tp_es", "tp", lambda x: x.dcp // _positions(x)),
    MeshDimension("tp_e", "tp", lambda x: _fewer(x.tp, x.ep) // (x.dcp // _positions(x))),
    MeshDimension("cp", "cp", lambda x: x.cp),
    MeshDimension("dp_e", "ep", lambda x: x.ep // _fewer(x.tp, x.ep)),
    MeshDimension("dp_r", "dp", replicas),
    MeshDimension("dp_g", "dp", lambda x: 1),
)
"""Neighbours first. Experts take tp_es and tp_e of the tensor and dp_e of the data parallel devices; their widths are
split over tp_fs and tp_f, a cache by position over tp_fs and tp_es, and dp_r are replicas. Where
what rests is split within groups of these, dp_r counts those of a group and dp_g the groups."""

DIMS = tuple(dim.name for dim in MESH)


@frozen
class Mesh:
    """The devices of one pipeline stage in a phase: which of their dimensions split an axis in an operator.

    ``like``: those of several layouts in arrays that have the collectives which are wanted; None: all. ``several``: the
    dimensions that count more than one device in any of these. ``groups``: into how many groups replicas come apart,
    which divides them. ``apart``: whole sequences are dealt out over the devices of tensor parallelism, each of which
    has all weights of the phase: towers that these do not divide.
    """

    layout: Layout
    phase: Phase
    like: Layout | None = None
    groups: Degree = 1
    apart: bool = False
    several: Dims = field(init=False)

    def __post_init__(self) -> None:
        sizes = _sizes_of(Same(self._wanted), Same(self.groups))
        several = frozenset(dim for dim, count in sizes.items() if np.any(np.asarray(count) > 1))
        object.__setattr__(self, "several", several)

    @property
    def _wanted(self) -> Layout:
        return self.like or self.layout

    def active(self, dims: Dims) -> Dims:
        """``dims`` without those that count one device, in every layout if there are several."""
        return dims & self.several

    def count(self, dims: Dims) -> Number:
        """How many devices ``dims`` span."""
        return _span_of(Same(self.layout), Same(self.groups), _with_single(dims, self.several))

    @staticmethod
    def over(dims: Dims) -> str:
        """The kinds of parallelism that ``dims`` serve, for people."""
        if dims and dims <= _CACHE:
            return "dcp"
        return "+".join(dict.fromkeys(dim.flag for dim in MESH if dim.name in dims))

    def stride(self, dims: Dims) -> Number:
        """How far apart neighbours in ``dims`` are numbered."""
        return self.count(frozenset(DIMS[: min(DIMS.index(dim) for dim in dims)]))

    @property
    def active_stages(self) -> bool:
        """Whether there is a pipeline, in any layout."""
        return bool(np.any(np.asarray(self.layout.pp) > 1))

    def home(self, letter: str) -> Dims:
        """What splits an axis of the activations that flow from layer to layer."""
        if self.apart:
            return self.active(TENSOR | {"dp_e"}) if letter == "B" else _NONE
        if letter == "B":  # of a request each replica has its own; a training step has one batch for all of them
            return self.active(frozenset(("dp_e", "dp_r", "dp_g")) if self.phase.trains else frozenset(("dp_e",)))
        if letter == "T" and not self.phase.one_token:
            return self.active(_CONTEXT | (TENSOR if np.any(np.asarray(self._wanted.sp) > 1) else _NONE))
        return _NONE

    def splits(self, group: Group, op: Op) -> dict[str, Dims]:
        """Axis -> the dimensions that split it in ``op``; an axis that nothing splits is absent."""
        asked, heads = _asked_of(Same(group), Same(op)), self._heads(group, op)
        if self.apart:
            return {"B": home} if "B" in asked.meant and (home := self.home("B")) else {}
        experts, meant = asked.expert, asked.meant
        found: dict[str, Dims] = {}
        for letter, meaning in asked.split:
            read_whole = letter in asked.touched or op.kind == "attention"
            if not (meaning == "S" and not self.phase.one_token and read_whole):
                found[letter] = heads[meaning] if meaning in heads else self._split(meaning, experts)
        if "K" not in found:
            found.pop("G", None)
        if experts and asked.combines:  # what experts say goes back to where its token lives
            found |= {"A": found.get("A", _NONE) - self._tokens, "B": self.home("B")}
            return {
                letter: dims - (TENSOR - _EXPERT) if letter == "T" else dims for letter, dims in found.items() if dims
            }
        if experts or any(found[letter] & TENSOR for letter in found if letter != "T" and meant[letter] != "S"):
            found = {letter: dims - TENSOR if letter == "T" else dims for letter, dims in found.items()}
        return {letter: dims for letter, dims in found.items() if dims}

    @property
    def kept_apart(self) -> Dims:
        """The tensor-parallel devices over which a cache is split by position."""
        return self.active(_CACHE)

    def _heads(self, group: Group, op: Op) -> dict[str, Dims]:
        """K and G -> what splits them. Whose cache is split by position attend to a part of it with all their heads.

        The heads of a cache are whole on the devices that share it: query heads of each group are split further. Heads
        of a recurrent state and of a tower have no cache by position, and are split over all devices.
        """
        every, shared = self.active(TENSOR), self.kept_apart
        if not shared:
            return {"K": every, "G": every}
        if self.phase.one_token and reads_positions(op, group):
            return {"K": every - shared, "G": every - shared}
        return {"K": every - shared if _keeps_grouped(Same(group)) else every, "G": every}

    @property
    def _tokens(self) -> Dims:
        return self.home("B") | self.home("T")

    def _split(self, meaning: str, experts: bool) -> Dims:
        """What splits an axis where nothing speaks against it."""
        if meaning in ("A", "E", "X"):
            return self.active(_EXPERT) if experts else _NONE
        if meaning == "F":
            return self.active(TENSOR - (_EXPERT if experts else _NONE))
        if meaning == "V":
            return self.active(TENSOR)
        if meaning == "S":
            return self.active(_CONTEXT | _CACHE)
        return self.home("B") - _EXPERT if meaning == "B" and experts else self.home(meaning)

    def bindings(self, op: Op, splits: dict[str, Dims]) -> dict[str, Binding]:
        """What ``op`` binds on one device: each axis divided by its degree; experts see the tokens of all replicas."""
        heads = op.local.get("K", "K")
        parts: dict[str, Binding] = {
            letter: Part(op.local.get(letter, letter), letter, self.count(dims), heads if dims & TENSOR else None)
            for letter, dims in splits.items()
            if letter != "B"
        }
        if self.apart and "B" in splits:
            parts["B"] = Dealt(op.local.get("B", "B"), self.count(splits["B"] & TENSOR))
        if across := (splits.get("A", _NONE) | splits.get("X", _NONE)) - TENSOR:
            each = parts.get("A")
            parts["B"] = Gathered("B", self.count(across), each)
            if isinstance(each, Part):
                parts["A"] = EachReceived(each)
        groups: dict[str, Binding] = {
            x: Within(bound, parts)
            for x, bound in op.local.items()
            if x.islower() and callable(bound) and not x.startswith(ANONYMOUS)
        }
        if "k" in groups:  # keys that a token of the whole sequence sees on average, however its tokens are split
            attended = op.local["k"]
            groups["k"] = Part(attended, "k", self.count(splits["S"])) if "S" in splits else attended
        return {**op.local, **parts, **groups}

    def shares(self, op: Op) -> dict[str, Dims]:
        """What splits the axes of an operator whose axes have no meaning: those that a plan has split, and heads."""
        dims = self.active(TENSOR)
        split = [x for x in stored_letters(op) if x.startswith(SHARED) or x in ("K", "G")]
        return dict.fromkeys(split, dims) if dims else {}

    def group_bindings(self, group: Group) -> dict[str, Binding]:
        """A group's own letters; the experts touched are those of all the tokens that reach its devices."""
        touched = group.local.get("X")
        if not callable(touched):
            return dict(group.local)
        return {**group.local, "X": self._reached(touched)}

    def load(self, group: Group, local: Mapping[str, Binding]) -> dict[str, Binding]:
        """What an operator with these bindings binds on the device with the fullest load, where loads are uneven."""
        touched = group.local.get("X")
        if not isinstance(touched, Touched):
            return {}
        parts = {letter: part for letter in ("A", "X") if isinstance(part := local.get(letter), Part | EachReceived)}
        reached = self._reached(touched)
        return {letter: Fullest(letter, touched.routing, part, reached) for letter, part in parts.items()}

    def _reached(self, touched: Callable[[Sizes], Number]) -> Reached:
        part = 1 if self.phase.one_token else self.layout.cp
        return Reached(touched, self.count(frozenset(("dp_e",))), part, self.count(_EXPERT))


@lru_cache(maxsize=64)
def _sizes_of(layout: Same[Layout], groups: Same[Degree]) -> Mapping[str, Degree]:
    """Dimension -> how many devices it counts: one array each, so that operators that are split alike are equal."""
    sizes = {dim.name: dim.count(layout.it) for dim in MESH}
    if isinstance(groups.it, int) and groups.it == 1:
        return sizes
    return {**sizes, "dp_r": sizes["dp_r"] // groups.it, "dp_g": groups.it}


@cache
def _with_single(dims: Dims, several: Dims) -> Dims:
    """``dims`` with those of their flags that count one device: layouts that differ in these alone are split alike."""
    flags = {dim.flag for dim in MESH if dim.name in dims}
    return dims | {dim.name for dim in MESH if dim.flag in flags and dim.name not in several}


@lru_cache(maxsize=1024)
def _span_of(layout: Same[Layout], groups: Same[Degree], dims: Dims) -> Number:
    """How many devices ``dims`` span, one array too."""
    sizes = _sizes_of(layout, groups)
    return product(sizes[dim] for dim in DIMS if dim in dims)


@frozen
class Part:
    """A device's part of an axis; of key/value heads one at the least.

    A vocabulary is padded to equal parts, experts are filled up to equal numbers by copies.

    heads: what is split is K, or G where K are fewer than devices, and how many K there are.
    """

    whole: Binding
    letter: str
    degree: Number
    heads: Binding | None = None

    def __call__(self, sizes: Sizes) -> Number:
        """The size of the part."""
        size = resolve(self.whole, sizes)
        if self.letter in ("V", "E") or (self.letter.startswith(SHARED) and not self.letter.startswith(PART)):
            return ceil_div(size, self.degree)
        if self.heads is not None and self.letter in ("K", "G"):
            shared = minimum(resolve(self.heads, sizes), self.degree)
            part: Number = size / (shared if self.letter == "K" else self.degree / shared)
            return part
        split: Number = size / self.degree
        return split


@frozen
class Dealt:
    """Whole sequences that are dealt out over devices: those of the device that has most."""

    whole: Binding
    degree: Number

    def __call__(self, sizes: Sizes) -> Number:
        """How many there are."""
        return ceil_div(resolve(self.whole, sizes), self.degree)


@frozen
class Fullest:
    """A letter of experts, A or X, on the device with most pairs of token and expert, of those that share them.

    ``even``: the letter under an even load; ``reached``: how the tokens at hand become all that are sent to those
    devices.
    """

    letter: str
    routing: Routing
    even: Part | EachReceived
    reached: Reached

    def __call__(self, sizes: Sizes) -> Number:
        """The experts touched, or the pairs of each token."""
        whole = self.reached.all_of(sizes)
        part = self.even if isinstance(self.even, Part) else self.even.each
        load = self.routing.load(whole, part.degree, resolve("E", sizes))
        if self.letter == "X":
            return load.touched
        tokens = whole["B"] * whole["T"]
        return load.pairs / (tokens if part is self.even else tokens * minimum(1, part(sizes)))


@frozen
class Within:
    """A number of groups of elements, of a device's part of them."""

    whole: Callable[[Sizes], Number]
    parts: Mapping[str, Binding]

    def __call__(self, sizes: Sizes) -> Number:
        """The number of groups."""
        return self.whole(rebind(sizes, self.parts))


@frozen
class Gathered:
    """An axis that several devices bring together; of tokens those that come to one, which works on ``each`` of them
    for so many experts: none comes twice, nor where it has none.
    """

    letter: str
    factor: Number
    each: Binding | None = None

    def __call__(self, sizes: Sizes) -> Number:
        """The size of the whole, or of what comes of it."""
        whole = resolve(self.letter, sizes) * self.factor
        return whole if self.each is None else whole * minimum(1, resolve(self.each, sizes))


@frozen
class EachReceived:
    """For how many experts a device works on each token that came to it: ``each`` is on average of all tokens."""

    each: Part

    def __call__(self, sizes: Sizes) -> Number:
        """One at least."""
        return maximum(1, self.each(sizes))


@frozen
class Reached:
    """A size that follows from the tokens at hand: those of ``replicas``, of each sequence one of ``parts``.

    Experts are as many as ``devices`` hold together: copies count as further experts, each with its part of the tokens,
    which touches no fewer of them than if some experts alone had copies. Where a routing places experts by their load,
    it says itself which have copies.
    """

    whole: Callable[[Sizes], Number]
    replicas: Number
    parts: Number
    devices: Number

    def __call__(self, sizes: Sizes) -> Number:
        """The size for these tokens."""
        return self.whole(self.all_of(sizes))

    def all_of(self, sizes: Sizes) -> Sizes:
        """The sizes with the tokens that reach a device's experts."""
        tokens = {"B": resolve("B", sizes) * self.replicas, "T": resolve("T", sizes) / self.parts}
        return {**sizes, **tokens, "E": ceil_div(resolve("E", sizes), self.devices) * self.devices}


def is_expert(op: Op) -> bool:
    """Whether an operator works on what a router has sent to experts; the router itself scores all E of them."""
    scored = any({"T", "E"} <= set(tensor.letters) for tensor in op.reads)
    return not scored and any(letter in ("A", "X") for tensor in op.reads for letter in tensor.letters)


def _combines(op: Op) -> bool:
    """Whether an operator of experts adds up, or deals out, what they say of a token, and has no weights of theirs."""
    tensors = [set(tensor.letters) for tensor in (*op.reads, *op.writes) if tensor.letters]  # but a scale of all
    return not any(letters & {"E", "X"} for letters in tensors) and not all("A" in letters for letters in tensors)


@lru_cache(maxsize=1024)
def _keeps_grouped(group: Same[Group]) -> bool:
    """Whether query heads come in groups, each with a key/value head of its own in a cache by position."""
    ops = group.it.ops
    kept = any(tensor.role == "kv_cache" for op in ops for tensor in (*op.reads, *op.writes))
    return kept and any("G" in stored_letters(op) for op in ops)


def reads_positions(op: Op, group: Group) -> bool:
    """Whether an operator is attention over the positions of a cache."""
    return op.kind == "attention" and any(
        tensor.role == "kv_cache" and positions(tensor, group, op) for tensor in op.reads
    )


def positions(tensor: Tensor, group: Group, op: Op) -> bool:
    """Whether an operator touches all positions of a tensor, the new ones and those before them."""
    return any(_meaning(letter, group, op) == "S" for letter in tensor.letters)


@frozen
class _Asked:
    """What of an operator says how it may be split, whatever the layout.

    What each letter stands for, and of those that it does not run over as a whole, with their letters; those that it
    touches; whether it works on what a router has sent to experts, and adds up what they say.
    """

    meant: Mapping[str, str]
    split: tuple[tuple[str, str], ...]
    touched: frozenset[str]
    expert: bool
    combines: bool


@lru_cache(maxsize=4096)
def _asked_of(group: Same[Group], op: Same[Op]) -> _Asked:
    _check_mixed(op.it)
    touched = frozenset(touched_letters(op.it))
    meant = {letter: _meaning(letter, group.it, op.it) for letter in stored_letters(op.it)}
    if "W" in meant and "W" not in touched:  # a cache that has room for a window of positions
        meant["W"] = "S"
    mixed = set() if op.it.kind == "attention" else {meant[letter] for letter in op.it.mixes.split()}
    split = tuple((letter, meaning) for letter, meaning in meant.items() if meaning not in mixed)
    return _Asked(meant, split, touched, is_expert(op.it), _combines(op.it))


def _check_mixed(op: Op) -> None:
    """Raises ShapeError for a norm or a softmax that does not state what it runs over: its layout is not known."""
    if (
        op.kind in ("norm", "softmax")
        and not op.parts
        and not op.mixes
        and any(work.unit != "matrix" for work in op.work)
    ):
        msg = f"{op.name}: a {op.kind} that states no mixes, the axes that it runs over, cannot be spread over devices"
        raise ShapeError(msg)


def touched_letters(op: Op) -> tuple[str, ...]:
    """The axes that an operator touches, each once."""
    tensors = [*op.reads, *op.writes, *(tensor for part in op.parts for tensor in (*part.reads, *part.writes))]
    work = [letter for work in op.work for letter in work.axes]
    return tuple(dict.fromkeys([letter for tensor in tensors for letter in tensor.letters] + work))


def stored_letters(op: Op) -> tuple[str, ...]:
    """The axes that an operator touches, and those of what it leaves or finds in memory."""
    stored = [letter for tensor in (*op.reads, *op.writes) for letter in tensor.stored.split()]
    return tuple(dict.fromkeys([*touched_letters(op), *stored]))


def _meaning(letter: str, group: Group, op: Op) -> str:
    """The letter that ``letter`` stands for in ``op``; nothing that can be split where a length is a plain number."""
    for local in (op.local, group.local):
        binding = local.get(letter)
        if isinstance(binding, str):
            letter = binding
        elif letter in ("T", "S") and binding is not None and not callable(binding):
            return ""
    return letter
