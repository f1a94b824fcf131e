"""Predictions against published derivations and explicit loops; their definitions, defaults, errors and JSON."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from small_llama import TINY

import roofline
from roofline.calibration.constants import device_names, load_device
from roofline.errors import RooflineError, UsageError, WorkloadError
from roofline.prediction.predict import Prediction, predict
from roofline.program.phases import Phase

MS = 1e-3


def llama(**keywords: Any) -> Prediction:
    return predict("llama-2-7b", "a100", dtype="fp16", **keywords)


# Published derivations


def test_prefill_flops_of_llama_2_7b_as_arithmetic() -> None:
    prefill = llama(prompt=2048, phase="prefill").phases["prefill"].figures
    layers, tokens, hidden, feed_forward, vocabulary = 32, 2048, 4096, 11008, 32000
    projections = 4 * 2 * tokens * hidden * hidden  # q, k, v and output
    mlp = 3 * 2 * tokens * hidden * feed_forward  # gate, up, down
    pairs = tokens * tokens - tokens * (tokens - 1) // 2  # causal
    attention = 4 * pairs * hidden  # Q K^T and P V
    head = 2 * hidden * vocabulary  # the last token
    assert layers * (projections + mlp + attention) + head == 27_626_028_662_784
    assert prefill.flops == 27_626_028_662_784
    assert isinstance(prefill.flops, int)  # counted, not summed in floats


def test_prefill_bound_of_llama_2_7b() -> None:
    # 91.8 ms: all FLOPs at 312 TFLOP/s and the memory-bound operators at 2,039 GB/s
    bound = llama(prompt=2048, phase="prefill").phases["prefill"].figures.bound_s
    assert bound == pytest.approx(91.8 * MS, rel=0.04)


@pytest.mark.parametrize(("batch", "context", "milliseconds"), [(1, 2048, 7.01), (32, 1024, 15.0)])
def test_decode_bound_of_llama_2_7b(batch: int, context: int, milliseconds: float) -> None:
    bound = llama(batch=batch, context=context).phases["decode"].figures.bound_s
    assert bound == pytest.approx(milliseconds * MS, rel=0.015)


def test_decode_bound_is_weights_and_cache_over_bandwidth() -> None:
    weights = 2 * (6_738_415_616 - 32000 * 4096)  # the embedding's table is not read
    cache = 2 * 2 * 32 * 4096 * 2048
    assert llama(context=2048).phases["decode"].figures.bound_s == pytest.approx((weights + cache) / 2039e9, rel=0.005)


# Definitions


@pytest.mark.parametrize("constants", ["datasheet", "class"])
def test_decode_figures_are_the_mean_over_the_steps(constants: Any) -> None:
    prompt, generate = 1000, 9
    decode = llama(prompt=prompt, generate=generate, constants=constants, batch=4).phases["decode"]
    steps = [
        llama(context=length, constants=constants, batch=4).phases["decode"]
        for length in range(prompt + 1, prompt + generate)
    ]
    assert decode.steps == len(steps) == generate - 1
    for field in ("time_s", "bound_s", "low_s", "high_s", "flops", "vector_flops", "bytes"):
        mean = sum(getattr(step.figures, field) for step in steps) / len(steps)
        assert getattr(decode.figures, field) == pytest.approx(mean, rel=1e-9), field
    for i, operator in enumerate(decode.operators):
        for field in ("time_s", "bound_s", "flops", "bytes"):
            mean = sum(getattr(step.operators[i].figures, field) for step in steps) / len(steps)
            assert getattr(operator.figures, field) == pytest.approx(mean, rel=1e-9), f"{operator.name} {field}"
    time = sum(step.figures.time_s for step in steps)
    for share in ("latency", "compute", "memory"):
        weighted = sum(getattr(step.figures.shares, share) * step.figures.time_s for step in steps) / time
        assert getattr(decode.figures.shares, share) == pytest.approx(weighted, abs=1e-9)


def test_the_mean_over_the_steps_is_not_the_step_at_the_mean_length() -> None:
    # The time is convex in the length: near a low ridge, compute and memory grow at different paces.
    generation = predict("llama-3.1-70b", "t4", dtype="fp32", prompt=1, generate=100)
    middle = predict("llama-3.1-70b", "t4", dtype="fp32", context=51)  # the mean of 2 ... 100
    mean, at_mean = (
        next(op.figures for op in run.phases["decode"].operators if op.name == "attention")
        for run in (generation, middle)
    )
    assert mean.bytes == pytest.approx(at_mean.bytes, rel=1e-12)  # linear in the length
    assert mean.time_s > at_mean.time_s * (1 + 1e-5)


def test_two_generated_tokens_are_one_exact_decode_step() -> None:
    assert llama(prompt=100, generate=2).phases["decode"].figures == llama(context=101).phases["decode"].figures


def test_one_generated_token_has_no_decode_phase() -> None:
    prediction = llama(prompt=100, generate=1)
    assert list(prediction.phases) == [Phase.PREFILL]
    assert prediction.tpot_s is None
    assert "tpot_s" not in prediction.to_dict()
    assert prediction.request_s == prediction.ttft_s


def test_times_of_a_request() -> None:
    prediction = llama(batch=3, prompt=500, generate=20)
    prefill, decode = (prediction.phases[name].figures.time_s for name in (Phase.PREFILL, Phase.DECODE))
    assert prediction.ttft_s == prefill
    assert prediction.tpot_s == decode
    assert prediction.request_s == pytest.approx(prefill + 19 * decode, rel=1e-12)
    assert prediction.tokens_per_s == pytest.approx(3 * 20 / prediction.request_s, rel=1e-12)
    assert "sampling" in {op.name for op in prediction.phases["prefill"].operators}  # head and sampling included


def test_tokens_of_an_encoder_are_input_tokens() -> None:
    prediction = predict("bert-base", "a100", batch=8, prompt=128)
    assert prediction.tokens_per_s == pytest.approx(8 * 128 / prediction.request_s, rel=1e-12)
    assert (prediction.ttft_s, prediction.tpot_s) == (None, None)
    assert not {"ttft_s", "tpot_s"} & set(prediction.to_dict())


def test_tokens_of_one_decode_step() -> None:
    prediction = llama(batch=8, context=100)
    assert prediction.tokens_per_s == pytest.approx(8 / prediction.request_s, rel=1e-12)
    assert prediction.ttft_s is None
    assert prediction.request_s == prediction.tpot_s


def test_rates_follow_from_counts_and_time() -> None:
    figures = llama(context=2048).phases["decode"].figures
    assert figures.mfu == pytest.approx(figures.flops / (figures.time_s * 312e12), rel=1e-12)
    assert figures.mbu == pytest.approx(figures.bytes / (figures.time_s * 2039e9), rel=1e-12)
    assert figures.intensity == figures.flops / figures.bytes


def test_the_band_of_a_phase_is_the_sum_of_its_operators_bands() -> None:
    """Errors of one set of constants go the same way: never a root of squares."""
    prediction = llama(context=2048, constants="class")
    decode = prediction.phases["decode"]
    for end in ("low_s", "high_s"):
        parts = sum(getattr(op.figures, end) for op in decode.operators)
        assert getattr(decode.figures, end) == pytest.approx(parts, rel=1e-12)
    for op in decode.operators:
        if op.kind == "host":
            continue
        kind = "attention_decode" if op.kind == "attention" else op.kind
        low, high, _ = prediction.constants.band(kind)
        assert op.figures.high_s == pytest.approx(op.figures.time_s * high)
        assert op.figures.low_s == pytest.approx(max(op.figures.bound_s, op.figures.time_s * low))


# Defaults


@pytest.mark.parametrize(
    ("model", "hardware", "prompt", "generate", "dtype", "engine"),
    [
        ("llama-3.1-8b", "h100", 2048, 256, "bf16", "vllm"),
        ("gpt2", "h100", 768, 256, "bf16", "vllm"),  # 1024 positions less the generated tokens
        ("bert-base", "t4", 512, 1, "fp16", "torch-compile"),
        ("bert-base", "xeon", 512, 1, "bf16", "transformers"),
        (TINY, "mi300x", 16, 16, "bf16", "vllm"),  # 32 positions: half and half
        ({**TINY, "max_position_embeddings": 2}, "mi300x", 1, 1, "bf16", "vllm"),
    ],
)
def test_defaults(model: Any, hardware: str, prompt: int, generate: int, dtype: str, engine: str) -> None:
    prediction = predict(model, hardware)
    w, p = prediction.workload, prediction.precision
    assert (w.batch, w.prompt, w.generate, w.context) == (1, prompt, generate, None)
    assert (p.weights, p.activations, p.kv_cache) == (dtype, dtype, dtype)
    assert prediction.engine.name == engine
    known = prediction.hardware.name in device_names() and load_device(prediction.hardware.name).measured_dtypes
    assert prediction.constants.provenance == ("calibrated" if known and dtype in known else "class")
    c = prediction.conventions
    assert (c.attention, c.count, c.lm_head) == ("fused", "attended", "last")


def test_generate_moves_the_default_prompt() -> None:
    assert predict("gpt2", "h100", generate=1000).workload.prompt == 24


def test_single_dtypes_override_the_common_one() -> None:
    recipe = predict("gpt2", "h100", dtype="bf16", weight_dtype="fp8", kv_dtype="int8").recipe
    assert (recipe.weights.name, recipe.activations.name, recipe.kv_cache.name) == ("fp8", "bf16", "int8")


# Phases


@pytest.mark.parametrize(
    ("keywords", "phases"),
    [
        ({}, [Phase.PREFILL, Phase.DECODE]),
        ({"phase": Phase.PREFILL}, [Phase.PREFILL]),
        ({"phase": Phase.DECODE}, [Phase.DECODE]),
        ({"context": 100}, [Phase.DECODE]),
        ({"context": 100, "phase": Phase.DECODE}, [Phase.DECODE]),
        ({"generate": 1}, [Phase.PREFILL]),
        ({"generate": 1, "phase": Phase.PREFILL}, [Phase.PREFILL]),
    ],
)
def test_phase_selection(keywords: dict[str, Any], phases: list[str]) -> None:
    prediction = llama(**keywords)
    assert list(prediction.phases) == phases
    whole = llama(**{**keywords, "phase": None})
    for name in phases:
        assert prediction.phases[name] == whole.phases[name]  # type: ignore[index]


def test_a_context_may_be_the_models_last_position() -> None:
    assert llama(context=4096).phases["decode"].steps == 1
    assert llama(prompt=4096, generate=1).workload.longest == 4096  # the last token is not fed back
    assert llama(prompt=4000, generate=97).workload.longest == 4096


def test_prefill_alone_may_use_every_position() -> None:
    assert llama(prompt=4096, phase="prefill").workload.prompt == 4096  # nothing is generated


# Errors


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"context": 9, "phase": Phase.PREFILL}, UsageError, "it does not go with phase prefill"),
        ({"phase": "train"}, UsageError, "--phase 'train': expected encode or listen or prefill or decode"),
        ({"phase": Phase.ENCODE}, WorkloadError, "llama-2-7b has no encode phase; it has prefill, decode"),
        ({"phase": Phase.DECODE, "generate": 1}, UsageError, "generate 1 has no decode step"),
        ({"batch": 0}, UsageError, "batch 0: expected a whole number from 1"),
        ({"batch": -1}, UsageError, "batch -1: "),
        ({"batch": 1.5}, UsageError, "batch 1.5: "),
        ({"batch": True}, UsageError, "batch True: "),
        ({"batch": math.nan}, UsageError, "batch nan: "),
        ({"batch": "8"}, UsageError, "batch '8': "),
        ({"batch": 10**9}, UsageError, "batch 1000000000: "),
        ({"prompt": 0}, UsageError, "prompt 0: "),
        ({"generate": 0}, UsageError, "generate 0: "),
        ({"context": 0}, UsageError, "context 0: "),
        (
            {"prompt": 4000},
            WorkloadError,
            "prompt 4000 + generate 256 exceeds the model's max_position_embeddings 4096",
        ),
        ({"prompt": 4096, "generate": 2}, WorkloadError, "max_position_embeddings 4096"),
        ({"context": 4097}, WorkloadError, "context 4097 exceeds the model's max_position_embeddings 4096"),
        ({"generate": 4097}, WorkloadError, "max_position_embeddings 4096"),
        ({"dtype": "bf17"}, UsageError, 'dtype "bf17" is not known; did you mean bf16'),
        ({"kv_dtype": "int5"}, UsageError, 'kv_dtype "int5" is not known; did you mean int8'),
        ({"dtype": "fp8"}, WorkloadError, "a100-sxm-80gb has no fp8; it has "),
    ],
    ids=str,
)
def test_errors(keywords: dict[str, Any], error: type[RooflineError], text: str) -> None:
    with pytest.raises(error) as caught:
        predict("llama-2-7b", "a100", **keywords)
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_encoder_has_no_context() -> None:
    with pytest.raises(WorkloadError, match=r"^bert-base has no decode phase; it has encode$"):
        predict("bert-base", "a100", context=5)
    with pytest.raises(WorkloadError, match=r"^prompt 513 exceeds the model's max_position_embeddings 512; "):
        predict("bert-base", "a100", prompt=513)


def test_a_dtype_that_the_device_lacks() -> None:
    with pytest.raises(WorkloadError, match=r"^t4 has no bf16; it has fp16, int8, fp64, fp32$"):
        predict("bert-base", "t4", dtype="bf16")


@pytest.mark.parametrize("model", ["gpt-5", "/nowhere/config.json", {}])
def test_unknown_models_are_refused(model: Any) -> None:
    with pytest.raises(RooflineError):
        predict(model, "a100")


# JSON, HTML, values

SHARES = {"latency", "compute", "memory", "link"}
FIGURES = set(
    "time_s bound_s low_s high_s bound_by shares flops vector_flops bytes link_bytes intensity mfu mbu".split()
)
MEMORY = set(
    "weights_bytes kv_cache_bytes activation_bytes state_bytes overhead_bytes total_bytes capacity_bytes max_batch "
    "max_context".split()
)
TOP = set(
    "schema_version version model engine hardware inputs parameters fits memory phases request_s ttft_s tpot_s "
    "tokens_per_s provenance band notes".split()  # notes: warnings, beyond DESIGN section 7
)


@pytest.mark.parametrize(
    ("model", "hardware", "keywords", "absent"),
    [
        ("llama-2-7b", "a100", {}, ()),
        ("llama-2-7b", "a100", {"constants": "datasheet"}, ()),
        ("bert-base", "xeon", {}, ("ttft_s", "tpot_s")),
        ("llama-3.1-70b", "h100", {"context": 4096}, ("ttft_s",)),
        ("gpt2", "t4", {"generate": 1}, ("tpot_s",)),
        (TINY, "mi300x", {}, ()),
    ],
    ids=str,
)
def test_the_keys_of_the_json(model: Any, hardware: str, keywords: dict[str, Any], absent: tuple[str, ...]) -> None:
    result = predict(model, hardware, **keywords).to_dict()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    more = {"overflow"} if result["fits"] is False else set()
    more |= {"cache_at_start"} if result["engine"]["name"] == "vllm" else set()
    assert set(result) == TOP - set(absent) | more
    assert set(result["hardware"]) == {"name", "count", "overrides"}
    assert set(result["memory"]) == MEMORY
    assert result["schema_version"] == 1
    for phase in result["phases"].values():
        assert set(phase) == FIGURES | {"steps", "operators", "total_flops", "total_bytes"}
        assert set(phase["shares"]) == SHARES
        for operator in phase["operators"]:
            assert set(operator) == FIGURES | {"name", "kind", "count"}
            assert set(operator["shares"]) == SHARES


def test_flops_and_bytes_are_of_a_device_of_each_stage_and_of_all_devices() -> None:
    alone, tensor, pipeline = (
        predict("llama-3.1-8b", f"{tp * pp}xh100", tp=tp, pp=pp, phase="prefill").to_dict()["phases"]["prefill"]
        for tp, pp in ((1, 1), (8, 1), (1, 8))
    )
    assert pipeline["flops"] == alone["flops"] == 8 * tensor["flops"]
    assert pipeline["total_flops"] == tensor["total_flops"] == alone["total_flops"] == alone["flops"]
    assert tensor["total_bytes"] == 8 * tensor["bytes"] > alone["total_bytes"]  # what all devices hold is read by all
    assert pipeline["total_bytes"] == pipeline["bytes"]


def test_inputs_are_resolved() -> None:
    inputs = predict("llama-2-7b", "a100").to_dict()["inputs"]
    wanted = {"batch": 1, "prompt": 2048, "generate": 256, "context": None, "engine": "vllm"}
    wanted |= {"attention": "fused", "count": "attended", "lm_head": "last"}
    wanted |= {"weight_dtype": "bf16", "activation_dtype": "bf16", "kv_dtype": "bf16"}
    assert {key: inputs[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    "path", ["", "workload", "precision", "memory", "hardware", "model", "constants", "conventions"]
)
def test_values_are_frozen(path: str) -> None:
    prediction = predict("bert-base", "a100")
    value = getattr(prediction, path) if path else prediction
    field = next(iter(getattr(type(value), "stated", None) or value.__dataclass_fields__))
    with pytest.raises((FrozenInstanceError, ValueError)):
        setattr(value, field, None)


def test_phases_and_operators_are_frozen() -> None:
    prediction = predict("bert-base", "a100")
    phase = prediction.phases["encode"]
    for value, field in ((phase, "steps"), (phase.figures, "mfu"), (phase.operators[0], "count")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field, 0)
    with pytest.raises(TypeError):
        prediction.phases["encode"] = phase  # type: ignore[index]


def test_html_escapes_what_the_user_named(tmp_path: Any) -> None:
    folder = tmp_path / "<script>alert(1)<"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**TINY, "<b>odd</b>": 1}))
    page = predict(folder, "a100")._repr_html_()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt; (" in page
    assert page.count("<table>") == page.count("</table>") == 2
    assert page.startswith("<div>")
    assert page.endswith("</div>")


def test_the_shop_window_predicts() -> None:
    model, device = roofline.load_model("gpt2"), roofline.load_hardware("a100")
    assert roofline.predict(model, device) == roofline.predict("gpt2", "a100")
    assert roofline.predict(model, device).parameters == 124_439_808


def test_a_prediction_can_be_pickled_and_copied() -> None:
    result = llama(context=2048)
    assert pickle.loads(pickle.dumps(result)).to_dict() == result.to_dict() == copy.deepcopy(result).to_dict()


@pytest.mark.parametrize("keywords", [{"prompt": 99}, {"generate": 7}])
def test_context_goes_with_no_other_length(keywords: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="neither prompt nor generate"):
        llama(context=2048, **keywords)


def test_an_encoder_generates_nothing() -> None:
    with pytest.raises(UsageError, match=r"^generate 10: bert-base generates nothing; leave it out$"):
        predict("bert-base", "h100", generate=10)
