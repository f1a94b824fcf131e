"""LoRA adapters beside a network: bytes by hand, what a step touches, layouts, steps, launch lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import roofline
from roofline.compression.adapters import Adapters, adapted
from roofline.engines.launch_line import read_launch_line
from roofline.errors import RooflineError, UsageError
from roofline.prediction.launching import launch_line, options_of
from roofline.program.program import Program
from roofline.serving.step_clock import StepClock

RANK, LAYERS = 64, 32
# rank x (inputs + outputs) of each projection of Llama 3.1 8B
EACH = LAYERS * RANK * ((4096 + 4096) + 2 * (4096 + 1024) + (4096 + 4096) + 2 * (4096 + 14336) + (14336 + 4096))


def _predict(hardware: str = "h100", **options: Any) -> Any:
    return roofline.predict("llama-3.1-8b", hardware, **{"batch": 8, "prompt": 512, "generate": 16, **options})


def test_all_adapters_stay_in_memory_and_are_no_parameters_of_the_network() -> None:
    plain, more = _predict(), _predict(lora=f"16x{RANK}")
    added = more.memory.footprint.weights_bytes - plain.memory.footprint.weights_bytes
    assert added == 16 * EACH * 2
    assert more.parameters == plain.parameters


def test_a_step_multiplies_all_its_tokens_and_reads_the_adapters_of_its_requests() -> None:
    plain, more = _predict(), _predict(lora=f"16x{RANK}")
    for phase, tokens in (("prefill", 8 * 512), ("decode", 8)):
        was, now = (each.phases[phase].figures for each in (plain, more))
        assert now.flops - was.flops == 2 * tokens * EACH
        weights = 2 * EACH * 16 * (1 - (1 - 1 / 16) ** 8)
        wide = 4096 + 6144 * 2 + 4096 + 4096 * 2 + 4096 + 28672 * 2 + 14336 + 4096 * 2  # read; read and added to
        low = 2 * RANK * 7  # written, read
        assert now.bytes - was.bytes == pytest.approx(weights + 2 * tokens * LAYERS * (wide + low), rel=1e-12)
        assert now.time_s > was.time_s


def test_what_an_engine_multiplies_at_once_it_shrinks_and_expands_at_once() -> None:
    names = [op.name for op in _predict(lora="4x8", engine="vllm").phases["decode"].operators]
    assert [name for name in names if name.endswith(("_shrink", "_expand"))] == [
        f"{each}_{word}" for each in ("qkv_proj", "out_proj", "gate_up", "down") for word in ("shrink", "expand")
    ]


def test_tensor_parallelism_needs_no_further_collective() -> None:
    plain, more = (_predict("4xh100", tp=4, **lora) for lora in ({}, {"lora": "4x8"}))
    for phase in ("prefill", "decode"):
        moved = [each.phases[phase].figures.link_bytes for each in (plain, more)]
        assert moved[0] == moved[1] > 0
    held = more.memory.footprint.weights_bytes - plain.memory.footprint.weights_bytes
    whole = 3 * 4096 + 4096 + 2 * 4096 + 4096  # what is not split of a projection is on each device
    split = (6144 + 4096 + 2 * 14336 + 14336) / 4
    assert held == LAYERS * 4 * 8 * (whole + split) * 2


@pytest.mark.parametrize("model", ["jamba-v0.1", "deepseek-v2-lite", "gpt2"])
def test_other_layers_have_them_too(model: str) -> None:
    plain, more = (roofline.predict(model, "2xh100", tp=2, batch=4, **lora) for lora in ({}, {"lora": "8x16"}))
    for phase in ("prefill", "decode"):
        was, now = (each.phases[phase].figures for each in (plain, more))
        assert now.flops > was.flops
        assert now.time_s > was.time_s
        assert now.link_bytes == was.link_bytes
    assert more.parameters == plain.parameters


def test_experts_have_none() -> None:
    found = roofline.predict("mixtral-8x7b", "8xh100", tp=8, lora="4x8", phase="decode")
    names = [op.name for op in found.phases["decode"].operators if op.name.endswith("_shrink")]
    assert names == ["qkv_proj_shrink", "out_proj_shrink"]


def test_quantised_projections_keep_adapters_in_16_bits_that_read_what_was_not_narrowed() -> None:
    plain, more = (_predict(dtype="fp8", **lora) for lora in ({}, {"lora": f"2x{RANK}"}))
    assert more.memory.footprint.weights_bytes - plain.memory.footprint.weights_bytes == 2 * EACH * 2


@pytest.mark.parametrize("lora", ["1x8", "16x64"])
def test_steps_of_equal_requests_are_those_of_predict(lora: str) -> None:
    clock = StepClock("llama-3.1-8b", "h100", lora=lora)
    alone = roofline.predict("llama-3.1-8b", "h100", batch=1, prompt=1024, lora=lora).ttft_s
    assert clock.step([(1024, 0)]) == pytest.approx(alone, rel=1e-9)
    decode = roofline.predict("llama-3.1-8b", "h100", batch=4, context=900, lora=lora).phases["decode"]
    assert clock.step([(1, 899)] * 4) == pytest.approx(decode.figures.time_s, rel=1e-9)
    mixed = [[(1, 500), (100, 0)], [(1024, 0), (0, 0)]]
    assert clock.steps(np.array(mixed)) == pytest.approx([clock.step(mixed[0]), clock.step(mixed[1][:1])])


def test_more_requests_use_more_of_them_and_more_adapters_are_never_faster() -> None:
    times = [_predict(lora=lora).phases["decode"].figures.time_s for lora in ("1x8", "2x8", "8x8", "8x64")]
    assert times == sorted(times)


def test_compare_holds_fewer_sequences() -> None:
    def most(**lora: str) -> int:
        return int(roofline.compare("llama-3.1-8b", "l40s", tpot="60 ms", **lora).rows[0].curve.most or 0)

    assert 0 < most(lora="16x64") < most()


@pytest.mark.parametrize("lora", ["16", "x", "0x64", "16x0", "16x64x2", "-1x8", "16x99999", "٣x8"])
def test_what_says_no_adapters_is_one_line(lora: str) -> None:
    with pytest.raises(UsageError, match=r"lora .*: expected ADAPTERSxRANK such as 16x64"):
        _predict(lora=lora)


def test_a_network_without_projections_is_refused() -> None:
    with pytest.raises(RooflineError, match="no projections that adapters stand beside"):
        adapted(Program((), {}), Adapters(4, 8))


@pytest.mark.parametrize(
    ("line", "lora"),
    [
        ("vllm serve m --enable-lora", "1x16"),
        ("vllm serve m --enable-lora --max-loras 8 --max-lora-rank 64 --lora-modules a=b c=d", "8x64"),
        ("vllm serve m --max-loras 8", None),
        ("sglang serve --model m --enable-lora --max-lora-rank 32 --lora-target-modules all", "8x32"),
    ],
)
def test_lines_state_them(line: str, lora: str | None) -> None:
    assert options_of(read_launch_line(line)).get("lora") == lora


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_the_line_of_an_answer_reads_back(engine: str) -> None:
    line = launch_line(_predict(engine=engine, lora="4x32"), engine)
    assert read_launch_line(str(line)) == line
    assert options_of(line)["lora"] == "4x32"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sglang serve --model m --enable-lora", "--max-lora-rank, which the adapters decide"),
        ("vllm serve m --enable-lora --max-lora-rank 24", "it takes 1, 8, 16"),
    ],
)
def test_lines_that_leave_it_open_are_refused(line: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        options_of(read_launch_line(line))
