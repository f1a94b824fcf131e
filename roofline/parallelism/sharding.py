"""The program of one device among many: axes divided by their degrees, and the collectives that this implies.

An operator that contracts a split axis, or gathers from one, writes a partial sum. Wherever a tensor's layout as
written differs from its layout as read, a collective stands between:

    partial -> whole     all-reduce          partial -> split            reduce-scatter
    split -> whole       all-gather          split -> split elsewhere    all-to-all

Partial sums of one name, and such as one operator adds up, are added first and reduced once; what one operator gathers
by the same axes goes in one message. Attention to a part of a
cache writes a partial context, and the logarithm of its sum of exponents: gathered, the parts are weighed by them.
Prefill that goes on from a cache which is split by position gathers what the pieces before it left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.compression.quantization import is_scale
from roofline.number import Number, added, product
from roofline.parallelism.epilogues import with_epilogues
from roofline.parallelism.layout import (
    DIMS,
    TENSOR,
    Dims,
    Gathered,
    Layout,
    Mesh,
    Part,
    is_expert,
    positions,
    reads_positions,
    touched_letters,
)
from roofline.parallelism.split_axes import towers_apart
from roofline.program.axes import Binding, Sizes, resolve
from roofline.program.op import Count, Op, Tensor, Work, collective
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.transfers import Collective, Transfer
from roofline.program.workload import STORED_BYTES

PARTIAL, ROUTED = -1, -2
"""Places that are no axis: a partial sum; the experts that a token is sent to."""

Place: TypeAlias = int | None
_NONE: Dims = frozenset()
_ORDER: tuple[Collective, ...] = ("reduce_scatter", "all_reduce", "all_to_all", "all_gather")
"""Smaller messages first."""

_ROUTES = ("A", "E", "X")

PIPELINE = "pipeline"
"""The group of what the stages of a pipeline hand on."""


@frozen
class State:
    """How a tensor lies: place of an axis -> what splits it; over what it is a partial sum; who wrote it; whether it
    was gathered from several devices since."""

    split: Mapping[int, Dims]
    partial: Dims = _NONE
    writer: str = ""
    gathered: bool = False

    def where(self, dim: str) -> Place:
        """The place that ``dim`` splits, or None where its devices hold the same."""
        if dim in self.partial:
            return PARTIAL
        return next((place for place, dims in self.split.items() if dim in dims), None)

    def moved(self, dims: Dims, place: Place) -> State:
        """The state after a collective over ``dims`` that leaves them at ``place``."""
        split = {old: left for old, there in self.split.items() if (left := there - dims)}
        if place is not None and place != ROUTED:
            split[place] = split.get(place, _NONE) | dims
        return replace(self, split=split, partial=self.partial - dims)


@dataclass(slots=True)
class Flow:
    """The states of all tensors as a program runs on a mesh; operators, and collectives they need, join ``ops``.

    ``planned``: operators say themselves what devices share, since their axes have no meaning. ``dispatches``: what is
    sent to experts narrow. ``copies``: to how many experts each token goes.
    """

    mesh: Mesh
    states: dict[str, list[State]] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    planned: bool = False
    dispatches: tuple[str, ...] = ()
    copies: int = 1

    def run(self, group: Group, op: Op) -> None:
        """Bring what ``op`` reads into place, let it work on a device's part, and note how its output lies."""
        if self.planned:
            self._run_as_planned(op)
            return
        splits = self.mesh.splits(group, op)
        passed = self._passed(op)
        splits |= {"T": splits["T"] - passed} if "T" in splits else {}
        renamed = self._read(op, splits, passed)
        reads = tuple(renamed.get(tensor.name, tensor) for tensor in op.reads)
        work = tuple(self._masked(work, splits) for work in op.work)
        local = self.mesh.bindings(op, splits)
        own = replace(op, reads=reads, work=work, local=local, load=self.mesh.load(group, local))
        parts = splits.get("S") if self.mesh.phase.one_token and reads_positions(op, group) else None
        self.ops += self._weighed(own, parts) if parts else self._after_earlier(group, own)
        kept, noted = {tensor.name for tensor in op.writes}, set[str]()
        for part in (*op.parts, op):  # the kernel as a whole last, for what is of no part of it
            for tensor in part.writes:
                if tensor.name in kept and (part is not op or tensor.name not in noted):
                    self._write(op, part, tensor, splits, passed)
                    noted.add(tensor.name)

    def _run_as_planned(self, op: Op) -> None:
        """The operators that stand for one on each device, with their collectives, or itself, whole."""
        dims = self.mesh.active(TENSOR)
        for own in op.shared if dims else ():
            if own.kind == "collective":
                assert own.function in _ORDER, own.function
                transfer = self._transfer(own.function, dims)
                self.ops.append(replace(own, transfer=transfer, function=""))
                continue
            shares = self.mesh.shares(own)
            parts = tuple(
                replace(part, local=self.mesh.bindings(part, {x: d for x, d in shares_of.items() if x in part.local}))
                for part in own.parts
                for shares_of in (self.mesh.shares(part),)
            )
            self.ops.append(replace(own, local=self.mesh.bindings(own, shares), parts=parts))
        if not dims or not op.shared:
            self.ops.append(replace(op, shared=()))
        self.states |= {tensor.name: [State({}, _NONE, op.name)] for tensor in op.writes}

    def deliver(self, op: Op, tensor: Tensor) -> None:
        """Bring what ``op`` wrote to every device, whole."""
        bare = Op(self.states[tensor.name][-1].writer, "", (tensor,), (tensor,), local=op.local)
        self._read(bare, dict.fromkeys(tensor.letters, _NONE), _NONE)

    def settle(self, tensors: Sequence[Tensor]) -> None:
        """Bring what outlives a group into the layout of what flows from layer to layer."""
        for tensor in tensors:
            home = {letter: self.mesh.home(letter) for letter in tensor.letters}
            bare = Op(self.states[tensor.name][-1].writer, "", (tensor,), (tensor,))
            self._read(bare, home, _NONE)
            self.states[tensor.name] = [
                State({place: home[letter] for place, letter in enumerate(tensor.letters) if home[letter]})
            ]

    def held(self, tensor: Tensor, op: Op) -> dict[str, Binding]:
        """What binds the axes of what ``op`` wrote to the part of it that a device keeps, a partial sum reduced."""
        state = self.states[tensor.name][-1]
        places = enumerate(tensor.letters)
        split = {
            letter: self.mesh.home(letter) if state.partial else state.split.get(at, _NONE) for at, letter in places
        }
        parts: dict[str, Binding] = {
            letter: self._part(letter, dims, op) for letter, dims in split.items() if dims and letter != "B"
        }
        if across := split.get("A", _NONE) - TENSOR:
            parts["B"] = Gathered("B", self.mesh.count(across))  # pairs of the tokens of all replicas
        return {**op.local, **parts}

    def bring(
        self, tensor: Tensor, splits: Mapping[str, Dims], scattered: Dims, writer: str, local: Mapping[str, Binding]
    ) -> None:
        """Reduce a partial sum to where ``splits`` has it; over what it is ``scattered``, along its first axis."""
        wanted = {
            letter: dims | (scattered if place == 0 else _NONE) for place, (letter, dims) in enumerate(splits.items())
        }
        self._bring([tensor], wanted, Op(writer, "", (tensor,), (tensor,), local=local), _NONE)

    def gather(self, tensor: Tensor, splits: Mapping[str, Dims], rest: Dims, local: Mapping[str, Binding]) -> None:
        """Bring together what rests split over ``rest``, along its first axis, to where ``splits`` has it."""
        held = {place: dims | (rest if place == 0 else _NONE) for place, (_, dims) in enumerate(splits.items())}
        self.states[tensor.name] = [State(held)]
        self._bring([tensor], splits, Op(tensor.name, "", (tensor,), (tensor,), local=local), _NONE)

    def _passed(self, op: Op) -> Dims:
        """What a linear operator may leave partial: dimensions over which all that it adds up is partial.

        So is the backward pass of an embedding, which adds rows to those of its table.
        """
        scatters = op.kind == "embedding" and bool(op.writes[0].gradient_of)
        kept = op.reads[:1] if scatters else op.reads
        summands = [tensor for tensor in kept if scatters or set(op.writes[0].letters) <= set(tensor.letters)]
        states = [self.states[tensor.name][-1].partial for tensor in summands if tensor.name in self.states]
        return frozenset.intersection(*states) if (op.linear or scatters) and states else _NONE

    def _read(self, op: Op, splits: Mapping[str, Dims], passed: Dims) -> dict[str, Tensor]:
        """Ask for the collectives of all reads; returns what was gathered under another name."""
        sums: dict[Dims, list[Tensor]] = {}
        renamed: dict[str, Tensor] = {}
        sent: dict[tuple[Dims, str], int] = {}
        for tensor in op.reads:
            states = self.states.get(tensor.name, [])
            if tensor.role in ("weight", "index", "widened") or is_scale(tensor) or not states:
                continue  # a scale is that of what a device holds
            if not all(self._moves(state, tensor, splits, op, passed) for state in states):
                continue
            if states[-1].partial - passed and op.parts and _is_summand(op, tensor):
                sums.setdefault(states[-1].partial, []).append(tensor)
                continue
            alike = self._gathered(tensor, splits, op, passed)
            if alike is not None and alike in sent:
                self._widen(sent[alike], tensor, alike[0])
                continue
            renamed |= self._bring([tensor], splits, op, passed)
            if alike is not None:
                sent[alike] = len(self.ops) - 1
        for summands in sums.values():
            renamed |= self._bring(summands, splits, op, passed)
        return renamed

    def _gathered(self, tensor: Tensor, splits: Mapping[str, Dims], op: Op, passed: Dims) -> tuple[Dims, str] | None:
        """Over what an activation is gathered and by which axes: those alike but for their last go in one message."""
        moves = self._moves(self.states[tensor.name][-1], tensor, splits, op, passed)
        whole = [dims for (have, need), dims in moves.items() if _operation(have, need) == "all_gather"]
        if len(moves) != 1 or not whole or tensor.role != "activation":
            return None
        return whole[0], f"{' '.join(tensor.letters[:-1])} {tensor.dtype}"

    def _widen(self, place: int, tensor: Tensor, dims: Dims) -> None:
        """Let a collective, by its place among the operators, bring a further tensor too."""
        op, state = self.ops[place], self.states[tensor.name][-1]
        last, more = op.writes[0].letters[-1], tensor.letters[-1]
        widths = Together((op.local.get(last, last), op.local.get(more, more)))
        self.ops[place] = replace(op, local={**op.local, last: widths})
        self.states[tensor.name].append(state.moved(dims, None))

    def _moves(
        self, state: State, tensor: Tensor, splits: Mapping[str, Dims], op: Op, passed: Dims
    ) -> dict[tuple[Place, Place], Dims]:
        """(place as written, place as read) -> dimensions, of all that need a collective."""
        wanted: dict[str, Place] = {}
        if is_expert(op) and "A" not in tensor.letters:
            wanted = dict.fromkeys(splits.get("A", _NONE) | splits.get("X", _NONE), ROUTED)
        wanted |= {dim: place for place, letter in enumerate(tensor.letters) for dim in splits.get(letter, _NONE)}
        moves: dict[tuple[Place, Place], Dims] = {}
        for dim in self.mesh.active(frozenset(DIMS)) - passed:
            have, need = state.where(dim), wanted.get(dim)
            same = have == need or (need is not None and dim in state.split.get(need, _NONE))
            if have is not None and not same:
                key = (None, ROUTED) if need == ROUTED and have != PARTIAL else (have, need)
                moves[key] = moves.get(key, _NONE) | {dim}
        return moves

    def _bring(self, added: Sequence[Tensor], splits: Mapping[str, Dims], op: Op, passed: Dims) -> dict[str, Tensor]:
        """Collectives that bring a tensor, or the sum of several, to where ``op`` reads it."""
        tensor = added[0]
        states = [self.states[each.name][-1] for each in added]
        state = replace(states[0], writer="+".join(dict.fromkeys(each.writer for each in states)))
        output = tensor
        moves = self._moves(state, tensor, splits, op, passed)
        for operation in _ORDER:
            these = {key: dims for key, dims in moves.items() if _operation(*key) == operation}
            if not these:
                continue
            dims = frozenset[str]().union(*these.values())
            if tensor.role == "kv_cache" and operation == "all_gather" and "cp" in dims:
                output = Tensor(f"{tensor.name}.gathered", tensor.axes)
            after = state
            for (_, need), some in these.items():
                after = after.moved(some, need)
            after = replace(after, gathered=after.gathered or operation == "all_gather")
            self.ops.append(self._collective(operation, (state, after), tensor, output, dims, splits, op))
            state = after
        for each in added:
            self.states[each.name].append(state)
        return {} if output is tensor else {tensor.name: output}

    def _collective(
        self, operation: Collective, states: tuple[State, State], tensor: Tensor, output: Tensor, dims: Dims,
        splits: Mapping[str, Dims], op: Op,
    ) -> Op:  # fmt: skip
        """One collective over ``dims`` from one state to another; its axes are those that a device has afterwards.

        Of what is exchanged a device has as much before, and that is what is stated.
        """
        exchanged = operation == "all_to_all"
        state = states[0] if exchanged else states[1]
        local: dict[str, Binding] = dict(op.local)
        for place, letter in enumerate(tensor.letters):
            if (left := state.split.get(place, _NONE)) and letter != "B":
                scattered = left & dims - TENSOR if operation == "reduce_scatter" else _NONE
                local[letter] = self._scattered(letter, left - scattered, scattered, op)
        routes = state.split.get(tensor.letters.index("A"), _NONE) if "A" in tensor.letters else _NONE
        if across := routes & frozenset(("dp_e",)):
            local["B"] = Gathered("B", self.mesh.count(across))
        message = tensor
        if exchanged and is_expert(op) and "A" not in tensor.letters:
            message = Tensor(tensor.name, f"{tensor.axes} A")
            scale = next((each for each in op.reads if is_scale(each) and _is_of_groups(each, tensor)), None)
            if scale is not None and f"{tensor.dtype}:{scale.dtype}" in self.dispatches:
                message = replace(message, dtype=tensor.dtype)
                last, groups = tensor.letters[-1], scale.letters[-1]
                wider = STORED_BYTES[scale.dtype] / STORED_BYTES[tensor.dtype]
                local[last] = WithScales(local.get(last, last), local[groups], wider)
            local["A"] = self._part("A", (splits.get("A", _NONE) | splits.get("X", _NONE)) - dims, op)
        transfer = self._transfer(operation, dims)
        if transfer.dispatches and not self.mesh.phase.one_token:  # kernels for few tokens send each copy by itself
            transfer = replace(transfer, copies=self.copies)
        reduced = operation in ("all_reduce", "reduce_scatter")
        name = f"{state.writer if reduced else op.name}.{operation}"
        name += f"_{tensor.name}" if name in {made.name for made in self.ops} else ""
        sent = output if output is not tensor else message
        return replace(collective(name, transfer, message, output=sent), local=local)

    def _weighed(self, op: Op, dims: Dims) -> tuple[Op, Op]:
        """Attention to a part of a cache, and what its context is weighed by: the logarithm of each head's sum."""
        heads: list[str] = [letter for letter in ("K", "G") if letter in op.writes[0].letters]
        sums = Tensor(f"{op.name}_lse", " ".join(["B T", *heads]), dtype="fp32")
        own = {letter: op.local[letter] for letter in heads if letter in op.local}
        gathered = collective(f"{op.name}.all_gather_lse", self._transfer("all_gather", dims), sums)
        gathered = replace(gathered, local={**own, "T": Gathered("T", self.mesh.count(dims))})
        return replace(op, writes=(*op.writes, sums)), gathered

    def _after_earlier(self, group: Group, op: Op) -> Iterator[Op]:
        """An operator, after the collectives that bring it a cache of earlier tokens which is split by position."""
        dims, known = self.mesh.kept_apart, {each.name for each in self.ops}
        for tensor in op.reads if dims and not self.mesh.phase.one_token else ():
            name = f"{tensor.name}.all_gather_earlier"
            if tensor.role == "kv_cache" and positions(tensor, group, op) and name not in known:
                earlier = Tensor(f"{tensor.name}.earlier", tensor.axes)
                bound = {**op.local, "S": Earlier(op.local.get("S", "S"))}
                gathered = collective(name, self._transfer("all_gather", dims), tensor, output=earlier)
                yield replace(gathered, local=bound)
        yield op

    def _transfer(self, operation: Collective, dims: Dims) -> Transfer:
        return Transfer(operation, self.mesh.count(dims), self.mesh.stride(dims), self.mesh.over(dims))

    def _part(self, letter: str, dims: Dims, op: Op) -> Part:
        heads = op.local.get("K", "K") if letter in ("K", "G") and dims & TENSOR else None
        return Part(op.local.get(letter, letter), letter, self.mesh.count(dims), heads)

    def _scattered(self, letter: str, dims: Dims, scattered: Dims, op: Op) -> Part:
        """A part of what a device has of an axis: heads and experts come whole, elements of a sum in equal parts."""
        if not scattered:
            return self._part(letter, dims, op)
        own: Binding = self._part(letter, dims, op) if dims else op.local.get(letter, letter)
        return Part(own, "", self.mesh.count(scattered))

    def _write(self, op: Op, part: Op, tensor: Tensor, splits: Mapping[str, Dims], passed: Dims) -> None:
        """Note how an output lies: split as its axes are, partial over what its inputs lost."""
        split = {place: splits[letter] for place, letter in enumerate(tensor.letters) if splits.get(letter)}
        known = set(tensor.letters) | (set(_ROUTES) if "A" in tensor.letters else set())
        inputs = list(touched_letters(part))
        if part.kind == "embedding":
            inputs += [letter for read in part.reads for letter in read.stored.split()]
        lost = frozenset(dim for letter in inputs if letter not in known for dim in splits.get(letter, ()))
        partial = (lost | passed) - frozenset(dim for dims in split.values() for dim in dims)
        self.states[tensor.name] = [State(split, partial, op.name)]

    def _masked(self, work: Work, splits: Mapping[str, Dims]) -> Work:
        """Work under a mask: a device attends to its part of the whole's pairs, neither the first nor the last."""
        degrees = {letter: self.mesh.count(splits[letter]) for letter in ("T", "S") if splits.get(letter)}
        if work.pairs is None or not degrees:
            return work
        return replace(work, pairs=SharedPairs(work.pairs, degrees))


