"""Formulas rewritten for speed: polynomials nested, equal powers merged, whole squares out of roots.

What is rewritten has positive coefficients only, so that nothing cancels and every digit stays.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sympy


def flattened(expression: Any) -> Any:
    """An expression of equal value whose evaluation takes fewer operations.

    >>> from roofline.formulas.symbols import LETTERS
    >>> B, S = LETTERS["B"], LETTERS["S"]
    >>> flattened(sympy.sqrt(4.0 * B**2 + 9.0 * B**2 * S))
    B*sqrt(S*9.0 + 4.0)
    """
    plain: list[Any] = []
    rest: list[Any] = []
    for term in sympy.Add.make_args(expression):
        short = _root(term)
        (plain if short.is_polynomial() else rest).append(short)
    total = sympy.Add(*plain)
    return sympy.Add(nested(total), *rest)


def nested(polynomial: Any) -> Any:
    """A polynomial in nested form, ``(a n + b) n + c``; left alone where a coefficient is negative."""
    if not polynomial.free_symbols:
        return polynomial
    flat = sympy.Poly(sympy.expand(polynomial))
    if any(not coefficient.is_nonnegative for coefficient in flat.coeffs()):
        return polynomial
    return _nested({powers: coefficient.evalf(17) for powers, coefficient in flat.terms()}, flat.gens)


def _nested(terms: dict[tuple[int, ...], Any], symbols: tuple[Any, ...]) -> Any:
    """The terms by exponents: what all share in front, then the commonest product factored out of what has it."""
    if not terms:
        return sympy.Integer(0)
    shared = tuple(map(min, zip(*terms, strict=True)))
    front = sympy.Mul(*(symbol**power for symbol, power in zip(symbols, shared, strict=True)))
    left = {tuple(a - b for a, b in zip(powers, shared, strict=True)): factor for powers, factor in terms.items()}
    if len(left) == 1:
        return next(iter(left.values())) * front
    step = _step(left)
    inside = {
        powers: factor for powers, factor in left.items() if all(a >= b for a, b in zip(powers, step, strict=True))
    }
    outside = {powers: factor for powers, factor in left.items() if powers not in inside}
    lower = {tuple(a - b for a, b in zip(powers, step, strict=True)): factor for powers, factor in inside.items()}
    product = sympy.Mul(*(symbol**power for symbol, power in zip(symbols, step, strict=True)))
    return front * (sympy.Mul(product, _nested(lower, symbols), evaluate=False) + _nested(outside, symbols))


def _step(terms: dict[tuple[int, ...], Any]) -> tuple[int, ...]:
    """The smallest product by which some term can be divided: of the terms that are no constant, the lowest."""
    return min((powers for powers in terms if any(powers)), key=lambda powers: (sum(powers), powers))


def _root(term: Any) -> Any:
    """``c (polynomial)^(1/q)`` with whole powers taken out of the root and the polynomial nested."""
    factor, powers = sympy.Integer(1), defaultdict(list)
    for part in sympy.Mul.make_args(term):
        base, exponent = part.as_base_exp()
        if exponent.is_Rational and not exponent.is_Integer and base.free_symbols and base.is_polynomial():
            powers[exponent].append(base)
        else:
            factor *= part
    for exponent, bases in powers.items():
        flat = sympy.Poly(sympy.expand(sympy.Mul(*bases)))
        if any(not coefficient.is_nonnegative for coefficient in flat.coeffs()):
            return term
        factor *= _rooted(flat, exponent)
    return factor


def _rooted(polynomial: Any, exponent: Any) -> Any:
    """``polynomial ^ exponent``, the monomial that all terms share taken out as far as it is whole."""
    shared = tuple(map(min, zip(*polynomial.monoms(), strict=True)))
    whole = tuple(int(power - power % exponent.q) for power in shared)
    outside = sympy.Mul(*(symbol ** (power * exponent) for symbol, power in zip(polynomial.gens, whole, strict=True)))
    terms = {
        tuple(a - b for a, b in zip(powers, whole, strict=True)): factor.evalf(17)
        for powers, factor in polynomial.terms()
    }
    return outside * _nested(terms, polynomial.gens) ** exponent
