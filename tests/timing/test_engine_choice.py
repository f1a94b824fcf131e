"""Which engine a request is run by."""

from __future__ import annotations

from typing import Any

import pytest

import roofline
from roofline.engines.library import load_engine
from roofline.errors import UsageError, WorkloadError
from roofline.program.phases import Phase
from roofline.timing.engine_choice import read_engine

PHASES = (Phase.PREFILL, Phase.DECODE)


@pytest.mark.parametrize("asked", [{}, {"engine": "sglang"}, {"kernels": "fa2"}], ids=str)
def test_equal_requests_are_run_by_one_engine(asked: dict[str, str]) -> None:
    """What is worked out of an engine is kept by the engine itself: another one each time would work it out again."""
    device = roofline.load_hardware("h100")
    first, second = (read_engine(asked, device, PHASES) for _ in range(2))  # type: ignore[arg-type]
    assert first is second
    assert first.pass_tokens


@pytest.mark.parametrize("kernels", [["fa2"], {"attention": "fa2"}])
def test_kernels_that_are_no_name_are_refused(kernels: object) -> None:
    """A list of libraries is none that is known."""
    with pytest.raises(UsageError, match=r"kernels .*fa2"):
        roofline.predict("llama-3.1-8b", "h100", kernels=kernels)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 64, 512])
@pytest.mark.parametrize("model", ["gpt2", "llama-3.1-8b"])
def test_a_step_takes_as_long_as_the_device_or_a_host_that_is_ahead(model: str, batch: int) -> None:
    """A host of a millisecond is longer than an H100's step of GPT-2, and hidden behind one of Llama-3.1-8B."""

    def step_s(**edits: object) -> float:
        edited = {f"engine.{name}": value for name, value in ({"host_step": "1 ms"} | edits).items()}
        found = roofline.predict(model, "h100", batch=batch, prompt=512, generate=2, engine="vllm", set=edited)
        return found.phases[Phase.DECODE].figures.time_s

    slower = load_engine("vllm").model_copy(update={"host_step": 1e-3})
    host, device = slower.host_s(batch), step_s(host_step="0 s", host_request="0 s")
    assert step_s() == pytest.approx(max(device, host), rel=1e-12)
    assert step_s(host_ahead=False) == pytest.approx(device + host, rel=1e-12)
    assert (host > device) == (model == "gpt2")


@pytest.mark.parametrize(
    ("model", "hardware", "engine", "dtype", "told"),
    [
        ("gpt2", "h100", "exllamav3", "q4_k_m", "exllama loads no GGUF, in whose types q4_k_m stores weights"),
        ("gpt2", "m4-max", "mlx", "q8_0+kv8", r"mlx loads no GGUF.*engine llama-cpp, sglang or vllm, or a dtype such"),
        ("gpt2", "h100", "llama-cpp", "awq", "loads GGUF alone, and awq is none of its types; expected a dtype"),
        ("deepseek-v3", "8xh200", "ollama", None, "loads GGUF alone, and fp8-block is none of its types"),
    ],
)
def test_an_engine_refuses_what_it_does_not_load(
    model: str, hardware: str, engine: str, dtype: str | None, told: str
) -> None:
    with pytest.raises(WorkloadError, match=told):
        roofline.predict(model, hardware, engine=engine, dtype=dtype, prompt=16, generate=2)


@pytest.mark.parametrize(
    ("model", "engine", "dtype"),
    [
        ("gpt2", "vllm", "q8_0"),
        ("gpt2", "exllama", "w4a16"),
        ("gpt2", "llama-cpp", "q4_0"),
        ("gpt2", "llama-cpp", "fp16"),
        ("gpt-oss-20b", "llama-cpp", None),
        ("gpt-oss-20b", "vllm", None),
    ],
)
def test_an_engine_runs_what_it_loads(model: str, engine: str, dtype: str | None) -> None:
    """MXFP4 lies alike in safetensors and in GGUF."""
    found = roofline.predict(model, "h100", engine=engine, dtype=dtype, prompt=16, generate=2)
    assert found.engine.name == engine


@pytest.mark.parametrize(("hardware", "usual"), [("h100", "vllm"), ("m4-max", "llama-cpp"), ("epyc-9654", "llama-cpp")])
def test_the_usual_engine_loads_what_is_stored(hardware: str, usual: str) -> None:
    """vLLM loads GGUF; where torch or transformers is usual, llama.cpp takes over, in comparisons too."""
    asked: dict[str, Any] = {"dtype": "q8_0", "prompt": 16, "generate": 2}
    assert roofline.predict("gpt2", hardware, **asked).engine.name == usual
    (row,) = roofline.compare("gpt2", hardware, **asked).to_dict()["rows"]
    assert row["engine"]["name"] == usual


@pytest.mark.parametrize(
    ("hardware", "dtype", "usual"),
    [
        ("m4-max", None, "llama-cpp"),
        ("m4-max", "w4a16", "mlx"),
        ("dgx-spark", None, "llama-cpp"),
        ("dgx-spark", "fp8", "vllm"),
        ("jetson-thor", "w4a16", "vllm"),
        ("strix-halo", None, "llama-cpp"),
        ("strix-halo", "w4a16", "vllm"),
    ],
)
def test_of_the_usual_engines_of_a_system_on_a_chip_the_first_that_loads_what_is_stored_runs(
    hardware: str, dtype: str | None, usual: str
) -> None:
    found = roofline.predict("gpt2", hardware, dtype=dtype, prompt=16, generate=2)
    assert found.engine.name == usual
    assert roofline.predict("bert-base", hardware, prompt=16).engine.name == "torch-compile"


@pytest.mark.parametrize(("engine", "word"), [("llama-cpp", "q8_0"), ("vllm", "fp8")])
def test_a_recipe_that_would_fit_is_of_the_engine_and_keeps_what_was_asked_for(engine: str, word: str) -> None:
    """What is advised is what the same question answers with that dtype: cache and states stay."""
    asked: dict[str, Any] = {"engine": engine, "kv_dtype": "fp16", "reserve": "0.2", "batch": 8, "context": 4096}
    over = roofline.predict("llama-3.1-70b", "h200", **asked).overflow
    assert over is not None
    assert over.narrower is not None
    told, fit = over.narrower
    assert told == word
    assert fit == roofline.predict("llama-3.1-70b", "h200", **asked, dtype=told).memory
