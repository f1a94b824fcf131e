"""What numbers that remember make of arithmetic equals the arithmetic, and folds what no letter changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.errors import UsageError
from roofline.number import as_float, ceil_div, counting, maximum, mean, minimum, power, ratio, where, whole
from roofline.tape.numbers import Remembered, letter
from roofline.tape.tape import Tape
from roofline.tape.trace import Letter, Trace

BINARY: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (1 + b * b),
    maximum,
    minimum,
    lambda a, b: ratio(as_float(a), as_float(maximum(b, 0.5))),
    lambda a, b: where(a <= b, a, b),
    lambda a, b: power(1 + a * a, Fraction(1, 2)) + b,
]
"""Continuous, so that a rounding does not become a step."""

LEAVES = st.one_of(st.sampled_from(["x", "y"]), st.integers(-4, 9), st.fractions(-3, 3, max_denominator=8))
TREES = st.recursive(LEAVES, lambda inner: st.tuples(st.integers(0, len(BINARY) - 1), inner, inner), max_leaves=14)


def value(tree: Any, letters: dict[str, Any]) -> Any:
    """What a tree comes to, in floats, arrays or numbers that remember."""
    if isinstance(tree, tuple):
        return BINARY[tree[0]](value(tree[1], letters), value(tree[2], letters))
    return letters[tree] if isinstance(tree, str) else tree


def xy() -> tuple[Trace, dict[str, Any]]:
    trace = Trace()
    return trace, {name: letter(trace, Letter(name, 3.0, 1.0, 50.0, whole=True)) for name in "xy"}


@settings(deadline=None, max_examples=150)
@given(tree=TREES, x=st.integers(1, 50), y=st.integers(1, 50))
def test_a_recording_plays_what_was_worked_out(tree: Any, x: int, y: int) -> None:
    trace, letters = xy()
    tape = Tape.of(trace, {"found": value(tree, letters)})
    expected = float(value(tree, {"x": Fraction(x), "y": Fraction(y)}))
    grown = 1e-9 * max(1.0, abs(expected))  # a difference of near equals
    for played in (tape.at(x=x, y=y)["found"], tape(x=np.array([x, x]), y=y)["found"][1]):
        assert played == pytest.approx(expected, rel=1e-9, abs=grown)


@given(x=st.integers(1, 50), y=st.integers(1, 50))
def test_whole_parts_of_quotients_are_exact(x: int, y: int) -> None:
    trace, letters = xy()

    def parts(x: Any, y: Any) -> dict[str, Any]:
        return {"up": ceil_div(x * 7, y), "down": (x * 7) // y, "rest": (x * 7) % y, "cut": whole(x * 7 / y + 0.5)}

    tape = Tape.of(trace, parts(**letters))
    assert tape.at(x=x, y=y) == parts(x, y)


def test_constants_fold_and_like_terms_meet() -> None:
    trace, letters = xy()
    x, y = letters["x"], letters["y"]
    folded = Tape.of(trace, {"found": (2 * x * y + y * x * Fraction(1, 2)) / y}).python_source()
    assert folded.count("=") == 1
    assert " = 2.5 * x\n" in folded
    assert x + y - x - y == 0
    assert x * (x - 1) / 2 * 0 == 0
    assert isinstance(x - x, int)


def test_ranges_decide_what_they_can() -> None:
    _, letters = xy()
    x, y = letters["x"], letters["y"]
    assert maximum(x, x + y) is not x
    assert (x < x + 1) is True
    assert (x > 51) is False
    assert maximum(3 * x, 2 * x).place == (3 * x).place  # type: ignore[attr-defined]
    assert where(x >= 1, 1.0, 2.0) == 1.0
    assert where(x < y, x, y).place == minimum(x, y).place  # type: ignore[attr-defined]
    assert whole(x) is not None
    assert whole(x).place == x.place  # type: ignore[attr-defined]


def test_what_is_computed_twice_is_one_node() -> None:
    trace, letters = xy()
    before = (letters["x"] + letters["y"]) ** 0.5
    size = len(trace.nodes)
    again = (letters["y"] + letters["x"]) ** 0.5
    assert (again.place, len(trace.nodes)) == (before.place, size)  # type: ignore[attr-defined]


def test_a_choice_is_held_against_every_evaluation() -> None:
    trace, letters = xy()
    x = letters["x"]
    found = 2 * x if x % 2 == 1 else x  # 3 is odd
    tape = Tape.of(trace, {"found": found})
    assert tape.at(x=5, y=1) == {"found": 10.0}
    with pytest.raises(UsageError, match="with this x another choice is made"):
        tape.at(x=6, y=1)
    with pytest.raises(UsageError, match="with this x another choice is made"):
        tape(x=[5, 6], y=1)


def test_a_whole_number_divides_exactly_where_a_choice_says_so() -> None:
    trace, letters = xy()
    x = letters["x"]
    assert x % 3 == 0  # which is recorded
    assert trace.nodes[(x // 3).place].operation == "sum"  # no floor
    assert trace.nodes[(x // 2).place].operation == "floor_div"


def test_what_cannot_be_recorded_is_refused() -> None:
    _, letters = xy()
    with pytest.raises(TypeError, match="no one value"):
        float(letters["x"])
    with pytest.raises(TypeError, match="ndarray beside a number of a recording"):
        letters["x"] + np.array([1.0, 2.0])


def test_a_mean_over_steps_is_the_sum_of_all() -> None:
    trace = Trace()
    generate = letter(trace, Letter("generate", 4, 2, 1000, whole=True))
    step = counting(generate - 1)
    tape = Tape.of(trace, {"root": mean(power(step, 0.5)), "plain": mean(step * 2 + generate), "same": mean(generate)})
    for count in (2, 5, 900):
        steps = np.arange(1, count)
        expected = {"root": np.mean(steps**0.5), "plain": np.mean(2 * steps + count), "same": count}
        for played in (tape.at(generate=count), tape(generate=count)):
            assert played == pytest.approx(expected, rel=1e-13)
    several = tape(generate=[2, 900, 5])["root"]
    assert several == pytest.approx([tape.at(generate=count)["root"] for count in (2, 900, 5)], rel=1e-13)


def test_numpy_leaves_the_arithmetic_to_the_number() -> None:
    _, letters = xy()
    for found in (np.float64(2.0) * letters["x"], np.asarray(2.0) * letters["x"], letters["x"] * np.float64(2.0)):
        assert isinstance(found, Remembered)
        assert math.isclose(found.trace.nodes[found.place].example, 6.0)
