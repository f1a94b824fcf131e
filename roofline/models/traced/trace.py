"""A trace: what one run of a module left behind, with what it was given and what its code asked of sizes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from roofline.classes import frozen
from roofline.errors import ConfigError, near_matches, shown
from roofline.models.traced.calls import Recording
from roofline.models.traced.extents import Extent
from roofline.program.axes import Sizes
from roofline.program.workload import MAX_LENGTH

FOLLOWING = ("B", "S")
"""Letters whose numbers come with the question: --batch and --prompt."""

Relation: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]

_RELATIONS: dict[Relation, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@frozen
class Condition:
    """What the code asked of sizes while it ran, and found true: with other sizes it may do something else."""

    left: Extent
    relation: Relation
    right: Extent
    where: str = ""

    @property
    def letters(self) -> frozenset[str]:
        """The letters that it depends on."""
        return self.left.letters | self.right.letters

    def holds(self, sizes: Sizes) -> bool:
        """Whether it is true of these sizes.

        >>> Condition(Extent("letter", name="M"), "<=", Extent("number", value=512)).holds({"M": 513})
        False
        """
        return bool(_RELATIONS[self.relation](self.left(sizes), self.right(sizes)))

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}{f' ({self.where})' if self.where else ''}"


@frozen
class Bound:
    """A condition of the batch and the length, with the numbers of all other letters."""

    condition: Condition
    dims: Mapping[str, int]

    def holds(self, sizes: Sizes) -> bool:
        """Whether it is true of this batch B and length S."""
        return self.condition.holds({**self.dims, **sizes})

    def __str__(self) -> str:
        return str(self.condition)


@frozen
class Trace:
    """One forward pass of a module as data, for any batch and length, and for other numbers of the letters in ``dims``.

    ``kind``: the class of the module; ``source``: what it was built from. ``inputs``: sizes by name. ``most``: the
    longest input S that the code takes, ``most_where`` the line that says so. ``losses``: what is not counted.
    ``digest``: of the file that it was read from. ``step``: a decode step over the caches that this pass leaves, of
    a module that generates.
    """

    name: str
    kind: str
    source: str
    inputs: Mapping[str, tuple[int | str, ...]]
    dims: Mapping[str, int]
    conditions: tuple[Condition, ...]
    recording: Recording
    most: int = MAX_LENGTH
    most_where: str = ""
    losses: tuple[str, ...] = ()
    digest: str = ""
    step: Trace | None = None

    @property
    def asks(self) -> tuple[Bound, ...]:
        """What its code asked of the batch and the length."""
        own = (condition for condition in self.conditions if not condition.letters.isdisjoint(FOLLOWING))
        more = () if self.step is None else self.step.asks
        return (*(Bound(condition, self.dims) for condition in own), *more)

    @property
    def letters(self) -> frozenset[str]:
        """The letters of its inputs."""
        return frozenset(size for sizes in self.inputs.values() for size in sizes if isinstance(size, str))

    def at(self, dims: Mapping[str, object], where: str) -> Trace:
        """The trace with other numbers of its letters.

        Raises ConfigError for a letter that it has not, and for a number with which its code may run otherwise.
        """
        for letter, number in dims.items():
            if letter not in self.dims:
                known = near_matches(letter, self.dims) if self.dims else "it has none but B and S"
                msg = f"{where}: {shown(letter)} is no letter of it; {known}"
                raise ConfigError(msg)
            if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MAX_LENGTH:
                msg = f"{where}: {letter}: given {shown(number)}, expected a whole number from 1 to {MAX_LENGTH:,}"
                raise ConfigError(msg)
        found = {**self.dims, **{letter: int(str(number)) for letter, number in dims.items()}}
        for condition in self.conditions:
            if condition.letters.isdisjoint(FOLLOWING) and not condition.holds(found):
                msg = f"{where}: its code was traced where {condition}, which these numbers are not: trace it anew"
                raise ConfigError(msg)
        return replace(self, dims=found, step=self.step and self.step.at(dims, where))
