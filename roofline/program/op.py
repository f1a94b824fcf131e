"""One statement per operator: tensors with named axes, from which everything else is derived.

FLOPs of a contraction are 2 x the product of all its distinct axes (one fused multiply-add is 2 FLOPs; the rule of
How to Scale Your Model, jax-ml/scaling-book, transformers.md). Bytes are the tensors read and written, each name once.
Numbers arrive last, as sizes of the axes: symbols, exact integers or float64 arrays.

>>> x, h, y = Tensor("x", "B T D"), Tensor("h", "B T F"), Tensor("y", "B T D")
>>> up = contract("up", x, weight("w_up", "D F"), h)
>>> up.flops({"B": 2, "T": 3, "D": 4, "F": 5})  # 2*B*T*D*F
240
>>> [tensor.name for tensor in up.reads + up.writes]
['x', 'w_up', 'h']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from fractions import Fraction
from functools import cache
from typing import Literal, TypeAlias

from roofline.classes import frozen
from roofline.errors import ShapeError
from roofline.number import Number, added, product
from roofline.program.axes import ANONYMOUS, LEGEND, Binding, Sizes, rebind, size_of
from roofline.program.transfers import Transfer

Role: TypeAlias = Literal[
    "activation", "weight", "kv_cache", "state", "conv_state", "index", "scale", "input", "widened"
]
Unit: TypeAlias = Literal["matrix", "vector", "special"]
Count: TypeAlias = Callable[[Sizes], Number]

STATES: tuple[Role, ...] = ("state", "conv_state")
"""What a recurrence and a convolution keep of a sequence, however long it is."""

CARRIED: tuple[Role, ...] = ("kv_cache", *STATES)
"""What one step leaves in memory for the next: keys and values of all tokens, and states of recurrences."""

TOKEN_TABLE = "token_table"
"""The embeddings of the vocabulary, which files name apart from other weights."""


@frozen
class Tensor:
    """A name, the axes that an operator touches, and what stays in memory.

    Identity is by name. An ``input`` is what the network is given, in the dtype of its activations; an ``index``
    too, as whole numbers. ``stored`` are the axes that stay resident where they differ from those touched (a gather
    reads B T rows of a V D table). A ``tied`` weight is one tensor wherever the program states it. ``dtype`` is
    empty where the precision of its role holds; a ``scale`` belongs to a compressed weight and is no parameter. A
    weight is ``widened`` into what is computed in where no kernel reads it as it is stored. ``share`` is the part
    of its elements that is stored, where the others are zeros that are left out. ``gradient_of`` names the tensor
    whose gradient it is. A ``borrowed`` cache is one that another layer writes and keeps, a borrowed weight one that
    another group keeps. ``weighs``: bytes for each that its dtype states, where a file has others. ``hosted``: the
    part that lies in the host's memory.
    """

    name: str
    axes: str
    role: Role = "activation"
    stored: str = ""
    tied: bool = False
    dtype: str = ""
    share: Fraction = Fraction(1)
    gradient_of: str = ""
    borrowed: bool = False
    weighs: Fraction | None = None
    hosted: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        letters = (self.axes + " " + self.stored).split()
        unknown = [letter for letter in letters if letter not in LEGEND and not letter.startswith(ANONYMOUS)]
        if unknown or len(set(self.letters)) != len(self.letters):
            problem = f"{unknown[0]} is not in the legend" if unknown else "an axis stands twice"
            msg = f"tensor {self.name} ({self.axes}): {problem}; axes are distinct letters of {' '.join(LEGEND)}"
            raise ShapeError(msg)

    @property
    def letters(self) -> tuple[str, ...]:
        """The axes that are touched."""
        return _split(self.axes)

    @property
    def adapts(self) -> bool:
        """Whether it is the weight of adapters beside the network, and none of the network's own."""
        return self.role == "weight" and "m" in self.letters

    def elements(self, sizes: Sizes) -> Number:
        """Elements touched."""
        return self._kept(product(size_of(letter, sizes) for letter in self.letters))

    def resident(self, sizes: Sizes) -> Number:
        """Elements that stay in memory."""
        return self._kept(product(size_of(letter, sizes) for letter in _split(self.stored or self.axes)))

    def _kept(self, elements: Number) -> Number:
        """Those of ``elements`` that are stored."""
        return elements if self.share == 1 else part_of(elements, self.share)


