"""Axes as people write them, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline.errors import UsageError
from roofline.sweeps.axes import read_axis


@pytest.mark.parametrize(
    ("given", "values"),
    [
        (8, (8,)),
        ("8", (8,)),
        ("64,1, 8", (1, 8, 64)),
        ("1k,32Ki", (1000, 32768)),
        ("3..6", (3, 4, 5, 6)),
        ("3..30:log2", (3, 6, 12, 24)),
        ("1..512:log2", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)),
        ("1k..8k:3", (1000, 4500, 8000)),
        ("5..5", (5,)),
        ([1, "2..4", 4], (1, 2, 3, 4)),
        ({"from": 1, "to": 9, "steps": 3}, (1, 5, 9)),
        ({"from": "1k", "to": "4k", "scale": "log2"}, (1000, 2000, 4000)),
        (np.array([4, 2]), (2, 4)),
    ],
)
def test_numbers_lists_and_ranges(given: Any, values: tuple[int, ...]) -> None:
    assert read_axis("batch", given) == values


@pytest.mark.parametrize(
    "given",
    [
        "", "x", "1..", "..3", "4..1", "1..9:log3", "1..9:1", "1.5", "-1", "0", "1kk", "1e3", True, 1.5, None, [], {},
        {"from": 1}, {"from": 1, "to": 9, "by": 2}, {"from": 1, "to": 9, "steps": 3, "scale": "log2"}, "1..99999999",
        10**9, "9" * 40, [[[[]]]], float("nan"),
    ],
)  # fmt: skip
def test_what_is_no_axis_is_one_line(given: Any) -> None:
    with pytest.raises(UsageError) as failure:
        read_axis("batch", given)
    assert str(failure.value).startswith("batch ")
    assert "\n" not in str(failure.value)
