"""The fit finds constants that made the times, shrugs off odd rows, and says what it cannot do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from roofline.calibration.constants import Constants
from roofline.calibration.corrections.correction import Prior
from roofline.cost.cost import Cost
from roofline.errors import WorkloadError
from roofline.fitting.operators import Timed, fit_constants, held_out_band
from roofline.hardware.loading import load_hardware
from roofline.timing.operator import time_operator

A100 = load_hardware("a100")
TRUE = Constants(compute=0.6, memory=0.7, latency_s=5e-6, p=2)
START = Constants(compute=0.75, memory=0.78, latency_s=3e-6, p=2)
FREE = {"compute": Prior(0.75, 0.3), "memory": Prior(0.78, 0.2), "latency_s": Prior(3e-6, 0.7)}


def campaign(rows: int = 200, noise: float = 0.0, constants: Constants = TRUE, weight: float = 1.0) -> Timed:
    random = np.random.default_rng(rows)
    flops, moved = 10 ** random.uniform(6, 13, rows), 10 ** random.uniform(4, 10, rows)
    cost = Cost("g", "op", "other", "bf16", 1, flops, 0, 0, moved)
    seconds = time_operator(cost, A100, constants).time_s
    return Timed(cost, A100, seconds * np.exp(noise * random.standard_normal(rows)), weight)


def test_it_finds_the_constants_that_made_the_times() -> None:
    fit = fit_constants([campaign()], START, FREE)
    for name in FREE:
        assert getattr(fit.constants, name) == pytest.approx(getattr(TRUE, name), rel=1e-3)
    assert fit.constants.p == START.p
    assert fit.rows == 200
    assert fit.median_ape < 1e-3


def test_intervals_hold_the_truth_about_nine_times_in_ten() -> None:
    held = 0
    for rows in range(60, 90):
        fit = fit_constants([campaign(rows, noise=0.1)], START, FREE, starts=1)
        held += sum(i.low <= getattr(TRUE, name) <= i.high for name, i in fit.intervals.items())
    assert 0.75 <= held / 90 <= 1.0


def test_odd_rows_do_not_rule() -> None:
    clean = campaign()
    spoilt = np.where(np.arange(200) % 10 == 0, clean.measured_s * 20, clean.measured_s)
    fit = fit_constants([replace(clean, measured_s=spoilt)], START, FREE)
    assert fit.constants.memory == pytest.approx(TRUE.memory, rel=0.1)
    assert fit.constants.compute == pytest.approx(TRUE.compute, rel=0.1)


def test_few_rows_stay_near_the_prior() -> None:
    compute_bound = campaign(4).cost
    cost = replace(compute_bound, flops=np.full(4, 1e13), bytes=np.full(4, 1e3))
    rows = Timed(cost, A100, time_operator(cost, A100, TRUE).time_s)
    fit = fit_constants([rows], START, FREE)
    assert fit.constants.compute == pytest.approx(TRUE.compute, rel=0.02)
    assert fit.constants.memory == pytest.approx(FREE["memory"].median, rel=0.02)  # these rows do not tell


def test_campaigns_weigh_alike_however_many_rows_they_have() -> None:
    many = campaign(400, constants=replace(TRUE, memory=0.5))
    few = campaign(100, constants=replace(TRUE, memory=0.9))
    even = fit_constants([many, few], START, FREE).constants.memory
    mostly = fit_constants([many, replace(few, weight=10.0)], START, FREE).constants.memory
    assert 0.5 < even < mostly < 0.91


@pytest.mark.parametrize("times", [[1.0, 0.0, 1.0], [1.0, -1.0, 1.0], [1.0, np.nan, 1.0], [1.0, np.inf, 1.0]])
def test_times_must_be_positive(times: list[float]) -> None:
    with pytest.raises(WorkloadError, match="times to fit: row 1: not above 0; expected positive seconds"):
        fit_constants([replace(campaign(3), measured_s=np.array(times))], START, FREE)


def test_no_rows_and_fewer_rows_than_constants_are_refused() -> None:
    empty: Any = np.array([])
    with pytest.raises(WorkloadError, match="times to fit: no rows"):
        fit_constants([replace(campaign(3), measured_s=empty)], START, FREE)
    with pytest.raises(WorkloadError, match=r"2 rows cannot fit 3 constants \(compute, memory, latency_s\)"):
        fit_constants([campaign(2)], START, FREE)


def test_a_band_holds_nine_of_ten() -> None:
    rows = campaign(5000, noise=0.2)
    low, high = held_out_band([rows], TRUE)
    ratio = rows.measured_s / time_operator(rows.cost, A100, TRUE).time_s
    assert np.mean((ratio >= low) & (ratio <= high)) == pytest.approx(0.9, abs=0.002)
    assert (low, high) == (pytest.approx(np.exp(-0.2 * 1.645), rel=0.05), pytest.approx(np.exp(0.2 * 1.645), rel=0.05))


def test_a_band_holds_the_expected_time_itself() -> None:
    slow = campaign(constants=replace(TRUE, compute=0.3, memory=0.35, latency_s=1e-5))
    low, high = held_out_band([slow], TRUE)
    assert low == 1.0
    assert high == pytest.approx(2.0, rel=1e-6)
