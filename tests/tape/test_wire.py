"""A tape as data: how much it weighs, and that its numbers are read as they were written."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.page.views import taped
from roofline.tape.multiples import as_multiples
from roofline.tape.wire import as_text

MOST_BYTES = 8000

UNITS = st.sampled_from([1 / 3.35e12, 1 / 989.4e12, 5.05e-9 / 7, 1 / 3])
NUMBERS = st.one_of(st.integers(-(2**40), 2**40).map(float), st.builds(lambda n, u: n * u, st.integers(1, 4096), UNITS))


@given(st.lists(NUMBERS, unique=True, max_size=30))
def test_numbers_are_read_as_they_were_but_for_their_last_places(numbers: list[float]) -> None:
    read: list[float] = []
    for each in as_multiples(numbers):
        read.append(read[len(read) - int(each[0])] * each[1] if isinstance(each, tuple) else float(each))
    assert read == pytest.approx(numbers, rel=4.5e-16, abs=0)
    assert [each for each in read if each.is_integer()] == [each for each in numbers if each.is_integer()]


def test_long_numbers_are_told_as_short_multiples() -> None:
    unit = 1 / 3.35e12
    assert as_multiples([2.0, unit, 12 * unit]) == [2, unit, (1, 12)]


@given(st.lists(st.integers(0, 2**40), max_size=30))
def test_whole_numbers_are_read_from_their_letters(numbers: list[int]) -> None:
    read, value, unit = [], 0, 1
    for letter in as_text(numbers):
        digit = ord(letter) - 35 - (letter > "\\")
        value += unit * digit
        unit *= 27
        if digit < 64:
            read.append(value)
            value, unit = 0, 1
    assert read == numbers


@pytest.mark.parametrize("model", ["deepseek-v4-flash", "deepseek-v4-pro"])
def test_the_heaviest_tapes_are_light(model: str) -> None:
    """Those with the most kinds of layers: ``page_bars.py --tapes`` weighs every preset's."""
    asked = [("model", model), ("hardware", "8xh200"), ("tp", "8"), ("ep", "8"), ("sp", "8")]
    text = json.dumps(taped(asked), separators=(",", ":"))
    assert len(gzip.compress(text.encode(), 9)) < MOST_BYTES
