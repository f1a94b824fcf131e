"""Layouts in arrays, a row each: for each phase the programs of those that have the same collectives in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.identity import Same, alike
from roofline.number import Number
from roofline.parallelism.dimensions import Steps, kinds
from roofline.parallelism.layout import Layout, stored_letters
from roofline.parallelism.sharding import shard_phase
from roofline.parallelism.split_axes import towers_apart
from roofline.prediction.request import Request
from roofline.program.axes import Binding, Sizes
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.program import Group, Program


@frozen(eq=False)
class PhaseRows:
    """A phase in several layouts: the programs of arrays that it takes, and which rows each of them stands for.

    ``stated``: the operators of all programs with their groups, those in common once; ``places``: those that each
    program runs, one after the other.
    """

    phase: Phase
    programs: tuple[Program, ...]
    masks: tuple[Any, ...]
    stated: tuple[tuple[Group, Op], ...]
    places: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, request: Request, phase: Phase, layouts: Layout) -> PhaseRows:
        """A phase of a request in these layouts, which are split once whatever its lengths are."""
        later = phase is Phase.PREFILL and request.workload.pieces > 1
        return _split(Same(request.program), phase, later, Rows(layouts), request.engine.two_batches)

    def joined(self, parts: Sequence[Any]) -> Any:
        """The rows of one number per program, or of arrays that are right in the rows of their program."""
        found = np.empty(len(self.masks[0]))
        for mask, part in zip(self.masks, parts, strict=True):
            found[mask] = np.broadcast_to(np.asarray(part, dtype=np.float64), found.shape)[mask]
        return found


@frozen(eq=False)
class Rows:
    """Layouts in arrays as a key: those of the same degrees, one after the other."""

    layouts: Layout

    @property
    def _degrees(self) -> tuple[bytes, ...]:
        return tuple(np.asarray(degree, dtype=np.int64).tobytes() for degree in self.layouts.to_dict().values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and self._degrees == other._degrees

    def __hash__(self) -> int:
        return hash(self._degrees)


@lru_cache(maxsize=32)
def _split(network: Same[Program], phase: Phase, later: bool, rows: Rows, cut: bool) -> PhaseRows:
    apart = np.asarray(towers_apart(network.it, phase, rows.layouts))
    kind = 2 * kinds(rows.layouts.to_dict(), Steps(phase.one_token, later)) + apart
    masks = [kind == each for each in np.unique(kind)]
    columns = rows.layouts.at((..., None))
    programs = [shard_phase(network.it, columns, phase, rows.layouts.at(mask)) for mask in masks]
    known = Distinct(cut)
    places = [tuple(known.place(*each) for each in program.in_phase(phase)) for program in programs]
    return PhaseRows(phase, tuple(programs), tuple(masks), tuple(known.found), tuple(places))


_ROUTED = frozenset("AEXC")
"""Letters of experts: what they are bound to reads those of the group."""


@dataclass(slots=True)
class Distinct:
    """Operators of several programs with their groups: those that are split alike are one, in whichever group.

    ``cut``: layers that dispatch tokens run in halves, and share no operator with others.
    """

    cut: bool = False
    found: list[tuple[Group, Op]] = field(default_factory=list)
    named: dict[str, list[int]] = field(default_factory=dict)

    def place(self, group: Group, op: Op) -> int:
        """The place of an operator among those found, where it joins them if it is none of them."""
        known = self.named.setdefault(op.name, [])
        own = _bound(group, op)
        for place in known:
            one, other = self.found[place]
            apart = self.cut and one.dispatches is not group.dispatches
            if not apart and alike(op, other) and alike(own, _bound(one, other)):
                return place
        known.append(len(self.found))
        self.found.append((group, op))
        return known[-1]


def _bound(group: Group, op: Op) -> Mapping[str, Binding]:
    """What of a group's letters an operator has, in its tensors or in what it binds; of experts all."""
    own = {*stored_letters(op), *op.local, *(each for each in op.local.values() if isinstance(each, str))}
    if not _ROUTED.isdisjoint(own):
        return group.local
    return {letter: binding for letter, binding in group.local.items() if letter in own}


def floats(sizes: Sizes) -> dict[str, Number]:
    """Sizes as floats, which go with arrays, and the arrays among them."""
    return {letter: size if isinstance(size, np.ndarray) else float(size) for letter, size in sizes.items()}