def part_of(number: Number, share: Fraction) -> Number:
    """A share of it; an array times a Fraction would be an array of objects."""
    return number * share.numerator / share.denominator


@cache
def _split(axes: str) -> tuple[str, ...]:
    return tuple(axes.split())


def weight(name: str, axes: str, *, stored: str = "", tied: bool = False) -> Tensor:
    """A trained parameter."""
    return Tensor(name, axes, "weight", stored, tied)


@frozen
class Work:
    """Operations on one unit: ``per_element`` x the product of ``axes``.

    A mask puts ``pairs`` in place of T x S. ``formula`` is the escape hatch for what is no product.
    """

    unit: Unit
    per_element: int
    axes: tuple[str, ...]
    pairs: Count | None = None
    formula: Count | None = None

    def count(self, sizes: Sizes) -> Number:
        """How many operations."""
        if self.formula is not None:
            return self.per_element * self.formula(sizes)
        masked = self.pairs is not None and {"T", "S"} <= set(self.axes)
        letters = [letter for letter in self.axes if not (masked and letter in "TS")]
        factor = self.pairs(sizes) if masked and self.pairs is not None else 1
        return self.per_element * product(size_of(letter, sizes) for letter in letters) * factor


@frozen
class Op:
    """An operator: tensors read, tensors written, and the work that this takes.

    ``kind`` names it among its likes (matmul, attention, norm ...); ``local`` rebinds axes for this operator alone;
    ``parts`` are the operators that were fused into it. ``mixes`` are axes along which every element of the output
    depends on all of the input (what a norm or a softmax runs over); a ``linear`` operator adds its inputs up.
    ``transfer`` makes it a collective, whose message is the tensor it reads and writes. ``function`` is what
    elementwise work, or a scan, computes. ``mask`` is fused attention's: causal, sliding, chunked, local or full.
    ``load`` rebinds axes where it is timed: the experts of the fullest device, while memory is that of an even load.
    ``joins``: whether the kernel of an all-reduce computes it too, ``asked`` of one right before it, or found so.
    ``beside``: whether a replayed graph runs it beside other operators, or in the kernel of one.
    ``shared``: what it is on each of several devices of tensor parallelism, collectives among them, where a plan says
    so and no axis of a known meaning does; nothing where each device runs it whole.
    """

    name: str
    kind: str
    reads: tuple[Tensor, ...]
    writes: tuple[Tensor, ...]
    work: tuple[Work, ...] = ()
    local: Mapping[str, Binding] = field(default_factory=dict)
    parts: tuple[Op, ...] = ()
    mixes: str = ""
    linear: bool = False
    transfer: Transfer | None = None
    function: str = ""
    mask: str = ""
    load: Mapping[str, Binding] = field(default_factory=dict)
    joins: Literal["", "asked", "found"] = ""
    beside: bool = False
    shared: tuple[Op, ...] = ()

    def __post_init__(self) -> None:
        for tensors in (self.reads, self.writes):
            names = [tensor.name for tensor in tensors]
            if len(set(names)) != len(names):
                msg = f"{self.name}: a tensor stands twice among {', '.join(names)}; each name moves once"
                raise ShapeError(msg)

    @property
    def dispatches(self) -> bool:
        """Whether it sends tokens to experts on other devices, or what those say of them back."""
        return self.transfer is not None and self.transfer.dispatches

    @property
    def loaded(self) -> Op:
        """The operator as it is timed, under its load."""
        return replace(self, local={**self.local, **self.load}, load={}) if self.load else self

    def flops(self, sizes: Sizes) -> Number:
        """FLOPs of the contractions."""
        return self._count("matrix", sizes)

    def vector_flops(self, sizes: Sizes) -> Number:
        """FLOPs of the elementwise work."""
        return self._count("vector", sizes)

    def special(self, sizes: Sizes) -> Number:
        """Transcendental operations: exponentials, tanh."""
        return self._count("special", sizes)

    def _count(self, unit: Unit, sizes: Sizes) -> Number:
        own = [work for work in self.work if work.unit == unit]
        if not own:
            return 0
        bound = rebind(sizes, self.local)
        return added(work.count(bound) for work in own)

    def bytes(self, sizes: Sizes, width: Callable[[Tensor], Number]) -> Number:
        """Bytes of compulsory traffic, where ``width`` gives a tensor's bytes per element."""
        if self.transfer is not None:
            return self.transfer.traffic(self.message_bytes(sizes, width))
        bound = rebind(sizes, self.local)
        return added(tensor.elements(bound) * width(tensor) for tensor in self.reads + self.writes)

    def hosted_bytes(self, sizes: Sizes, width: Callable[[Tensor], Number]) -> Number:
        """Those of the traffic that come from the host's memory."""
        kept = [tensor for tensor in self.reads if tensor.hosted]
        if not kept:
            return 0
        bound = rebind(sizes, self.local)
        return added(part_of(tensor.elements(bound) * width(tensor), tensor.hosted) for tensor in kept)

    def message_bytes(self, sizes: Sizes, width: Callable[[Tensor], Number]) -> Number:
        """Bytes of a collective's message: the whole of what a device has before a scatter or after a gather."""
        (message,) = self.writes
        whole = self.transfer.devices if self.transfer and self.transfer.operation == "reduce_scatter" else 1
        return message.elements(rebind(sizes, self.local)) * width(message) * whole

    @property
    def contracted(self) -> tuple[Tensor, ...]:
        """The tensors that are contracted with each other; none in an operator without a contraction."""
        if self.parts:
            return tuple(tensor for part in self.parts for tensor in part.contracted)
        return self.reads[:2] if any(work.unit == "matrix" for work in self.work) else ()

    @property
    def sees_context(self) -> bool:
        """Whether it looks at other tokens of its sequence: attention and a scan do, a projection does not."""
        if any("S" in tensor.letters or tensor.role in STATES for tensor in (*self.reads, *self.writes)):
            return True
        return any("S" in getattr(size, "letters", ()) for size in self.local.values())

    @property
    def anonymous(self) -> bool:
        """Whether it names axes of its own, of which nobody knows what they mean: one of a traced module."""
        return any(x.startswith(ANONYMOUS) for tensor in (*self.reads, *self.writes) for x in tensor.letters)

    @property
    def adapts(self) -> bool:
        """Whether it is a matmul of adapters beside the network."""
        return any(tensor.adapts for tensor in self.reads)

    def rebound(self, **local: Binding) -> Op:
        """The same statement with axes rebound: ``lm_head.rebound(T=1)``."""
        return replace(self, local={**self.local, **local})

    def __str__(self) -> str:
        """The statement in one line: ``up: x[B T D], w_up[D F] -> h[B T F]``."""
        sides = [", ".join(f"{tensor.name}[{tensor.axes}]" for tensor in side) for side in (self.reads, self.writes)]
        return f"{self.name}: {sides[0]} -> {sides[1]}"


