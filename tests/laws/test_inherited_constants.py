"""Laws of devices without timings: what they inherit is never kinder than what was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

import roofline
from roofline.calibration.constants import ConstantSet, class_names, device_names, load_class
from roofline.calibration.provenance import class_of, read_constants
from roofline.calibration.siblings import calibrated_as
from roofline.files.library import data_folder, read_yaml
from roofline.hardware.fields import PeakEntry
from roofline.hardware.loading import load_every_hardware, load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.operators.predict_op import OperatorClock
from roofline.options.verbs.operators import ClockOptions
from roofline.timing.engine_choice import read_engine
from roofline.timing.timing import Timing

INHERITING = [name for name in class_names() if load_class(name).inherits]
TOKENS = 2.0 ** np.arange(0, 14, 3)
SHAPES: dict[str, dict[str, Any]] = {
    "matmul": {"m": TOKENS, "k": np.full(5, 4096.0), "n": np.full(5, 14336.0)},
    "norm": {"rows": TOKENS, "columns": np.full(5, 4096.0)},
    "attention": {"batch": np.ones(5), "query": TOKENS, "context": TOKENS, "heads": np.full(5, 32.0),
                  "kv_heads": np.full(5, 8.0), "head_dim": np.full(5, 128.0), "causal": np.ones(5)},
}  # fmt: skip


def faster(spec: HardwareSpec, rates: float, clock: float) -> HardwareSpec:
    """The device with every rate, and the clock, times a factor; the clock that a peak is stated at stays."""

    def scaled(entries: Mapping[str, PeakEntry]) -> dict[str, PeakEntry]:
        return {
            dtype: peak.model_copy(update={"value": peak.value * rates, "accumulators": scaled(peak.accumulators)})
            for dtype, peak in entries.items()
        }

    matrix, vector = scaled(spec.peak.matrix), scaled(spec.peak.vector)
    first, level = next(iter(spec.memory.items()))
    assert level.bandwidth is not None
    assert spec.clock is not None
    memory = {**spec.memory, first: level.model_copy(update={"bandwidth": level.bandwidth * rates})}
    peak = spec.peak.model_copy(update={"matrix": matrix, "vector": vector})
    return spec.model_copy(update={"peak": peak, "memory": memory, "clock": spec.clock * clock})


@pytest.mark.parametrize("name", ["h100-pcie-80gb", "rtx-4090", "v100-sxm2-16gb", "mi300x", "apple-m4-max", "l4"])
@pytest.mark.parametrize(("rates", "clock"), [(1.0, 1.3), (1.2, 1.0), (1.5, 1.4)])
@pytest.mark.parametrize("kind", SHAPES)
def test_a_device_with_higher_rates_and_clock_is_never_slower(name: str, rates: float, clock: float, kind: str) -> None:
    spec = load_hardware(name)
    dtype = spec.default_dtype()
    if not getattr(spec.peak, spec.contraction_unit(dtype)[0])[dtype].clock:
        rates = max(rates, clock)  # its peak is at its clock
    times = []
    for device in (spec, faster(spec, rates, clock)):
        asked: ClockOptions = {"engine": None, "constants": "class", "set": None}
        clock = OperatorClock(device, read_engine(asked, device, None), read_constants(asked, device), dtype)
        found = clock.time(kind, dtype, SHAPES[kind])
        assert np.all(found.bound_s <= found.low_s)
        assert np.all(found.low_s <= found.time_s)
        assert np.all(found.time_s <= found.high_s)
        times.append(found.time_s)
    assert np.all(times[1] <= times[0] * (1 + 1e-12))


@pytest.mark.parametrize("name", INHERITING)
def test_what_is_inherited_is_never_kinder_and_its_band_is_wider(name: str) -> None:
    data = load_class(name)
    assert data.inherits is not None
    relative = load_class(data.inherits.name)  # at the slowest clock
    compiled = {kind for kind, own in relative.kinds.items() if own.library}  # for a generation: not inherited
    assert set(relative.kinds) - compiled <= set(data.kinds)
    for kind in {kind for kind in compiled if "attention" in kind} - set(data.kinds):
        wider = re.sub("encoder|training", "prefill", f"any_{kind.removeprefix('latent_')}")
        assert wider in data.kinds  # whose constants it takes
    stated = read_yaml(data_folder("calibrations") / "classes" / f"{name}.yaml").get("kinds", {})
    stated = {kind for kind, own in stated.items() if "latency" in own}  # its own rows, not its relative's
    for kind, measured in relative.kinds.items():
        if kind in compiled or kind in stated:
            continue
        own = data.kinds[kind]
        assert own.latency == measured.latency
        for share in ("compute", "memory"):
            assert (getattr(own, share) or 0) <= (getattr(measured, share) or 0)
        assert own.band is not None
        assert measured.band is not None
        assert own.band.low < measured.band.low
        assert own.band.high > measured.band.high


def test_a_line_shares_cycles_and_other_vendors_the_slowest_microseconds() -> None:
    def latency(name: str) -> float:
        spec = load_hardware(name)
        return ConstantSet.from_calibration(class_of(spec)).of("matmul", "graph", dtype="bf16").latency_s

    slowest = latency("a100")  # the slowest clock of those measured
    assert latency("h100-pcie") * 1755 == pytest.approx(slowest * 1410)
    assert latency("l4") * 2040 == pytest.approx(slowest * 1410)
    assert latency("apple-m4-max") == slowest


def test_a_measured_class_is_not_slower_than_one_that_inherits_with_less_bandwidth() -> None:
    decode = [
        roofline.predict("llama-3.1-8b", device, batch=1, phase="decode").phases["decode"].figures
        for device in ("b200", "mi300x")
    ]
    assert decode[0].bound_s < decode[1].bound_s
    assert decode[0].time_s < decode[1].time_s


@cache
def requests(model: str, batch: int) -> list[tuple[HardwareSpec, dict[str, Timing]]]:
    """Prompt and decode step on every device that holds the model and launches kernels."""
    found = []
    for spec in load_every_hardware():
        if spec.kind in ("cpu", "npu") or spec.dataflow or spec.capacity is None or spec.capacity < 20e9:
            continue
        phases = roofline.predict(model, spec, prompt=2048, generate=2, batch=batch).by_phase
        found.append((spec, {str(name): phase.figures for name, phase in phases}))
    return found


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_ranking_of_small_batches_never_turns_on_a_class_that_was_not_measured(model: str, batch: int) -> None:
    """Beside what was measured, what inherits is not faster than its peaks and bandwidth make it, but for 3 %."""
    measured, inherited = [], []
    for spec, phases in requests(model, batch):
        row = float(phases["decode"].bound_s), float(phases["decode"].time_s), spec.name
        if load_class(spec.calibration_class).inherits and spec.name not in device_names():
            inherited.append(row)
        elif calibrated_as(spec) in (None, spec.name):
            measured.append(row)
    assert len(measured) > 20
    assert len(inherited) > 20
    turned = [
        (name, other)
        for bound, time, name in inherited
        for least, taken, other in measured
        if bound >= least and time < taken * 0.97
    ]
    assert turned == []


def rates(spec: HardwareSpec) -> dict[str, float]:
    """What a device's sheet has more of where it is faster."""
    peaks = {
        f"{unit} {dtype}": peak.value
        for unit in ("matrix", "vector", "special")
        for dtype, peak in getattr(spec.peak, unit).items()
        if dtype != "fp64"
    }
    board = {"bandwidth": spec.bandwidth, "clock": spec.cycles_per_s, "units": spec.unit_count}
    return {**board, "power": spec.tdp or 0.0, "cache": spec.last_cache, **peaks}


