"""The matrices of a network's layers: the matmuls with weights that quantisation and sparsity change.

Left out are embeddings and whatever writes a vocabulary or a score per expert, as published recipes leave them alone,
and weights that are contracted per head (the up-projections that latent attention absorbs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from roofline.classes import frozen
from roofline.program.op import Op, Tensor
from roofline.program.program import Group

_LEFT_ALONE = frozenset("VE")  # heads write a vocabulary, routers a score per expert


@frozen
class Matrix:
    """A matmul with a weight: its letters by what they are. ``lead`` tells matrices apart: one for each expert."""

    x: Tensor
    weight: Tensor
    y: Tensor
    lead: tuple[str, ...]
    depth: tuple[str, ...]
    out: tuple[str, ...]
    shared: tuple[str, ...]


def layer_matrices(group: Group, op: Op, fixed: set[tuple[str, str]]) -> list[Matrix]:
    """The matrices of an operator, one for each part; none if one of them is to be left alone.

    ``fixed`` are weights, by group and name, that are left alone wherever they stand.
    """
    found = [_matrix(part) for part in op.parts or (op,)] if op.kind == "matmul" else []
    matrices = [m for m in found if m and m.depth and m.out and not m.shared and not _LEFT_ALONE & set(m.out)]
    alone = any((group.name, m.weight.name) in fixed for m in matrices)
    return [] if alone or len(matrices) < len(found) else matrices


def matrices_of(op: Op) -> list[Matrix]:
    """Every matrix that an operator multiplies an activation with, heads and routers too."""
    found = (_matrix(part) for part in op.parts or (op,)) if op.kind == "matmul" else ()
    return [matrix for matrix in found if matrix]


def contracted_per_head(groups: Iterable[Group]) -> set[tuple[str, str]]:
    """Weights, by group and name, that some operator contracts for each head by itself."""
    parts = ((group, part) for group in groups for op in group.ops for part in op.parts or (op,))
    found = ((group, _matrix(part)) for group, part in parts if part.kind == "matmul")
    return {(group.name, matrix.weight.name) for group, matrix in found if matrix and matrix.shared}


def mapped(op: Op, swap: Callable[[Tensor], Tensor]) -> Op:
    """``op`` with each tensor exchanged, inside its parts too."""
    return replace(
        op,
        reads=tuple(map(swap, op.reads)),
        writes=tuple(map(swap, op.writes)),
        parts=tuple(mapped(part, swap) for part in op.parts),
    )


def _matrix(op: Op) -> Matrix | None:
    """The letters of a matmul by what they are, or None where no weight is contracted with an activation."""
    if not op.contracted or op.parts:
        return None
    x, weight = op.contracted
    if weight.role != "weight" or x.role != "activation":
        return None
    y, of_x, letters = op.writes[0], set(x.letters), weight.letters
    return Matrix(
        x,
        weight,
        y,
        lead=tuple(a for a in letters if a not in of_x and a not in y.letters),
        depth=tuple(a for a in letters if a in of_x and a not in y.letters),
        out=tuple(a for a in letters if a not in of_x and a in y.letters),
        shared=tuple(a for a in letters if a in of_x and a in y.letters),
    )
