"""From an answer to a launch line and back: the same layout, formats, times and memory."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.errors import UsageError
from roofline.prediction.launching import launch_line, predict_launched, predict_to_launch
from roofline.prediction.predict import predict

ASKED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("vllm", "llama-3.1-8b", "h100", {"batch": 16}),
    ("vllm", "llama-3.1-8b", "4xh100", {"batch": 32, "tp": 2, "dp": 2, "dtype": "fp8", "kv_dtype": "fp8"}),
    ("vllm", "llama-3.1-8b", "2xh100", {"pp": 2, "set": {"engine.chunk": 2048, "engine.memory_share": 0.8}}),
    ("vllm", "llama-3.1-8b", "h100", {"set": {"engine.graphs": {}, "engine.captured": [], "engine.kv_block": 32}}),
    ("vllm", "llama-3.1-8b", "h100", {"set": {"engine.chunk": 0}, "dtype": "fp16"}),
    ("vllm", "mixtral-8x7b", "8xh200", {"batch": 64, "dp": 8, "ep": 8, "kv_dtype": "fp8"}),
    ("vllm", "mixtral-8x7b", "8xh200", {"batch": 512, "dp": 8, "ep": 8, "set": {"engine.two_batches": True}}),
    ("vllm", "deepseek-v3", "8xh200", {"batch": 8, "tp": 8, "dcp": 8, "context": 100_000}),
    ("sglang", "llama-3.1-8b", "2xh100", {"batch": 16, "dp": 2, "engine": "sglang", "set": {"engine.mixed": True}}),
    ("sglang", "mixtral-8x7b", "8xh200", {"batch": 64, "tp": 2, "dp": 4, "ep": 8, "engine": "sglang"}),
    ("sglang", "mixtral-8x7b", "8xh200", {"batch": 64, "dp": 8, "ep": 8, "engine": "sglang",
                                          "set": {"engine.two_batches": True}}),
    ("sglang", "mixtral-8x7b", "8xh200", {"tp": 8, "ep": 8, "engine": "sglang", "set": {"engine.chunk": 0}}),
    ("tensorrt-llm", "llama-3.1-8b", "2xh100", {"batch": 9, "tp": 2, "engine": "tensorrt-llm", "kv_dtype": "fp8"}),
    ("tensorrt-llm", "mixtral-8x7b", "8xh200", {"batch": 64, "dp": 8, "ep": 8, "engine": "tensorrt-llm"}),
    ("tensorrt-llm", "mixtral-8x7b", "4xh200", {"tp": 4, "ep": 2, "engine": "tensorrt-llm", "reserve": 0.2}),
    ("vllm", "llama-3.1-8b", "h100", {"reserve": 0.15}),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "model", "hardware", "options"), ASKED)
def test_launched_and_read_it_is_the_same(engine: str, model: str, hardware: str, options: dict[str, Any]) -> None:
    asked = predict(model, hardware, **options)
    line = launch_line(asked, engine)
    work = {name: options[name] for name in ("batch", "context") if name in options}
    read = predict_launched(str(line), hardware, **work)
    assert launch_line(read, engine) == line
    assert (read.layout, read.memory.to_dict(), read.request_s) == (
        asked.layout, asked.memory.to_dict(), pytest.approx(asked.request_s, rel=1e-12)
    )  # fmt: skip


def test_two_batch_overlap_needs_kernels_that_send_beside_computation() -> None:
    line = "vllm serve mistralai/Mixtral-8x7B-v0.1 -dp 8 -ep --enable-dbo"
    with pytest.raises(UsageError, match="--enable-dbo needs --all2all-backend deepep_low_latency; add it"):
        predict_launched(line, "8xh200", batch=512)
    more = f"{line} --all2all-backend deepep_low_latency --dbo-decode-token-threshold 100"
    assert predict_launched(more, "8xh200", batch=512, context=100).dispatch_hidden == {}
    assert predict_launched(more, "8xh200", batch=800, context=100).dispatch_hidden


def test_the_layout_to_launch_is_the_best_that_the_engine_has_flags_for() -> None:
    asked: dict[str, Any] = {"prompt": 8192, "phase": "prefill"}
    best, found = (
        predict("llama-3.1-8b", "2xh100", engine="vllm", **asked),
        predict_to_launch("llama-3.1-8b", "2xh100", "vllm", **asked),
    )
    assert best.layout.cp == 2
    with pytest.raises(UsageError, match="says cp"):
        launch_line(best, "vllm")
    assert "--tensor-parallel-size 2" in str(launch_line(found, "vllm"))
    assert best.chosen is not None
    assert found.layout == best.chosen.runner_up


def test_the_launch_line_of_data_parallel_attention() -> None:
    found = predict("deepseek-v3", "8xh200", batch=64, dp=8, ep=8)
    assert str(launch_line(found, "vllm")) == (
        "vllm serve deepseek-ai/DeepSeek-V3 --data-parallel-size 8 --enable-expert-parallel --max-num-seqs 8 "
        "--max-num-batched-tokens 8192 --max-model-len 2304 --gpu-memory-utilization 0.9"
    )


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        ("sglang", {}, "the prediction is that of vllm; ask with engine sglang"),
        ("vllm", {"dtype": "w4a16"}, "w4a16 wants a checkpoint that is stored so"),
        ("vllm", {"weight_dtype": "fp8"}, "no flag says the dtype of weights"),
        ("vllm", {"prune": "ffn=0.5"}, "no flag prunes"),
        ("vllm", {"cp": 2}, "says cp; ask with cp 1"),
        ("vllm", {"reserve": "2GiB"}, "no flag keeps 2,147,483,648 bytes; give reserve as a share"),
        ("tensorrt-llm", {"engine": "tensorrt-llm", "dp": 2, "batch": 2}, "a server is one replica, and these are 2"),
        ("tensorrt-llm", {"engine": "tensorrt-llm", "set": {"engine.chunk": 0}}, "no flag has prompts by themselves"),
        ("tensorrt-llm", {"engine": "tensorrt-llm", "dtype": "fp8"}, "fp8 wants a checkpoint that is stored so"),
    ],
)
def test_what_no_flag_says_is_refused(engine: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        launch_line(predict("llama-3.1-8b", "2xh100" if {"cp", "dp"} & set(options) else "h100", **options), engine)


@pytest.mark.parametrize(
    ("line", "options", "words"),
    [
        ("vllm serve llama-3.1-8b --max-num-seqs 8", {"batch": 9}, "batch 9: the launch line admits 8 sequences"),
        ("vllm serve llama-3.1-8b --max-model-len 2k", {}, "2304 tokens: the launch line admits 2000"),
        ("vllm serve llama-3.1-8b", {"tp": 2}, "tp does not go with a launch line"),
        ("vllm serve llama-3.1-8b", {"engine": "sglang"}, "engine does not go with a launch line"),
        ("vllm serve mixtral-8x7b -dp 2", {"batch": 2}, "split by tensor over data parallel ranks are not modelled"),
        ("sglang serve mixtral-8x7b --tp 4 --dp 2 --enable-dp-attention", {}, "with ep 1 on 4 devices is not modelled"),
        ("trtllm-serve llama-3.1-8b", {"prompt": 9000}, "a step takes prompts of 8192 tokens at most"),
        ("trtllm-serve llama-3.1-8b", {"batch": 9}, "batch 9: no graph of it is captured"),
        ("sglang serve mixtral-8x7b --tp 4 --dp 3 --enable-dp-attention", {}, "by 3 does not divide 4 devices of tp"),
    ],
)
def test_what_a_line_does_not_admit_is_refused(line: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        predict_launched(line, "h100", **options)
