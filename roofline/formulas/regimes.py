"""When does it turn compute-bound: the condition in symbols, and its number on datasheet roofs and in expected time.

On the roofs of the data sheet: FLOPs / peak >= bytes / bandwidth, both summed over the operators. In expected time:
where compute's share overtakes memory's, each operator at the rates that it really reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeAlias

import sympy
from typing_extensions import TypedDict

from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.errors import UsageError, WorkloadError, shown
from roofline.formulas.boundaries import Boundary, Difference, Side, find_boundary
from roofline.formulas.building import check_substitutions, needed_phase
from roofline.formulas.expressions import FormulasAnswer, as_sympy, substitute
from roofline.formulas.machine import SymbolicMachine
from roofline.formulas.printers import latex_source, readable
from roofline.formulas.setting import Setting
from roofline.formulas.simplification import simplified
from roofline.formulas.subject import read_phase
from roofline.formulas.symbols import LETTERS, dimension_of, meaning, symbol
from roofline.program.phases import Phase
from roofline.program.workload import DEFAULT_ENCODER_PROMPT, DEFAULT_PROMPT
from roofline.schema import Answer, Says
from roofline.units import format_quantity
from roofline.version import versions

Sides: TypeAlias = list[Side]
"""Of each operator: how often it runs, its compute seconds and its memory seconds, as expressions."""


@frozen(eq=False)
class Regime:
    """The condition under which a subject is compute-bound, in one variable.

    ``compute`` and ``memory`` are the two sides in symbols; ``solved`` is the closed form of the boundary on the roofs,
    None where there is none or, without numbers, where its side is not known. ``numbers``: what was put in for the
    boundaries, which are None where a number is missing.
    """

    subject: str
    phase: Phase | None
    variable: str
    compute: Any
    memory: Any
    solved: Any | None
    roofs: Boundary | None
    expected: Boundary | None
    numbers: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def latex(self) -> str:
        """The condition in LaTeX, solved where it can be."""
        lines = [f"{latex_source(self.compute)} \\ge {latex_source(self.memory)}"]
        if self.solved is not None:
            lines.append(f"{latex_source(symbol(self.variable))} {self._sign(latex=True)} {latex_source(self.solved)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The regime as the JSON of ``formula --solve`` has it."""
        return {
            "subject": self.subject,
            "phase": self.phase,
            "variable": self.variable,
            "condition": {"compute_s": str(self.compute), "memory_s": str(self.memory)},
            "solved": None if self.solved is None else str(self.solved),
            "roofs": self.roofs.to_dict() if self.roofs else None,
            "expected": self.expected.to_dict() if self.expected else None,
            "inputs": dict(self.numbers),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """The condition, its closed form, its two numbers with both sides, and what was put in."""
        phase = f", {self.phase}" if self.phase else ""
        lines = [
            f"{self.subject}{phase}: compute-bound where FLOPs / peak >= bytes / bandwidth",
            f"  {readable(self.compute)} >= {readable(self.memory)}",
        ]
        if self.solved is not None:
            lines.append(f"  {self.variable} {self._sign()} {readable(self.solved)}")
        for label, boundary in (("datasheet roofs", self.roofs), ("expected time", self.expected)):
            if boundary is not None:
                lines.append(f"  {label:15}  {boundary}")
        names = sorted({str(free) for side in (self.compute, self.memory) for free in side.free_symbols})
        width = max(map(len, names), default=0)
        lines += [f"    {name:{width}}  {meaning(name)}" for name in names]
        put_in = ", ".join(f"{name} = {_with_unit(name, number)}" for name, number in self.numbers.items())
        return "\n".join([*lines, *([f"    {put_in}"] if put_in else []), *(f"    {note}" for note in self.notes)])

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex().splitlines()[-1]}$"

    def _sign(self, *, latex: bool = False) -> str:
        below = _falls(self.compute, self.variable, self.roofs)
        return ("\\le" if latex else "<=") if below else ("\\ge" if latex else ">=")


Span = TypedDict(
    "Span",
    {
        "from": Annotated[float | None, Says("low end; null where it is open")],
        "to": Annotated[float | None, Says("high end; null where it is open")],
    },
)
"""A range of the variable."""


class ConditionAnswer(TypedDict):
    """Both sides of the condition; where the first is the larger, the subject is compute-bound."""

    compute_s: Annotated[str, Says("FLOPs / peak in letters", "s")]
    memory_s: Annotated[str, Says("bytes / bandwidth in letters", "s")]