@frozen
class Together:
    """Axes of tensors that go in one message, one after the other."""

    parts: tuple[Binding, ...]

    def __call__(self, sizes: Sizes) -> Number:
        """The size of all."""
        return added(resolve(part, sizes) for part in self.parts)


@frozen
class WithScales:
    """An axis and the scales of its groups, in one message; ``wider``: the width of a scale, in elements."""

    own: Binding
    groups: Binding
    wider: Fraction

    def __call__(self, sizes: Sizes) -> Number:
        """The size of both, in elements of the axis."""
        return resolve(self.own, sizes) + self.wider * resolve(self.groups, sizes)


@frozen
class Earlier:
    """The tokens of a context that are no new ones."""

    context: Binding

    def __call__(self, sizes: Sizes) -> Number:
        """How many there are."""
        return resolve(self.context, sizes) - resolve("T", sizes)


@frozen
class SharedPairs:
    """A device's part of the attended pairs, where tokens are dealt out so that all have as many."""

    whole: Count
    degrees: Mapping[str, Number]

    def __call__(self, sizes: Sizes) -> Number:
        """The pairs of the whole, divided."""
        grown = {letter: sizes[letter] * degree for letter, degree in self.degrees.items()}
        return self.whole({**sizes, **grown}) / product(self.degrees.values())


