"""Quantising kernels: rows walked, counted once; Triton's keys, which no matrix unit hastens; more never takes less."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from roofline.calibration.constants import Constants
from roofline.cost.cost import Cost, operator_cost, step_cost
from roofline.cost.kernel_shapes import AttentionShape
from roofline.hardware.loading import load_hardware
from roofline.models.model import load_model
from roofline.operators.predict_op import predict_op
from roofline.operators.statements import statement_of
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.program.workload import Precision
from roofline.timing.machine import kind_of
from roofline.timing.operator import time_operator

PLAIN = Constants(compute=0.8, memory=0.8, p=2)
H100 = load_hardware("h100")
ATTENTION = {"batch": 4, "heads": 32, "kv_heads": 8, "head_dim": 128, "causal": 1}


def cost(kind: str, **sizes: Any) -> Cost:
    op, bound = statement_of(kind, sizes)
    return operator_cost(op, bound, Precision("bf16", "bf16", "bf16"), decoding=sizes.get("query") == 1)


def seconds(timed: Cost, rates: Any = H100, **constants: float) -> float:
    named = {name.replace("__", "."): value for name, value in constants.items()}
    return float(time_operator(timed, rates, PLAIN.replaced(named)).time_s)


def test_a_row_is_walked_however_few_there_are() -> None:
    """By steps, a block a row, eight of which a unit holds at once; what moves is beside it."""
    walk = {"row_walk__each": 1e-3, "row_walk__step": 12_292.0, "row_walk__held": 8.0}
    for rows, columns, steps in ((1, 4096, 1), (1, 4097, 2), (8 * 132, 4096, 1), (12 * 132, 8192, 3)):
        timed = cost("quantize", rows=rows, columns=columns)
        assert kind_of(timed) == "quantize"
        assert seconds(timed, **walk) == pytest.approx(steps * 1e-3, rel=1e-3)


def test_what_quantises_by_itself_finds_its_rows_in_the_last_cache() -> None:
    """Its traffic at the cache's rate where it fits, at the memory's where it does not."""
    for rows, at_cache in ((1000, True), (100_000, False)):
        timed = replace(cost("quantize", rows=rows, columns=4096), alone=True)
        near = seconds(timed, working_set__rate=20.0, working_set__most=20.0)
        assert (near < seconds(timed)) is at_cache


def test_what_a_matmul_holds_of_quantising_counts_where_it_runs_by_itself() -> None:
    within = cost("matmul", m=16, k=4096, n=4096)
    constants = {"quantize__latency": 5e-6, "quantize__traffic": 4.0}
    assert seconds(within, **constants) == seconds(within)
    assert seconds(replace(within, alone=True), **constants) > seconds(within) + 5e-6


BLOCKS = {"decode_blocks__each": 1e-6, "decode_blocks__rows": 16.0, "key_time": 1e-10, "key_tiles": 32.0,
          "key_split__segments": 16.0, "key_split__blocks": 128.0, "key_split__keys": 16.0,
          "key_split__reduction": 2e-6}  # fmt: skip


@pytest.mark.parametrize("context", [129, 400, 5000])
def test_a_window_never_takes_triton_longer_than_the_whole_context(context: int) -> None:
    whole = cost("attention", query=1, context=context, **ATTENTION)
    seen = cost("attention", query=1, context=context, window=128, **ATTENTION)
    assert isinstance(seen.shape, AttentionShape)
    assert (seen.shape.keys, seen.shape.context) == (128, context)
    assert seconds(seen, key_split__each=1e-8, **BLOCKS) <= seconds(whole, key_split__each=1e-8, **BLOCKS)


def test_segments_are_joined_where_there_are_any() -> None:
    def added(batch: int) -> float:
        timed = cost("attention", query=1, context=400, **{**ATTENTION, "batch": batch})
        longer = {**BLOCKS, "key_split__reduction": 5e-6}
        return seconds(timed, key_split__each=1e-10, **longer) - seconds(timed, key_split__each=1e-10, **BLOCKS)

    assert added(16) == pytest.approx(3e-6)  # 128 blocks
    assert added(17) == pytest.approx(0.0)


def test_the_segments_of_a_short_context_share_the_keys_of_a_window() -> None:
    spread, together = (cost("attention", query=1, context=n, window=128, **ATTENTION) for n in (250, 65_000))
    times = [seconds(each, key_split__each=1e-8, **BLOCKS) for each in (spread, together)]
    assert times[1] > times[0] + 7 * 16 * 1e-8 * ATTENTION["head_dim"] / 2  # nine tiles in a row, or one


def test_sliding_layers_of_a_model_know_the_whole_context() -> None:
    program = load_model("gemma-2-9b").program()
    costs = step_cost(
        program, Phase.DECODE, {**program.sizes, "B": 2, "T": 1, "S": 5000}, Precision("bf16", "bf16", "bf16")
    )
    shapes = [each.shape for each in costs if isinstance(each.shape, AttentionShape)]
    assert {(shape.keys, shape.context) for shape in shapes} == {(4096, 5000), (5000, 0)}


@pytest.mark.parametrize("query", [1, 512])
def test_a_faster_matrix_unit_hastens_no_key_of_triton(query: int) -> None:
    timed = cost("attention", query=query, context=4096, **ATTENTION)
    tiles = {"query_tiles__rows": 16.0, "query_tiles__narrow_rows": 16.0, "query_tiles__packed": 1.0,
             "query_tiles__each": 1e-6, "query_tiles__tail": 1.0}  # fmt: skip
    blocks = {"decode_blocks__each": 1e-6, "decode_blocks__rows": 16.0, "key_tiles": 32.0, "key_split__segments": 16.0,
              "key_split__blocks": 128.0, "key_split__keys": 16.0, "key_split__reduction": 1e-9}  # fmt: skip
    found = [
        seconds(timed, key_time=each, **({**blocks, "key_split__each": each} if query == 1 else tiles))
        for each in (1e-10, 2e-10)
    ]
    assert 1.2 * found[0] < found[1] < 2.1 * found[0]
    if query > 1:
        whole = PLAIN.replaced({"key_time": 1e-10, **{name.replace("__", "."): value for name, value in tiles.items()}})
        times = [time_operator(timed, H100, replace(whole, compute=share)).time_s for share in (0.4, 0.8)]
        assert times[0] == times[1]


@pytest.mark.parametrize("name", ["v100", "v100-sxm2-32gb"])
def test_keys_of_triton_in_fp32_take_no_less_than_their_flops_on_a_vector_unit(name: str) -> None:
    found = predict(
        "gemma-2-27b", name, engine="vllm", dtype="fp32", prompt=373, phase="prefill", count="square", lm_head="all"
    )
    assert found.constants.kernels.attention == "triton"
    parts = [op.figures for op in found.phases["prefill"].operators if op.name.endswith(".attention")]
    assert parts
    for part in parts:
        assert part.flops / load_hardware(name).contraction_unit("fp32")[1] < part.time_s


@pytest.mark.parametrize("name", ["h100", "b200", "l40s", "a100"])
def test_more_rows_or_columns_never_take_less(name: str) -> None:
    rising = np.geomspace(16, 65536, 60).round()
    for sizes in ({"rows": rising, "columns": 4096}, {"rows": 64, "columns": rising}):
        found = predict_op("quantize", name, **sizes)
        assert (np.diff(found.time_s) >= 0).all()
        assert (found.bound_s <= found.low_s).all()
