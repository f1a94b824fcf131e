"""One kind of number: the same functions on ints, Fractions, arrays and symbols."""

from __future__ import annotations

import functools
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from roofline.number import ceil_div, exact, is_symbolic, maximum, mean, minimum, product, settled

a, b = sympy.symbols("a b", positive=True, integer=True)


@pytest.mark.parametrize("function", [maximum, minimum, ceil_div])
@given(x=st.integers(1, 10**6), y=st.integers(1, 10**6))
def test_three_bindings_agree(function, x, y):
    counted = function(Fraction(x), Fraction(y))
    assert function(x, y) == counted
    assert function(a, b).subs({a: x, b: y}) == counted
    assert function(np.array([float(x)]), np.array([float(y)]))[0] == float(counted)
    assert function(np.array([float(x)]), Fraction(y))[0] == float(counted)  # an exact size beside a swept one


SUMS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=3)


@given(sums=st.lists(SUMS, min_size=2, max_size=3), x=st.integers(1, 50), y=st.integers(1, 50))
def test_what_a_maximum_leaves_out_is_never_larger(sums, x, y):
    options = [sum(count * a**i * b**j for count, i, j in terms) for terms in sums]
    values = [sum(count * x**i * y**j for count, i, j in terms) for terms in sums]
    assert sympy.sympify(functools.reduce(maximum, options)).subs({a: x, b: y}) == max(values)


def test_a_maximum_leaves_out_what_another_covers():
    assert maximum(2 * b, 2 * a * b) == 2 * a * b
    assert maximum(3 * a * b, a * b + 2 * b) == 3 * a * b
    assert maximum(maximum(2 * a, a * b), a + a * b) == maximum(2 * a, a + a * b)
    assert maximum(0.0, a / 7.0) == a / 7.0
    assert {*maximum(a * b, 2 * b).args} == {a * b, 2 * b}
    assert {*maximum(a - 3, b).args} == {a - 3, b}


@given(x=st.integers(0, 10**30), y=st.integers(1, 10**30))
def test_ceil_div_is_exact_beyond_float(x, y):
    assert ceil_div(x, y) == -(-x // y)
    assert isinstance(ceil_div(x, y), int)


@pytest.mark.parametrize("function", [maximum, minimum])
@pytest.mark.parametrize(("one", "other"), [(-1.0, Fraction(0)), (Fraction(0), -1.0), (2.0, 3), (3, 2.0)])
def test_a_float_and_an_exact_number_give_a_float(function, one, other):
    """A Fraction that came back would make an array of objects of the array that it meets next."""
    assert type(function(one, other)) is float


def test_product_of_nothing_is_one():
    assert product([]) == 1
    assert product([2, Fraction(1, 2), a]) == a


def test_exact_keeps_thirds_and_leaves_the_rest():
    T = exact(4)
    assert settled(T * (T - 1) / 2) == 6
    assert isinstance(exact(4) / 3, Fraction)
    assert exact(0.5) == 0.5
    assert exact(a) is a


def test_settled_gives_counts_back_as_ints():
    assert settled(Fraction(6, 2)) == 3
    assert isinstance(settled(Fraction(6, 2)), int)
    assert settled(Fraction(1, 2)) == 0.5
    assert isinstance(settled(Fraction(1, 2)), float)
    assert settled(a) is a


def test_is_symbolic():
    assert is_symbolic(1, a)
    assert not is_symbolic(1, 2.0, np.ones(2), Fraction(1))


def test_numbers_alone_do_not_load_sympy():
    code = "import sys, roofline.number as n; n.maximum(1, 2); n.ceil_div(3, 2); sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_mean_of_an_array_of_pythons_numbers_is_a_float() -> None:
    averaged = mean(np.array([1.0, 2.0], dtype=object))
    assert type(averaged) is float
    assert averaged == 1.5
