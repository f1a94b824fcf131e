"""Formulas made short: factors in front, quotients cancelled, maxima without the terms that never win."""

from __future__ import annotations

import functools
from typing import Any

import sympy

from roofline.number import maximum

_MANY = 6  # terms beyond which a sum is easier to read expanded than factored


def simplified(expression: Any) -> Any:
    """An equal expression that people read with ease. Sums of times are left as they are: one term an operator.

    >>> from roofline.formulas.symbols import LETTERS
    >>> B, T, D, F = (LETTERS[letter] for letter in "BTDF")
    >>> simplified(2 * B * T * D + 2 * B * T * F)
    2*B*T*(D + F)
    """
    whole = expression.xreplace({number: sympy.Integer(int(number)) for number in _whole_floats(expression)})
    whole = whole.replace(sympy.Max, lambda *options: functools.reduce(maximum, options))
    if whole.is_polynomial():
        return short_polynomial(whole)
    if whole.is_rational_function() and not whole.has(sympy.Float):
        return sympy.factor(sympy.cancel(whole))
    return whole


def short_polynomial(expression: Any) -> Any:
    """Factored where that is short, expanded where there are many terms."""
    flat = sympy.expand(expression)
    return flat if len(sympy.Add.make_args(flat)) > _MANY else sympy.factor(flat)


def _whole_floats(expression: Any) -> set[Any]:
    return {number for number in expression.atoms(sympy.Float) if float(number).is_integer() and abs(number) < 2**53}
