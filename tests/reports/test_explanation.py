"""The explanation prints the numbers of the prediction, with formula and source."""

from __future__ import annotations

import re

import pytest

from roofline import predict
from roofline.program.conventions import STATEMENTS
from roofline.reports.explanation import explain
from roofline.reports.prediction import count, quantity

CASES = [
    ("llama-3.1-8b", "h100", {"context": 2048}),
    ("llama-3.1-8b", "h100", {"prompt": 64, "count": "square", "phase": "prefill"}),
    ("bert-base", "t4", {"prompt": 100, "set": {"engine.attention": "materialised"}}),
    ("gpt2", "xeon", {"prompt": 64, "generate": 2, "constants": "datasheet"}),
    pytest.param("llama-3.1-8b", "h100", {"prompt": 64, "generate": 9, "count": "square"}, marks=pytest.mark.slow),
    pytest.param("qwen3-8b", "xeon", {"prompt": 64, "generate": 2, "constants": "datasheet"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("model", "device", "keywords"), CASES)
def test_every_operator_is_explained_with_its_own_numbers(model: str, device: str, keywords: dict[str, int]) -> None:
    result = predict(model, device, **keywords)  # type: ignore[arg-type]
    blocks = re.split(r"\n(?=\S)", explain(result))
    for phase in result.phases.values():
        for operator in phase.operators:
            mine = [block for block in blocks if block.startswith(operator.name + ":")]
            f, n = operator.figures, operator.count
            assert any(
                f"= {quantity(f.bytes / n, 'bytes')}\n" in block
                and f"= {quantity(f.time_s / n, 'time_s')}, band {quantity(f.low_s / n, 'time_s')} to" in block
                and (not f.flops or f"= {count(f.flops / n)}\n" in block)
                for block in mine
            ), operator.name


def test_conventions_sources_and_constants_are_named() -> None:
    text = explain(predict("llama-3.1-8b", "h100", context=128))
    assert all(statement in text for statement in STATEMENTS)
    assert "peak = 989 TFLOP/s (matrix unit, bf16, dense; ml-engineering" in text
    assert "constants calibrated h100-sxm-80gb" in text
    assert "time = 11.5 us" in text  # decode attention has a latency of its own
    assert "lm_head: h[B T D], w_head[V D] -> logits[B T V]  x 1  with T = 1" in text


def test_attended_pairs_are_named_only_where_they_are_counted() -> None:
    causal, square = (
        explain(predict("gpt2", "h100", prompt=64, phase="prefill", count=counted))  # type: ignore[arg-type]
        for counted in ("attended", "square")
    )
    assert "FLOPs = 2 B K G H (attended pairs) + 2 B K G H (attended pairs)" in causal
    assert "attended pairs)" not in square


def test_what_kernels_add_is_named_where_a_calibration_has_it() -> None:
    calibrated = explain(predict("llama-3.1-8b", "a100", context=64))
    added = "with what kernels add (roofline/calibration/corrections): "
    split = "split_k (a split depth costs 2.48 us and 0.436 x its partial sums)"
    assert f"{added}tiles (128 x 128 is fed at 1.02 x peak), {split}" in calibrated
    assert "regroup (6.18 us to regroup queries by key/value head), block_bandwidth (a block by" in calibrated
    by_class = explain(predict("llama-3.1-8b", "a100", context=64, constants="class"))
    assert f"{added}tail (" in by_class
    assert "tiles (" not in by_class
    assert "with what kernels add" not in explain(predict("gpt2", "laptop-cpu", context=64))


def test_every_phase_is_given_in_symbols() -> None:
    text = explain(predict("bert-base", "h100", prompt=128))
    assert "encode in symbols, one step, T = S" in text
    assert "  flops = " in text
    assert "2*D*F*L*S" in text
