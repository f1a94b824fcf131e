"""Training: FLOPs per token against 6 N D and against arithmetic, time against the bound, price by tokens."""

from __future__ import annotations

import pytest
from shell import answer, refusal

from roofline import compare
from roofline.buying.training_runs import TrainingRun, training_run
from roofline.calibration.provenance import constants_of
from roofline.errors import UsageError, WorkloadError
from roofline.hardware.loading import load_hardware
from roofline.models.model import load_model
from roofline.timing.machine import Machine


def run(model: str = "llama-2-7b", hardware: str = "h100", **asked: object) -> TrainingRun:
    device = load_hardware(hardware)
    machine = Machine(device, constants_of(device), "graph")
    usual = {"tokens": 1e9, "dtype": device.default_dtype()}
    given = {name: value for name, value in asked.items() if value is not None}
    return training_run(load_model(model), machine, **{**usual, **given})  # type: ignore[arg-type]


def test_flops_of_llama_are_three_forward_passes() -> None:
    D, F, V, L, S = 4096, 11008, 32000, 32, 2048
    matmuls = 2 * (4 * D * D + 3 * D * F) * L + 2 * D * V
    pairs = (S + 1) / 2  # attended keys per query, on average
    attention = 4 * D * pairs * L  # scores and context, 2 FLOPs each
    found = run(sequence=S)
    assert found.flops / 1e9 == pytest.approx(3 * (matmuls + attention))
    assert found.six_nd / 1e9 == 6 * 6_738_415_616


def test_6_n_d_and_ours_agree_where_attention_and_embedding_are_small() -> None:
    found = run("llama-3.1-70b", sequence=1024)
    assert found.flops / found.six_nd == pytest.approx(1.0, abs=0.02)


def test_frozen_weights_save_their_gradients_and_nothing_else() -> None:
    D, F, V, L = 4096, 11008, 32000, 32
    whole, frozen = run(), run(frozen=True)
    weight_gradients = 2 * (4 * D * D + 3 * D * F) * L + 2 * D * V
    assert (whole.flops - frozen.flops) / 1e9 == pytest.approx(weight_gradients)
    assert frozen.six_nd / whole.six_nd == pytest.approx(4 / 6)
    assert frozen.time_s < whole.time_s


@pytest.mark.parametrize("model", ["llama-2-7b", "bert-base", "gpt2", "mixtral-8x7b", "deepseek-v2-lite"])
@pytest.mark.parametrize("hardware", ["h100", "mi300x", "t4"])
def test_bound_low_time_high(model: str, hardware: str) -> None:
    dtype = "fp16" if hardware == "t4" else None
    found = run(model, hardware, sequence=512, dtype=dtype)
    assert 0 < found.bound_s <= found.low_s <= found.time_s <= found.high_s
    assert 0 < found.mfu < 1
    assert found.device_hours == pytest.approx(found.time_s / 3600)


def test_time_is_proportional_to_tokens() -> None:
    assert run(tokens=3e9).time_s == pytest.approx(3 * run(tokens=1e9).time_s)


def test_a_measured_utilisation_replaces_the_expected_time() -> None:
    found = run(mfu=0.4)
    assert found.mfu == pytest.approx(0.4)
    assert found.low_s == found.time_s == found.high_s == pytest.approx(found.flops / (0.4 * 989.4e12))
    assert found.bound_s <= found.time_s


@pytest.mark.parametrize("asked", [{"tokens": 0}, {"tokens": float("nan")}, {"sequence": 0}, {"batch": 0}, {"mfu": 0.0},
                                   {"mfu": 1.5}])  # fmt: skip
def test_senseless_runs_are_refused(asked: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected"):
        run(**asked)


def test_a_sequence_beyond_the_positions_is_refused() -> None:
    with pytest.raises(WorkloadError, match="max_position_embeddings"):
        run("gpt2", sequence=2048)


def test_a_run_is_priced_by_its_tokens() -> None:
    result = compare("llama-3.1-8b", "8xh100,8xl40s", train="300 Gtok")
    priced, without = result.training
    assert priced.run is not None
    assert priced.usd == pytest.approx(priced.run.device_hours * 2.71)  # eight devices at eight times the price
    assert priced.usd_per_million == pytest.approx(priced.usd / 300e3)  # type: ignore[operator]
    assert priced.usd_six_nd == pytest.approx(priced.usd * priced.run.six_nd / priced.run.flops)  # type: ignore[operator]
    assert without.usd is None
    assert "no on_demand price of l40s" in without.problem
    assert result.to_dict()["training"][0]["device_hours"] == priced.run.device_hours


def test_training_that_does_not_fit_is_refused_with_its_memory() -> None:
    """16 B for each of 8.03 G parameters: 128 GB, three L40S of 48.3 GB at least; frozen weights are 16 GB."""
    found = {cost.hardware.name: cost for cost in compare("llama-3.1-8b", "l40s,4xl40s", train="1T").training}
    assert found["l40s"].run is None
    assert "16 B a parameter, take 128 GB of 48.3 GB; 3 devices at least" in found["l40s"].problem
    assert found["4xl40s"].run is not None
    assert compare("llama-3.1-8b", "l40s", train="1T", frozen=True).training[0].run is not None


def test_the_shell_tells_what_is_not_in_a_run() -> None:
    text = answer("compare", "llama-3.1-8b", "--hardware", "h100,t4", "--train", "1Gtok", "--frozen")
    assert "4 N D, as the weights are frozen" in text
    assert "without communication, optimiser steps and the recomputation" in text
    assert "has no unit" in refusal(2, "compare", "llama-3.1-8b", "--hardware", "h100", "--train", "1000")
