"""A tape as data: how much it weighs, and that numbers told as multiples of others are exactly themselves."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.page.views import taped
from roofline.tape.wire import as_multiples

MOST_BYTES = 8000

UNITS = st.sampled_from([1 / 3.35e12, 1 / 989.4e12, 5.05e-9 / 7, 1 / 3])
NUMBERS = st.one_of(st.integers(-(2**40), 2**40).map(float), st.builds(lambda n, u: n * u, st.integers(1, 4096), UNITS))


@given(st.lists(NUMBERS, unique=True, max_size=30))
def test_multiples_are_exactly_the_numbers(numbers: list[float]) -> None:
    read: list[float] = []
    for each in as_multiples(numbers):
        read.append(read[len(read) - int(each[0])] * each[1] if isinstance(each, list) else float(each))
    assert read == numbers


def test_long_numbers_are_told_as_short_multiples() -> None:
    unit = 1 / 3.35e12
    assert as_multiples([2.0, unit, 12 * unit]) == [2, unit, [1, 12.0]]


@pytest.mark.parametrize(("model", "hardware"), [("gemma-3-27b", "h100"), ("deepseek-v3", "8xh200")])
def test_a_tape_is_light(model: str, hardware: str) -> None:
    text = json.dumps(taped([("model", model), ("hardware", hardware)]), separators=(",", ":"))
    assert len(gzip.compress(text.encode(), 9)) < MOST_BYTES
