"""The time of one operator: by hand, against numeric derivatives, and for arrays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.calibration.constants import DATASHEET, Constants, load_constants
from roofline.cost.cost import Cost
from roofline.errors import WorkloadError
from roofline.hardware.loading import load_hardware, spec_from_fields
from roofline.hardware.spec import HardwareSpec
from roofline.timing.machine import Machine, kind_of
from roofline.timing.operator import time_operator

NOTHING = Cost("g", "op", "matmul", "fp16", count=1, flops=0, vector_flops=0, special=0, bytes=0)
COUNTS = st.floats(min_value=1.0, max_value=1e6)
WORK = st.builds(replace, st.just(NOTHING), flops=COUNTS, vector_flops=COUNTS, special=COUNTS, bytes=COUNTS)
EFFICIENCY = st.floats(min_value=0.05, max_value=1.0)
CONSTANTS = st.builds(
    Constants,
    compute=EFFICIENCY,
    vector=EFFICIENCY,
    special=EFFICIENCY,
    memory=EFFICIENCY,
    latency_s=st.floats(min_value=0.0, max_value=1e3),
    p=st.floats(min_value=0.5, max_value=8.0),
)


def device(compute: float = 1.0, bandwidth: float = 1.0, **peaks: dict[str, str]) -> HardwareSpec:
    """1000 FLOP/s of fp16, 100 of vector fp32, 50 exponentials/s and 10 B/s, each times a factor."""
    rates = {
        "matrix": {"fp16": f"{1000 * compute} FLOP/s"},
        "vector": {"fp32": f"{100 * compute} FLOP/s"},
        "special": {"exp": f"{50 * compute} OP/s"},
        **peaks,
    }
    memory = {"dram": {"capacity": "1 GB", "bandwidth": f"{10 * bandwidth} B/s"}}
    fields = {"name": "toy", "source": "arithmetic", "class": "cpu", "peak": rates, "memory": memory}
    return spec_from_fields({**fields, "exceptions": ["ridge"]}, "toy.yaml")


TOY = device()


# By hand


def test_a_soft_corner_of_three_and_four_seconds_is_five() -> None:
    cost = replace(NOTHING, flops=3000.0, bytes=24.0)
    timing = time_operator(cost, TOY, Constants(compute=0.75, memory=0.8, latency_s=5.0, p=2))
    # x = 3000 / (0.75 * 1000) = 4 s, y = 24 / (0.8 * 10) = 3 s, sqrt(4^2 + 3^2) = 5 s, and 5 s of latency
    assert timing.time_s == pytest.approx(10.0, rel=1e-15)
    assert timing.bound_s == pytest.approx(3.0, rel=1e-15)  # max(3000 / 1000, 24 / 10)
    assert timing.share("latency") == pytest.approx(0.5)  # 5 of 10 s
    assert timing.share("compute") == pytest.approx(0.5 * 16 / 25)
    assert timing.share("memory") == pytest.approx(0.5 * 9 / 25)


def test_p_of_one_adds_both_terms() -> None:
    timing = time_operator(replace(NOTHING, flops=4000.0, bytes=30.0), TOY, Constants(p=1))
    assert timing.time_s == pytest.approx(4.0 + 3.0)
    assert (timing.share("compute"), timing.share("memory")) == (pytest.approx(4 / 7), pytest.approx(3 / 7))


def test_vector_and_special_work_are_compute() -> None:
    cost = replace(NOTHING, flops=1000.0, vector_flops=100.0, special=50.0, bytes=10.0)
    timing = time_operator(cost, TOY, Constants(vector=0.5, special=0.25, p=1))
    # 1 s of contractions, 1 s / 0.5 of vector work, 1 s / 0.25 of exponentials, 1 s of memory
    assert timing.time_s == pytest.approx(1 + 2 + 4 + 1)
    assert timing.share("compute") == pytest.approx(7 / 8)
    assert timing.bound_s == pytest.approx(1.0)  # contractions and bytes alone


def test_exponentials_run_on_the_vector_unit_where_there_is_no_other() -> None:
    cost = replace(NOTHING, special=100.0)
    assert time_operator(cost, device(special={}), Constants()).time_s == pytest.approx(1.0)  # 100 / 100
    assert time_operator(cost, TOY, Constants()).time_s == pytest.approx(2.0)  # 100 / 50


def test_without_a_vector_rate_elementwise_work_counts_its_bytes_alone() -> None:
    blind = device(vector={}, special={})
    work = replace(NOTHING, flops=1000.0, vector_flops=1.0, special=1.0)
    assert time_operator(work, blind, Constants()) == time_operator(replace(NOTHING, flops=1000.0), blind, Constants())
    assert time_operator(work, TOY, Constants()).time_s > time_operator(work, blind, Constants()).time_s


def test_a_dtype_that_the_device_lacks_is_refused() -> None:
    with pytest.raises(WorkloadError, match=r"^toy has no bf16; it has fp16, fp32$"):
        time_operator(replace(NOTHING, dtype="bf16", flops=1.0), TOY, Constants())


def test_an_operator_without_contractions_needs_no_rate_for_its_dtype() -> None:
    timing = time_operator(replace(NOTHING, dtype="bf16", bytes=10.0), TOY, Constants(p=2))
    assert (timing.time_s, timing.share("memory")) == (1.0, 1.0)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, math.inf])
def test_no_work_takes_the_latency_and_nothing_else(p: float) -> None:
    timing = time_operator(NOTHING, TOY, Constants(latency_s=3e-6, p=p))
    assert (timing.time_s, timing.bound_s) == (3e-6, 0.0)
    assert (timing.share("latency"), timing.share("compute"), timing.share("memory")) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("p", [0.5, 2.0, math.inf])
def test_no_work_and_no_latency_take_no_time_and_are_no_nan(p: float) -> None:
    timing = time_operator(NOTHING, TOY, Constants(p=p))
    assert (timing.time_s, timing.bound_s) == (0.0, 0.0)
    assert math.isfinite(timing.share("latency") + timing.share("compute") + timing.share("memory"))


def test_efficiencies_over_one_raise_the_roof() -> None:
    compute = time_operator(replace(NOTHING, flops=1200.0), TOY, Constants(compute=1.2, p=2))
    assert (compute.bound_s, compute.time_s) == (pytest.approx(1.0), pytest.approx(1.0))  # not 1.2 s
    memory = time_operator(replace(NOTHING, bytes=11.0), TOY, Constants(memory=1.1, p=2))
    assert (memory.bound_s, memory.time_s) == (pytest.approx(1.0), pytest.approx(1.0))  # not 1.1 s
    below = time_operator(replace(NOTHING, bytes=10.0), TOY, Constants(memory=0.5, p=2))
    assert (below.bound_s, below.time_s) == (pytest.approx(1.0), pytest.approx(2.0))  # the roof stays where it is


def test_attention_has_constants_of_its_own_per_phase() -> None:
    attention = replace(NOTHING, kind="attention")
    assert kind_of(replace(attention, decoding=True)) == "attention_decode"
    assert kind_of(attention) == "attention_prefill"
    assert kind_of(replace(NOTHING, decoding=True)) == kind_of(NOTHING) == "matmul"
    a100, constants = load_hardware("a100"), load_constants("nvidia-tensor-core")
    graph, by_hand = Machine(a100, constants, "graph"), Machine(a100, constants, "eager")
    prefill, decode = graph.time(attention), graph.time(replace(attention, decoding=True))
    eager = by_hand.time(NOTHING)
    assert prefill.time_s == constants.of("attention_prefill", "graph").latency_s
    assert decode.time_s == constants.of("attention_decode", "graph").latency_s
    assert eager.time_s == constants.of("matmul", "eager").latency_s
    assert len({prefill.time_s, decode.time_s, eager.time_s}) == 3


# Properties


@given(WORK, CONSTANTS)
def test_shares_are_the_elasticities_of_the_time(cost: Cost, constants: Constants) -> None:
    step = 1e-4

    def log_time(compute: float = 0.0, bandwidth: float = 0.0, latency: float = 0.0) -> float:
        hardware = device(math.exp(compute), math.exp(bandwidth))
        slower = replace(constants, latency_s=constants.latency_s * math.exp(latency))
        return math.log(time_operator(cost, hardware, slower).time_s)

    def slope(rate: str) -> float:
        return (log_time(**{rate: step}) - log_time(**{rate: -step})) / (2 * step)

    timing = time_operator(cost, TOY, constants)
    assert timing.share("latency") == pytest.approx(slope("latency"), abs=1e-5)
    assert timing.share("compute") == pytest.approx(-slope("compute"), abs=1e-5)
    assert timing.share("memory") == pytest.approx(-slope("bandwidth"), abs=1e-5)


@given(WORK, CONSTANTS)
def test_shares_sum_to_one_and_none_is_negative(cost: Cost, constants: Constants) -> None:
    timing = time_operator(cost, TOY, constants)
    assert timing.share("latency") + timing.share("compute") + timing.share("memory") == pytest.approx(1.0, abs=1e-12)
    assert min(timing.share("latency"), timing.share("compute"), timing.share("memory")) >= -1e-12


@given(WORK, CONSTANTS)
def test_no_operator_beats_its_bound(cost: Cost, constants: Constants) -> None:
    timing = time_operator(cost, TOY, constants)
    bound = max(cost.flops / 1000, cost.bytes / 10)
    assert timing.bound_s == pytest.approx(bound, rel=1e-12)
    assert timing.time_s >= bound * (1 - 1e-12)


@given(st.lists(WORK, min_size=1, max_size=6), CONSTANTS)
def test_a_band_by_latency_lies_on_lines_between_shares_of_latency(costs: list[Cost], constants: Constants) -> None:
    """Of numbers as of arrays; a time with no latency and one with nothing else have the ends of the first and last."""
    ends = ((0.0, 0.9, 1.1), (0.25, 0.7, 1.2), (0.5, 0.8, 2.0), (1.0, 0.5, 1.3))
    constants = replace(constants, by_latency=ends)
    counts = ("flops", "vector_flops", "special", "bytes")
    many = time_operator(
        replace(NOTHING, **{name: np.array([getattr(cost, name) for cost in costs]) for name in counts}), TOY, constants
    )
    shares, low, high = zip(*ends, strict=True)
    for place, timing in enumerate(time_operator(cost, TOY, constants) for cost in costs):
        latency = float(timing.share("latency"))
        expected = max(float(timing.bound_s), float(timing.time_s * np.interp(latency, shares, low)))
        assert float(timing.low_s) == pytest.approx(expected, rel=1e-9)
        assert float(timing.high_s) == pytest.approx(float(timing.time_s * np.interp(latency, shares, high)), rel=1e-9)
        assert float(np.broadcast_to(many.high_s, len(costs))[place]) == pytest.approx(float(timing.high_s), rel=1e-9)


@given(WORK)
def test_datasheet_constants_give_the_bound(cost: Cost) -> None:
    timing = time_operator(cost, TOY, DATASHEET)
    assert timing.time_s == timing.bound_s == max(cost.flops / 1000, cost.bytes / 10)
    assert (timing.share("latency"), timing.share("compute") + timing.share("memory")) == (0.0, 1.0)
    assert timing.share("compute") in (0.0, 1.0)


@given(st.lists(WORK, min_size=1, max_size=6), CONSTANTS | st.just(DATASHEET))
def test_arrays_equal_scalars(costs: list[Cost], constants: Constants) -> None:
    counts = ("flops", "vector_flops", "special", "bytes")
    arrays = replace(NOTHING, **{name: np.array([getattr(cost, name) for cost in costs]) for name in counts})
    many = time_operator(arrays, TOY, constants)
    least = 1e-13 * float(np.max(many.time_s)) + 1e-15  # what is left of a difference between two powers
    for name in ("time_s", "bound_s", "low_s", "high_s", "latency_s", "compute_s", "memory_s"):
        each = [getattr(time_operator(cost, TOY, constants), name) for cost in costs]
        assert np.broadcast_to(getattr(many, name), len(costs)) == pytest.approx(each, rel=1e-12, abs=least), name


@given(WORK, CONSTANTS, st.floats(min_value=1.0, max_value=100.0))
def test_more_work_and_slower_machines_never_take_less(cost: Cost, constants: Constants, factor: float) -> None:
    time = time_operator(cost, TOY, constants).time_s * (1 - 1e-12)
    for count in ("flops", "vector_flops", "special", "bytes"):
        more = replace(cost, **{count: getattr(cost, count) * factor})
        assert time_operator(more, TOY, constants).time_s >= time, count
    assert time_operator(cost, device(compute=1 / factor), constants).time_s >= time
    assert time_operator(cost, device(bandwidth=1 / factor), constants).time_s >= time


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1.0, 1e150, 1e300])
def test_extreme_sizes_neither_underflow_nor_overflow(scale: float) -> None:
    cost = replace(NOTHING, flops=3000.0 * scale, bytes=40.0 * scale)
    assert time_operator(cost, TOY, Constants(p=2)).time_s == pytest.approx(5.0 * scale)
