"""Kernels as operators of a program: tensors with axes of their own, whose sizes are expressions of the letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from roofline.classes import frozen
from roofline.layers.attention import attention
from roofline.models.traced.blocks import short_name
from roofline.models.traced.calls import (
    ATTENTION_BACKWARD,
    GROUPED,
    Access,
    Attended,
    Call,
    Contraction,
    Recording,
    Value,
)
from roofline.models.traced.extents import NOTHING, ONE, Extent
from roofline.models.traced.fusion import Kernel, alone, cut
from roofline.models.traced.spread import WHOLE, Spread
from roofline.number import Number, exact, power
from roofline.program.axes import ANONYMOUS, PART, SHARED, Binding, Sizes
from roofline.program.backward import backward, gradient
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Role, Tensor, Unit, Work, contract
from roofline.program.training import saving


@dataclass(slots=True)
class Namer:
    """What the tensors of a part are called: weights within its module, all else by who wrote it.

    ``gradients``: storages of gradients of weights, each with the weight's; ``weights``: names that those have in the
    forward pass, where there is a backward pass.
    """

    recording: Recording
    same: Mapping[int, int]
    names: Mapping[int, str]
    fed: frozenset[int]
    tied: frozenset[int]
    gradients: Mapping[int, int] = field(default_factory=dict)
    weights: dict[int, str] = field(default_factory=dict)
    home: str = ""
    spread: Spread = WHOLE

    def tensor(
        self, access: Access, axes: str, local: dict[str, Extent], *, written: bool = False, shared: bool = False
    ) -> Tensor:
        """A tensor of these axes; ``shared``: on one of the devices that it is spread over."""
        value = self.recording.values[access.value]
        if value.role == "weight":
            tied, name = value.storage in self.tied, self.weight_name(value)
            whole = f"{SHARED if shared and value.storage in self.spread.weights else ANONYMOUS}{name.lower()}"
            local[whole] = value.whole
            return Tensor(name, axes, "weight", whole, tied, value.dtype)
        if value.storage in self.gradients:
            return gradient(Tensor(self.weights[self.gradients[value.storage]], axes))
        name, stored = self.name(access), ""
        if value.role == "kv_cache":
            stored = f"{SHARED if shared and access.value in self.spread.split else ANONYMOUS}{name.lower()}"
            local[stored] = value.whole
        return Tensor(name, axes, self._role(access, written), stored, dtype=value.dtype)

    def weight_name(self, value: Value) -> str:
        """The name of a weight: within its module, or as a whole where several parts read it."""
        if value.storage in self.weights:
            return self.weights[value.storage]
        tied = value.storage in self.tied
        return value.name if tied else short_name(value.name, self.home, self.recording.blocks)

    def name(self, access: Access) -> str:
        """The name of a tensor that is no weight, nor the gradient of one."""
        value = self.recording.values[access.value]
        return value.name or self.names[self.same[value.storage]]

    def _role(self, access: Access, written: bool) -> Role:
        value = self.recording.values[access.value]
        fed = value.role == "activation" and self.same[value.storage] in self.fed and not written
        return "input" if fed else value.role


@dataclass(slots=True)
class _Statement:
    """The sizes of an operator's own axes, and its tensors; ``mark`` tells the axes of one of its parts apart.

    ``shared``: which axis devices of tensor parallelism split; None where the operator is stated whole.
    """

    namer: Namer
    local: dict[str, Extent] = field(default_factory=dict)
    mark: str = ""
    shared: str | None = None

    def axis(self, name: str, extent: Extent) -> str:
        """An axis of this size; none for a size of 1."""
        if extent == ONE:
            return ""
        split = self.shared is not None and name.partition(".")[0] == self.shared
        axis = f"{SHARED if split else ANONYMOUS}{name}{self.mark}"
        self.local[axis] = extent
        return axis

    def axes(self, **extents: Extent) -> str:
        """Axes by name, in order."""
        return " ".join(filter(None, (self.axis(name, extent) for name, extent in extents.items())))

    @property
    def part(self) -> str:
        """An axis of 1, of which each device that shares a tensor has its part."""
        axis = f"{PART}{self.mark}"
        self.local[axis] = ONE
        return axis

    def experts(self, access: Access, shape: Contraction) -> Extent:
        """How many matrices of this shape a stack of them holds."""
        whole = self.namer.recording.values[access.value].whole
        return Extent("floor", (whole, Extent("product", (shape.depth, shape.columns))))

    def tensor(self, access: Access, axes: str, *, written: bool = False) -> Tensor:
        """A tensor of these axes."""
        return self.namer.tensor(access, axes, self.local, written=written, shared=self.shared is not None)

    def beside(self, access: Access, axes: str, *, written: bool = False) -> Tensor:
        """A tensor of these axes, of which no axis but that of a part tells how devices split it."""
        value, spread = self.namer.recording.values[access.value], self.namer.spread
        has_part = access.value in spread.split or spread.weights.get(value.storage) == "columns"
        if self.shared is not None and has_part:
            axes = f"{self.part} {axes}".strip()
        if access.value in self.namer.recording.routed:
            self.local["A"] = ONE
            axes = f"A {axes}"
        return self.tensor(access, axes, written=written)


def operators_of(kernel: Kernel, name: str, namer: Namer, conventions: Conventions) -> tuple[Op, ...]:
    """The operators of a kernel: one, but for an attention whose scores are stored.

    Each says what it is on devices that share it, where a plan spreads it.
    """
    ops = _stated(kernel, name, namer, conventions)
    if not namer.spread.touches(kernel.calls, namer.recording):
        return ops
    pieces = cut(kernel, namer.spread.sums.keys(), namer.recording)
    ends = [_exchanged(piece, namer) for piece in pieces]
    names = [end[-1].name.rpartition(".")[0] if end and len(pieces) > 1 else name for end in ends]
    own = [_stated(piece, said, namer, conventions, shared=True) for piece, said in zip(pieces, names, strict=True)]
    if len(pieces) > 1:
        every = [op for each, end in zip(own, ends, strict=True) for op in (*each, *end)]
        return (*ops[:-1], replace(ops[-1], shared=tuple(every)))
    spread = [replace(op, shared=(each,)) for op, each in zip(ops, own[0], strict=True)]
    return (*spread[:-1], replace(spread[-1], shared=(*spread[-1].shared, *ends[0])))


def _stated(
    kernel: Kernel, name: str, namer: Namer, conventions: Conventions, *, shared: bool = False
) -> tuple[Op, ...]:
    """The operators of a kernel, whole, or on a device of those that share it."""
    call = kernel.main
    statement = _Statement(namer, shared=namer.spread.axes.get(call.place, "") if shared else None)
    if len(kernel.calls) == 1 and call.name == ATTENTION_BACKWARD:
        return (_attention_backward(kernel, name, statement),)
    if len(kernel.calls) == 1 and isinstance(call.shape, Attended):
        return _attention(kernel, call.shape, name, statement, conventions)
    if len(kernel.calls) == 1 and isinstance(call.shape, Contraction):
        state = _patches if call.kind == "convolution" else _grouped if call.name == GROUPED else _matmul
        return (state(kernel, call.shape, name, statement),)
    return (_elementwise(kernel, name, statement),)


def _exchanged(kernel: Kernel, namer: Namer) -> list[Op]:
    """The collectives behind a kernel: how many devices are in each, a layout says."""
    found = []
    for access in (access for call in kernel.calls for access in call.writes):
        if access.value in namer.spread.sums:
            operation, path = namer.spread.sums[access.value]
            statement = _Statement(namer)
            tensor = statement.tensor(access, statement.axes(x0=access.elements), written=True)
            said = f"{short_name(path, namer.home, namer.recording.blocks) or path}.{operation}"
            found.append(Op(said, "collective", (tensor,), (tensor,), (), statement.local, function=operation))
    return found


def _matmul(kernel: Kernel, shape: Contraction, name: str, statement: _Statement) -> Op:
    a, b, *others = kernel.reads
    (y, *_) = kernel.writes
    weights = [statement.namer.recording.values[access.value].role == "weight" for access in (a, b)]
    rows, columns = f"r.{name.lower()}", f"n.{name.lower()}"
    if weights == [True, False]:
        left = statement.axes(b=shape.batch, k=shape.depth, n=shape.columns)
        right = statement.axes(**{"b": shape.batch, rows: shape.rows, "k": shape.depth})
        out = statement.axes(**{"b": shape.batch, rows: shape.rows, "n": shape.columns})
        a, b = b, a
    else:
        left = statement.axes(b=shape.batch, r=shape.rows, k=shape.depth)
        right = statement.axes(**{"b": shape.batch, "k": shape.depth, columns: shape.columns})
        out = statement.axes(**{"b": shape.batch, "r": shape.rows, columns: shape.columns})
    x, w = _apart([statement.tensor(a, left), statement.tensor(b, right)], (a, b), statement.namer)
    op = contract(name, x, w, statement.tensor(y, out, written=True))
    once = {each.value: each for each in others}.values()  # one scale may be both operands'
    more = _distinct(
        [statement.beside(each, statement.axes(**{f"x{i}": each.elements})) for i, each in enumerate(once)], op.reads
    )
    return replace(op, reads=(*op.reads, *more), local=statement.local)


@frozen
class Reached:
    """The experts that rows reach, of so many, if each row goes to any of them alike: E (1 - (1 - 1/E)^rows)."""

    experts: Extent
    rows: Extent

    def __call__(self, sizes: Sizes) -> Number:
        """How many, as an expected number."""
        experts = exact(self.experts(sizes))
        return experts * (1 - power(1 - 1 / experts, self.rows(sizes)))


def _grouped(kernel: Kernel, shape: Contraction, name: str, statement: _Statement) -> Op:
    """The matmul of rows that are sorted by expert, each with the matrix of its expert."""
    x, w, *others = kernel.reads
    experts, each = statement.experts(w, shape), _experts_of_a_token(x, shape)
    rows = shape.rows if each == 1 else Extent("floor", (x.elements, shape.depth))
    copies = "A " * (each == 1)  # in the order of their experts
    reads = [statement.tensor(x, f"{copies}{statement.axes(r=rows, k=shape.depth)}")]
    reads.append(statement.tensor(w, f"X {statement.axes(k=shape.depth, n=shape.columns)}"))
    reads += [statement.tensor(each, statement.axes(**{f"x{i}": each.elements})) for i, each in enumerate(others)]
    write = statement.tensor(kernel.writes[0], f"A {statement.axes(r=rows, n=shape.columns)}", written=True)
    work = Work("matrix", 2, ("A", *statement.axes(r=rows, k=shape.depth, n=shape.columns).split()))
    local: dict[str, Binding] = {**statement.local, "A": each, "E": experts, "X": Reached(experts, shape.rows)}
    return Op(name, "matmul", tuple(reads), (write,), (work,), local)


def _experts_of_a_token(x: Access, shape: Contraction) -> int:
    """How many rows are multiplied for each that is read: tokens that lie as they came are sorted by the kernel."""
    sizes = dict.fromkeys(shape.rows.letters | x.elements.letters, 64)
    read = exact(x.elements(sizes)) / exact(shape.depth(sizes))
    return max(1, int(exact(shape.rows(sizes)) / read))


def _patches(kernel: Kernel, shape: Contraction, name: str, statement: _Statement) -> Op:
    """A contraction whose operands are no matrices: a convolution."""
    axes = statement.axes(b=shape.batch, r=shape.rows, k=shape.depth, n=shape.columns)
    reads = [statement.tensor(each, statement.axes(**{f"x{i}": each.elements})) for i, each in enumerate(kernel.reads)]
    writes = [
        statement.tensor(each, statement.axes(**{f"y{i}": each.elements}), written=True)
        for i, each in enumerate(kernel.writes)
    ]
    work = (Work("matrix", 2, tuple(axes.split())),)
    return Op(name, "conv", _distinct(reads, ()), _distinct(writes, ()), work, statement.local)


def _attention(
    kernel: Kernel, shape: Attended, name: str, statement: _Statement, conventions: Conventions
) -> tuple[Op, ...]:
    """The statement of ``layers/attention.py`` in the sizes of this one, and its mask as one more tensor."""
    ops = attention(
        mask="causal" if shape.causal else "full",
        fused=conventions.attention == "fused",
        square=conventions.count == "square",
        cached=False,
        values="U",
    )
    if shape.groups == ONE and shape.head_dim != shape.value_dim:
        ops = tuple(_of_expanded_latents(op) for op in ops)
    sizes, namer = _sizes_of(shape), statement.namer
    given = _apart([statement.tensor(each, "") for each in kernel.reads[:3]], kernel.reads[:3], namer)
    found = dict(zip(("q", "k", "v"), given, strict=True))
    found["context"] = statement.tensor(kernel.writes[0], "", written=True)
    masks = [statement.tensor(each, statement.axes(mask=each.elements)) for each in kernel.reads[3:]]
    local = {**sizes, **statement.local}
    stated = tuple(_renamed(op, found, name) for op in ops)
    if masks:
        place = 0 if len(stated) == 1 else 1
        stated = tuple(replace(op, reads=(*op.reads, *masks)) if i == place else op for i, op in enumerate(stated))
    if statistics := [statement.tensor(each, statement.axes(lse=each.elements), written=True)
                      for each in kernel.writes[1:]]:  # fmt: skip
        stated = (*stated[:-1], replace(stated[-1], writes=(*stated[-1].writes, *statistics)))
    local |= statement.local
    names = (name,) if len(stated) == 1 else tuple(f"{name}.{op.name}" for op in stated)
    return tuple(replace(op, name=own, local=local) for op, own in zip(stated, names, strict=True))


def _of_expanded_latents(op: Op) -> Op:
    """Attention whose values are narrower than its keys, as those of expanded latents are: no query shares a key."""

    def without(axes: str) -> str:
        return " ".join(letter for letter in axes.split() if letter != "G")

    reads, writes = (tuple(replace(each, axes=without(each.axes)) for each in side) for side in (op.reads, op.writes))
    work = tuple(replace(each, axes=tuple(letter for letter in each.axes if letter != "G")) for each in op.work)
    return replace(op, reads=reads, writes=writes, work=work)


def _sizes_of(shape: Attended) -> dict[str, Extent]:
    return {
        "B": shape.batch, "T": shape.queries, "S": shape.keys, "K": shape.kv_heads, "G": shape.groups,
        "H": shape.head_dim, "U": shape.value_dim,
    }  # fmt: skip


def _attention_backward(kernel: Kernel, name: str, statement: _Statement) -> Op:
    """The backward pass of the statement of ``layers/attention.py``, in the sizes of this one."""
    (call,) = kernel.calls
    assert isinstance(call.shape, Attended)
    (stated,) = attention(
        mask="causal" if call.shape.causal else "full", fused=True, square=False, cached=False, values="U"
    )
    forward = saving(stated)
    (op,) = backward(forward)
    namer = statement.namer
    given, q, k, v, *masks, context, statistics = call.reads
    parts = _apart([statement.tensor(each, "") for each in (q, k, v)], (q, k, v), namer)
    names = [tensor.name for tensor in forward.reads[:3]]
    found = dict(zip(names, parts, strict=True))
    found |= {
        gradient(tensor).name: statement.tensor(each, "", written=True)
        for tensor, each in zip(forward.reads, call.writes, strict=False)
    }
    out, lse = forward.writes
    found |= {gradient(out).name: statement.tensor(given, ""), out.name: statement.tensor(context, "")}
    found[lse.name] = statement.tensor(statistics, "")
    own = _renamed(op, found, name)
    more = [statement.tensor(each, statement.axes(mask=each.elements)) for each in masks]
    reads = _distinct((*own.reads, *more), ())
    return replace(own, name=name, reads=reads, local={**_sizes_of(call.shape), **statement.local})


def _renamed(op: Op, found: Mapping[str, Tensor], name: str) -> Op:
    """An operator of attention over the tensors of this one."""

    def known(tensor: Tensor) -> Tensor:
        own = found.get(tensor.name)
        if own is None:
            return replace(tensor, name=f"{name}.{tensor.name}")
        learnt = f"{name}.{tensor.gradient_of}" if tensor.gradient_of else ""
        return replace(own, axes=tensor.axes, gradient_of=own.gradient_of or learnt)

    reads, writes = (tuple(known(tensor) for tensor in side) for side in (op.reads, op.writes))
    return replace(op, reads=reads, writes=writes, parts=tuple(_renamed(part, found, name) for part in op.parts))


def _apart(tensors: Sequence[Tensor], accesses: Sequence[Access], namer: Namer) -> list[Tensor]:
    """Operands that are parts of one storage under names of their own, since each is read for itself."""
    names = [tensor.name for tensor in tensors]
    found = []
    for place, (tensor, access) in enumerate(zip(tensors, accesses, strict=True)):
        whole = namer.recording.values[access.value].whole
        alone = names.count(tensor.name) == 1 and (access.elements == whole or tensor.role == "weight")
        role: Role = tensor.role if tensor.role in ("weight", "index") else "input"
        found.append(
            tensor
            if names.count(tensor.name) == 1 or alone
            else replace(tensor, name=f"{tensor.name}~{place}", role=role)
        )
    return found


def _distinct(tensors: Sequence[Tensor], taken: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Tensors of which two that bear one name are told apart: they are different layers' of one repeated group."""
    known = {tensor.name for tensor in taken}
    found = []
    for tensor in tensors:
        if tensor.name in known:
            role: Role = "input" if tensor.role == "activation" else tensor.role
            found.append(replace(tensor, name=f"{tensor.name}'{len(known)}", role=role))
        else:
            found.append(tensor)
        known.add(found[-1].name)
    return tuple(found)