def shard(program: Program, layout: Layout) -> Program:
    """The program of one device of each pipeline stage, one stage after the other, with all collectives.

    Sizes B, T and S stay those of the whole, but for B, which is that of a replica.
    """
    groups = [group for phase in program.phases for group in shard_phase(program, layout, phase).groups]
    resting = (group for group in program.groups if not group.phases)
    return replace(program, groups=(*groups, *resting))


def mesh_of(program: Program, layout: Layout, phase: Phase, like: Layout | None = None) -> Mesh:
    """The devices of a stage in a phase of a program; those of a tower that they do not divide have it whole each.

    ``like`` are layouts that are alike in this too.
    """
    apart = np.asarray(towers_apart(program, phase, like or layout))
    return Mesh(layout, phase, like, apart=bool(apart.flat[0]))


def shard_phase(program: Program, layout: Layout, phase: Phase, like: Layout | None = None) -> Program:
    """The same of one phase; for several layouts in arrays, with the collectives of some that are alike, if given."""
    groups = [group for group in program.groups if phase in group.phases]
    copies = experts_of_a_token(program)
    mesh = mesh_of(program, layout, phase, like)
    flow = Flow(mesh, planned=program.anonymous, dispatches=program.dispatches, copies=copies)
    said = _unread(groups)
    sharded: list[Group] = []
    for index, group in enumerate(groups):
        flow.ops = []
        for op in group.ops:
            flow.run(group, op)
        outlives = read_first(groups[index + 1 :]) | (read_first([group]) if group.stacked else set())
        written = {tensor.name: tensor for op in group.ops for tensor in op.writes if tensor.role == "activation"}
        flow.settle([tensor for name, tensor in written.items() if name in outlives])
        if group.in_tower and not group.stacked:  # what a tower says, the decoder reads on every device
            last = {tensor.name: (op, tensor) for op in group.ops for tensor in op.writes}
            for name, writing in last.items():
                if said.get(name) == group.name:
                    flow.deliver(*writing)
        local = flow.mesh.group_bindings(group)
        sharded.append(replace(group, ops=with_epilogues(flow.ops), phases=(phase,), local=local))
    return replace(program, groups=(*sharded, *sends(groups, layout, flow)))


