"""What an engine changes in a prediction: launches, padded batches, memory, the band; and what it never does."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from roofline.buying.api import compare
from roofline.calibration.provenance import constants_of
from roofline.calibration.young_ports import load_young_ports
from roofline.cost.cost import step_cost
from roofline.engines.library import load_engine
from roofline.errors import SpecError, UsageError, WorkloadError
from roofline.hardware.loading import load_hardware
from roofline.models.model import load_model
from roofline.prediction.figures import Operator
from roofline.prediction.predict import Prediction, predict
from roofline.program.phases import Phase
from roofline.timing.engine_choice import Launching, kernels_of
from roofline.timing.machine import Machine

MODEL = "llama-3.2-1b"
BF16 = {"constants": "class", "dtype": "bf16"}


def step(batch: int, **asked: Any) -> Prediction:
    return predict(MODEL, "h100", batch=batch, context=1000, **{**BF16, **asked})


def operator(prediction: Prediction, name: str) -> Operator:
    (phase,) = prediction.phases.values()
    return next(op for op in phase.operators if op.name == name)


# A staircase over the batch


def test_matmuls_take_as_long_as_the_captured_batch_and_attention_as_the_real_one() -> None:
    """vLLM captures 8 and 16: from 9 to 16 sequences a matmul computes 16 rows."""
    found = {batch: step(batch) for batch in (8, 9, 12, 16, 17)}
    for name in ("gate_up", "qkv_proj", "down", "lm_head", "act"):
        times = [operator(found[batch], name).figures.time_s for batch in (8, 9, 12, 16, 17)]
        assert times[1] == times[2] == times[3], name
        assert times[0] < times[1] < times[4], name
    attention = [operator(found[batch], "attention").figures.time_s for batch in (9, 12, 16)]
    assert attention == sorted(set(attention))


def test_counts_and_bounds_stay_those_of_the_real_batch() -> None:
    nine, sixteen = step(9), step(16)
    for name in ("gate_up", "attention"):
        few, many = operator(nine, name).figures, operator(sixteen, name).figures
        assert few.flops * 16 == many.flops * 9
        assert few.bytes < many.bytes
        assert few.bound_s < many.bound_s
    whole = (nine.phases[Phase.DECODE].figures, sixteen.phases[Phase.DECODE].figures)
    assert whole[0].mfu < whole[1].mfu


def test_a_step_is_never_faster_with_more_sequences() -> None:
    batches = [*range(1, 11), 128, 129, 256, 257, 512, 513]
    for engine in ("vllm", "sglang", "tensorrt-llm"):
        times = [step(batch, engine=engine).tpot_s or 0.0 for batch in batches]
        assert times == sorted(times), engine


def test_beyond_the_largest_captured_batch_the_host_launches() -> None:
    """vLLM captures up to 512 tokens; each operator of a class then has the latency of a launch by the host."""
    last, next_one = step(512), step(513)
    constants = constants_of(load_hardware("h100"), "class")
    for name, kind in (("gate_up", "matmul"), ("ffn_norm", "norm")):
        grown = operator(next_one, name).figures.time_s - operator(last, name).figures.time_s
        host = constants.of(kind, "eager").latency_s - constants.of(kind, "graph").latency_s
        assert grown >= operator(next_one, name).count * float(host) * (1 - 1e-9)
    assert operator(next_one, "gate_up").figures.time_s / operator(last, "gate_up").figures.time_s < 1.1


def test_prompts_are_replayed_up_to_the_largest_piece() -> None:
    """512 tokens fit a captured piece of vLLM, 513 do not; SGLang replays no prompts, torch.compile any."""
    asked = {"phase": "prefill", "generate": 1, **BF16}
    norms = {}
    for engine in ("vllm", "sglang", "torch-compile"):
        for prompt in (512, 513):
            found = predict(MODEL, "h100", prompt=prompt, engine=engine, **asked)
            figures = operator(found, "ffn_norm").figures
            norms[engine, prompt] = figures.shares.latency * figures.time_s / operator(found, "ffn_norm").count
    assert norms["vllm", 512] == pytest.approx(3e-6)
    assert norms["vllm", 513] == pytest.approx(8e-6)
    assert norms["sglang", 512] == pytest.approx(8e-6)
    assert norms["torch-compile", 513] == pytest.approx(3e-6)


# What no engine changes


@pytest.mark.parametrize(
    ("device", "engine"), [("h100", "transformers"), ("xeon", "transformers"), ("h100", "torch-compile")]
)
def test_unmerged_engines_run_the_program_as_it_is_stated(device: str, engine: str) -> None:
    """Eager: every operator in the order of the program, launched by the host; compiled: from a graph."""
    spec = load_hardware(device)
    found = predict(MODEL, device, batch=3, context=700, engine=engine, **BF16)
    execution: Any = "eager" if engine == "transformers" else "graph"
    constants = constants_of(spec, "class").using(kernels_of(found.engine, spec))
    machine = Machine(spec, constants, execution)
    sizes = {"B": Fraction(3), "T": Fraction(1), "S": Fraction(700)}
    costs = step_cost(load_model(MODEL).program(), Phase.DECODE, sizes, found.precision)
    timing = machine.step(costs)
    figures = found.phases[Phase.DECODE].figures
    assert (figures.time_s, figures.low_s, figures.high_s) == (timing.time_s, timing.low_s, timing.high_s)
    assert figures.bound_s == timing.bound_s


@pytest.mark.parametrize("model", ["llama-3.1-8b", "bert-base", "t5-small"])
def test_engines_do_the_same_work(model: str) -> None:
    engines = {"llama-3.1-8b": ("vllm", "sglang", "tensorrt-llm"), "bert-base": ("tensorrt", "vllm")}.get(
        model, ("vllm",)
    )
    plain = predict(model, "h100", engine="torch-compile")
    for engine in engines:
        other = predict(model, "h100", engine=engine)
        assert other.parameters == plain.parameters
        assert other.memory.footprint.weights_bytes == plain.memory.footprint.weights_bytes
        for name, phase in plain.phases.items():
            assert other.phases[name].figures.flops == phase.figures.flops
            assert other.phases[name].figures.bytes <= phase.figures.bytes


# Memory, band, refusals


def test_a_young_port_has_a_wider_band_on_the_slow_side() -> None:
    known, young = (predict(MODEL, "mi300x", engine=engine, **BF16) for engine in ("torch-compile", "vllm"))
    slower = load_young_ports().slower
    for name in ("down", "attention", "ffn_norm"):
        was, now = (each.phases[Phase.DECODE].operators for each in (known, young))
        before, after = (next(op.figures for op in ops if op.name == name) for ops in (was, now))
        assert after.high_s / after.time_s == pytest.approx(slower * before.high_s / before.time_s)
        assert after.low_s / after.time_s == pytest.approx(before.low_s / before.time_s)
    assert young.to_dict()["band"]["high"] == pytest.approx(known.to_dict()["band"]["high"] * slower)
    assert any("vLLM 0.18.0 (2026-03) was not timed on devices like mi300x" in note for note in young.notes)
    assert not any("was not timed" in note for note in (*known.notes, *predict(MODEL, "h100").notes))


def test_compare_says_what_runs_each_hardware() -> None:
    rows = {row["hardware"]["name"]: row for row in compare(MODEL, "h100,xeon,mi300x").to_dict()["rows"]}
    engines = {name: row["engine"]["name"] for name, row in rows.items()}
    assert engines == {"h100-sxm-80gb": "vllm", "xeon-8480-plus": "transformers", "mi300x": "vllm"}
    assert [rows[name]["engine"]["chunk"] for name in ("h100-sxm-80gb", "xeon-8480-plus")] == [8192, 2048]
    assert any("was not timed" in note for note in rows["mi300x"]["notes"])


def test_the_cache_is_stored_as_the_engine_keeps_it_unless_asked() -> None:
    edits = {"engine.kv_dtype": "fp8"}
    assert step(1, set=edits).recipe.kv_cache.dtype == "fp8"
    assert step(1, set=edits, kv_dtype="bf16").recipe.kv_cache.dtype == "bf16"


def test_an_engine_of_ones_own(tmp_path: Any) -> None:
    from roofline.engines.template import new_engine

    path = tmp_path / "mine.yaml"
    path.write_text(new_engine("mine", "sglang"))
    assert step(4, engine=str(path)).engine.name == "mine"
    assert step(4, engine=load_engine(path)).tpot_s == step(4, engine="sglang").tpot_s


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"engine": "tensorrt"}, WorkloadError, "tensorrt serves encoders, and this network has decoders"),
        ({"engine": "vlm"}, SpecError, "did you mean vllm"),
        ({"engine": 3}, UsageError, "engine 3: expected a path or text"),
        ({"set": {"engine.chunks": 3}}, SpecError, "chunks: unknown field; did you mean chunk"),
        ({"set": {"engines.chunk": 3}}, UsageError, "expected a path such as"),
        ({"kernels": "fa9"}, UsageError, "did you mean fa4 or fa3"),
    ],
)
def test_what_is_refused(asked: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        step(1, **asked)


def test_launching_is_what_the_record_says() -> None:
    h100 = load_hardware("h100")
    assert Launching.of(load_engine("vllm"), h100) == Launching(
        "graph", single=False, slower=1.0, joins=True, beside=True
    )
    assert Launching.of(load_engine("transformers"), h100) == Launching("eager", single=True, slower=1.0)
    assert Launching.of(load_engine("tensorrt"), h100).execution == "eager"