def contract(
    name: str, a: Tensor, b: Tensor, y: Tensor, *, bias: Tensor | None = None, pairs: Count | None = None
) -> Op:
    """A contraction ``a, b -> y``: 2 FLOPs per element of the product of all distinct axes.

    ``pairs`` stands in for T x S under a mask. A bias rides in the epilogue: its bytes count, its adds do not.
    Raises ShapeError if an axis of ``y`` is in neither input.
    """
    axes = tuple(dict.fromkeys(a.letters + b.letters))
    lost = [letter for letter in y.letters if letter not in axes]
    if lost:
        msg = f"{name}: output axis {lost[0]} appears in no input ({a.axes}, {b.axes} -> {y.axes})"
        raise ShapeError(msg)
    reads = (a, b) if bias is None else (a, b, bias)
    return Op(name, "matmul", reads, (y,), (Work("matrix", 2, axes, pairs),))


@frozen
class PerElement:
    """Vector FLOPs and transcendental operations for each element of ``over``, or of the output; or for each of the
    attended ``pairs`` in place of T S.
    """

    flops: int
    special: int = 0
    over: Tensor | None = None
    pairs: Count | None = None

    def work(self, output: Tensor) -> tuple[Work, ...]:
        """What an operator that writes ``output`` does."""
        units: tuple[tuple[Unit, int], ...] = (("vector", self.flops), ("special", self.special))
        axes = (self.over or output).letters
        return tuple(Work(unit, per, axes, self.pairs) for unit, per in units if per)