class BoundaryAnswer(TypedDict):
    """Where a variable makes compute bind."""

    compute_bound: Annotated[list[Span], Says("ranges that are compute-bound; none where it never binds")]
    root: Annotated[float | None, Says("first real boundary")]
    method: Annotated[str, Says("how it was found")]
    checks: Annotated[list[dict[str, float]], Says(
        "values on both sides of each boundary, with compute_over_memory there")]  # fmt: skip


class RegimeFields(TypedDict):
    """The condition under which a subject is compute-bound, in one variable."""

    subject: Annotated[str, Says("model, part of a model, or layer")]
    phase: Annotated[Phase | None, Says("phase; null where it holds for all")]
    variable: Annotated[str, Says("letter, or word of the machine, that is solved for")]
    condition: Annotated[ConditionAnswer, Says("both sides of the condition")]
    solved: Annotated[str | None, Says("boundary on the roofs in letters; null where there is no closed form")]
    roofs: Annotated[BoundaryAnswer | None, Says("boundary by data sheet rates; null where a number is missing")]
    expected: Annotated[BoundaryAnswer | None, Says("boundary by expected times; null where a number is missing")]
    inputs: Annotated[dict[str, float], Says("numbers that were put in, in SI base units")]
    notes: Annotated[list[str], Says("what else was put in")]


class RegimesAnswer(Answer):
    """The JSON of ``formula --solve``."""

    regimes: Annotated[list[RegimeFields], Says("regime of each phase")]


FormulaAnswer: TypeAlias = FormulasAnswer | RegimesAnswer
"""The JSON of ``formula``, and that of ``formula --solve``."""


