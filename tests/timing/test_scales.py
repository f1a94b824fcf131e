"""Matmuls whose weights have scales by block: the kernels that were timed so, and else those of the dtype."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roofline.calibration.constants import ConstantSet, load_device
from roofline.calibration.kernels import Kernels
from roofline.calibration.provenance import class_of
from roofline.compression.quantization import quantized
from roofline.compression.recipes import Recipe, read_recipe
from roofline.cost.cost import Cost, operator_cost
from roofline.cost.kernel_shapes import MatmulShape
from roofline.hardware.loading import load_hardware
from roofline.models.model import load_model
from roofline.timing.dtype_support import scaled_by
from roofline.timing.machine import Machine, dtype_of


def up_projection(dtype: str) -> Cost:
    """That of llama-3.1-8b, of 64 tokens."""
    recipe, program = read_recipe(dtype, default="bf16"), load_model("llama-3.1-8b").program()
    (up,) = [op for group in quantized(program, recipe).groups for op in group.ops if op.name == "up"]
    return operator_cost(up, {**program.sizes, "B": 1, "T": 64, "S": 64}, recipe.precision)


BLOCKS, ROWS = up_projection("fp8-block"), up_projection("fp8")


def machine(device: str) -> Machine:
    hardware = load_hardware(device)
    known = ConstantSet.from_calibration(load_device(hardware.name), class_of(hardware))
    return Machine(hardware, known, "graph")


def test_a_matmul_says_whether_blocks_of_its_weights_have_scales() -> None:
    assert (dtype_of(BLOCKS), dtype_of(ROWS)) == ("fp8_block", "fp8")


@pytest.mark.parametrize("device", ["mi300x", "mi355x"])
def test_blocks_are_slower_where_both_were_timed(device: str) -> None:
    there = machine(device)
    assert there.constants_of(BLOCKS) != there.constants_of(ROWS)
    assert there.time(BLOCKS).time_s > 1.1 * there.time(ROWS).time_s


def test_blocks_of_a_class_cut_no_depth_and_are_less_sure() -> None:
    assert isinstance(BLOCKS.shape, MatmulShape)
    plain = replace(BLOCKS, shape=replace(BLOCKS.shape, blocked=False))
    ada = load_hardware("rtx-4090")
    there = Machine(ada, ConstantSet.from_calibration(class_of(ada)), "graph")
    assert there.constants_of(BLOCKS).corrections.least_tile is not None
    assert there.constants_of(plain).corrections.least_tile is None
    blocks, rows = (there.time(each) for each in (BLOCKS, plain))
    assert blocks.high_s / blocks.time_s > rows.high_s / rows.time_s


@pytest.mark.parametrize(("dtype", "nearest"), [("int8", "fp8"), ("fp4", "fp8_block"), ("fp6", "fp8_block")])
def test_a_format_that_nobody_timed_takes_the_constants_of_the_nearest(dtype: str, nearest: str) -> None:
    h100 = ConstantSet.from_calibration(load_device("h100-sxm-80gb"), class_of(load_hardware("h100")))
    assert h100.of("matmul", "graph", dtype=dtype) == h100.of("matmul", "graph", dtype=nearest)


@pytest.mark.parametrize("library", ["trtllm", "vllm"])
def test_a_class_has_the_kernels_of_a_format_that_its_generation_alone_was_timed_in(library: str) -> None:
    b200 = ConstantSet.from_calibration(load_device("b200-180gb")).using(Kernels.all_of(library))
    timed = b200.of("matmul", "graph", dtype="fp4")
    b300 = ConstantSet.from_calibration(class_of(load_hardware("b300"))).using(Kernels.all_of(library))
    inherited, blocks = (b300.of("matmul", "graph", dtype=dtype) for dtype in ("fp4", "fp8_block"))
    assert inherited.value("least_tile") == pytest.approx(timed.value("least_tile"), rel=0.05)
    assert inherited.compute == pytest.approx(timed.compute, rel=0.05)
    assert inherited.low < timed.low < 1 < timed.high < inherited.high
    assert inherited.value("least_tile") != blocks.value("least_tile")


@pytest.mark.parametrize(("library", "whose"), [("vllm", "trtllm"), ("vendor", "trtllm"), ("trtllm", "trtllm")])
def test_another_librarys_kernels_of_a_format_are_nearer_than_another_format(library: str, whose: str) -> None:
    """Scales by block were timed of TensorRT-LLM alone."""
    h100 = ConstantSet.from_calibration(load_device("h100-sxm-80gb"), class_of(load_hardware("h100")))
    (ours, theirs) = (h100.using(Kernels.all_of(each)) for each in (library, whose))
    assert ours.of("matmul", "graph", dtype="fp8_block") == theirs.of("matmul", "graph", dtype="fp8_block")
    assert h100.using(Kernels("", "vllm")).of("matmul", "graph", dtype="fp8") != theirs.of(
        "matmul", "graph", dtype="fp8"
    )


def test_a_unit_that_applies_scales_of_blocks_leaves_no_work_beside_it_but_for_experts() -> None:
    hopper, blackwell = (
        (load_hardware(name), scaled_by(load_hardware(name), read_recipe("fp8-block", default="bf16")))
        for name in ("h100", "b200")
    )
    program = load_model("qwen3-30b-a3b").program()
    sizes = {**program.sizes, "B": 1, "T": 64, "S": 64, "X": 8}

    def vector_flops(recipe: Recipe) -> dict[str, float]:
        ops = [op for group in quantized(program, recipe).groups for op in group.ops]
        costs = {op.name: operator_cost(op, sizes, recipe.precision) for op in ops}
        return {name: float(cost.vector_flops) for name, cost in costs.items()}

    before, after = vector_flops(hopper[1]), vector_flops(blackwell[1])
    changed = {name for name in before if before[name] != after[name]}
    assert {"q_proj", "k_proj", "v_proj", "out_proj"} == changed
    assert all(before[name] > after[name] == 0 for name in changed)
    assert after["experts_gate_up"] == before["experts_gate_up"] > 0
    assert scaled_by(blackwell[0], read_recipe("fp8", default="bf16")).unit_scaled == ()
