"""The program of a training step: the forward pass with what backward needs of it, the loss, the backward pass.

What the backward phase reads that the forward phase wrote is what is saved. Groups of one name in both phases are the
same layers. A step ends with the gradients of all trained weights, one by one; optimizers come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from roofline.program.axes import Binding
from roofline.program.backward import Gradients, gradient
from roofline.program.op import CARRIED, Op, PerElement, Tensor, elementwise
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

LOSS = "loss"
"""The group of the loss, and its operator."""

_TARGETS = Tensor("targets", "B T", "index")


def training_program(program: Program, trained: Callable[[Tensor], bool] = lambda _: True) -> Program:
    """The training step of a network: a forward and a backward phase.

    ``program`` scores all tokens (``lm_head="all"``). An encoder-decoder reads M tokens in its encoder and T in its
    decoder. ``trained`` says of a weight whether it has a gradient. What the network gives and no loss reads, such as
    the pooled vector of an encoder, gets a gradient in one pass over it.

    >>> from roofline.models.model import load_model
    >>> from roofline.program.conventions import Conventions
    >>> step = training_program(load_model("gpt2").program(Conventions(lm_head="all")))
    >>> [group.name for group in step.groups if Phase.BACKWARD in group.phases]
    ['loss', 'head', 'layers', 'embedding']
    >>> [op.name for group, op in step.in_phase(Phase.BACKWARD) if group.name == "layers"][:4]
    ['output_norm.backward', "down.m'", "down.w_down'", "down.b_down'"]

    Source: Griewank and Walther 2008, Evaluating Derivatives, section 3.2 (reverse mode).
    """
    forward = [replace(group, ops=tuple(_saving(op) for op in group.ops)) for group in forward_groups(program)]
    forward, loss = _with_loss(forward)
    walk = Gradients(trained=trained)
    backward = []
    for group in reversed([*forward, loss]):
        ops = _backward_ops(group, walk)
        if ops:
            backward.append(replace(group, ops=ops, phases=(Phase.BACKWARD,)))
    scored = [replace(loss, ops=tuple(op for op in loss.ops if op.name == LOSS))]
    return Program((*forward, *(group for group in scored if group.ops), *backward), program.sizes)


def forward_groups(program: Program) -> list[Group]:
    """The groups of a forward pass over whole sequences, in a phase of its own, the decoder's after the encoder's."""
    phases = program.phases
    behind = Phase.ENCODE in phases and len(phases) > 1
    found: list[Group] = []
    for group in program.groups:
        if Phase.ENCODE in group.phases and behind:
            lengths: dict[str, Binding] = {"T": "M", "S": "M"}
            name = group.name if not group.name.startswith("decoder") else f"{group.name}.cross"
            found.append(replace(group, name=name, local={**lengths, **group.local}))
        elif phases[0] in group.phases or (behind and Phase.DECODE in group.phases):
            found.append(group)
    return [replace(group, phases=(Phase.FORWARD,)) for group in found]


# Forward: what backward needs besides


def _saving(op: Op) -> Op:
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
    return replace(op, parts=parts, writes=(*op.writes, *kept, *(each for part in parts for each in part.writes[1:])))


def _statistics(op: Op) -> tuple[Tensor, ...]:
    """Mean and reciprocal deviation of each row that a LayerNorm runs over, one scale of an RMSNorm's, in fp32."""
    if op.kind != "norm":
        return ()
    rows = " ".join(letter for letter in op.reads[0].letters if letter not in op.mixes.split())
    which = ("mean", "rstd") if op.function.startswith("layer") else ("rstd",)
    return tuple(Tensor(f"{op.name}_{name}", rows, dtype="fp32") for name in which)


# The loss


def _with_loss(groups: Sequence[Group]) -> tuple[list[Group], Group]:
    """The groups without what picks a token, and the group of the loss, with the seeds of all other gradients."""
    samplers = [op for group in groups for op in group.ops if op.function == "sampling"]
    kept = [replace(group, ops=tuple(op for op in group.ops if op not in samplers)) for group in groups]
    kept = [group for group in kept if group.ops]
    ops = [_cross_entropy(op) for op in samplers] or [
        elementwise(f"{tensor.name}_loss", [tensor], Tensor(f"{tensor.name}_loss", tensor.axes), PerElement(1))
        for tensor in _unread(kept)
    ]
    return kept, Group(LOSS, tuple(ops), phases=(Phase.FORWARD,), local=kept[-1].local)


def _cross_entropy(sampling: Op) -> Op:
    """Cross-entropy in one pass over the scores: the work of a softmax, a number for each token, and its lse."""
    (logits,) = sampling.reads
    rows = " ".join(letter for letter in logits.letters if letter != "V")
    local = {letter: bound for letter, bound in sampling.local.items() if letter != "T"}
    lse = Tensor("loss_lse", rows, dtype="fp32")
    return replace(
        sampling, name=LOSS, reads=(logits, _TARGETS), writes=(Tensor(LOSS, rows, dtype="fp32"), lse), local=local,
        function="cross_entropy",
    )  # fmt: skip


def _unread(groups: Sequence[Group]) -> list[Tensor]:
    """What is written last under a name and read by nobody afterwards."""
    last: dict[str, Tensor] = {}
    for group in groups:
        for op in group.ops:
            for tensor in op.reads:
                last.pop(tensor.name, None)
            last |= {tensor.name: tensor for tensor in op.writes[:1] if tensor.role == "activation"}
    return list(last.values())


# Backward


def _backward_ops(group: Group, walk: Gradients) -> tuple[Op, ...]:
    """The backward pass of a group, whose layers, if it is a stack, hand gradients on to each other."""
    seeds = {op.writes[0].name: gradient(op.writes[0]) for op in group.ops if group.name == LOSS}
    walk.known |= seeds
    if group.stacked:
        walk.known = {**{tensor.name: gradient(tensor) for tensor in _carried(group)}, **walk.known}
    ops = tuple(step for op in reversed(group.ops) for step in walk.back(op))
    ops = tuple(replace(op, reads=tuple(t for t in op.reads if t not in seeds.values())) for op in ops)  # it is 1
    own = {t.name for op in group.ops for t in op.reads if t.role == "weight" and not t.tied}
    walk.known = {name: tensor for name, tensor in walk.known.items() if name not in own}
    return ops


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
