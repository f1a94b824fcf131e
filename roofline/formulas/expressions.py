"""A formula: an expression in letters and words, with what it is about, its unit and what was put in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Annotated, Any, TypeAlias

import sympy
from typing_extensions import TypedDict

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.formulas.printers import latex_source, python_source, readable, script_source
from roofline.formulas.substitution import read_substitution_mapping
from roofline.formulas.symbols import meaning, symbol
from roofline.options import words
from roofline.program.phases import Phase
from roofline.schema import Answer, Says
from roofline.version import versions

Quantity: TypeAlias = words.Quantity

UNITS: dict[Quantity, str] = {
    "flops": "FLOP",
    "bytes": "B",
    "parameters": "",
    "kv_cache": "B",
    "memory": "B",
    "saved": "B",
    "intensity": "FLOP/B",
    "time": "s",
    "bound": "s",
}
"""What can be asked for, and in which unit it comes."""


@frozen(eq=False)
class Formula:
    """A quantity of a subject in symbols. ``expression`` is a sympy expression of positive symbols.

    ``phase`` is None where the quantity has none; ``notes`` say what was assumed and put in. ``own`` is what letters
    mean to this subject alone, where that is not the legend's.
    """

    subject: str
    phase: Phase | None
    quantity: Quantity
    expression: Any
    notes: tuple[str, ...] = ()
    own: tuple[tuple[str, str], ...] = ()

    @property
    def legend(self) -> dict[str, str]:
        """What the letters and words that are left stand for."""
        return {name: dict(self.own).get(name) or meaning(name) for name in self.symbols}

    @property
    def unit(self) -> str:
        """The unit of the value; empty for a pure number."""
        return UNITS[self.quantity]

    @property
    def name(self) -> str:
        """An identifier: ``llama_3_1_8b_up_flops_decode``."""
        words = (self.subject, self.quantity, self.phase or "")
        text = "".join(c if c.isascii() and c.isalnum() else "_" for c in "_".join(word for word in words if word))
        return text if text[0].isalpha() else f"f_{text}"

    @property
    def symbols(self) -> tuple[str, ...]:
        """The letters and words that are left, sorted: the arguments of the generated functions."""
        return tuple(sorted(str(free) for free in self.expression.free_symbols))

    @property
    def value(self) -> int | float | None:
        """The number, where no letter and no word is left."""
        return None if self.symbols else _number(self.expression)

    def substituted(self, **numbers: Any) -> Formula:
        """The formula with numbers in place of letters and words. Raises UsageError for others than it holds."""
        known = read_substitution_mapping(numbers)
        if strange := [name for name in known if name not in self.symbols]:
            msg = f"subs {strange[0]}: not in this formula, which holds {', '.join(self.symbols) or 'no letter'}"
            raise UsageError(msg)
        return replace(self, expression=substitute(self.expression, known))

    def python(self) -> str:
        """A Python function of the symbols that needs nothing but the standard library."""
        return python_source(self.name, self.symbols, self.expression, self._headline)

    def javascript(self) -> str:
        """A JavaScript function of the symbols that needs nothing else."""
        return script_source(self.name, self.symbols, self.expression, self._headline)

    def latex(self) -> str:
        """The formula in LaTeX, without dollars."""
        return latex_source(self.expression)

    def to_dict(self) -> dict[str, Any]:
        """The formula as the JSON of ``formula`` has it."""
        return {
            "subject": self.subject,
            "phase": self.phase,
            "quantity": self.quantity,
            "unit": self.unit,
            "expression": str(self.expression),
            "latex": self.latex(),
            "symbols": self.legend,
            "value": self.value,
            "notes": list(self.notes),
        }

    @property
    def _headline(self) -> str:
        phase = f", {self.phase}" if self.phase else ""
        return f"{self.quantity} of {self.subject}{phase}{f' [{self.unit}]' if self.unit else ''}"

    def __str__(self) -> str:
        """What it is, the expression on one line, its legend, what was put in."""
        known = self.value
        shown = (
            readable(self.expression) if known is None else f"{known:,}" if isinstance(known, int) else f"{known:.6g}"
        )
        lines = [self._headline, f"  {shown}"]
        width = max(map(len, self.symbols), default=0)
        lines += [f"    {name:{width}}  {told}" for name, told in self.legend.items()]
        return "\n".join([*lines, *(f"    {note}" for note in self.notes)])

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"


class FormulaFields(TypedDict):
    """A formula as JSON."""

    subject: Annotated[str, Says("model, part of a model, or layer")]
    phase: Annotated[Phase | None, Says("phase; null where it holds for all")]
    quantity: Annotated[str, Says("what it is of: flops, bytes, memory, time ...")]
    unit: Annotated[str, Says("unit of its value")]
    expression: Annotated[str, Says("formula in letters, as Python reads it")]
    latex: Annotated[str, Says("formula in LaTeX")]
    symbols: Annotated[dict[str, str], Says("letters and words that are left, and what each means")]
    value: Annotated[float | None, Says("number, in the formula's unit; null where a letter is left")]
    notes: Annotated[list[str], Says("what was put in")]


class FormulasAnswer(Answer):
    """The JSON of ``formula``."""

    formulas: Annotated[list[FormulaFields], Says("formula of each phase")]


@frozen(eq=False)
class Formulas:
    """What ``formula`` answers: a formula for each phase."""

    formulas: tuple[Formula, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``formula``."""
        return {**versions(), "formulas": [formula.to_dict() for formula in self.formulas]}


def substitute(expression: Any, numbers: Mapping[str, int | float | Fraction]) -> Any:
    """``expression`` with numbers in place of symbols; whole ones and fractions stay exact.

    Where a symbol stands in an exponent (expected distinct experts), numbers have 40 digits instead: exact powers of a
    fraction have millions.
    """
    powers = any(power.exp.free_symbols for power in expression.atoms(sympy.Pow))
    put = {symbol(name): as_sympy(number) for name, number in numbers.items()}
    return expression.xreplace({name: sympy.Float(number, 40) for name, number in put.items()} if powers else put)


def as_sympy(number: float | Fraction) -> Any:
    """A number as sympy has it: a rational for what is exact, a float of 53 bits for a float."""
    if isinstance(number, Fraction):
        return sympy.Rational(number.numerator, number.denominator)
    return sympy.Integer(number) if isinstance(number, int) else sympy.Float(number)


def _number(expression: Any) -> int | float:
    """The value of an expression without symbols: a whole one as int."""
    if expression.is_Integer:
        return int(expression)
    if expression.is_Float:
        return float(expression)
    return float(expression.p / expression.q) if expression.is_Rational else float(expression.evalf(17))
