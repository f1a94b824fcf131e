"""Quantisation as a transform: bytes by hand for every recipe, operators that appear, counts that stay."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_llama import LEFT, LLAMA, MATRICES, NARROW, D, F, H, K, L
from strategies import model_configs

from roofline.compression.quantization import left_alone, quantized
from roofline.compression.recipes import read_recipe
from roofline.cost.cost import Cost, step_cost
from roofline.cost.residency import footprint
from roofline.errors import WorkloadError
from roofline.models.model import load_model
from roofline.number import exact
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharding import shard
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.program.workload import Workload

ROWS = L * sum(out for _, out in MATRICES)


def groups(size: int) -> int:
    """Scales where ``size`` contracted elements share one; D, K G H and F are multiples of it."""
    return L * sum(depth // size * out for depth, out in MATRICES)


def blocks() -> int:
    return L * sum(-(-depth // 128) * -(-out // 128) for depth, out in MATRICES)


WEIGHTS: dict[str, Fraction | int] = {
    "bf16": 2 * (NARROW + LEFT),
    "fp32": 4 * (NARROW + LEFT),
    "tf32": 4 * (NARROW + LEFT),
    "fp16": 2 * (NARROW + LEFT),
    "fp8": NARROW + 4 * ROWS + 2 * LEFT,  # an fp32 scale for each output
    "fp8-tensor": NARROW + 4 * L * 7 + 2 * LEFT,  # for each of seven matrices
    "fp8-block": NARROW + 4 * blocks() + 2 * LEFT,  # for each block of 128 x 128
    "int8": NARROW + 4 * ROWS + 2 * LEFT,
    "w8a8": NARROW + 4 * ROWS + 2 * LEFT,
    "w8a16": NARROW + 4 * ROWS + 2 * LEFT,
    "w4a16": NARROW // 2 + 2 * groups(128) + 2 * LEFT,  # an fp16 scale for 128: 4.125 bits
    "awq": NARROW // 2 + 2 * groups(128) + groups(128) // 2 + 2 * LEFT,  # and half a byte of zero point: 4.15625
    "gptq": NARROW // 2 + 2 * groups(128) + groups(128) // 2 + 2 * LEFT,
    "w4a16+g32": NARROW // 2 + 2 * groups(32) + 2 * LEFT,
    "w4a8": NARROW // 2 + 2 * groups(128) + 2 * LEFT,
    "w4a4": NARROW // 2 + 2 * groups(128) + 2 * LEFT,
    "mxfp8": NARROW + groups(32) + 2 * LEFT,  # a power of two, one byte, for 32
    "mxfp4": NARROW // 2 + groups(32) + 2 * LEFT,
    "nvfp4": NARROW // 2 + groups(16) + 4 * L * 7 + 2 * LEFT,  # an fp8 for 16, an fp32 for each matrix
    "nf4": NARROW // 2 + 4 * groups(64) + 2 * LEFT,
    "nf4-dq": NARROW // 2 + groups(64) + Fraction(4 * groups(64), 256) + 2 * LEFT,
    "kv8": 2 * (NARROW + LEFT),
}
TOKENS = 3 * 40  # three sequences of 33 + 8 - 1 tokens
KV = {
    "bf16": 2 * 2 * L * K * H * TOKENS,
    "kv16": 2 * 2 * L * K * H * TOKENS,
    "kv8": 2 * L * K * H * TOKENS + 2 * 4 * L,  # a byte each; an fp32 scale for keys and for values of a layer
    "kv4": L * K * H * TOKENS + 2 * 4 * L * K * TOKENS,  # half a byte each; fp16 scale and zero by token and head
    "w4a16+kv8": 2 * L * K * H * TOKENS + 2 * 4 * L,
}


def held(recipe_text: str, fields: dict[str, Any] = LLAMA) -> Any:
    recipe = read_recipe(recipe_text, default="bf16")
    program = quantized(load_model(fields).program(), recipe)
    return footprint(program, Workload(3, 33, 8), program.phases, recipe.precision)


@pytest.mark.parametrize("recipe", WEIGHTS)
def test_bytes_of_weights_by_hand(recipe: str) -> None:
    assert held(recipe).weights_bytes == int(WEIGHTS[recipe])


@pytest.mark.parametrize("recipe", KV)
def test_bytes_of_the_cache_by_hand(recipe: str) -> None:
    assert held(recipe).kv_cache_bytes == KV[recipe]


def test_a_group_that_is_not_full_has_a_scale_of_its_own() -> None:
    fields = {**LLAMA, "intermediate_size": 130}  # down contracts 130: a group of 128 and one of 2
    matrices = [*MATRICES[:4], (D, 130), (D, 130), (130, D)]
    scales = L * sum(-(-depth // 128) * out for depth, out in matrices)
    elements = L * sum(depth * out for depth, out in matrices)
    assert held("w4a16", fields).weights_bytes == elements // 2 + 2 * scales + 2 * LEFT


def test_a_packed_projection_has_the_scales_of_its_parts() -> None:
    phi = {**LLAMA, "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "pad_token_id": 0}
    del phi["head_dim"]
    for recipe in ("w4a16", "fp8-block", "fp8", "nvfp4"):
        assert held(recipe, phi).weights_bytes == held(recipe).weights_bytes


def costs(recipe_text: str, phase: Any, sizes: dict[str, int]) -> dict[str, Cost]:
    recipe = read_recipe(recipe_text, default="bf16")
    program = quantized(load_model(LLAMA).program(), recipe)
    return {
        cost.name: cost for cost in step_cost(program, phase, {k: exact(v) for k, v in sizes.items()}, recipe.precision)
    }


def test_operators_of_w8a8_by_hand() -> None:
    """Dynamic scales by token: one more operator reads 16 bits and writes 8, and the matmul reads those."""
    batch, tokens = 3, 33
    rows = batch * tokens
    found = costs("w8a8", Phase.PREFILL, {"B": batch, "T": tokens, "S": tokens})
    quantize, up = found["gate.quantize"], found["up"]
    assert quantize.bytes == 2 * rows * D + rows * D + 4 * rows  # read h; write its bytes and an fp32 for each token
    assert (quantize.flops, quantize.vector_flops) == (0, 3 * rows * D)  # magnitude, scale, round
    assert up.bytes == rows * D + 4 * rows + D * F + 4 * F + 2 * rows * F  # h, scales, w, scales, u in bf16
    assert (up.dtype, up.flops, up.vector_flops) == ("int8", 2 * rows * D * F, 2 * rows * F)  # scaled by both
    assert [name for name in found if name.endswith(".quantize")] == [
        "q_proj.quantize", "out_proj.quantize", "gate.quantize", "down.quantize",
    ]  # fmt: skip


def test_operators_of_w4a16_by_hand() -> None:
    """Weights are turned into bf16 inside the matmul, once: convert and scale, and subtract where there are zeros."""
    found, awq = (costs(recipe, Phase.DECODE, {"B": 4, "T": 1, "S": 9})["up"] for recipe in ("w4a16", "awq"))
    assert found.bytes == 2 * 4 * D + D * F // 2 + 2 * (D // 128) * F + 2 * 4 * F
    assert awq.bytes == found.bytes + Fraction(D // 128 * F, 2)
    assert (found.dtype, found.flops) == ("bf16", 2 * 4 * D * F)
    assert (found.vector_flops, awq.vector_flops) == (2 * D * F, 3 * D * F)


def test_operators_of_kv8_by_hand() -> None:
    """New keys and values are written wide, rotated, then stored narrow; attention reads a byte for each element."""
    batch, span = 4, 9
    plain, narrow = (costs(recipe, Phase.DECODE, {"B": batch, "T": 1, "S": span}) for recipe in ("bf16", "kv8"))
    store = narrow["kv.quantize"]
    assert store.bytes == 2 * batch * K * H * (2 + 1) + 2 * 4  # keys and values; a scale each
    assert narrow["rotary"].bytes == plain["rotary"].bytes
    saved = 2 * batch * span * K * H  # a byte of each
    assert narrow["attention"].bytes == plain["attention"].bytes - saved + 2 * 4
    assert narrow["attention"].vector_flops == plain["attention"].vector_flops + 2 * batch * span * K * H
    assert narrow["attention"].dtype == "bf16"


def test_blocks_are_scaled_group_by_group() -> None:
    """DeepSeek's fp8: the sum over 128 contracted elements is scaled and added, 2 FLOPs for each output and group."""
    rows = 4
    up = costs("fp8-block", Phase.DECODE, {"B": rows, "T": 1, "S": 9})["up"]
    assert up.vector_flops == 2 * rows * F * (D // 128)
    assert up.bytes == rows * D + 4 * rows * (D // 128) + D * F + 4 * (D // 128) * (F // 128) + 2 * rows * F


def test_units_that_take_scales_do_no_vector_work() -> None:
    assert costs("nvfp4", Phase.DECODE, {"B": 4, "T": 1, "S": 9})["up"].vector_flops == 0
    assert costs("mxfp4", Phase.DECODE, {"B": 4, "T": 1, "S": 9})["up"].vector_flops == 2 * D * F  # bf16 does not


@settings(deadline=None, max_examples=40)
@given(model_configs(), st.sampled_from(("w4a16", "awq+kv8", "w8a8+kv4", "fp8-block", "nvfp4+kv8", "mxfp4+experts")))
def test_parameters_and_flops_stay(fields: dict[str, Any], text: str) -> None:
    recipe, plain = read_recipe(text, default="bf16"), load_model(fields).program()
    program = quantized(plain, recipe)
    assert program.parameters() == plain.parameters()
    for phase in plain.phases:
        sizes = {"B": exact(2), "T": exact(1 if phase == Phase.DECODE else 7), "S": exact(7), "M": exact(5)}
        before, after = (step_cost(p, phase, sizes, recipe.precision) for p in (plain, program))
        assert sum(c.count * c.flops for c in before) == sum(c.count * c.flops for c in after)
        assert sum(c.count * c.vector_flops for c in before) <= sum(c.count * c.vector_flops for c in after)
        names = [(c.group, c.name) for c in after]
        assert len(set(names)) == len(names)


def test_what_recipes_leave_alone_is_said() -> None:
    program = quantized(load_model("deepseek-v3").program(), read_recipe("fp8-block", default="bf16"))
    left = left_alone(program)
    assert {"token_table", "w_head", "w_router", "w_k_up", "w_v_up", "input_norm_gain"} <= set(left)
    assert not {"w_q", "w_out", "w_expert_gate", "w_shared_down"} & set(left)
    notes = predict("llama-3.1-8b", "h100", dtype="w4a16").notes
    assert "weights int4: int4, an fp16 scale for 128: 4 + 16/128 = 4.125 bits" in notes
    assert "no matmul that unpacks int4 weights was timed: they take the constants of bf16 ones" in notes
    assert any(n.startswith("left in bf16: 13.09% of the parameters (token_table 525,336,576, w_head") for n in notes)


def test_a_recipe_whose_rules_leave_everything_alone_says_so() -> None:
    fields = load_model("llama-3.1-8b").fields
    rules = {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*": {}}}
    found = predict({**fields, "quantization_config": rules}, "h100")
    assert any(note.startswith("left in bf16: 100.00% of the parameters") for note in found.notes)
    assert found.memory.footprint.weights_bytes == predict(fields, "h100").memory.footprint.weights_bytes


def test_experts_alone_are_quantised_where_the_recipe_says_so() -> None:
    left = left_alone(quantized(load_model("gpt-oss-20b").program(), read_recipe("mxfp4+experts", default="bf16")))
    assert "w_q" in left
    assert "w_expert_up" not in left


@pytest.mark.parametrize(("name", "published_gib"), [("gpt-oss-120b", 60.8), ("gpt-oss-20b", 12.8)])
def test_the_checkpoint_of_gpt_oss_weighs_what_its_card_says(name: str, published_gib: float) -> None:
    """Model card of gpt-oss (arXiv 2508.10925), table 1: checkpoint size; experts in MXFP4, 4.25 bits a weight."""
    weights = predict(name, "h200", prompt=100, generate=2).memory.footprint.weights_bytes
    assert weights / 2**30 == pytest.approx(published_gib, rel=0.002)


# The rate


def test_the_rate_is_that_of_the_dtype_that_the_matrix_unit_runs() -> None:
    """At a large batch a matmul takes its FLOPs at the peak of what it really computes in."""
    bound = {}
    for recipe in ("bf16", "w4a16", "w8a16", "fp8", "w8a8"):
        (up,) = (
            op
            for op in predict("llama-3.1-8b", "h100", batch=8, prompt=4096, generate=1, dtype=recipe)
            .phases["prefill"]
            .operators
            if op.name == "gate_up"
        )
        bound[recipe] = up.figures.bound_s
    assert bound["bf16"] == bound["w4a16"] == bound["w8a16"]  # 16-bit peak
    assert bound["fp8"] == bound["w8a8"] == pytest.approx(bound["bf16"] / 2, rel=1e-3)


@pytest.mark.parametrize(("recipe", "lacks"), [("fp8", "fp8"), ("nvfp4", "fp4"), ("w4a4", "int4")])
def test_a_device_without_that_dtype_says_so(recipe: str, lacks: str) -> None:
    told = f"has no {lacks}; it has .*; {recipe} computes in {lacks}; --activation-dtype bf16 reads"
    with pytest.raises(WorkloadError, match=told):
        predict("llama-3.1-8b", "a100", dtype=recipe)
    assert predict("llama-3.1-8b", "a100", dtype=recipe, activation_dtype="bf16").request_s > 0


def test_sums_in_fp16_run_at_their_own_rate() -> None:
    """An RTX 4090 halves its rate where it sums in fp32: 165.2 and 330.3 TFLOP/s."""
    usual, narrow = (predict("llama-3.1-8b", "rtx-4090", dtype=dtype) for dtype in ("fp16", "fp16+acc16"))
    rates = [p.hardware.contraction_unit("fp16")[1] for p in (usual, narrow)]
    assert rates == [165.2e12, 330.3e12]
    assert narrow.request_s < usual.request_s
    assert predict("llama-3.1-8b", "h100", dtype="bf16+acc32") == predict("llama-3.1-8b", "h100", dtype="bf16+acc32")
    with pytest.raises(WorkloadError, match="states no peak with fp16 accumulators"):
        predict("llama-3.1-8b", "h100", dtype="fp16+acc16")


def test_the_answer_carries_its_recipe() -> None:
    inputs = predict("llama-3.1-8b", "h100", dtype="w4a16+kv8").to_dict()["inputs"]
    kept = {"dtype": "w4a16+kv8", "weight_dtype": "int4", "activation_dtype": "bf16", "kv_dtype": "fp8"}
    assert kept.items() <= inputs.items()


@pytest.mark.parametrize("text", ["fp8", "w8a8", "nvfp4+kv4"])
def test_each_device_has_the_scales_of_its_own_part(text: str) -> None:
    """Row-parallel layers (vLLM, TensorRT-LLM) take the scale of their own shard: quantising adds no collective."""
    plain, narrow = (
        shard(quantized(load_model("llama-3.1-8b").program(), read_recipe(recipe, default="bf16")), Layout.of(tp=8))
        for recipe in ("bf16", text)
    )
    names = [[op.name for _, op in p.in_phase(Phase.DECODE) if op.transfer is not None] for p in (plain, narrow)]
    assert names[0] == names[1]
    assert names[0]


def test_turning_weights_into_numbers_is_not_done_for_the_rows_that_fill_up_a_tile() -> None:
    """One token sends a row to each of its experts: narrow weights are then less to read, and no slower."""
    wide, narrow = (predict("gpt-oss-120b", "h100", context=2048, dtype=dtype) for dtype in ("bf16", "mxfp4+experts"))
    assert narrow.phases["decode"].figures.time_s < wide.phases["decode"].figures.time_s


def test_the_scale_of_a_layers_cache_is_read_and_never_reduced_over_devices() -> None:
    """It is the checkpoint's; one of each token and head is found by the device that has the head."""
    for kv in ("kv8", "kv4"):
        stored = quantized(load_model("llama-3.1-8b").program(), read_recipe(f"bf16+{kv}", default="bf16"))
        sent = [op.name for group in shard(stored, Layout(tp=8)).groups for op in group.ops if op.transfer]
        assert not [name for name in sent if name.startswith(("rotary", "kv."))], kv


@pytest.mark.parametrize("dtype", ["fp8", "w4a16"])
def test_a_tower_of_images_stays_in_16_bits(dtype: str) -> None:
    """Qwen3-VL-8B: its text model narrows as Qwen3-8B does, 576 M parameters of tower and projectors do not."""
    whole, text = (predict(name, "h100", dtype=dtype).memory.footprint for name in ("qwen3-vl-8b", "qwen3-8b"))
    more = load_model("qwen3-vl-8b").parameters - load_model("qwen3-8b").parameters
    assert whole.weights_bytes - text.weights_bytes == 2 * more