def _elementwise(kernel: Kernel, name: str, statement: _Statement) -> Op:
    """A kernel whose parts are its calls, which eager torch runs one by one."""
    namer = statement.namer
    parts = tuple(
        _part(alone(call, namer.recording), _Statement(namer, mark=f".{place}", shared=statement.shared))
        for place, call in enumerate(kernel.calls)
        if call.writes
    )
    return replace(_part(kernel, statement), name=name, parts=parts)


def _part(kernel: Kernel, statement: _Statement) -> Op:
    """Elementwise work under the name of torch."""
    name = kernel.main.name
    first = kernel.writes[0]
    reads = [statement.beside(each, _axes_beside(each, first, i, statement)) for i, each in enumerate(kernel.reads)]
    writes = [
        statement.beside(each, _axes_beside(each, first, -1 - i, statement), written=True)
        for i, each in enumerate(kernel.writes)
    ]
    kind, work = _kind(kernel.calls), _work(kernel.calls, statement)
    own = (axis for each in writes for axis in each.letters if not axis.startswith(SHARED))
    mixes = " ".join(dict.fromkeys(own)) if kind in _MIXING else ""
    return Op(name, kind, _distinct(reads, ()), _distinct(writes, ()), work, statement.local, mixes=mixes)


_MIXING = ("norm", "softmax")
"""Kinds of which every element may depend on all others: nothing says along which axes."""