def at_most(one: HardwareSpec, other: HardwareSpec) -> bool:
    """Whether no rate of a device is higher than another's of its maker."""
    most = rates(other)
    return one.vendor == other.vendor and all(rate <= most.get(name, 0.0) for name, rate in rates(one).items())


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b"])
@pytest.mark.parametrize("batch", [1, 4])
def test_no_device_is_faster_than_a_measured_one_whose_rates_are_all_as_high(model: str, batch: int) -> None:
    found = requests(model, batch)
    known = [(spec, phases) for spec, phases in found if spec.name in device_names()]
    pairs = [(one, other) for one in found for other in known if one[0] is not other[0] and at_most(one[0], other[0])]
    assert len(pairs) > 40
    for (spec, mine), (other, theirs) in pairs:
        for name, figures in mine.items():
            assert figures.time_s >= 0.97 * theirs[name].time_s, (spec.name, other.name, name)


LESS = [
    (spec.name, str(measured))
    for spec in load_every_hardware()
    for measured in (calibrated_as(spec),)
    if measured not in (None, spec.name) and at_most(spec, load_hardware(str(measured)))
]


@pytest.mark.parametrize(("name", "measured"), LESS)
def test_a_sibling_whose_rates_are_no_higher_is_never_faster(name: str, measured: str) -> None:
    kernels = ("vllm", None), ("vllm", "fp8"), ("vllm", "int8"), ("tensorrt-llm", "fp8"), ("sglang", "fp8-block")
    for engine, dtype in kernels:
        for model in ("llama-3.1-8b", "qwen3-30b-a3b"):
            asked: dict[str, Any] = {"engine": engine, "dtype": dtype, "prompt": 1024, "generate": 2, "batch": 3}
            try:
                both = [roofline.predict(model, device, **asked) for device in (name, measured)]
            except roofline.RooflineError:  # a dtype or an engine that neither has
                continue
            for (_, mine), (_, theirs) in zip(*(one.by_phase for one in both), strict=True):
                assert mine.figures.time_s >= theirs.figures.time_s * (1 - 1e-9)


