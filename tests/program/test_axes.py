"""The legend and the rebinding of its letters."""

from __future__ import annotations

import pytest

from roofline.errors import ShapeError
from roofline.program.axes import LEGEND, rebind, resolve, size_of


def test_one_letter_one_meaning():
    assert all(len(letter) == 1 and letter.isalpha() for letter in LEGEND)
    assert len(set(LEGEND.values())) == len(LEGEND)


def test_rebind_reads_every_right_side_from_outside():
    sizes = {"T": 7, "S": 9, "W": 4}
    swapped = rebind(sizes, {"T": "S", "S": "T", "W": lambda outer: min(outer["S"], outer["W"])})
    assert dict(swapped) == {"T": 9, "S": 7, "W": 4}
    assert sizes == {"T": 7, "S": 9, "W": 4}  # left as it was


def test_rebind_of_nothing_is_the_same():
    sizes = {"T": 7}
    assert rebind(sizes, {}) is sizes


@pytest.mark.parametrize(("binding", "number"), [(3, 3), ("D", 8), (lambda sizes: 4 * sizes["D"], 32)])
def test_resolve(binding, number):
    assert resolve(binding, {"D": 8}) == number


def test_a_letter_without_a_size_is_named_with_its_meaning():
    with pytest.raises(ShapeError, match=r"^axis K \(key/value heads\) has no size; bound: B T$"):
        size_of("K", {"T": 1, "B": 2})


def test_a_letter_outside_the_legend_says_so():
    with pytest.raises(ShapeError, match=r"axis v \(not in the legend\) has no size"):
        resolve("v", {"T": 1})
