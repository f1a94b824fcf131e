"""Weights with zeros left out, as a transform of a program: what they weigh, what they move, what they compute.

2:4 keeps two of four weights, each with two bits that say which; a matrix unit that accelerates it does the dense
matmul in a part of the time, and any other device keeps the weights dense. Unstructured zeros are stored as ``csr``
(an index for each value, which the vector unit multiplies), as ``bitmap`` (a bit for each weight; the matrix unit
multiplies what was unpacked, zeros included), or in blocks of B x B (``block16``: an index for each block; the matrix
unit leaves out the others).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Literal, TypeAlias

from roofline.classes import frozen
from roofline.compression.weight_matmuls import Matrix, contracted_per_head, layer_matrices, mapped
from roofline.errors import UsageError, WorkloadError, shown
from roofline.number import Number
from roofline.program.axes import Sizes
from roofline.program.op import Op, Tensor, Unit, Work
from roofline.program.program import Group, Program

Kind: TypeAlias = Literal["2:4", "csr", "bitmap", "block"]

INDEX_BYTES = 4
"""Indices and pointers of csr and blocks are 32-bit, as cuSPARSE keeps them."""

_UNPACK = 1  # vector FLOPs to put a stored weight in its place


@frozen
class Sparsity:
    """Which zeros are left out, and how what remains is stored. ``density`` is the part of the weights that remains."""

    kind: Kind
    density: Fraction
    block: int = 1

    @property
    def words(self) -> str:
        """The sparsity as it is asked for."""
        if self.kind == "2:4":
            return "2:4"
        return f"{float(1 - self.density):g}:{self.kind}{self.block if self.kind == 'block' else ''}"

    def stored_bytes(self, width: Number, depth: Number, outputs: Number, density: Number | None = None) -> Number:
        """Bytes of a matrix of ``depth`` x ``outputs`` weights of ``width`` bytes each.

        >>> from sympy import symbols
        >>> w, n, m, d = symbols("w n m d")
        >>> read_sparsity("0.9:csr").stored_bytes(w, n, m, d)
        d*m*n*(w + 4) + 4*m + 4
        >>> read_sparsity("0.9:bitmap").stored_bytes(w, n, m, d)
        d*m*n*w + m*n/8
        """
        part, elements, index = (self.density if density is None else density), depth * outputs, INDEX_BYTES
        if self.kind == "2:4":
            return elements * (2 * width + Fraction(1, 2)) / 4
        if self.kind == "bitmap":
            return part * elements * width + elements / 8
        if self.kind == "csr":
            return part * elements * (width + index) + index * outputs + index
        area = self.block * self.block
        return part * elements * (width + Fraction(index, area)) + index * (outputs / self.block) + index

    def break_even(self, width: Number, depth: Number, outputs: Number) -> Number:
        """The density below which the matrix weighs less than dense: stored bytes are linear in it.

        >>> from sympy import symbols
        >>> w, n, m = symbols("w n m")
        >>> read_sparsity("0.9:bitmap").break_even(w, n, m).simplify()
        (w - 1/8)/w
        >>> float(read_sparsity("0.9:csr").break_even(Fraction(2), Fraction(4096), Fraction(4096)))  # bf16
        0.3331705331802368
        """
        empty, full = (self.stored_bytes(width, depth, outputs, Fraction(part)) for part in (0, 1))
        return (width * depth * outputs - empty) / (full - empty)


def read_sparsity(text: str) -> Sparsity:
    """The sparsity of ``2:4``, ``0.9:csr``, ``0.9:bitmap`` or ``0.9:block16``: the share of zeros, and the format.

    Raises UsageError for anything else.

    >>> read_sparsity("0.9:block16")
    Sparsity(kind='block', density=Fraction(1, 10), block=16)
    """
    if text == "2:4":
        return Sparsity("2:4", Fraction(1, 2))
    match = re.fullmatch(r"(0?\.[0-9]{1,9}):(csr|bitmap|block([0-9]{0,4}))", text)
    zeros = Fraction(match[1]) if match else Fraction(0)
    side = int(match[3] or 16) if match and match[2].startswith("block") else 1
    if match is None or not zeros or not side:
        msg = f"sparsity {shown(text)}: expected 2:4, or zeros and their format: 0.9:csr, 0.9:bitmap, 0.9:block16"
        raise UsageError(msg)
    kind: Kind = "csr" if match[2] == "csr" else "bitmap" if match[2] == "bitmap" else "block"
    return Sparsity(kind, 1 - zeros, side)


def sparse(program: Program, sparsity: Sparsity, gain: float = 1.0) -> Program:
    """``program`` with the matrices of its layers stored sparse.

    ``gain`` is how much faster than dense the matrix unit does a 2:4 matmul; with 1 the weights stay dense.
    """
    if program.anonymous:
        msg = f"sparsity {sparsity.words}: nothing says which matrices of a traced module are sparse; leave it out"
        raise WorkloadError(msg)
    if sparsity.kind == "2:4" and gain == 1:
        return program
    fixed = contracted_per_head(program.groups)

    def change(group: Group, op: Op) -> Op:
        matrices = layer_matrices(group, op, fixed)
        return _sparse_matmul(op, matrices, sparsity, Fraction(gain).limit_denominator(1000)) if matrices else op

    return replace(
        program,
        groups=tuple(replace(group, ops=tuple(change(group, op) for op in group.ops)) for group in program.groups),
    )


def _sparse_matmul(op: Op, matrices: list[Matrix], sparsity: Sparsity, gain: Fraction) -> Op:
    kept = {m.weight.name: replace(m.weight, share=sparsity.density) for m in matrices}
    changed = mapped(op, lambda tensor: kept.get(tensor.name, tensor))
    whole = [m.weight.letters for m in matrices]
    work = tuple(_lighter(part, sparsity, gain, whole) for part in op.work)
    if sparsity.kind == "bitmap":
        work += tuple(Work("vector", _UNPACK, m.weight.letters) for m in matrices)
    places = [place for m in matrices for place in _places(m, sparsity)]
    return replace(changed, reads=(*changed.reads, *places), work=work)


def _lighter(work: Work, sparsity: Sparsity, gain: Fraction, whole: list[tuple[str, ...]]) -> Work:
    """The work that is left: on the vector unit for csr, the part of it that its gain leaves for 2:4.

    What a quantised weight takes to become a number, it takes for what is stored.
    """
    if work.unit == "vector" and work.axes in whole:
        return replace(work, formula=_part(replace(work, per_element=1).count, sparsity.density))
    if work.unit != "matrix" or sparsity.kind == "bitmap":
        return work
    left = 1 / gain if sparsity.kind == "2:4" else sparsity.density
    unit: Unit = "vector" if sparsity.kind == "csr" else "matrix"
    return replace(work, unit=unit, formula=_part(replace(work, per_element=1).count, left))


def _part(count: Callable[[Sizes], Number], part: Fraction) -> Callable[[Sizes], Number]:
    return lambda sizes: count(sizes) * part.numerator / part.denominator


def _places(matrix: Matrix, sparsity: Sparsity) -> list[Tensor]:
    """Where the stored weights belong: bits, indices and pointers."""
    stored = dict(zip(matrix.weight.letters, (matrix.weight.stored or matrix.weight.axes).split(), strict=True))

    def place(suffix: str, letters: tuple[str, ...], dtype: str, share: Fraction = Fraction(1)) -> Tensor:
        axes, held = (" ".join(stored.get(a, a) if resident else a for a in letters) for resident in (False, True))
        name = f"{matrix.weight.name}.{suffix}"
        return Tensor(name, axes, "scale", held if held != axes else "", dtype=dtype, share=share)

    every, rows = matrix.weight.letters, (*matrix.lead, *matrix.out)
    if sparsity.kind == "2:4":
        return [place("places", every, "2 bits", sparsity.density)]
    if sparsity.kind == "bitmap":
        return [place("bitmap", every, "1 bit")]
    area, side = sparsity.block * sparsity.block, sparsity.block
    return [
        place("index", every, "int32", sparsity.density / area),
        place("rows", rows, "int32", Fraction(1, side)),
        place("end", matrix.lead, "int32"),
    ]