def test_siblings_are_many_and_cards_with_capped_peaks_are_none() -> None:
    assert len(LESS) > 6
    of_class = ("h20-96gb", "l20-48gb", "rtx-4090", "b300-288gb", "a10")
    assert [name for name in of_class if calibrated_as(load_hardware(name))] == []


def _units_hz(spec: HardwareSpec) -> float:
    """Cycles of all units in a second, by which kernels that unpack weights go; 0 where it is not stated."""
    return spec.units.count * spec.clock if spec.units and spec.clock else 0.0


@pytest.mark.parametrize(
    ("engine", "dtype", "model", "batch"),
    [("llama.cpp", "q4_k_m", "llama-3.1-8b", 1), ("llama.cpp", "q8_0", "qwen3-30b-a3b", 4),
     ("vllm", "w4a16", "llama-3.1-8b", 4), ("sglang", "w4a16", "qwen3-30b-a3b", 1)],
)  # fmt: skip
def test_nor_under_another_engine_on_relatives_of_its_maker(engine: str, dtype: str, model: str, batch: int) -> None:
    """What no row was at hand of, beside what was timed with no less bandwidth and no fewer cycles of its units."""
    measured, inherited = [], []
    for spec in load_every_hardware():
        if spec.capacity is None or spec.capacity < 20e9 or spec.kind == "cpu":
            continue
        try:
            found = roofline.predict(model, spec, batch=batch, phase="decode", engine=engine, dtype=dtype)
        except roofline.RooflineError:  # an engine that does not run there
            continue
        figures = found.phases["decode"].figures
        own = spec.name in device_names() or not load_class(spec.calibration_class).inherits
        known = own if engine != "llama.cpp" else "no matmul that unpacks" not in " ".join(found.notes)
        row = (spec.vendor, _units_hz(spec), float(figures.bound_s), float(figures.time_s), spec.name)
        (measured if known else inherited).append(row)
    assert len(measured) > 20
    assert len(inherited) > 15
    pairs = [(mine, other) for mine in inherited for other in measured if mine[0] == other[0] and mine[1] <= other[1]]
    assert len(pairs) > 20
    assert [(mine, other) for mine, other in pairs if mine[2] >= other[2] and mine[3] < 0.97 * other[3]] == []


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b"])
def test_an_engine_that_nobody_timed_is_not_faster_than_the_one_that_was_on_the_same_chip(model: str) -> None:
    for spec in load_every_hardware():
        if spec.vendor == "Apple" and spec.capacity and spec.capacity > 70e9:
            times = [
                roofline.predict(model, spec, prompt=512, generate=2, engine=engine, dtype="fp16").by_phase
                for engine in ("mlx", "llama.cpp")
            ]
            for (_, mlx), (_, timed) in zip(*times, strict=True):
                assert mlx.figures.time_s >= 0.97 * timed.figures.time_s


@pytest.mark.parametrize("names", [("tpu-v4", "trainium2"), ("mi455x", "mi250x")])
def test_devices_side_by_side_take_as_long_as_alone(names: tuple[str, str]) -> None:
    """A class leaves corrections in cycles out where a device states no clock, so that not all of it are columns."""
    asked: dict[str, Any] = {"prompt": 64, "generate": 2}
    for row in roofline.compare("olmoe-1b-7b", list(names), **asked).rows:
        (alone,) = roofline.compare("olmoe-1b-7b", row.curve.hardware.device.name, **asked).rows
        assert row.curve.state is not None
        assert alone.curve.state is not None
        beside, by_itself = (curve.state.tpot_s[0, :100] for curve in (row.curve, alone.curve))  # the largest differ
        assert np.array_equal(beside, by_itself), row.curve.hardware.device.name
