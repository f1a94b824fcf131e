"""Sliding windows: attended pairs by enumeration, a cache that stops growing, decode averaged over its steps."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.cost.cost import step_cost
from roofline.cost.kv_cache import cache_growth
from roofline.cost.memory_fit import longest_context
from roofline.cost.residency import footprint
from roofline.hardware.loading import load_hardware
from roofline.layers.attention import window_keys, window_pairs
from roofline.models.model import load_model
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.program.workload import Precision, Workload

BF16 = Precision("bf16", "bf16", "bf16")


@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 40))
def test_pairs_and_keys_by_enumeration(new, past, window):
    reached = [range(max(0, query - window + 1), query + 1) for query in range(past, past + new)]
    sizes = {"T": Fraction(new), "S": Fraction(past + new), "W": Fraction(window)}
    assert window_keys(sizes) == len(set().union(*reached))
    assert window_pairs(sizes) == sum(map(len, reached))
    assert window_pairs({**sizes, "S": window_keys(sizes)}) == sum(map(len, reached))  # as the layer states it


@pytest.mark.parametrize(
    ("preset", "growth"),
    [
        # Grattafiori et al. 2024 (arXiv 2407.21783), table 3: 80 layers, 8 key/value heads of 128, keys and values.
        ("llama-3.1-70b", 327_680),
        ("llama-3.1-8b", 131_072),
        ("mistral-7b", 131_072),
        ("gemma-3-1b", 26_624),
    ],
)
def test_cache_per_token(preset, growth):
    assert cache_growth(load_model(preset).program(), BF16, 1) == growth


def test_a_windowed_cache_stops_growing():
    mistral, gemma = load_model("mistral-7b").program(), load_model("gemma-2-2b").program()
    assert cache_growth(mistral, BF16, 4096) == 131_072
    assert cache_growth(mistral, BF16, 4097) == 0
    assert cache_growth(gemma, BF16, 4096) == 2 * 26 * 2 * 4 * 256  # B, layers, k and v, heads, their width
    assert cache_growth(gemma, BF16, 4097) == 2 * 13 * 2 * 4 * 256  # every second layer attends in full
    held = [footprint(mistral, Workload(1, prompt, 2), mistral.phases, BF16).kv_cache_bytes for prompt in (4095, 9000)]
    assert held == [4096 * 131_072] * 2


def test_a_windowed_layer_reads_no_more_than_its_window():
    program = load_model("mistral-7b").program()
    for context, keys in ((100, 100), (4096, 4096), (20_000, 4096)):
        sizes = Workload(3, 1, 1, context=context).sizes(Phase.DECODE)
        (attention,) = [cost for cost in step_cost(program, Phase.DECODE, sizes, BF16) if cost.kind == "attention"]
        assert attention.flops == 4 * 3 * 32 * 128 * keys  # two matmuls of 2 FLOPs; batch; heads; their width
        assert attention.bytes == 2 * (2 * 3 * 32 * 128 + 2 * 3 * 8 * 128 * keys)  # q and context; k and v


def test_decode_is_averaged_over_the_steps_and_not_taken_at_the_mean_length():
    """Past the window the cost is flat, so that the mean over the steps is below the step at the mean length."""
    model, device = load_model("mistral-7b"), load_hardware("h100")
    run = predict(model, device, prompt=4071, generate=51).phases["decode"]
    (attention,) = [op for op in run.operators if op.kind == "attention"]
    steps = [predict(model, device, context=context).phases["decode"] for context in range(4072, 4122)]
    alone = [op.figures for step in steps for op in step.operators if op.kind == "attention"]
    assert attention.figures.flops == pytest.approx(sum(figures.flops for figures in alone) / 50, rel=1e-12)
    assert attention.figures.time_s == pytest.approx(sum(figures.time_s for figures in alone) / 50, rel=1e-12)
    (middle,) = [op for op in steps[25].operators if op.kind == "attention"]
    assert attention.figures.bytes < middle.figures.bytes


def test_the_longest_context_knows_the_window():
    program, workload = load_model("mistral-7b").program(), Workload(16, 100, 10)
    room = footprint(program, Workload(16, 6000, 10), program.phases, BF16).total_bytes
    most = longest_context(program, workload, program.phases, BF16, room, 32_768)
    total = [footprint(program, Workload(16, most - 9 + more, 10), program.phases, BF16).total_bytes for more in (0, 1)]
    assert total[0] <= room < total[1]


def test_layers_of_two_kinds_are_told_apart():
    names = [op.name for op in predict("gemma-2-2b", "h100").phases["decode"].operators]
    assert len(set(names)) == len(names)
    assert {"sliding_layers.attention", "full_layers.attention", "lm_head"} <= set(names)
