"""Which engine a request is run by."""

from __future__ import annotations

import pytest

import roofline
from roofline.engines.library import load_engine
from roofline.errors import UsageError
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
    """vLLM's host takes longer than an H100 for a step of GPT-2, and is hidden behind one of Llama-3.1-8B."""

    def step_s(**edits: object) -> float:
        edited = {f"engine.{name}": value for name, value in edits.items()}
        found = roofline.predict(model, "h100", batch=batch, prompt=512, generate=2, engine="vllm", set=edited)
        return found.phases[Phase.DECODE].figures.time_s

    host, device = load_engine("vllm").host_s(batch), step_s(host_step="0 s", host_request="0 s")
    assert step_s() == pytest.approx(max(device, host), rel=1e-12)
    assert step_s(host_ahead=False) == pytest.approx(device + host, rel=1e-12)
    assert (host > device) == (model == "gpt2")