def elementwise(
    name: str,
    inputs: Sequence[Tensor],
    output: Tensor,
    each: PerElement,
    *,
    kind: str = "elementwise",
    mixes: str = "",
    linear: bool = False,
    function: str = "",
) -> Op:
    """An operator that does the same for ``each`` element.

    The layer that states the operator cites where its count comes from, and names the ``function``. ``mixes`` are the
    axes that it runs over as a whole (a softmax, a norm); ``linear`` says that it adds its inputs up, each times what
    does not depend on them.
    """
    return Op(name, kind, tuple(inputs), (output,), each.work(output), mixes=mixes, linear=linear, function=function)


def gather(name: str, table: Tensor, index: Tensor, output: Tensor) -> Op:
    """Rows of a resident table picked by an index: reads the rows and the index, no FLOPs."""
    return Op(name, "embedding", (table, index), (output,))


def collective(name: str, transfer: Transfer, message: Tensor, *, output: Tensor | None = None) -> Op:
    """An exchange of ``message`` among devices, which is there as ``output`` (else by its own name) afterwards.

    >>> from roofline.program.transfers import Transfer
    >>> op = collective("out_proj.all_reduce", Transfer("all_reduce", 8), Tensor("a", "B T D"))
    >>> op.message_bytes({"B": 1, "T": 2, "D": 4}, lambda tensor: 2), op.flops({})
    (16, 0)
    """
    return Op(name, "collective", (message,), (output or message,), transfer=transfer)


def fuse(name: str, ops: Sequence[Op], *, kind: str, keep: Sequence[str] = ()) -> Op:
    """One kernel for several operators: what is written inside is not read from memory.

    Its write goes too, unless it is a cache or a state, is named in ``keep``, or nothing inside reads it. FLOPs stay as
    they are, bytes never grow. Raises ShapeError if the parts bind axes differently.
    """
    if any(op.local != ops[0].local for op in ops):
        msg = f"{name}: cannot fuse operators that bind axes differently ({', '.join(op.name for op in ops)})"
        raise ShapeError(msg)
    outside: dict[str, Tensor] = {}
    written: dict[str, Tensor] = {}
    inner: set[str] = set()
    for op in ops:
        for tensor in op.reads:
            if tensor.name in written:
                inner.add(tensor.name)
            else:
                outside.setdefault(tensor.name, tensor)
        for tensor in op.writes:
            written[tensor.name] = tensor
            inner.discard(tensor.name)
    writes = [t for t in written.values() if t.name not in inner or t.name in keep or t.role in CARRIED]
    work = tuple(work for op in ops for work in op.work)
    mixes = " ".join(dict.fromkeys(letter for op in ops for letter in op.mixes.split()))
    return Op(name, kind, tuple(outside.values()), tuple(writes), work, ops[0].local, tuple(ops), mixes)
