"""One source, three bindings: symbols, exact numbers and float64 arrays agree for every operator of every network."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from strategies import STRUCTURES, axis_sizes, model_configs

import roofline
from roofline.models.model import load_model
from roofline.program.axes import LEGEND
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

COUNTS = {
    "flops": lambda op, sizes: op.flops(sizes),
    "vector_flops": lambda op, sizes: op.vector_flops(sizes),
    "special": lambda op, sizes: op.special(sizes),
    "bytes": lambda op, sizes: op.bytes(sizes, two_bytes),
}
CONVENTIONS = [
    Conventions(attention, count, lm_head)
    for attention, count, lm_head in itertools.product(
        ("fused", "materialised"), ("attended", "square"), ("last", "all")
    )
]
SYMBOLS = {letter: sympy.Symbol(letter, positive=True, integer=True) for letter in LEGEND}
SWEEP = (
    {"B": 1, "T": 1, "S": 4096, "M": 77},
    {"B": 8, "T": 512, "S": 512, "M": 512},
    {"B": 3, "T": 7, "S": 1_000_003, "M": 9},
)
PICTURED = tuple({"B": b, "T": t, "S": t, "w": w} for b, t, w in ((1, 36, 4), (8, 2304, 64), (3, 5184, 576)))
"""Of a tower, which makes one token of several patches; a class token comes to them."""
HEARD = (
    {"B": 1, "T": 1500, "S": 1500, "w": 1500, "q": 1, "f": 3000, "a": 750},
    {"B": 3, "T": 204, "S": 204, "w": 100, "q": 3, "f": 201, "a": 102},
)
PACKAGE = Path(roofline.__file__).parent


def two_bytes(_: Tensor) -> int:
    return 2


def as_fraction(expression: Any) -> Fraction:
    number = sympy.Rational(expression)
    return Fraction(int(number.p), int(number.q))


def check_operator(group: Group, op: Op, fixed: Mapping[str, int], sweep: tuple[Mapping[str, int], ...]) -> None:
    points = [{letter: Fraction(size) for letter, size in {**fixed, **point}.items()} for point in sweep]
    # As in a sweep: what the configuration fixes is one number, what the workload sets is an array.
    swept = {letter: float(size) for letter, size in fixed.items()} | {
        letter: np.array([float(point[letter]) for point in sweep]) for letter in sweep[0]
    }
    for name, count in COUNTS.items():
        where = f"{group.name}.{op.name} {name}"
        formula = sympy.sympify(count(op, group.sizes(SYMBOLS)) * group.times(SYMBOLS))
        array = np.broadcast_to(count(op, group.sizes(swept)) * group.times(swept), len(sweep))
        for point, element in zip(points, array, strict=True):
            counted = count(op, group.sizes(point)) * group.times(point)
            bound = formula.xreplace({SYMBOLS[x]: sympy.Integer(int(size)) for x, size in point.items()})
            if name == "bytes" and any("X" in tensor.letters for tensor in op.reads):  # an expected number of experts
                assert float(bound) == pytest.approx(float(counted), rel=1e-12, abs=0), where
                assert element == pytest.approx(float(counted), rel=1e-12, abs=0), where
                continue
            assert isinstance(counted, int | Fraction), where  # never a float on the way
            assert as_fraction(bound) == counted, where
            assert element == pytest.approx(float(counted), rel=1e-12, abs=0), where
            assert counted == int(counted), where  # operations and bytes come whole
            assert counted >= 0, where


def statement(group: Group, op: Op) -> tuple[Any, ...]:
    """All that decides the counts of an operator beside the sizes that a configuration fixes."""
    rebound = (frozenset(map(named, local.items())) for local in (op.local, group.local))
    return (op.kind, op.reads, op.writes, op.work, *rebound, named(("L", group.repeat)))


def named(binding: tuple[str, Any]) -> tuple[str, Any]:
    """A letter and the rule that it is bound to; numbers differ from one configuration to the next."""
    letter, bound = binding
    return letter, "a number" if isinstance(bound, int) else bound


def check_program(
    program: Program, sweep: tuple[Mapping[str, int], ...] = SWEEP, agreed: set[tuple[Any, ...]] | None = None
) -> None:
    """Every operator and the parameters; operators stated as one of ``agreed`` are left out, and others join it."""
    for phase in program.phases:
        for group, op in program.in_phase(phase):
            if agreed is None or statement(group, op) not in agreed:
                own = HEARD if phase is Phase.LISTEN else pictured(program) if group.in_tower else sweep
                check_operator(group, op, program.sizes, own)
                if agreed is not None:
                    agreed.add(statement(group, op))
    formula = sympy.sympify(program.parameters(SYMBOLS))
    exact = program.parameters({letter: Fraction(size) for letter, size in program.sizes.items()})
    assert as_fraction(formula.subs({SYMBOLS[x]: size for x, size in program.sizes.items()})) == exact
    assert program.parameters() == exact
    assert program.parameters({x: float(size) for x, size in program.sizes.items()}) == pytest.approx(float(exact))


def pictured(program: Program) -> tuple[Mapping[str, int], ...]:
    """Sizes of what a tower reads, with its class token if it has one."""
    more = any(op.name == "class_token" for group in program.groups for op in group.ops)
    return tuple({**point, "T": point["T"] + more, "S": point["S"] + more} for point in PICTURED)


AGREED: set[tuple[Any, ...]] = set()
"""Operators of one statement, at whatever sizes, are checked once; most recur in nearly every preset."""


@pytest.mark.parametrize("preset", STRUCTURES)
def test_presets(preset):
    for conventions in CONVENTIONS:
        check_program(load_model(preset).program(conventions), agreed=AGREED)


@pytest.mark.slow
@pytest.mark.parametrize("preset", STRUCTURES)
def test_presets_with_every_operator_at_its_own_sizes(preset):
    for conventions in CONVENTIONS:
        check_program(load_model(preset).program(conventions))


@settings(max_examples=30, deadline=None)
@given(config=model_configs(), step=axis_sizes("BTSM"))
def test_random_networks(config, step):
    check_program(load_model(config).program(), (step,))


def test_an_unmasked_square_is_no_larger_than_its_formula_says():
    """The symbols of a masked count reduce to the unmasked one for one new token."""
    (fused,) = [op for _, op in load_model("gpt2").program().in_phase(Phase.DECODE) if op.kind == "attention"]
    B, S, K, G, H = (SYMBOLS[letter] for letter in "BSKGH")
    assert sympy.expand(fused.flops({**SYMBOLS, "T": 1})) == 4 * B * K * G * H * S


FORMULA_FILES = [PACKAGE / "program" / "op.py", *sorted((PACKAGE / "layers").glob("*.py"))]


@pytest.mark.parametrize("file", FORMULA_FILES, ids=lambda file: file.name)
def test_formulas_never_floor(file):
    """``//`` and ``%`` silently become floor in sympy; ``ceil_div`` is there instead."""
    floored = [
        f"line {node.lineno}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.FloorDiv | ast.Mod)
    ]
    assert not floored


def test_there_are_formulas_to_look_at():
    assert {"op.py", "attention.py", "feed_forward.py", "embedding.py"} <= {file.name for file in FORMULA_FILES}
