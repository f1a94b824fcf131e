"""Calibration from synthetic timings: known constants and noise come back; the file that is written predicts."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import yaml

from roofline.calibration.constants import Constants, read_calibration
from roofline.calibration.fields import MOST_SHARE
from roofline.cost.cost import operator_cost
from roofline.cost.eager_kernels import kernels_of
from roofline.errors import WorkloadError
from roofline.fitting import calibrating, campaign
from roofline.fitting import measured_roofs as roofs
from roofline.fitting.calibrator import CPU_FREE, GPU_FREE, PRIORS, Calibrator
from roofline.fitting.campaign import CPU_CHECKS, CPU_WEIGHTS, Point, designed_points
from roofline.fitting.operators import fit_constants
from roofline.hardware.loading import spec_from_fields
from roofline.hardware.spec import HardwareSpec
from roofline.layers.normalization import norm
from roofline.models.model import load_model
from roofline.prediction.predict import predict
from roofline.program.op import Tensor
from roofline.program.workload import Precision
from roofline.timing.operator import time_operator
from roofline.validation.devices import Device
from roofline.validation.stopwatch import Sample, Samples

ROOT = Path(__file__).resolve().parents[2]
TRUE = Constants(0.8, 1.0, 0.02, 0.7, 4e-6, 1.0)
TERMS: dict[str, dict[str, float]] = {
    "matmul": {"repack": 1.3, "extra_depth": 300.0, "spill_columns": 4000.0},
    "attention_prefill": {"extra_keys": 40.0, "key_block": 400.0, "reuse_bandwidth": 2.0},
    "attention_decode": {"compute": 0.12, "reuse_bandwidth": 3.0, "extra_keys": 15.0},
}
FP32 = Precision("fp32", "fp32", "fp32")


def machine() -> HardwareSpec:
    fields: dict[str, Any] = {
        "name": "synthetic",
        "source": "arithmetic",
        "class": "cpu",
        "kind": "cpu",
        "peak": {"vector": {"fp32": "80 GFLOP/s"}},
        "memory": {"dram": {"capacity": "16 GiB", "bandwidth": "15 GB/s"}, "llc": {"capacity": "32 MiB"}},
    }
    return spec_from_fields(fields, "synthetic.yaml")


def constants_of(group: str) -> Constants:
    return TRUE.replaced(TERMS.get(group, {"reuse_bandwidth": 2.5}))


def timed(points: list[Point], noise: float) -> dict[str, Samples]:
    """What a device with the true constants would show."""
    random, found = np.random.default_rng(1), {}
    for point in points:
        cost = operator_cost(point.op, {k: float(v) for k, v in point.sizes.items()}, FP32)
        seconds = float(time_operator(cost, machine(), constants_of(point.group)).time_s)
        found[point.name] = Samples((Sample(seconds * float(np.exp(noise * random.standard_normal()))),))
    return found


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    """What fits and times; not loaded by a worker that runs none of these tests."""
    pytest.importorskip("torch")
    pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def points() -> list[Point]:
    return designed_points(Device.open("cpu"), "fp32")


@pytest.fixture(scope="module", params=[1, pytest.param(3, marks=pytest.mark.slow)])
def fitted(points: list[Point], request: pytest.FixtureRequest) -> Calibrator:
    """Fitted from the medians of the priors alone, which do for synthetic rows; at length as for a real device."""
    calibrator = Calibrator(points, timed(points, 0.03), machine(), "fp32")
    fit = functools.partial(fit_constants, starts=request.param)
    with mock.patch("roofline.fitting.calibrator.fit_constants", fit):
        calibrator.run()
    return calibrator


@pytest.mark.parametrize("group", sorted(CPU_FREE))
def test_held_out_shapes_are_predicted_within_the_noise(fitted: Calibrator, group: str) -> None:
    errors = np.abs(fitted.fitted[group].errors)
    assert len(errors) >= 3
    assert np.median(errors) < 0.08
    assert fitted.fitted[group].fit.median_ape < 0.06


def test_constants_come_back(fitted: Calibrator) -> None:
    found = fitted.fitted["matmul"].constants
    assert found.compute == pytest.approx(0.8, rel=0.1)
    assert found.memory == pytest.approx(0.7, rel=0.15)
    assert found.value("repack") == pytest.approx(1.3, rel=0.3)
    assert fitted.fitted["elementwise"].constants.latency_s == pytest.approx(4e-6, rel=0.2)
    assert fitted.fitted["tanh"].constants.special == pytest.approx(0.02, rel=0.1)


def test_intervals_hold_the_truth_for_most(fitted: Calibrator) -> None:
    inside = [
        interval.low <= constants_of(group).value(name) <= interval.high
        for group, found in fitted.fitted.items()
        for name, interval in found.fit.intervals.items()
    ]
    assert np.mean(inside) > 0.7


@pytest.mark.parametrize("free", [CPU_FREE, GPU_FREE], ids=["cpu", "gpu"])
def test_every_constant_that_is_fitted_has_a_prior(free: dict[str, tuple[str, ...]]) -> None:
    assert {name for names in free.values() for name in names} <= set(PRIORS)


def test_without_a_term_the_fit_is_worse(points: list[Point], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each term of a matmul earns its place where the device has it."""
    samples = timed([p for p in points if p.group in ("matmul", "elementwise")], 0.02)
    full = Calibrator(points, samples, machine(), "fp32").run()["matmul"]
    for term in ("repack", "extra_depth", "spill_columns"):
        free = tuple(name for name in CPU_FREE["matmul"] if name != term)
        monkeypatch.setitem(CPU_FREE, "matmul", free)
        less = Calibrator(points, samples, machine(), "fp32").run()["matmul"]
        monkeypatch.undo()
        assert np.median(np.abs(less.errors)) > np.median(np.abs(full.errors))


