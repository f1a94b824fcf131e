"""The program of a training step: the forward pass with what backward needs of it, the loss, the backward pass.

What the backward phase reads that the forward phase wrote is what is saved. Groups of one name in both phases are the
same layers. A step ends with the gradients of all trained weights, one by one; optimizers come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from roofline.program.axes import Binding
from roofline.program.backward import Gradients, gradient, reached
from roofline.program.op import Op, PerElement, Tensor, elementwise
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.recompute import NOTHING, Recompute
from roofline.program.written_out import LOSS_WRITTEN_OUT

SEED = "seed"
"""The function of what stands for the loss of an output that is no score over a vocabulary."""

_TARGETS = Tensor("targets", "B T", "index")


Steps: TypeAlias = Sequence[tuple[Op, tuple[Op, ...]]]
"""Operators of a group, the last first, each with what pushes gradients back through it."""


def training_program(
    program: Program, trained: Callable[[Tensor], bool] = lambda _: True, recompute: Recompute = NOTHING
) -> Program:
    """The training step of a network: a forward and a backward phase.

    ``program`` scores all tokens (``lm_head="all"``). An encoder-decoder reads M tokens in its encoder and T in its
    decoder. ``trained`` says of a weight whether it has a gradient. What the network gives and no loss reads, such as
    the pooled vector of an encoder, gets a gradient in one pass over it. ``recompute`` runs operators of the forward
    pass once more, ahead of each layer's backward pass.

    >>> from roofline.models.model import load_model
    >>> from roofline.program.conventions import Conventions
    >>> step = training_program(load_model("gpt2").program(Conventions(lm_head="all")))
    >>> [group.name for group in step.groups if Phase.BACKWARD in group.phases]
    ['head', 'layers', 'embedding']
    >>> [op.name for _, op in step.in_phase(Phase.BACKWARD)][:4]
    ['loss.backward', "lm_head.h'", "lm_head.token_table'", 'output_norm.backward']

    Source: Griewank and Walther 2008, Evaluating Derivatives, section 3.2 (reverse mode).
    """
    forward = with_loss(program)
    passes = backward_passes(forward, trained)
    scored = [replace(group, ops=tuple(op for op in group.ops if op.function != SEED)) for group in forward]
    backward = [
        replace(group, ops=(*map(_once_more, recompute.again(group)), *ops), phases=(Phase.BACKWARD,))
        for group, steps in passes
        if (ops := tuple(step for _, each in steps for step in _widened_first(group, each)))
    ]
    return Program((*scored, *backward), program.sizes)


def with_loss(program: Program) -> list[Group]:
    """The groups of a forward pass that writes what backward needs, with the loss in place of what picks a token."""
    return _with_loss([replace(group, ops=tuple(saving(op) for op in group.ops)) for group in forward_groups(program)])


def backward_passes(forward: Sequence[Group], trained: Callable[[Tensor], bool]) -> list[tuple[Group, Steps]]:
    """The backward pass of groups ``with_loss``, the last first; where no weight is trained, down to the input."""
    ops = [op for group in forward for op in group.ops]
    learns = {trained(tensor) for op in ops for tensor in op.reads if tensor.role == "weight"}
    walk = Gradients(trained=trained, reached=reached(ops, trained) if learns == {True, False} else None)
    return [(group, _backward_steps(group, walk)) for group in reversed(forward)]


def forward_groups(program: Program) -> list[Group]:
    """The groups of a forward pass over whole sequences, in a phase of its own, the decoder's after the encoder's."""
    phases = program.phases
    behind = phases[0].encodes and len(phases) > 1
    found: list[Group] = []
    for group in program.groups:
        if behind and any(phase.encodes for phase in group.phases):
            lengths: dict[str, Binding] = {"T": "M", "S": "M"}
            name = group.name if not group.name.startswith("decoder") else f"{group.name}.cross"
            found.append(replace(group, name=name, local={**lengths, **group.local}))
        elif phases[0] in group.phases or (behind and Phase.DECODE in group.phases):
            found.append(group)
    return [replace(group, phases=(Phase.FORWARD,)) for group in found]


def _once_more(op: Op) -> Op:
    return replace(op, name=f"{op.name}.again")


def _widened_first(group: Group, steps: Sequence[Op]) -> Iterator[Op]:
    """Steps of an operator, behind what widens the weights that they read once more: no wide copy is kept."""
    read = {tensor.name for step in steps for tensor in step.reads if tensor.role == "widened"}
    yield from (_once_more(op) for op in group.ops if op.writes[0].name in read)
    yield from steps


# Forward: what backward needs besides


def saving(op: Op) -> Op:
    """An operator that also writes what backward needs of it: statistics of norms, logarithms of attention's sums."""
    if op.kind == "attention":
        softmax = next(part for part in op.parts if part.kind == "softmax")
        rows = " ".join(letter for letter in softmax.writes[0].letters if letter not in softmax.mixes.split())
        return replace(op, writes=(*op.writes, Tensor(f"{op.name}_lse", rows, dtype="fp32")))
    if op.kind != "norm":
        return op
    if not op.parts:
        return replace(op, writes=(*op.writes, *_statistics(op)))
    parts = tuple(replace(part, writes=(*part.writes, *_statistics(part))) for part in op.parts)
    sums = {tensor.name for part in op.parts if part.function == "add" for tensor in part.writes}
    inner = [part.reads[0] for part in op.parts if part.kind == "norm" and part.reads[0].name in sums]
    written = {tensor.name for tensor in op.writes}
    kept = [tensor for tensor in inner if tensor.name not in written]
    return replace(
        op, parts=parts, writes=(*op.writes, *kept, *(each for part in op.parts for each in _statistics(part)))
    )