def experts_of_a_token(program: Program) -> int:
    """To how many experts a router sends each token; 1 where there is none."""
    return program.sizes.get("A", 1)


def read_first(groups: Sequence[Group]) -> set[str]:
    """Names that are read before they are written."""
    written: set[str] = set()
    found: set[str] = set()
    for group in groups:
        for op in group.ops:
            found |= {tensor.name for tensor in op.reads} - written
            written |= {tensor.name for tensor in op.writes}
    return found


def _unread(groups: Sequence[Group]) -> dict[str, str]:
    """Names that nothing reads once they are written for the last time, and the group that writes them."""
    found: dict[str, str] = {}
    for group in groups:
        for op in group.ops:
            for tensor in op.reads:
                found.pop(tensor.name, None)
            found |= {tensor.name: group.name for tensor in op.writes}
    return found


def sends(groups: Sequence[Group], layout: Layout, flow: Flow) -> list[Group]:
    """What the stages of a pipeline hand on: whatever one layer leaves to the next."""
    layers = [group for group in groups if group.stacked]
    if not layers or not flow.mesh.active_stages:
        return []
    if flow.planned:
        handed = [
            each
            for op, tensor, more in _left_behind(layers)
            for each in (_sent(tensor, layout, flow, op.local), *_made_anew(op, tensor, more))
        ]
        return [Group(PIPELINE, tuple(handed), layout.pp - 1, (flow.mesh.phase,))]
    carried = read_first(layers[-1:])
    tensors = {t.name: t for op in layers[-1].ops for t in op.writes if t.role == "activation" and t.name in carried}
    sends = []
    for tensor in tensors.values():
        local: dict[str, Binding] = {
            letter: Part(letter, letter, flow.mesh.count(dims))
            for letter in tensor.letters
            if letter != "B" and (dims := flow.mesh.home(letter))
        }
        sends.append(_sent(tensor, layout, flow, local))
    return [Group(PIPELINE, tuple(sends), layout.pp - 1, (flow.mesh.phase,))]


