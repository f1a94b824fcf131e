"""The backward pass, derived from the statements: what pushes gradients back through each operator.

A contraction ``a, b -> y`` gives ``y', b -> a'`` and ``a, y' -> b'``, each over the same axes; a bias sums ``y'`` up; a
gather scatters ``y'`` into a dense gradient of its table. A sum moves nothing, since its gradient is that of each
summand; where several operators read a tensor, its gradients are added. Fused attention computes its scores once more,
which never left the chip: five contractions for two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from roofline.program.op import STATES, Op, PerElement, Tensor, Work, elementwise, fuse
from roofline.program.written_out import LOSS_WRITTEN_OUT, NORMED

FROM_OUTPUT = frozenset(("relu", "tanh"))
"""Functions whose derivative is had from what they gave: no input is kept for them."""

_LINEAR = frozenset(("add", "rotary"))
_GIVEN = frozenset(("index", "input", "scale", "widened"))


def gradient(tensor: Tensor) -> Tensor:
    """The gradient of a tensor: an activation of a name of its own, with its axes; a table's is dense.

    >>> gradient(Tensor("token_table", "B T D", "weight", "V D")).axes
    'V D'
    """
    axes = tensor.stored if tensor.role == "weight" and tensor.stored else tensor.axes
    return Tensor(tensor.name + "'", axes, gradient_of=tensor.name)


def backward(op: Op) -> tuple[Op, ...]:
    """The operators that push a gradient of all that ``op`` writes back to all that it reads.

    >>> from roofline.layers.feed_forward import feed_forward
    >>> up, act, down = feed_forward(function="silu", gated=False)
    >>> for step in (*backward(act), *backward(up)):
    ...     print(step)
    act.backward: m'[B T F], u[B T F] -> u'[B T F]
    up.h': u'[B T F], w_up[D F] -> h'[B T D]
    up.w_up': h[B T D], u'[B T F] -> w_up'[D F]
    """
    return Gradients({tensor.name: gradient(tensor) for tensor in op.writes}).back(op)


def needed(op: Op) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """What the backward pass reads of an operator that is not fused: of its inputs, and of its outputs.

    >>> from roofline.layers.feed_forward import activation
    >>> u, m = Tensor("u", "B T F"), Tensor("m", "B T F")
    >>> [[tensor.name for tensor in side] for side in needed(activation("act", u, m, "relu"))]
    [[], ['m']]
    """
    indices = tuple(tensor for tensor in op.reads if tensor.role == "index")
    if op.kind == "embedding" or op.function in _LINEAR or (op.linear and len(op.reads) == 1):
        return indices, ()
    if op.function == LOSS_WRITTEN_OUT:
        return (), op.writes[1:2]
    if op.function == "dropout":
        return (), op.writes[1:]
    weights = tuple(tensor for tensor in op.reads if tensor.role == "weight")
    if op.function in FROM_OUTPUT:
        return (), op.writes
    if op.kind == "softmax" and op.reads[0].letters == op.writes[0].letters:
        return weights, op.writes
    return op.reads, op.writes[1:]  # the first is the result, the others were written for this: statistics


@dataclass(slots=True)
class Gradients:
    """The gradients that are there at a point of a backward pass, by the name of what they are of.

    ``trained`` says whether a weight has a gradient. ``reached`` are activations that depend on such weights, None for
    all: no gradient is pushed back to another.
    """

    known: dict[str, Tensor] = field(default_factory=dict)
    trained: Callable[[Tensor], bool] = lambda _: True
    reached: Collection[str] | None = None

    def through(self, ops: Sequence[Op]) -> list[tuple[Op, tuple[Op, ...]]]:
        """The backward pass of operators that run one after the other, the last first: each with its steps."""
        return [(op, self.back(op, added)) for op, added in _last_first(ops)]

    def back(self, op: Op, added: Collection[str] = ()) -> tuple[Op, ...]:
        """The kernels that push what is known of the outputs of ``op`` back to its inputs; none where nothing is.

        Packed projections give one kernel for their input and one for their weights, all else that is fused one kernel.
        """
        if op.kind == "matmul" and op.parts and all(part.kind == "matmul" for part in op.parts):
            steps = self._packed(op)
        else:
            steps = self._parts(op, added)
            steps = [self._fused(op, steps)] if op.parts and steps else steps
        return tuple(replace(step, local=op.local) for step in steps)

    def _parts(self, op: Op, added: Collection[str]) -> list[Op]:
        steps = [step for part, more in _last_first(op.parts or (op,)) for step in self._leaf(part, {*more, *added})]
        return [replace(step, local={}) for step in steps]

    def _fused(self, op: Op, steps: Sequence[Op]) -> Op:
        kept = [tensor.name for tensor in self.known.values()]
        if op.kind != "attention":
            return _made_again(op, fuse(f"{op.name}.backward", steps, kind=op.kind, keep=kept))
        again = [replace(part, local={}) for part in op.parts[:-1]]
        whole = fuse(f"{op.name}.backward", [*again, *steps], kind="attention", keep=kept)
        reads = {tensor.name: tensor for tensor in (*whole.reads, *op.writes)}
        return replace(whole, reads=tuple(reads.values()), mask=op.mask)

    def _packed(self, op: Op) -> list[Op]:
        """One kernel for each input of several contractions, one for the weights of all, one for their biases."""
        given = {tensor.name: self.known.pop(tensor.name) for tensor in op.writes if tensor.name in self.known}
        kernels: dict[tuple[str, str], list[Op]] = {}
        weights = {tensor.name for tensor in op.reads if tensor.role == "weight"}
        for part in reversed(op.parts):
            self._hand_to_summands(part, given)
            own = {tensor.name: given[tensor.name] for tensor in part.writes if tensor.name in given}
            for step in Gradients(own, self.trained, self.reached).back(part):
                of = step.writes[0].gradient_of
                kernels.setdefault(("'" if of in weights else of, step.kind), []).append(replace(step, local={}))
        steps: list[Op] = []
        for (of, kind), found in kernels.items():
            what = of if of != "'" else "weights" if kind == "matmul" else "biases"
            same = found if of == "'" or kind == "matmul" else found[:1]  # one sum of what all contractions added to
            name = f"{op.name}.{what}'"
            steps += self._added(op, fuse(name, same, kind=kind) if len(same) > 1 else replace(same[0], name=name))
        return steps

    def _added(self, op: Op, step: Op) -> list[Op]:
        """A step that knew no other gradients, under names of its own where there are some, and the sums with them."""
        inputs = {tensor.name: tensor for tensor in op.reads}
        steps = [step]
        for tensor in step.writes:
            if tensor.name != gradient(inputs[tensor.gradient_of]).name:
                continue
            new = self._new(op, inputs[tensor.gradient_of])
            steps[0] = _renamed(steps[0], tensor.name, new)
            steps += self._sum(op, inputs[tensor.gradient_of], new)
        return steps

    def _leaf(self, op: Op, added: Collection[str]) -> list[Op]:
        """The steps of an operator that is not fused, and the sums with gradients that were there."""
        given = [_as_written(tensor, self.known[tensor.name]) for tensor in op.writes if tensor.name in self.known]
        for tensor in op.writes:
            if tensor.name not in added:
                self.known.pop(tensor.name, None)
        inputs = [tensor for tensor in op.reads if self._differentiable(tensor)]
        if not given or not inputs:
            return []
        if op.function == "add":
            return [step for tensor in inputs for step in self._hand_on(op, given[0], tensor)]
        if any(work.unit == "matrix" for work in op.work):
            self._hand_to_summands(op, {op.writes[0].name: given[0]})
            inputs = [tensor for tensor in inputs if tensor not in _summands(op)]
            return [step for tensor in inputs for step in self._contract(op, given[0], tensor)]
        written = [self._new(op, tensor) for tensor in inputs]
        reads = {tensor.name: tensor for side in needed(op) for tensor in side}
        if not any(tensor.role == "weight" for tensor in inputs):
            reads.pop(op.name + NORMED, None)
        work = op.work or (Work("vector", 1, given[0].letters),)
        if op.kind == "softmax" and needed(op)[1] == op.writes:  # from probabilities: no exponential
            work = tuple(each for each in work if each.unit != "special")
        function = op.function and f"{op.function}_backward"
        step = Op(
            f"{op.name}.backward", op.kind, (*given, *reads.values()), (*written, *_between(op)), work, mixes=op.mixes,
            function=function,
        )  # fmt: skip
        sums = [each for tensor, new in zip(inputs, written, strict=True) for each in self._sum(op, tensor, new)]
        return [*_narrowed(op, step), *sums]

    def _contract(self, op: Op, given: Tensor, tensor: Tensor) -> list[Op]:
        """The gradient of one input of a contraction, which is summed over what was added to all alike."""
        new = self._new(op, tensor)
        first, second, *biases = op.reads
        name = f"{op.name}.{tensor.name}'"
        if tensor in biases:
            step = elementwise(name, [given], new, PerElement(1, over=given))
            return [step, *self._sum(op, tensor, new)]
        reads = (given, second) if tensor is first else (first, given)
        spread = [letter for letter in given.letters if letter == "A" and tensor is first and "A" not in new.letters]
        if not spread:
            return [Op(name, "matmul", reads, (new,), op.work), *self._sum(op, tensor, new)]
        each = Tensor(f"{new.name}.each", " ".join((*new.letters[:2], "A", *new.letters[2:])), gradient_of=tensor.name)
        total = elementwise(f"{name}.sum_of_experts", [each], new, PerElement(1, over=each), linear=True)
        return [Op(name, "matmul", reads, (each,), op.work), total, *self._sum(op, tensor, new)]

    def _hand_on(self, op: Op, given: Tensor, tensor: Tensor) -> list[Op]:
        """The gradient of a sum is that of each summand, added up along what a summand does not have."""
        if set(given.letters) == set(tensor.letters):
            new, steps = given, []
        else:
            new = self._new(op, tensor)
            steps = [elementwise(f"{op.name}.{tensor.name}'", [given], new, PerElement(1, over=given))]
        return [*steps, *self._sum(op, tensor, new)]

    def _hand_to_summands(self, op: Op, given: Mapping[str, Tensor]) -> None:
        """What a contraction adds its result to has the gradient of the sum."""
        (y, *_) = op.writes
        for tensor in _summands(op):
            if y.name in given and self._differentiable(tensor):
                self.known[tensor.name] = given[y.name]

    def _new(self, op: Op, tensor: Tensor) -> Tensor:
        """The gradient that ``op`` gives a tensor, by a name of its own where there is another."""
        new = gradient(tensor)
        return replace(new, name=f"{new.name}.{op.name}") if tensor.name in self.known else new

    def _sum(self, op: Op, tensor: Tensor, new: Tensor) -> list[Op]:
        """``new`` becomes the gradient of a tensor, or a part of it where another operator gave it one."""
        before = self.known.get(tensor.name)
        if before is None:
            self.known[tensor.name] = new
            return []
        total = gradient(tensor)
        self.known[tensor.name] = total
        return [elementwise(f"{op.name}.{total.name}.sum", [before, new], total, PerElement(1), linear=True)]

    def _differentiable(self, tensor: Tensor) -> bool:
        if tensor.role == "weight":
            return self.trained(tensor)
        return tensor.role not in _GIVEN and (self.reached is None or tensor.name in self.reached)


def _summands(op: Op) -> tuple[Tensor, ...]:
    """Activations of the shape of its result that a contraction adds it to."""
    letters = set(op.writes[0].letters)
    return tuple(t for t in op.reads[2:] if t.role not in ("weight", *_GIVEN) and set(t.letters) == letters)


def reached(ops: Sequence[Op], trained: Callable[[Tensor], bool]) -> frozenset[str]:
    """Names of activations that depend on weights that are trained, of operators that may run more than once."""
    found: set[str] = set()
    parts = [part for op in ops for part in op.parts or (op,)]
    before = -1
    while before < len(found):
        before = len(found)
        for part in parts:
            if any(t.name in found or (t.role == "weight" and trained(t)) for t in part.reads):
                found |= {tensor.name for tensor in part.writes}
    return frozenset(found)


def _between(op: Op) -> tuple[Tensor, ...]:
    """What the backward pass of a loss that is written out leaves between its operations: gradients of logarithms."""
    if op.function != LOSS_WRITTEN_OUT:
        return ()
    return (Tensor(f"{op.name}.between", op.reads[0].axes, dtype="fp32"),)


def _narrowed(op: Op, step: Op) -> list[Op]:
    """The backward pass of a loss; where scores were turned into fp32 for it, their gradients are turned back."""
    if op.function != LOSS_WRITTEN_OUT or len(op.writes) < 3:
        return [step]
    scores, *others = step.writes
    wide = Tensor(f"{op.name}.{scores.name}", scores.axes, dtype="fp32")
    return [
        replace(step, writes=(wide, *others)),
        elementwise(f"{op.name}.narrowed", [wide], scores, PerElement(1), linear=True),
    ]


def _as_written(tensor: Tensor, known: Tensor) -> Tensor:
    """The gradient of a tensor, with the axes of its operator: keys are written for T tokens and read for S."""
    same = set(known.letters) == set(tensor.letters)
    return known if same else replace(known, axes=tensor.axes)


def _last_first(ops: Sequence[Op]) -> Iterator[tuple[Op, set[str]]]:
    """Operators, the last first, and to what each adds: what was written before and nobody has read since."""
    unread: set[str] = set()
    found: list[tuple[Op, set[str]]] = []
    for op in ops:
        unread -= {tensor.name for tensor in op.reads}
        found.append((op, {tensor.name for tensor in op.writes if tensor.name in unread}))
        unread |= {tensor.name for tensor in op.writes}
    return reversed(found)


def _renamed(op: Op, old: str, new: Tensor) -> Op:
    """``op`` that writes a tensor by another name."""
    writes = tuple(new if tensor.name == old else tensor for tensor in op.writes)
    return replace(op, writes=writes, parts=tuple(_renamed(part, old, new) for part in op.parts))


def _made_again(op: Op, step: Op) -> Op:
    """``step`` that reads what ``op`` read in place of what never left its chip."""
    outside = {tensor.name for tensor in (*op.reads, *op.writes) if tensor.role not in STATES}
    inner = {tensor.name for part in op.parts for tensor in part.writes} - outside
    reads = {tensor.name: tensor for tensor in step.reads if tensor.name not in inner}
    if len(reads) == len(step.reads):
        return step
    return replace(step, reads=tuple(({tensor.name: tensor for tensor in op.reads} | reads).values()))
