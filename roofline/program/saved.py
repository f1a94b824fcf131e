"""Saved activations: what a forward pass leaves in memory until the backward pass has read it, and what is made again.

Which tensors these are follows from the statements of the backward pass; names that are written in place, such as the
residual stream, stand for one tensor after each operator that writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from roofline.classes import frozen
from roofline.program.backward import needed
from roofline.program.op import STATES, Op, Tensor
from roofline.program.program import Group, Program
from roofline.program.recompute import NOTHING, Recompute
from roofline.program.training import backward_passes, with_loss


@frozen
class Saved:
    """A tensor that is kept: the group and the operator that wrote it, once for each repeat of the group.

    ``every``: of so many repeats of its group one keeps it. ``before``: whether repeats before the last do, and
    ``last``: whether that does; what a repeat hands on the next one may read back, or what comes behind all of them.
    """

    group: Group
    place: int
    tensor: Tensor
    every: int = 1
    before: bool = True
    last: bool = True

    @property
    def op(self) -> Op:
        """The operator that wrote it."""
        return self.group.ops[self.place]


def saved_tensors(
    program: Program, policy: Recompute = NOTHING, trained: Callable[[Tensor], bool] = lambda _: True,
    readers: Callable[[Op], bool] = lambda _: True,
) -> list[Saved]:  # fmt: skip
    """What backward needs of the forward pass of a network, each tensor once.

    ``policy`` selective: scores, probabilities and masks for pairs of tokens are made again from queries and keys.
    Full: of each layer only the stream that it reads is kept. Of what the backward passes of some operators alone read,
    ``readers`` says which.

    >>> from roofline.models.model import load_model
    >>> program = load_model("llama-3.1-8b").program()
    >>> [each.tensor.name for each in saved_tensors(program) if each.group.name == "layers"]
    ... # doctest: +NORMALIZE_WHITESPACE
    ['v_cache', 'q', 'k_cache', 'context', 'attention_lse', 'x', 'h', 'ffn_norm_rstd', 'g', 'u', 'm',
     'x', 'h', 'output_norm_rstd']
    >>> from roofline.program.recompute import read_policy
    >>> [each.tensor.name for each in saved_tensors(program, read_policy("full")) if each.group.name == "layers"]
    ['x']

    Source: Korthikanti et al. 2022 (arXiv 2205.05198), sections 4.1 and 5.
    """
    forward = with_loss(program)
    found: dict[tuple[str, int, str], Saved] = {}
    for group, steps in backward_passes(forward, trained):
        for op, each in (step for step in steps if readers(step[0])):
            for saved in _read_back(forward, group, op, {t.name for step in each for t in step.reads}):
                key = (saved.group.name, saved.place, saved.tensor.name)
                other = found.get(key, saved)
                found[key] = replace(saved, before=saved.before or other.before, last=saved.last or other.last)
    order = {group.name: place for place, group in enumerate(forward)}
    every = sorted(
        found.values(), key=lambda each: (order[each.group.name], each.place, each.op.writes.index(each.tensor))
    )
    return [replace(each, every=policy.every) if each.group.stacked else each for each in every if _keeps(policy, each)]


def saved_as_read(forward: Program, read: frozenset[str], policy: Recompute = NOTHING) -> list[Saved]:
    """The same of a forward pass of which a backward pass reads tensors of these names, where both were traced."""
    found = []
    for group in forward.groups:
        last = {tensor.name: (place, tensor) for place, op in enumerate(group.ops) for tensor in op.writes}
        found += [Saved(group, place, tensor, policy.every if group.stacked else 1)
                  for name, (place, tensor) in last.items() if name in read]  # fmt: skip
    return [each for each in found if _keeps(policy, each)]


def _keeps(policy: Recompute, saved: Saved) -> bool:
    return policy.keeps(saved.group, saved.place, saved.tensor)


def _read_back(forward: list[Group], group: Group, op: Op, read: set[str]) -> Iterator[Saved]:
    """Where each tensor that the steps of an operator read was written."""
    place = next(place for place, each in enumerate(group.ops) if each is op)
    before, after = _sides(op)
    yield from (Saved(group, place, tensor) for tensor in op.writes if tensor.name in after & read)
    for tensor in op.reads:
        if tensor.name in before & read and tensor.role not in ("weight", "index", "input", "scale", "widened"):
            yield from _written_before(forward, group, place, tensor.name)


def _sides(op: Op) -> tuple[set[str], set[str]]:
    """Names that backward needs as they were before an operator ran, and as they are after it."""
    if op.kind == "attention" and op.parts:
        return {tensor.name for tensor in op.reads}, {tensor.name for tensor in op.writes}
    before, after, inner = set[str](), set[str](), set[str]()
    written = {tensor.name for tensor in op.writes if tensor.role not in STATES}
    for part in op.parts or (op,):
        inputs, outputs = needed(part)
        for tensor in inputs:
            (after if tensor.name in inner else before).add(tensor.name)
        inner |= {tensor.name for tensor in part.writes}
        after |= {tensor.name for tensor in outputs}
    if after - written:  # it never left the chip: made again from what was read
        before |= {tensor.name for tensor in op.reads}
    return before, after & written


def _written_before(forward: list[Group], group: Group, place: int, name: str) -> Iterator[Saved]:
    """The last write of a name before an operator: in its group, else in the layer below it and in the group before."""
    found = _last_write(group, name, place)
    if found:
        yield found
        return
    if group.stacked and (found := _last_write(group, name, len(group.ops))):
        yield replace(found, last=False)
    at = next(at for at, each in enumerate(forward) if each is group)
    earlier = (_last_write(each, name, len(each.ops)) for each in reversed(forward[:at]))
    if found := next((each for each in earlier if each), None):
        yield replace(found, before=not found.group.stacked)


def _last_write(group: Group, name: str, before: int) -> Saved | None:
    for place in reversed(range(before)):
        for tensor in group.ops[place].writes:
            if tensor.name == name:
                return Saved(group, place, tensor)
    return None
