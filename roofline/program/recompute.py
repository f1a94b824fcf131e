"""Recomputation: which activations are made again in the backward pass instead of being kept, and by which operators.

Of layers, selective recomputation makes again what attention holds for pairs of tokens; full recomputation all but what
a layer is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches, shown
from roofline.program.op import Op, Tensor
from roofline.program.program import Group

SELECTIVE_OP = "selective-op"
"""The policy that keeps outputs by operator: torchtitan's selective_ac_option op."""

_POLICIES = ("none", "selective", "full", "every:2", SELECTIVE_OP, "optimal")
_BY_TENSOR = ("drop", SELECTIVE_OP)


@frozen
class Recompute:
    """Which activations are made again in the backward pass: those of no layer, attention's scores, whole layers.

    ``every``: the input of one of so many layers is kept (1: of each). Of ``drop`` and ``selective-op`` these saved
    tensors are ``dropped``, by group, operator that writes them and name, and the operators ``runs``, by group and
    name, make them again; of full recomputation that stops early ``runs`` are those that do, none where all of a layer
    runs again. Of ``optimal`` what is dropped is searched, so that a device saves ``limit_bytes`` at most, where there
    is a limit. [B]
    """

    name: str
    every: int = 1
    dropped: frozenset[tuple[str, str, str]] = frozenset()
    runs: frozenset[tuple[str, str]] = frozenset()
    limit_bytes: float | None = None

    @property
    def words(self) -> str:
        """The word that asks for it, or what it drops."""
        if self.name == "drop":
            return f"drops {', '.join(sorted(f'{op}.{name}' for _, op, name in self.dropped))}"
        return self.name if self.every == 1 else f"every:{self.every}"

    def keeps(self, group: Group, place: int, tensor: Tensor) -> bool:
        """Whether a tensor that backward needs, written by the operator at a place of a group, is kept."""
        if self.name == "none" or not group.stacked:
            return True
        if self.name == "selective":
            return not _of_pairs(tensor)
        if self.name in _BY_TENSOR:
            return (group.name, group.ops[place].name, tensor.name) not in self.dropped
        streams = streams_of(group)
        return tensor.name in streams and place == max(
            at for at, op in enumerate(group.ops) if any(each.name in streams for each in op.writes)
        )

    def again(self, group: Group) -> tuple[Op, ...]:
        """The operators of a group that run once more before its backward pass."""
        if self.name == "none" or not group.stacked:
            return ()
        if self.name == "full" and not self.runs:
            return group.ops
        if self.name in (*_BY_TENSOR, "full"):
            return tuple(op for op in group.ops if (group.name, op.name) in self.runs)
        return tuple(op for op in group.ops if any(_of_pairs(tensor) for tensor in op.writes))


def read_policy(word: str) -> Recompute:
    """A policy by its word: none, selective, full, every:K. Raises UsageError for another.

    >>> read_policy("every:4").name, read_policy("every:4").every
    ('full', 4)
    """
    name, _, number = word.partition(":")
    if name == "every" and number.isdigit() and int(number) > 0:
        return Recompute("full", int(number))
    if word in _POLICIES[:3]:
        return Recompute(word)
    msg = f"recompute {shown(word)}: {near_matches(word, _POLICIES)}; every:K keeps the input of each K-th layer"
    raise UsageError(msg)


NOTHING = Recompute("none")


def needed_again(group: Group, dropped: Collection[tuple[str, str]], *, in_order: bool = False) -> set[str]:
    """The operators of a layer, by name, that make again what is ``dropped``, by operator and name, of what it saved.

    What only adds to the stream that a layer hands on, which is kept, does not run: the last matmul of a feed-forward.
    ``in_order``: they run in order until all of it is there, so that what comes before the last of them does too.
    """
    steps = [(op, part) for op in group.ops for part in op.parts or (op,)]
    streams, live, found = streams_of(group), set[str](), set[str]()
    last = max((at for at, (_, part) in enumerate(steps) if _names(part.writes) & streams), default=-1)
    for at, (op, part) in reversed([*enumerate(steps)]):
        written = _names(part.writes)
        if at == last:
            live -= written
        elif written & live or any((op.name, name) in dropped for name in written):
            found.add(op.name)
            live = (live - written) | _names(part.reads)
    if in_order:
        handing = steps[last][0].name if last >= 0 else ""
        ends = max((at for at, op in enumerate(group.ops) if op.name in found and op.name != handing), default=-1)
        found |= {op.name for op in group.ops[: ends + 1]}
    return found


def _names(tensors: Iterable[Tensor]) -> set[str]:
    return {tensor.name for tensor in tensors}


def _of_pairs(tensor: Tensor) -> bool:
    return {"T", "S"} <= set(tensor.letters)


def streams_of(group: Group) -> set[str]:
    """What a layer must be given so that all else of it can be made again: what it hands on, but for norms of that."""
    written = {tensor.name for op in group.ops for tensor in op.writes}
    first: set[str] = set()
    seen: set[str] = set()
    for op in group.ops:
        first |= {tensor.name for tensor in op.reads if tensor.name in written and tensor.name not in seen}
        seen |= {tensor.name for tensor in op.writes}
    last = group.ops[-1]
    norms = [part for part in last.parts or (last,) if part.kind == "norm"]
    normed = {part.writes[0].name for part in norms if part.reads[0].name in first}
    return first - normed or first
