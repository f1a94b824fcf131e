"""Whose kernels run: the engine's on a device, or those that are asked for; what nobody timed inherits."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.buying.api import compare
from roofline.calibration.young_ports import load_young_ports
from roofline.errors import WorkloadError
from roofline.formulas.building import formula
from roofline.operators.predict_op import predict_op
from roofline.prediction.predict import Prediction, predict
from roofline.program.phases import Phase
from roofline.reports.serving.comparison import comparison_text

MODEL = "llama-3.2-1b"
UNTIMED = ("fa2", "flashinfer", "triton", "cudnn", "sdpa")
"""Libraries without a row of attention on an H100."""


def step(hardware: str = "h100", **asked: Any) -> Prediction:
    return predict(MODEL, hardware, batch=8, context=4000, **{"dtype": "bf16", **asked})


def attention(prediction: Prediction) -> Any:
    return next(op for op in prediction.phases[Phase.DECODE].operators if op.name == "attention").figures


def strange(prediction: Prediction) -> list[str]:
    return [note for note in prediction.notes if note.startswith("no attention of")]


def test_the_engines_library_picks_the_constants() -> None:
    """vLLM runs FlashAttention 3 on an H100, TensorRT-LLM its own: both were timed."""
    vllm, theirs = step(engine="vllm"), step(engine="tensorrt-llm")
    assert attention(vllm) == attention(step(engine="vllm", kernels="fa3"))
    assert attention(theirs) == attention(step(engine="vllm", kernels="trtllm"))
    assert attention(vllm).time_s != attention(theirs).time_s
    assert [each.to_dict()["inputs"]["kernels"] for each in (vllm, theirs)] == ["fa3", "trtllm"]
    assert strange(vllm) == strange(theirs) == []


@pytest.mark.parametrize("library", UNTIMED)
def test_a_library_without_rows_is_never_faster_has_a_wider_band_and_is_told(library: str) -> None:
    usual, found = step(), step(kernels=library)
    slower = load_young_ports().slower
    assert attention(found).time_s == attention(usual).time_s
    assert attention(found).low_s == attention(usual).low_s
    assert attention(found).high_s == pytest.approx(attention(usual).high_s * slower)
    assert strange(found) == [f"no attention of {library} was timed for h100-sxm-80gb: it takes the constants of fa3, "
                              f"the slow end of its band widened {slower:g} x"]  # fmt: skip


def test_a_young_engine_widens_once() -> None:
    """FlashInfer on a T4: neither engine nor library was timed there, and its band is the young port's."""
    young, usual = (
        step("t4", dtype="fp16", **asked)
        for asked in ({"engine": "vllm"}, {"engine": "torch-compile", "kernels": "fused"})
    )
    ratio = attention(young).high_s / attention(usual).high_s
    assert ratio == pytest.approx(load_young_ports().slower)


def test_any_kernels_will_do_where_the_constants_are_of_no_library() -> None:
    for library in ("triton", "fused", "sdpa"):
        assert strange(step("mi300x", kernels=library)) == []


def test_compare_runs_the_kernels_that_predict_runs() -> None:
    for kernels in ("fa3", "trtllm"):
        asked: Any = {"engine": "vllm", "kernels": kernels, "dtype": "bf16"}
        lengths: Any = {"prompt": 512, "generate": 65}
        result = compare(MODEL, "h100", **lengths, **asked)
        curve = result.rows[0].curve
        assert curve.running is not None
        assert curve.running.kernels.attention == kernels
        assert f"; attention {kernels}; " in comparison_text(result)
        assert curve.constants is not None
        assert curve.constants.kernels == predict(MODEL, "h100", **lengths, **asked).constants.kernels


@pytest.mark.parametrize(
    ("hardware", "kernels"),
    [("a100", "fa3"), ("b200", "fa3"), ("t4", "fa2"), ("mi300x", "trtllm"), ("v100-sxm2-32gb", "trtllm"),
     ("rtx-5090", "deepgemm"), ("m4-max", "flashinfer"), ("rx-9070-xt", "aiter")],
)  # fmt: skip
def test_kernels_that_a_device_does_not_have_are_refused(hardware: str, kernels: str) -> None:
    with pytest.raises(WorkloadError, match=f"^kernels {kernels} run on .*; name others, or leave"):
        step(hardware, kernels=kernels, dtype=None)


def test_scans_are_the_engines_own() -> None:
    """SGLang's gated delta rules on an H100 are its own in Triton, vLLM's are FlashInfer's: both were timed."""
    sizes: Any = {"rule": "delta_rule", "batch": 1, "query": 4096, "key_heads": 16, "heads": 32, "key_dim": 128}
    vllm, sglang = (predict_op("scan", "h100", head_dim=128, engine=name, **sizes) for name in ("vllm", "sglang"))
    assert (vllm.library, sglang.library) == ("vllm", "sglang")
    assert sglang.time_s > vllm.time_s
    asked = predict_op("scan", "h100", head_dim=128, engine="vllm", kernels="sglang", **sizes)
    assert asked.time_s == sglang.time_s


@pytest.mark.parametrize(("engine", "lent"), [("sglang", "SGLang"), ("vllm", ""), ("tensorrt-llm", "")])
def test_a_note_says_whose_constants_matmuls_take_where_the_engine_has_none(engine: str, lent: str) -> None:
    found = step(engine=engine, dtype="fp8")
    told = [note for note in found.notes if note.startswith("matmuls of") or "was not measured" in note]
    assert told == ([f"matmuls of {lent} in fp8 take the constants of trtllm's kernels"] if lent else [])
    ours, theirs = (
        each.constants.of("matmul", "graph", dtype="fp8") for each in (found, step(engine="tensorrt-llm", dtype="fp8"))
    )
    assert (ours == theirs) == bool(lent or engine == "tensorrt-llm")


def test_stored_scores_are_a_library_too() -> None:
    assert step(kernels="materialised").conventions.attention == "materialised"
    scores = str(formula("attention", kernels="materialised").expression)
    assert scores == str(formula("attention", attention="materialised").expression)


def test_a_matmul_holds_no_quantising_kernel_by_itself_or_in_a_step_which_states_it() -> None:
    """TensorRT-LLM's fp8 rows were timed with the kernels that quantise: a step has these as operators."""
    asked: dict[str, Any] = {"engine": "tensorrt-llm", "dtype": "fp8"}
    alone = predict_op("matmul", "h100", m=8, k=2048, n=2048, **asked)
    found = predict(MODEL, "h100", batch=8, context=4000, **asked)
    operators = {op.name: op for op in found.phases[Phase.DECODE].operators}
    assert "out_proj.quantize" in operators
    out = operators["out_proj"]
    assert alone.time_s == pytest.approx(out.figures.time_s / out.count, rel=0.2)  # it writes 8 bits by itself
    machine = found.steps.machine
    (cost,) = [cost for cost in found.steps.costs(Phase.DECODE) if cost.name == "out_proj"]
    assert machine.constants_of(cost).corrections.quantize is None
    assert found.constants.of("matmul", "graph", dtype="fp8").corrections.quantize is not None
