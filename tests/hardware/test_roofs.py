"""The roofline of a device and of numbers chosen by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.errors import SpecError, WorkloadError
from roofline.hardware.loading import load_hardware
from roofline.hardware.roofs import Ceiling, Roofline

RATES = st.floats(min_value=1e6, max_value=1e18)


def test_ridge_point_of_an_h100() -> None:
    assert Roofline.of(load_hardware("h100"), "bf16").ridge_point == 989.4e12 / 3.35e12  # dense bf16 over HBM3


def test_fp32_runs_on_the_vector_unit_of_an_h100() -> None:
    roof = Roofline.of(load_hardware("h100"), "fp32")
    assert roof.compute.name == "vector fp32"
    assert roof.compute.rate == 66.9e12
    assert roof.bandwidth == Ceiling("hbm", 3.35e12)


def test_a_dtype_that_a_device_lacks_is_refused() -> None:
    with pytest.raises(WorkloadError, match=r"t4 has no bf16; it has .*fp16"):
        Roofline.of(load_hardware("t4"), "bf16")


@given(RATES, RATES)
def test_both_roofs_meet_at_the_ridge_point(compute: float, bandwidth: float) -> None:
    roof = Roofline(Ceiling("compute", compute), Ceiling("memory", bandwidth))
    assert roof.attainable(roof.ridge_point) == pytest.approx(compute, rel=1e-12)
    assert roof.attainable(roof.ridge_point / 2) == pytest.approx(compute / 2, rel=1e-12)
    assert roof.attainable(roof.ridge_point * 2) == compute
    assert roof.attainable(0.0) == 0


@given(RATES, RATES, st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=8))
def test_arrays_and_floats_agree(compute: float, bandwidth: float, intensities: list[float]) -> None:
    roof = Roofline(Ceiling("compute", compute), Ceiling("memory", bandwidth))
    many = roof.attainable(np.array(intensities))
    assert list(many) == [roof.attainable(intensity) for intensity in intensities]


def test_attainable_of_a_symbol() -> None:
    sympy = pytest.importorskip("sympy")
    intensity = sympy.Symbol("I", positive=True)
    formula = Roofline(Ceiling("compute", 1000.0), Ceiling("memory", 10.0)).attainable(intensity)
    assert float(formula.subs(intensity, 50)) == 500
    assert float(formula.subs(intensity, 500)) == 1000


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan])
def test_a_ceiling_is_positive(rate: float) -> None:
    with pytest.raises(SpecError, match="not positive"):
        Ceiling("hbm", rate)
