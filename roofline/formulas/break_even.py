"""From which density on a sparse format weighs more than dense, in symbols."""

from __future__ import annotations

import sympy

from roofline.compression.sparsity import Sparsity
from roofline.formulas.printers import readable


def break_even_density(sparsity: Sparsity) -> sympy.Expr:
    """The density at which a matrix of D x F weights, w bytes each, weighs as much sparse as dense.

    >>> from roofline.compression.sparsity import read_sparsity
    >>> break_even_density(read_sparsity("0.9:csr"))
    (D*F*w - 4*F - 4)/(D*F*(w + 4))
    >>> break_even_density(read_sparsity("0.9:bitmap"))
    (8*w - 1)/(8*w)
    """
    width, depth, outputs, density = sympy.symbols("w D F d", positive=True)
    balance = sparsity.stored_bytes(width, depth, outputs, density) - width * depth * outputs
    (root,) = sympy.solve(sympy.nsimplify(balance), density)
    return sympy.factor(root)


def break_even_line(sparsity: Sparsity) -> str:
    """The same in one line, for ``--explain``."""
    formula = readable(break_even_density(sparsity))
    return f"{sparsity.words} weighs less than dense below density {formula}: D x F weights of w bytes each"