def _statistics(op: Op) -> tuple[Tensor, ...]:
    """Mean and reciprocal deviation of each row that a LayerNorm runs over, one scale of an RMSNorm's, in fp32."""
    if op.kind != "norm":
        return ()
    rows = " ".join(letter for letter in op.reads[0].letters if letter not in op.mixes.split())
    which = ("mean", "rstd") if op.function.startswith("layer") else ("rstd",)
    return tuple(Tensor(f"{op.name}_{name}", rows, dtype="fp32") for name in which)


# The loss


def _with_loss(groups: Sequence[Group]) -> list[Group]:
    """The groups with cross-entropy in place of what picks a token; without that, with a seed for each output."""
    if any(op.function == "sampling" for group in groups for op in group.ops):
        return [
            replace(group, ops=tuple(_cross_entropy(op) if op.function == "sampling" else op for op in group.ops))
            for group in groups
        ]
    unread = {tensor.name: op for op, tensor in _unread(groups)}
    return [
        replace(group, ops=tuple(each for op in group.ops for each in (op, *_seeds(op, unread)))) for group in groups
    ]


def _seeds(op: Op, unread: Mapping[str, Op]) -> list[Op]:
    """A pass over each output that an operator is the last to write."""
    outputs = [tensor for tensor in op.writes if unread.get(tensor.name) is op]
    return [
        elementwise(f"{x.name}_loss", [x], Tensor(f"{x.name}_loss", x.axes), PerElement(1), function=SEED).rebound(
            **op.local
        )
        for x in outputs
    ]


def _cross_entropy(sampling: Op) -> Op:
    """Cross-entropy in one pass over the scores: the work of a softmax, a number for each token, and its lse.

    Where it is written out, all logarithms of probabilities in place of that.
    """
    (logits,), written_out = sampling.reads, sampling.writes[1:]
    rows = " ".join(letter for letter in logits.letters if letter != "V")
    local = {letter: bound for letter, bound in sampling.local.items() if letter != "T"}
    kept = written_out or (Tensor("loss_lse", rows, dtype="fp32"),)
    function = LOSS_WRITTEN_OUT if written_out else "cross_entropy"
    writes = (Tensor("loss", rows, dtype="fp32"), *kept)
    return replace(sampling, name="loss", reads=(logits, _TARGETS), writes=writes, local=local, function=function)


def _unread(groups: Sequence[Group]) -> list[tuple[Op, Tensor]]:
    """What is written last under a name and read by nobody afterwards, with the operator that does."""
    last: dict[str, tuple[Op, Tensor]] = {}
    for op in (op for group in groups for op in group.ops):
        for tensor in op.reads:
            last.pop(tensor.name, None)
        last |= {tensor.name: (op, tensor) for tensor in op.writes[:1] if tensor.role == "activation"}
    return list(last.values())


# Backward


def _backward_steps(group: Group, walk: Gradients) -> Steps:
    """The backward pass of a group, whose layers, if it is a stack, hand gradients on to each other."""
    losses = [op for op in group.ops if op.function in (SEED, "cross_entropy", LOSS_WRITTEN_OUT)]
    seeds = {op.writes[0].name: gradient(op.writes[0]) for op in losses}
    walk.known |= seeds
    if group.stacked:
        carried = [tensor for tensor in _carried(group) if walk.reached is None or tensor.name in walk.reached]
        walk.known = {**{tensor.name: gradient(tensor) for tensor in carried}, **walk.known}
    steps = walk.through(group.ops)
    own = {t.name for op in group.ops for t in op.reads if t.role == "weight" and not t.tied}
    walk.known = {name: tensor for name, tensor in walk.known.items() if name not in own}
    return [(op, tuple(_unseeded(step, seeds) for step in each)) for op, each in steps]


def _unseeded(step: Op, seeds: Mapping[str, Tensor]) -> Op:
    """The gradient of a loss is 1 and is not read."""
    return replace(step, reads=tuple(tensor for tensor in step.reads if tensor not in seeds.values()))


def _carried(group: Group) -> list[Tensor]:
    """What each layer of a stack reads from before it: of the layer below it, or the same for all of them."""
    written: set[str] = set()
    found: dict[str, Tensor] = {}
    for op in group.ops:
        for tensor in op.reads:
            if tensor.name not in written and tensor.role == "activation":
                found.setdefault(tensor.name, tensor)
        written |= {tensor.name for tensor in op.writes}
    return list(found.values())