@frozen(eq=False)
class Regimes:
    """What ``formula --solve`` answers: a regime for each phase."""

    regimes: tuple[Regime, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``formula --solve``."""
        return {**versions(), "regimes": [regime.to_dict() for regime in self.regimes]}


def _with_unit(name: str, number: float) -> str:
    dimension = dimension_of(name)
    return format_quantity(number, dimension) if dimension else f"{number:g}"


def solve_regime(setting: Setting, variable: str, phase: str | None) -> Regime:
    """When the subject turns compute-bound as ``variable``, a letter or a word of the machine, changes.

    Letters without a number take batch 1 and the default prompt in a model; the numbers need a device. Raises
    UsageError for a variable that neither side holds, or that has a number.
    """
    when = needed_phase(setting.subject, read_phase(setting.subject, phase))
    if variable in setting.subs:
        msg = f"solve {variable}: subs puts a number in its place; leave one out"
        raise UsageError(msg)
    setting = replace(setting, keep=setting.keep | {variable})
    costs = setting.costs(when)
    machine = setting.machine(costs)
    roofs, real = (_sides(costs, machine, expected=expected) for expected in (False, True))
    total = _summed(roofs)[0][1:3]
    held = _check_variable(setting, variable, total)
    compute, memory = (_factored(substitute(side, setting.subs)) for side in total)
    free = {str(free) for side in real for part in side[:-1] for free in part.free_symbols}
    words = [*held, *sorted(free - set(held))]
    numbers = _numbers(setting, machine, variable, words)
    missing = [name for name in held if name not in numbers and name != variable]
    roof, expected = (
        None if missing or (each is real and not setting.device) else _boundary(setting, variable, numbers, sides)
        for each, sides in ((roofs, _summed(roofs)), (real, real))
    )
    solved, where = _closed_form(compute, memory, variable, numbers, roof)
    notes = [where] * bool(where)
    if missing:
        notes.append(f"for a number give {', '.join(missing)} in subs (--subs {missing[0]}=...)")
    on_both = [side.as_independent(symbol(variable), as_Add=False)[1] for side in (compute, memory)]
    notes += [f"{variable} cancels: which of the two binds does not depend on it"] * (on_both[0] == on_both[1])
    notes += _notes(setting, variable, (roof, expected))
    used = {} if missing else numbers
    return Regime(
        setting.subject.title, when, variable, compute, memory, solved, roof, expected, used, tuple(notes)
    )  # fmt: skip


def _check_variable(setting: Setting, variable: str, total: tuple[Any, ...]) -> list[str]:
    """The names of the symbols on both sides. Raises RooflineError where there is nothing to solve."""
    if total[0] == 0:
        msg = f"{setting.subject.title} has no contraction: it is never bound by the peak"
        raise WorkloadError(msg)
    held = sorted({str(free) for side in total for free in side.free_symbols})
    if variable not in held:
        msg = f"solve {shown(variable)}: neither side of the condition holds it; they hold {', '.join(held)}"
        raise UsageError(msg)
    check_substitutions(setting.subs, *total)
    return held


def _sides(costs: tuple[Cost, ...], machine: SymbolicMachine, *, expected: bool) -> Sides:
    return [machine.sides(cost, expected=expected) for cost in costs]


def _summed(sides: Sides) -> Sides:
    """The sides of all operators as those of one."""
    compute = sum((side.repeat * side.compute for side in sides), sympy.Integer(0))
    return [Side.of(1, compute, sum((side.repeat * side.memory for side in sides), sympy.Integer(0)))]


def _factored(side: Any) -> Any:
    top, bottom = sympy.fraction(sympy.together(side))
    return simplified(top) / bottom


def _numbers(setting: Setting, machine: SymbolicMachine, variable: str, held: list[str]) -> dict[str, float]:
    """A number for each symbol but the variable, as far as there is one."""
    found: dict[str, float] = dict(machine.numbers)
    model = setting.subject.model
    if model is not None:
        read, attended = model.lengths.positions, model.lengths.output
        found |= {"B": 1, "M": min(DEFAULT_ENCODER_PROMPT, read), "S": min(DEFAULT_PROMPT, attended)}
    found |= {name: float(number) for name, number in {**setting.subject.fixed, **setting.subs}.items()}
    return {name: float(found[name]) for name in held if name in found and name != variable}


def _boundary(setting: Setting, variable: str, numbers: Mapping[str, float], sides: Sides) -> Boundary:
    """The boundary with numbers put in for everything but the variable."""
    put = {symbol(name): as_sympy(_plain(number)) for name, number in numbers.items()}
    bound = [side.put(put) for side in sides]
    difference = Difference(tuple(side for side in bound if side[1:3] != (0, 0)), symbol(variable))
    return find_boundary(difference, variable, whole=variable in LETTERS)


def _plain(number: float) -> int | float:
    return int(number) if float(number).is_integer() and abs(number) < 2**53 else number


def _closed_form(
    compute: Any, memory: Any, variable: str, numbers: Mapping[str, float], answer: Boundary | None
) -> tuple[Any | None, str]:
    """The boundary in symbols, and under which condition there is one if that is not known.

    Of a condition that is linear or, with numbers to choose a root, quadratic; else None.
    """
    free = symbol(variable)
    top = sympy.fraction(sympy.together(compute - memory))[0]
    polynomial = sympy.Poly(sympy.expand(top), free) if top.is_polynomial(free) else None
    if polynomial is None or polynomial.degree() > 2 or (answer is not None and answer.root is None):
        return None, ""
    if polynomial.degree() == 1:
        slope, rest = polynomial.all_coeffs()
        if rest == 0:  # the variable cancels: it decides nothing
            return None, ""
        known = answer is not None or slope.is_positive or slope.is_negative
        rest, slope = sympy.factor(-rest), sympy.factor(slope)
        where = "" if known else f"where {readable(_sign_of(slope))} > 0, else never"
        return rest / slope, where
    if answer is None:
        return None, ""
    put: Mapping[Any, Any] = {symbol(name): as_sympy(_plain(number)) for name, number in numbers.items()}
    roots = sympy.roots(polynomial, multiple=True)
    return min(roots, key=lambda root: abs(complex(sympy.sympify(root).xreplace(put)) - (answer.root or 0))), ""


def _sign_of(slope: Any) -> Any:
    """What decides the sign of a factored ``slope``: its factors that may be negative."""
    return sympy.Mul(*(part for part in sympy.Mul.make_args(slope) if not part.is_positive))


def _falls(compute: Any, variable: str, answer: Boundary | None) -> bool:
    """Whether compute binds below the boundary: as found or, without numbers, where the compute side falls."""
    if answer is not None and answer.spans:
        return answer.spans[0][0] is None
    return bool(sympy.diff(compute, symbol(variable)).is_negative)


def _notes(setting: Setting, variable: str, answers: tuple[Boundary | None, ...]) -> tuple[str, ...]:
    notes = [setting.recipe.words]
    if setting.device and setting.constants:
        notes[0] += f", {setting.device.name}, constants {setting.constants.named}"
    model = setting.subject.model
    if model is not None and variable == "S":
        limit = model.lengths.output
        if any(answer and answer.root and answer.root > limit for answer in answers):
            notes.append(f"beyond the model's {limit} positions")
    return tuple(notes)
