"""How a formula answers to each of its symbols: derivatives and elasticities, in symbols."""

from __future__ import annotations

from typing import Any

import sympy

from roofline.errors import UsageError, shown
from roofline.formulas.expressions import Formula
from roofline.formulas.printers import readable
from roofline.formulas.symbols import meaning, symbol


def derivative(formula: Formula, name: str) -> Any:
    """d formula / d name, per unit of the symbol. Raises UsageError for a symbol that the formula does not hold.

    >>> from roofline.formulas.building import formula
    >>> derivative(formula("attention", phase="decode", quantity="bytes"), "S")
    4*B*H*K
    """
    if name not in formula.symbols:
        held = ", ".join(formula.symbols) or "no letter"
        msg = f"derivative {shown(name)}: not in this formula, which holds {held}"
        raise UsageError(msg)
    slope = sympy.diff(formula.expression, symbol(name))
    return _short(slope)


def elasticity(formula: Formula, name: str) -> Any:
    """d ln formula / d ln name: percent more of the formula for one percent more of the symbol.

    Of an expected time, the machine's elasticities are its shares with a minus sign, the latency's with a plus.

    >>> from roofline.formulas.building import formula
    >>> elasticity(formula("attention", phase="decode", quantity="intensity"), "S")
    G/(G + S)
    """
    slope = derivative(formula, name)
    return _short(symbol(name) * slope / formula.expression)


def _short(expression: Any) -> Any:
    """A quotient of polynomials cancelled; a time is left as it is."""
    exact = expression.is_rational_function() and not expression.has(sympy.Float)
    return sympy.factor(sympy.cancel(expression)) if exact else expression


def sensitivity_text(formula: Formula, name: str) -> str:
    """Derivative and elasticity in one symbol as people read them."""
    phase = f", {formula.phase}" if formula.phase else ""
    return "\n".join(
        [
            f"{formula.quantity} of {formula.subject}{phase}, as {name} changes ({meaning(name)})",
            f"  d {formula.quantity} / d {name} = {readable(derivative(formula, name))}",
            f"  elasticity = {readable(elasticity(formula, name))}",
            *(f"    {note}" for note in formula.notes),
        ]
    )
