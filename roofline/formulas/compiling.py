"""Formulas as fast functions: one vectorised numpy callable each, common subexpressions shared, memory bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import sympy
from sympy.printing.numpy import NumPyPrinter

from roofline.errors import UsageError, shown
from roofline.formulas.building import TIMELESS, build
from roofline.formulas.expressions import Quantity
from roofline.formulas.flattening import flattened
from roofline.formulas.printers import shared_steps
from roofline.formulas.setting import Setting, setting_of
from roofline.formulas.subject import Subject, read_phase
from roofline.hardware.spec import HardwareSpec
from roofline.options.keywords import takes
from roofline.options.verbs import CompileOptions
from roofline.program.phases import Phase
from roofline.program.program import Program

ADDITIVE: tuple[Quantity, ...] = ("flops", "bytes", "time", "bound")
"""Quantities of which those of several phases may be added."""

CHUNK = 8192
"""Elements that are worked on at once: small enough for the caches, large enough to hide the calls."""


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A callable of its ``arguments``, keywords that are numbers or arrays which broadcast; float64 throughout.

    Beyond arguments and results it holds one chunk of each intermediate. ``source`` is the body that runs.
    """

    arguments: tuple[str, ...]
    source: str
    run: Callable[..., Any]

    def __call__(self, **values: Any) -> Any:
        """The value at numbers, or an array over all points. Raises UsageError for missing or strange arguments."""
        if set(values) != set(self.arguments):
            strange = sorted(set(values) ^ set(self.arguments))[0]
            problem = "is missing" if strange in self.arguments else "is not an argument"
            msg = f"{shown(strange)} {problem}; it takes {', '.join(self.arguments) or 'none'}"
            raise UsageError(msg)
        inputs = [_numbers(name, values[name]) for name in self.arguments]
        if all(array.ndim == 0 for array in inputs):
            return float(self.run(*(np.float64(array) for array in inputs)))
        return _chunked(self.run, inputs)


@takes(CompileOptions)
def compile(  # noqa: A001  (the word of the field; the built-in is not used here)
    program: Program,
    quantity: Quantity,
    *,
    hardware: str | Path | HardwareSpec | None = None,
    **options: Unpack[CompileOptions],
) -> Compiled:
    """``quantity`` of a program as a fast function of batch and lengths, and of what ``keep`` names besides.

    Without a phase it is the sum over all phases: one prefill and one decode step, both at S. Constants are those of
    the device's class unless others are asked for. The same question again is answered from a cache of this process.

    >>> from roofline.models.model import load_model
    >>> time = compile(load_model("llama-2-7b").program(), "time", phase="decode", hardware="a100")
    >>> time.arguments
    ('B', 'S')
    >>> time(B=np.array([1, 64]), S=2048).round(4)
    array([0.0106, 0.0496])
    """
    subject = Subject("program", "", program.groups, program)
    asked = read_phase(subject, options["phase"])
    setting = setting_of(subject, {}, hardware, options)
    text = repr((program, setting.device, setting.recipe, setting.engine, setting.constants, sorted(setting.keep)))
    return _compiled(_Question(text, program, setting, quantity, asked))


@dataclass(frozen=True, slots=True)
class _Question:
    """What is compiled. Programs hold functions, which do not hash: two questions are one if they read the same, and
    the cache keeps each program alive, so that no other function can come to stand at an address that is written there.
    """

    text: str
    program: Program = field(compare=False)
    setting: Setting = field(compare=False)
    quantity: Quantity
    phase: Phase | None


@lru_cache(maxsize=128)
def _compiled(question: _Question) -> Compiled:
    setting, quantity, phase = question.setting, question.quantity, question.phase
    phases = (phase,) if phase is not None or quantity in TIMELESS else setting.subject.phases
    if len(phases) > 1 and quantity not in ADDITIVE:
        msg = f"{quantity} is that of one phase and no sum over {' and '.join(phases)}; name a phase"
        raise UsageError(msg)
    parts = [build(setting, quantity, when).expression for when in phases]
    return compile_expression(sympy.Add(*parts))


def compile_expression(expression: Any) -> Compiled:
    """A fast function of the symbols of an expression, which is one of this package's formulas."""
    arguments = tuple(sorted(str(free) for free in expression.free_symbols))
    steps, (result,) = shared_steps([flattened(expression)])
    printer = _Numpy({"fully_qualified_modules": True})
    lines = [f"    {name} = {printer.doprint(part)}" for name, part in steps]
    lines.append(f"    return {printer.doprint(result)}")
    source = f"def run({', '.join(arguments)}):\n" + "\n".join(lines)
    space: dict[str, Any] = {"numpy": np}
    exec(source, space)  # printed by the line above from our own expression, never from a user's text
    return Compiled(arguments, source, space["run"])


class _Numpy(NumPyPrinter):  # type: ignore[misc]
    def _print_Float(self, number: Any) -> str:  # noqa: N802  (the printer's own naming)
        return repr(float(number))

    def _print_Rational(self, number: Any) -> str:  # noqa: N802
        return repr(number.p / number.q)

    def _print_Integer(self, number: Any) -> str:  # noqa: N802
        return str(number.p) if abs(number.p) < 2**31 else repr(float(number))

    def _print_Max(self, expression: Any) -> str:  # noqa: N802
        return self._pairwise("numpy.maximum", expression.args)

    def _print_Min(self, expression: Any) -> str:  # noqa: N802
        return self._pairwise("numpy.minimum", expression.args)

    def _pairwise(self, function: str, arguments: Sequence[Any]) -> str:
        first, *others = [str(self._print(argument)) for argument in arguments]
        for other in others:
            first = f"{function}({first}, {other})"
        return first


def _numbers(name: str, value: Any) -> Any:
    """A number or an array as float64. Raises UsageError for what is no positive finite number."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        msg = f"{name}: {shown(value)}, expected a number or an array of numbers"
        raise UsageError(msg) from None
    if array.size and not (array.min() > 0 and array.max() < np.inf):
        msg = f"{name}: expected finite numbers above 0, given one of {array.min():g} to {array.max():g}"
        raise UsageError(msg)
    return array


def _chunked(run: Callable[..., Any], inputs: list[Any]) -> Any:
    """``run`` over all points of the broadcast inputs, a chunk at a time."""
    iterate: Any = np.nditer  # whose stubs know no mix of given and allocated operands
    try:
        every = iterate(
            [*inputs, None],
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_flags=[*(["readonly"] for _ in inputs), ["writeonly", "allocate"]],
            op_dtypes=[np.float64] * (len(inputs) + 1),
            order="C",
            buffersize=CHUNK,
        )
    except ValueError:
        msg = f"shapes do not match: {', '.join(str(array.shape) for array in inputs)}"
        raise UsageError(msg) from None
    with every:
        for *parts, out in every:
            out[...] = run(*parts)
        return every.operands[-1]