def _sent(tensor: Tensor, layout: Layout, flow: Flow, local: Mapping[str, Binding]) -> Op:
    transfer = Transfer("send", layout.pp, flow.mesh.count(frozenset(DIMS)), "pp")
    return replace(collective(f"send_{tensor.name}", transfer, tensor), local=local)


def _made_anew(op: Op, sent: Tensor, more: tuple[Tensor, ...]) -> Iterator[Op]:
    """What a stage makes of what it received: of a sum and its norm, which one kernel writes, the norm."""
    if more:
        yield replace(op, name=f"{op.name}.again", reads=(sent,), writes=more, parts=(), shared=())


def _left_behind(layers: Sequence[Group]) -> Iterator[tuple[Op, Tensor, tuple[Tensor, ...]]]:
    """What layers of a traced module leave to the next: of an operator one tensor, and more that are made of that.

    What all layers read, and none of them writes, such as rotations, goes from stage to stage too.
    """
    usual = max(layers, key=lambda group: int(group.layers({})))  # the last layer may be another: no norm follows
    carried, known = set[str]().union(*(read_first([group]) for group in layers)), set[str]()
    for op in usual.ops:
        own = [tensor for tensor in op.writes if tensor.role == "activation" and tensor.name in carried]
        known |= {tensor.name for tensor in own}
        if own:
            yield op, own[0], tuple(own[1:])
    first = read_first(layers) - {tensor.name for group in layers for op in group.ops for tensor in op.writes}
    for op in (op for group in layers for op in group.ops):
        for tensor in op.reads:
            if tensor.role == "activation" and tensor.name in first - known:
                known.add(tensor.name)
                yield op, tensor, ()


def _is_of_groups(scale: Tensor, tensor: Tensor) -> bool:
    """Whether a tensor has the scales of groups of the last axis of another."""
    return len(scale.letters) == len(tensor.letters) and scale.letters[:-1] == tensor.letters[:-1]


def _is_summand(op: Op, tensor: Tensor) -> bool:
    """Whether a fused operator does nothing with ``tensor`` but add it up."""
    return all(part.linear for part in op.parts if tensor.name in {read.name for read in part.reads})


def _operation(have: Place, need: Place) -> Collective:
    if have == PARTIAL:
        return "all_reduce" if need is None or need == ROUTED else "reduce_scatter"
    return "all_gather" if need is None else "all_to_all"
