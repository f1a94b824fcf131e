"""Formulas as text, LaTeX, Python and JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import sympy
from sympy.printing.jscode import JavascriptCodePrinter
from sympy.printing.latex import LatexPrinter
from sympy.printing.pycode import PythonCodePrinter
from sympy.printing.str import StrPrinter

_SHORT = 6  # significant digits of a measured number in text; the generated functions carry all of them


class _Text(StrPrinter):  # type: ignore[misc]
    def _print_Float(self, number: Any) -> str:  # noqa: N802  (the printer's own naming)
        return f"{float(number):.{_SHORT}g}"


class _Latex(LatexPrinter):  # type: ignore[misc]
    def _print_Float(self, number: Any) -> str:  # noqa: N802
        mantissa, _, exponent = f"{float(number):.{_SHORT}g}".partition("e")
        return f"{mantissa} \\cdot 10^{{{int(exponent)}}}" if exponent else mantissa

    def _print_Symbol(self, symbol: Any, style: str = "plain") -> str:  # noqa: N802
        name, _, index = symbol.name.partition("_")
        plain = f"\\mathrm{{{name}}}" if len(name) > 1 else name
        return f"{plain}_{{{self._words(index)}}}" if index else plain

    @staticmethod
    def _words(index: str) -> str:
        text = index.replace("_", "\\ ")
        return text if len(index) == 1 else f"\\mathrm{{{text}}}"


class _Python(PythonCodePrinter):  # type: ignore[misc]
    def _print_Float(self, number: Any) -> str:  # noqa: N802
        return repr(float(number))


class _Script(JavascriptCodePrinter):  # type: ignore[misc]
    def _print_Float(self, number: Any) -> str:  # noqa: N802
        return repr(float(number))

    def _print_Integer(self, number: Any) -> str:  # noqa: N802
        return str(number.p) if abs(number.p) <= 2**53 else repr(float(number))


def readable(expression: Any) -> str:
    """The expression on one line of text, measured numbers to six digits.

    >>> from roofline.formulas.symbols import LETTERS
    >>> readable(LETTERS["B"] * LETTERS["S"] / 3.0)
    '0.333333*B*S'
    """
    return str(_Text({"order": "lex"}).doprint(expression))


def latex_source(expression: Any) -> str:
    """The expression in LaTeX; words upright, measured numbers to six digits.

    >>> from roofline.formulas.symbols import LETTERS, symbol
    >>> print(latex_source(LETTERS["B"] / symbol("bandwidth")))
    \\frac{B}{\\mathrm{bandwidth}}
    """
    return str(_Latex().doprint(expression))


def python_source(name: str, arguments: Sequence[str], expression: Any, title: str) -> str:
    """A Python function that evaluates ``expression``; common subexpressions once, all digits kept."""
    body = _statements(_Python({"fully_qualified_modules": True}), expression, "    {} = {}", "    return {}")
    lines = [f"def {name}({', '.join(arguments)}):", f'    """{title}"""', *body]
    needs_math = any("math." in line for line in body)
    return "\n".join([*(["import math", "", ""] if needs_math else []), *lines])


def script_source(name: str, arguments: Sequence[str], expression: Any, title: str) -> str:
    """The same as a JavaScript function."""
    body = _statements(_Script(), expression, "  const {} = {};", "  return {};")
    return "\n".join([f"function {name}({', '.join(arguments)}) {{", f"  // {title}", *body, "}"])


def _statements(printer: Any, expression: Any, assignment: str, result: str) -> list[str]:
    steps, (value,) = shared_steps([expression])
    lines = [assignment.format(step, printer.doprint(part)) for step, part in steps]
    return [*lines, result.format(printer.doprint(value))]


def shared_steps(expressions: Sequence[Any]) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Common subexpressions of ``expressions``, named t0, t1 ..., each before its use, and what is left of them."""
    steps, left = sympy.cse(list(expressions), symbols=(sympy.Symbol(f"t{i}", positive=True) for i in count()))
    return list(steps), list(left)