def test_the_checks_share_no_dimension_with_the_fit(points: list[Point]) -> None:
    for group in ("matmul", "attention_prefill", "attention_decode"):
        letters = "DF" if group == "matmul" else "H"
        fit, held = (
            {p.sizes[letter] for p in points if p.group == group and p.held_out == out for letter in letters}
            for out in (False, True)
        )
        assert fit
        assert held
        assert fit & held == set()


@pytest.mark.parametrize("model", ["bert-base", "gpt2", "bert-tutorial", "llama-3.1-8b"])
def test_no_weight_of_a_shipped_model_is_calibrated_on(model: str) -> None:
    prediction = predict(model, "laptop-cpu", dtype="fp32")
    sizes = prediction.model.program().sizes
    widths = {sizes["D"], sizes["F"], sizes["V"], sizes["K"] * sizes["G"] * sizes["H"], 3 * sizes["D"]}
    assert widths & {n for pair in (*CPU_WEIGHTS, *CPU_CHECKS) for n in pair} == set()


def test_a_campaign_states_what_eager_kernels_state() -> None:
    """The work and traffic of a timed kernel are those of the kernel that a prediction is made of."""
    sizes = {"B": 3, "T": 1, "D": 40}
    (whole,) = kernels_of(norm("n", Tensor("x", "B T D"), Tensor("y", "B T D"), kind="layer"))
    timed_one = campaign.STREAMS["norm"]
    assert timed_one.vector_flops(sizes) == whole.vector_flops(sizes)
    assert timed_one.bytes(sizes, lambda _: 4) == whole.bytes(sizes, lambda _: 4)


def test_a_roof_that_is_too_low_is_told(points: list[Point]) -> None:
    """A calibration states no share above 2: what moves five times the bandwidth is clipped there."""
    some = [p for p in points if p.group in ("elementwise", "optimizer_update")]
    quick = {name: Samples(tuple(Sample(each.seconds / 5) for each in found.every)) for name, found in
             timed(some, 0.01).items()}  # fmt: skip
    found = Calibrator(some, quick, machine(), "fp32").run()["optimizer_update"]
    assert found.constants.memory == MOST_SHARE
    assert found.at_most == ["memory"]


