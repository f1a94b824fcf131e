"""What a recording keeps whole is the same of numbers, of arrays and on a tape, and is what it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from roofline import record
from roofline.kept import Waves, least_waves, padded, soft_corner

TILES = [(256.0, 3.0, 4e-6), (128.0, 5.0, 2.1e-6), (32.0, 20.0, 2e-7)]
SPLITS = [(1.0, 32.0), (2.0, 16.0), (3.0, 11.0), (8.0, 4.0)]
ROWS = st.lists(st.integers(1, 4000), min_size=1, max_size=5)


@given(rows=ROWS, units=st.integers(1, 132), partial_s=st.floats(0, 1e-9), late_s=st.floats(0, 1e-5))
def test_many_rows_are_each_alone(rows: list[int], units: int, partial_s: float, late_s: float) -> None:
    table = Waves(float(units), TILES, SPLITS, partial_s, late_s).table
    many = least_waves(np.array(rows, dtype=np.float64), table)
    for place, own in enumerate(rows):
        alone = least_waves(float(own), table)
        assert [each[place] for each in many] == pytest.approx(alone, rel=1e-14)
        least = min(
            np.ceil(np.ceil(own / tall) * across * parts / units) * steps * step_s
            + (parts > 1) * (parts * partial_s * own + late_s)
            for tall, across, step_s in TILES
            for parts, steps in SPLITS
        )
        assert alone[0] == pytest.approx(least, rel=1e-14)
        assert alone[0] >= alone[1] + alone[2]


@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3), st.sampled_from([1.0, 2.5, 8.0, np.inf]))
def test_a_corner_of_numbers_is_that_of_arrays(x: float, y: float, p: float) -> None:
    corner, part = soft_corner(x, y, (p,))
    many = soft_corner(np.array([x, y]), np.array([y, x]), (p,))
    assert (many[0][0], many[1][0]) == pytest.approx((corner, part), rel=1e-14)
    assert max(x, y) <= corner <= (x + y) * (1 + 1e-12)
    assert many[0][1] == pytest.approx(corner, rel=1e-14)


def test_a_number_beyond_all_sizes_is_itself() -> None:
    sizes = (1.0, 2.0, 4.0)
    assert [padded(each, sizes) for each in (0.5, 4.0, 4.5)] == [1.0, 4.0, 4.5]
    assert padded(np.array([0.5, 4.0, 4.5]), sizes).tolist() == [1.0, 4.0, 4.5]


def test_symbols_are_padded_as_numbers_are() -> None:
    rows = sympy.Symbol("rows", positive=True)
    found = padded(rows, (8.0, 16.0, 32.0))
    assert isinstance(found, sympy.Expr)
    for number in (0.5, 8.0, 8.25, 16.0, 31.0, 32.0, 33.5):
        assert float(found.subs(rows, number)) == padded(number, (8.0, 16.0, 32.0))


def test_a_recording_holds_each_search_once() -> None:
    source = record("llama-3.1-8b", "h100", context=100).only("decode.time_s").numpy_source()
    assert source.count("padded(") == 1
    assert 1 <= source.count("least_waves(") <= 5
