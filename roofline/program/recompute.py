"""Recomputation: which activations are made again in the backward pass instead of being kept, and by which operators.

Of layers, selective recomputation makes again what attention holds for pairs of tokens; full recomputation all but what
a layer is given.
"""

from __future__ import annotations

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches, shown
from roofline.program.op import Op, Tensor
from roofline.program.program import Group

_POLICIES = ("none", "selective", "full", "every:2", "optimal")


@frozen
class Recompute:
    """Which activations are made again in the backward pass: those of no layer, attention's scores, whole layers.

    ``every``: the input of one of so many layers is kept (1: of each). Of ``drop`` these saved tensors are ``dropped``,
    by group, operator that writes them and name, and the operators ``runs``, by group and name, make them again. Of
    ``optimal`` what is dropped is searched, so that a device saves ``limit_bytes`` at most, where there is a limit. [B]
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
        if self.name == "drop":
            return (group.name, group.ops[place].name, tensor.name) not in self.dropped
        streams = streams_of(group)
        return tensor.name in streams and place == max(
            at for at, op in enumerate(group.ops) if any(each.name in streams for each in op.writes)
        )

    def again(self, group: Group) -> tuple[Op, ...]:
        """The operators of a group that run once more before its backward pass."""
        if self.name == "none" or not group.stacked:
            return ()
        if self.name == "full":
            return group.ops
        if self.name == "drop":
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