def test_an_update_moves_seven_tensors() -> None:
    samples = {"bandwidth update": Samples((Sample(0.7),)), "bandwidth read": Samples((Sample(0.4),))}
    assert roofs.measured_bandwidths(samples, 1e9) == {"read": pytest.approx(5e9), "update": pytest.approx(1e10)}


def test_nothing_held_out_is_told(points: list[Point]) -> None:
    some = [p for p in points if not p.held_out]
    calibrator = Calibrator(some, timed(some, 0.01), machine(), "fp32")
    calibrator.run()
    with pytest.raises(WorkloadError, match="held-out"):
        calibrator.band()


# The file


@pytest.fixture
def written(fitted: Calibrator, tmp_path: Path) -> Path:
    device = Device.open("cpu")
    spec = roofs.measured_spec("synthetic", device, {"fp32": 80e9}, 15e9, "synthetic timings")
    fields = calibrating.fields_of_calibration("synthetic", machine(), fitted, 8e-6, "fp32", "synthetic timings")
    found = calibrating.Calibrated(fields, spec, fitted.fitted, {"read": 15e9}, 80e9, 8e-6, 1, 1.0, False, {}, {})
    spec_path, path = found.write(tmp_path / "Mine_1.yaml")
    assert spec_path.name == "Mine_1-device.yaml"
    return path


def test_the_written_calibration_predicts_from_anywhere(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calibration = read_calibration(written)
    assert calibration.extends == "Mine_1-device.yaml"
    assert calibration.unfused
    monkeypatch.chdir(written.parents[1])
    prediction = predict("gpt2", written, context=100, dtype="fp32")
    assert prediction.constants.provenance == "calibrated"
    assert prediction.hardware.bandwidth == 15e9
    halved = predict("gpt2", written, context=100, dtype="fp32", set={"hardware.memory.dram.bandwidth": "7.5 GB/s"})
    ratio = halved.phases["decode"].figures.time_s / prediction.phases["decode"].figures.time_s
    assert 1.5 < ratio < 2


def test_a_launch_from_the_host_costs_more(written: Path) -> None:
    for kind in read_calibration(written).kinds.values():
        assert kind.latency is not None
        assert kind.latency.eager == pytest.approx(kind.latency.graph + 8e-6, rel=0.02)


def test_names_of_machines_become_names_of_files() -> None:
    assert roofs.slug("AMD EPYC 7B13 (64-Core)") == "amd-epyc-7b13-64-core"
    assert roofs.slug("???") == "device"


def test_points_to_record_are_many_and_none_is_calibrated_on(points: list[Point]) -> None:
    listed = yaml.safe_load((ROOT / "benchmarks" / "validation_points.yaml").read_text(encoding="utf-8"))
    assert len(listed["cpu"]) >= 24
    assert {(model, phase) for model, phase, *_ in listed["cpu"]} == {
        ("bert-base", "encode"), ("bert-tutorial", "encode"), ("gpt2", "prefill"), ("gpt2", "decode"),
        ("llama-6-layers", "prefill"), ("llama-6-layers", "decode"),
    }  # fmt: skip
    taken = {tuple(sorted(p.sizes.items())) for p in points}
    programs = {model: load_model(listed.get(model, model)).program() for model, *_ in listed["cpu"]}
    for model, phase, batch, length, *_ in listed["cpu"]:
        program = programs[model]
        for _, op in program.in_phase(phase):
            bound = {**program.sizes, "B": batch, "T": 1 if phase == "decode" else length, "S": length}
            if op.kind == "matmul":
                cost = operator_cost(op, bound, FP32)
                assert cost.shape is not None
                same = {"B": cost.shape.rows, "D": cost.shape.depth, "F": cost.shape.columns}  # type: ignore[union-attr]
            elif op.kind == "attention":
                same = {letter: bound[letter] for letter in "BTSKGH"}
            else:
                continue
            assert tuple(sorted(same.items())) not in taken