def _axes_beside(access: Access, first: Access, place: int, statement: _Statement) -> str:
    """The axes of a tensor in the rows and columns of what is written first; of another form it is a row by itself."""
    if (access.rows, access.columns) == (first.rows, first.columns):
        return statement.axes(r=first.rows, c=first.columns)
    if access.elements == first.columns:
        return statement.axes(c=first.columns)
    if access.rows == first.rows:
        return statement.axes(**{"r": first.rows, f"c{place}": access.columns})
    return statement.axes(**{f"x{place}": access.elements})


def _work(calls: Sequence[Call], statement: _Statement) -> tuple[Work, ...]:
    """The elementwise and transcendental operations of all calls, of those that devices share a device's part."""

    def own(call: Call, count: Extent) -> Extent:
        if statement.shared is None or call.place not in statement.namer.spread.axes:
            return count
        return Extent("product", (count, Extent("letter", name=statement.part)))

    counts: tuple[tuple[Unit, list[Extent]], ...] = (
        ("vector", [own(call, call.vector) for call in calls if call.vector != NOTHING]),
        ("special", [own(call, call.special) for call in calls if call.special != NOTHING]),
    )
    return tuple(Work(unit, 1, (), formula=Extent("sum", tuple(each))) for unit, each in counts if each)


def _kind(calls: Sequence[Call]) -> str:
    """The kind whose constants a kernel takes. In inference a batch norm has its statistics: it is elementwise."""
    kinds, names = {call.kind for call in calls}, {call.name for call in calls}
    if names <= {"max_pool2d_with_indices"}:
        return "max_pool"
    if any(call.kind == "norm" and "batch_norm" not in call.name for call in calls) or (
        "reduction" in kinds and names & {"rsqrt", "sqrt"}
    ):
        return "norm"
    if "softmax" in kinds:
        return "softmax"
    return "embedding" if kinds <= {"gather"} else "elementwise"
