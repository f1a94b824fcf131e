"""Collectives: bytes on the link by hand, the corner, arrays, symbols, refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.calibration.calibration_file import CollectiveConstants
from roofline.calibration.fields import Band
from roofline.errors import UsageError
from roofline.program.transfers import PASSES, bus_bytes
from roofline.timing.fitted_collectives import time_collective
from roofline.timing.timing import SECONDS

PLAIN: dict[str, Any] = {"first": "6 us", "each": "1 us", "bandwidth": 0.5, "sharpness": 1.0}
BAND = Band(low=0.8, high=1.5, evidence="none")
SIZES = st.floats(min_value=1.0, max_value=1e12)


def constants(**changes: Any) -> CollectiveConstants:
    return CollectiveConstants.model_validate({**PLAIN, "band": BAND, **changes})


@pytest.mark.parametrize(
    ("operation", "sent"),
    [("all_reduce", 1500.0), ("all_gather", 750.0), ("reduce_scatter", 750.0), ("all_to_all", 750.0)],
)
def test_what_each_of_four_devices_sends_of_a_thousand_bytes(operation: str, sent: float) -> None:
    assert bus_bytes(operation, 1000, 4) == sent  # three quarters, and twice that to reduce everywhere


def test_by_hand() -> None:
    timing = time_collective("all_gather", 4e6, 4, 300e9, constants())
    # 6 us and three times 1 us, then 3 MB at half of 300 GB/s: 20 us
    assert timing.time_s == pytest.approx(29e-6)
    assert timing.bound_s == pytest.approx(10e-6)
    assert (timing.share("latency"), timing.share("link")) == (pytest.approx(9 / 29), pytest.approx(20 / 29))
    assert (timing.low_s, timing.high_s) == (pytest.approx(0.8 * 29e-6), pytest.approx(1.5 * 29e-6))


def test_a_sharpness_below_one_rounds_the_corner_outwards() -> None:
    timing = time_collective("all_gather", 4e6, 4, 300e9, constants(sharpness=0.5))
    assert timing.time_s == pytest.approx((math.sqrt(9e-6) + math.sqrt(20e-6)) ** 2)


def test_without_constants_it_is_the_bound() -> None:
    timing = time_collective("all_reduce", 1e6, 2, 300e9, None)
    assert timing.time_s == timing.bound_s == timing.low_s == timing.high_s == pytest.approx(1e6 / 300e9)
    assert (timing.share("latency"), timing.share("link")) == (0.0, 1.0)


@given(st.sampled_from(sorted(PASSES)), SIZES, st.integers(2, 1024), st.floats(0.3, 3))
def test_laws(operation: str, size: float, devices: int, sharpness: float) -> None:
    known = constants(sharpness=sharpness)
    timing = time_collective(operation, size, devices, 300e9, known)
    assert timing.bound_s <= timing.low_s <= timing.time_s <= timing.high_s
    assert timing.share("latency") + timing.share("link") == pytest.approx(1.0)
    step = 1e-5
    faster, slower = (time_collective(operation, size, devices, 300e9 * math.exp(s), known) for s in (step, -step))
    assert -timing.share("link") == pytest.approx(math.log(faster.time_s / slower.time_s) / (2 * step), abs=1e-5)
    assert time_collective(operation, size * 2, devices, 300e9, known).time_s >= timing.time_s
    assert time_collective(operation, size, devices + 1, 300e9, known).time_s >= timing.time_s


def test_arrays_equal_numbers() -> None:
    sizes, devices = np.array([1e3, 1e6, 1e9]), np.array([2.0, 4.0, 8.0])
    many = time_collective("all_reduce", sizes, devices, 300e9, constants())
    for row in range(3):
        one = time_collective("all_reduce", float(sizes[row]), float(devices[row]), 300e9, constants())
        for name in SECONDS:
            every = np.broadcast_to(getattr(many, name), sizes.shape)
            assert every[row] == pytest.approx(getattr(one, name), rel=1e-12), name


def test_it_takes_symbols() -> None:
    from sympy import Symbol

    size, devices = Symbol("M", positive=True), Symbol("n", positive=True)
    formula = time_collective("all_reduce", size, devices, 300e9, constants(sharpness=0.5)).time_s
    number = time_collective("all_reduce", 1e6, 4, 300e9, constants(sharpness=0.5)).time_s
    assert float(formula.subs({size: 1e6, devices: 4})) == pytest.approx(number)


def test_wrong_operations_and_lone_devices_are_one_line() -> None:
    with pytest.raises(UsageError, match="collective 'allreduce': did you mean all_reduce"):
        bus_bytes("allreduce", 1, 2)
    for devices in (1, 0, np.array([2, 1])):
        with pytest.raises(UsageError, match=r"collective all_reduce: [01] devices, expected 2 or more"):
            time_collective("all_reduce", 1.0, devices, 1.0, None)
