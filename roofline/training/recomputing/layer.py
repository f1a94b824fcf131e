"""A layer as recomputation sees it: which statement makes each tensor, of what, and what makes a dropped one again."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import TypeAlias

from roofline.program.op import Op
from roofline.program.program import Group
from roofline.program.recompute import streams_of

Key: TypeAlias = tuple[str, str, str]
"""A saved tensor: its group, the operator that wrote it, its name."""


class Layer:
    """Who writes what in a layer, statement by statement, and what each statement reads.

    A layer is given what the one below wrote last, so that reading ahead of a write means the last write.
    """

    def __init__(self, group: Group, held: Container[Key]) -> None:
        self.group, self.held = group, held
        statements = [(op.name, part) for op in group.ops for part in statements_of(op)]
        last: dict[str, Key] = {}
        for op, part in statements:
            last |= {tensor.name: (group.name, op, tensor.name) for tensor in part.writes}
        now = dict(last)
        self.makers: dict[Key, tuple[str, list[Key]]] = {}
        for op, part in statements:
            reads = [now[tensor.name] for tensor in part.reads if tensor.name in now]
            for tensor in part.writes:
                now[tensor.name] = key = (group.name, op, tensor.name)
                self.makers[key] = (op, reads)
        self.streams = {last[name] for name in streams_of(group) if name in last and last[name] in held}

    def again(self, dropped: frozenset[Key]) -> set[tuple[str, str]]:
        """The operators that make dropped tensors again of what is kept."""
        wanted = [key for key in dropped if key[0] == self.group.name]
        seen, ran = set(wanted), set[str]()
        while wanted:
            op, reads = self.makers[wanted.pop()]
            ran.add(op)
            for key in reads:
                if key not in seen and (key not in self.held or key in dropped):
                    seen.add(key)
                    wanted.append(key)
        return {(self.group.name, op) for op in ran}


def statements_of(op: Op) -> list[Op]:
    """What of an operator makes what: its parts, but of attention, and what is of no part of it, as a whole."""
    if not op.parts or op.kind == "attention":
        return [op]
    written = {tensor.name for part in op.parts for tensor in part.writes}
    besides = tuple(tensor for tensor in op.writes if tensor.name not in written)
    return [*op.parts, *([replace(op, writes=besides)] if besides else [])]
