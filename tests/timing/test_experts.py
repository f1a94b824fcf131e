"""A mixture of experts as a chain of kernels: its operators add up to it, and nothing in it is counted twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from roofline.calibration.constants import Constants, ConstantSet, load_device
from roofline.calibration.corrections.experts import RoutedPasses
from roofline.calibration.kernels import Kernels
from roofline.calibration.provenance import class_of
from roofline.cost.cost import Cost, operator_cost
from roofline.cost.kernel_shapes import GroupedShape, RowShape
from roofline.hardware.loading import load_hardware
from roofline.layers.mixture_of_experts import experts, router
from roofline.operators.predict_op import predict_op
from roofline.prediction.predict import predict
from roofline.program.workload import Precision
from roofline.reports.answer import text
from roofline.timing.machine import Machine, dtype_of, kind_of
from roofline.timing.operator import time_operator
from roofline.timing.timing import Timing, total

BF16 = Precision("bf16", "bf16", "bf16")
SIZES = {"B": 6, "T": 1, "A": 4, "D": 64, "F": 32, "X": 5, "E": 8}
CHAIN = Constants(compute=0.5, memory=0.8, latency_s=10e-6, p=2.0).replaced(
    {"group_tail": 64.0, "routed_passes": 0.25, "dispatch.token": 1e-9, "dispatch.expert": 1e-7}
)
PASSED = replace(CHAIN, latency_s=0.0)
PAIRS = 6 * 4
H100 = load_hardware("h100")


def chain(**sizes: object) -> tuple[Cost, ...]:
    return tuple(operator_cost(op, {**SIZES, **sizes}, BF16) for op in experts(function="silu"))


def timed(costs: tuple[Cost, ...]) -> Timing:
    grouped = [isinstance(cost.shape, GroupedShape) for cost in costs]
    return total(
        (1, time_operator(cost, H100, CHAIN if own else PASSED)) for cost, own in zip(costs, grouped, strict=True)
    )


def test_the_kinds_of_a_chain() -> None:
    assert [kind_of(cost) for cost in chain()] == ["grouped_matmul", "routed", "grouped_matmul", "routed"]


def test_the_operators_of_a_chain_add_up_to_the_form() -> None:
    weights = 5 * 3 * 64 * 32 * 2  # X experts, 3 matrices of D F in 2 bytes
    flops = 2 * 3 * 64 * 32 * (PAIRS + 5 * 64 / 2)  # half a tile for each touched expert
    work, moved = flops / (0.5 * H100.contraction_unit("bf16")[1]), weights / (0.8 * H100.bandwidth)
    passed = (
        6 * 64 + 2 * PAIRS * 64 + 2 * PAIRS * 32  # the tokens, their copies written and read, both outputs
        + 3 * PAIRS * 32  # the activation
        + PAIRS * 32 + PAIRS * 64  # the second matmul
        + PAIRS * 64 + PAIRS + 6 * 64  # the sum, with the routes' weights
    ) * 2  # fmt: skip
    latency = 2 * 10e-6 + 6 * 1e-9 + 8 * 1e-7  # two halves, tokens and experts sorted once
    form = latency + (work**2 + moved**2) ** 0.5 + passed / (0.25 * H100.bandwidth)
    assert timed(chain()).time_s == pytest.approx(form, rel=2e-3)  # beside it the vector unit works on activations
    assert timed(chain()).latency_s == pytest.approx(latency)


def test_rows_that_are_gathered_have_no_copies_and_pass_for_the_pairs_of_other_devices_too() -> None:
    """One of four pairs of each token is at hand; the rows of three more are written, activated and summed."""
    ops = [replace(op, local={"A": 1}) for op in experts(function="silu")]
    costs = [operator_cost(op, SIZES, BF16) for op in ops]

    def seconds(constants: Constants) -> float:
        return sum(float(time_operator(cost, H100, constants).time_s) for cost in costs)

    alone, all_pairs = (CHAIN.replaced({"gathered_rows": others}) for others in (0.0, 1.0))
    rate = 0.25 * H100.bandwidth
    copies = 2 * 6 * 64 * 2
    assert seconds(CHAIN) - seconds(alone) == pytest.approx(copies / rate)
    rows = 2 * 32 + 3 * 32 + 64 + (64 + 1)  # both outputs, activation, second matmul's, sum with its routes
    assert seconds(all_pairs) - seconds(alone) == pytest.approx(3 * 6 * rows * 2 / rate, rel=1e-3)
    whole = [operator_cost(op, SIZES, BF16) for op in experts(function="silu")]
    times = [[time_operator(cost, H100, each).time_s for cost in whole] for each in (alone, all_pairs)]
    assert times[0] == times[1]  # no other device has any


def test_blocks_of_tiles_are_latency_beside_the_traffic() -> None:
    up, _, down, _ = chain(F=320)
    blocks = 5 * 5 + 5 * 1  # of five experts, one tile of rows each: 640 columns are five tiles of 128, 64 are one
    paid = CHAIN.replaced({"group_blocks": 1e-1})  # so long that nothing else counts
    times = [time_operator(cost, H100, paid) for cost in (up, down)]
    assert sum(time.time_s for time in times) == pytest.approx(1e-1 * blocks / H100.unit_count, rel=1e-2)
    assert all(time.latency_s > 0.99 * time.time_s for time in times)


def test_tiles_are_as_high_as_all_pairs_of_the_step_would_fill() -> None:
    """One of four pairs of each token is at hand: 200 rows for 8 experts, whose 800 pairs choose a tile of 128."""
    constants = CHAIN.without("group_tail").replaced(
        {"pair_tiles.rows": 128.0, "pair_tiles.tail": 0.5, "compute": 1e-5}
    )
    (up, *_), (alone, *_) = (
        [
            operator_cost(replace(op, local=local), {**SIZES, "B": 200, "F": 320}, BF16)
            for op in experts(function="silu")
        ]
        for local in ({"A": 1}, {})
    )
    blocks = 5 * 5  # a tile of rows for each of 5 experts, of 640 columns
    work = 2 * 64 * 640 * 5 * 128 * (1 + 0.5 * H100.unit_count / blocks)
    told = time_operator(up, H100, constants)
    assert told.compute_s == pytest.approx(work / (1e-5 * H100.contraction_unit("bf16")[1]), rel=1e-2)
    few = constants.replaced({"pair_tiles.rows": 16.0})
    assert time_operator(up, H100, few).time_s < told.time_s < time_operator(alone, H100, constants).time_s


def test_picking_experts_is_a_part_of_their_chain() -> None:
    """The rows that a chain was timed by hold it."""
    scores, pick = (operator_cost(op, SIZES, BF16) for op in router())
    assert (kind_of(scores), kind_of(pick)) == ("matmul", "routed")


def test_the_bound_counts_what_is_compulsory_once() -> None:
    up, *_ = chain()
    assert isinstance(up.shape, GroupedShape)
    assert up.shape.weight_bytes == 5 * 2 * 64 * 32 * 2
    told = time_operator(up, H100, CHAIN)
    assert told.bound_s == pytest.approx(float(up.bytes) / H100.bandwidth)
    faster = time_operator(up, H100, CHAIN.replaced({"routed_passes": 4.0}))
    assert faster.bound_s == pytest.approx((up.shape.weight_bytes + float(up.bytes - up.shape.weight_bytes) / 4)
                                           / H100.bandwidth)  # fmt: skip


def test_more_pairs_never_take_less_time() -> None:
    every = [timed(chain(A=picked)).time_s for picked in (1, 2, 4, 8)]
    assert every == sorted(every)
    many = timed(chain(B=np.array([1.0, 8.0, 64.0, 512.0]))).time_s
    assert (np.diff(np.asarray(many)) > 0).all()


def test_blocks_with_scales_have_constants_of_their_own_and_else_those_of_fp8() -> None:
    known = ConstantSet.from_calibration(load_device("h100-sxm-80gb"))
    shape = GroupedShape(5, 24, blocked=True)
    plain = replace(chain()[0], dtype="fp8", shape=replace(shape, blocked=False))
    blocked = replace(plain, shape=shape)
    assert (dtype_of(plain), dtype_of(blocked)) == ("fp8", "fp8_block")
    library = known.using(Kernels.all_of("trtllm"))
    alone, together = (Machine(H100, library, "graph").constants_of(cost) for cost in (plain, blocked))
    assert alone.latency_s > together.latency_s  # TensorRT-LLM's, as measured
    triton = Machine(H100, known, "graph")
    assert triton.constants_of(plain) == triton.constants_of(blocked)


def test_packed_weights_have_constants_of_their_own_by_library_and_else_those_of_what_they_are_multiplied_in() -> None:
    packed = replace(chain()[0], shape=GroupedShape(5, 24, packed=True))
    assert [dtype_of(replace(packed, dtype=dtype)) for dtype in ("bf16", "fp8")] == ["bf16_w4", "fp8_w4"]
    known = ConstantSet.from_calibration(load_device("h100-sxm-80gb"))
    by_dtype = known.using(Kernels(matmul="trtllm", experts=(("bf16_w4", "triton"), ("default", "trtllm"))))
    theirs = known.using(Kernels.all_of("trtllm"))
    chosen, triton, trtllm = (Machine(H100, each, "graph") for each in (by_dtype, known, theirs))
    assert chosen.constants_of(packed) == triton.constants_of(packed) != triton.constants_of(chain()[0])
    assert chosen.constants_of(chain()[0]) == trtllm.constants_of(chain()[0])
    a100 = ConstantSet.from_calibration(load_device("a100-sxm-80gb"))
    assert a100.of("grouped_matmul", "graph", dtype="bf16_w4") == a100.of("grouped_matmul", "graph", dtype="bf16")


def test_what_was_not_timed_passes_as_any_elementwise_operator() -> None:
    machine = Machine(load_hardware("a100"), ConstantSet.from_calibration(load_device("a100-sxm-80gb")), "graph")
    *_, last = chain()
    assert isinstance(last.shape, RowShape)
    plain = replace(last, shape=replace(last.shape, routed=False))
    assert machine.time(last) == machine.time(plain)


@pytest.mark.parametrize("device", ["h100-sxm-80gb", "h200-sxm-141gb", "b200-180gb", "l40s"])
def test_a_measured_chain_has_its_latency_once(device: str) -> None:
    known = ConstantSet.from_calibration(load_device(device))
    machine = Machine(load_hardware(device), known, "graph")
    parts = [machine.constants_of(cost) for cost in chain()]
    assert [part.latency_s > 0 for part in parts] == [True, False, True, False]
    assert all(isinstance(part.corrections.routed_passes, RoutedPasses) for part in parts)


@pytest.mark.parametrize("device", ["h100-sxm-80gb", "h200-sxm-141gb", "b200-180gb", "l40s"])
@pytest.mark.parametrize("library", ["", "trtllm"])
def test_no_narrow_dtype_has_a_chain_without_its_latency(device: str, library: str) -> None:
    """Activations stay in 16 bits, and pass without a launch of their own: the matmuls have that of all."""
    hardware = load_hardware(device)
    known = ConstantSet.from_calibration(load_device(device), class_of(hardware)).using(Kernels.all_of(library))
    plain = known.of("grouped_matmul", "graph", dtype="bf16").latency_s
    for dtype in ("fp8", "fp8_block", "int8", "fp4"):
        assert known.of("grouped_matmul", "graph", dtype=dtype).latency_s > plain / 2, dtype


@pytest.mark.parametrize(
    ("asked", "warned"),
    [
        ({}, True),
        ({"engine": "tensorrt-llm"}, False),  # its own kernels
        ({"dtype": "mxfp4+experts"}, False),  # kernels that pad
        ({"tp": 4}, False),  # 720 elements
    ],
)
def test_a_width_that_tritons_kernels_load_one_by_one_is_told(asked: dict[str, Any], warned: bool) -> None:
    """2,880 elements of gpt-oss are 360 on each of eight devices."""
    found = predict("gpt-oss-20b", "8xh100", phase="decode", **{"tp": 8, "dtype": "bf16", "context": 64, **asked})
    assert [" 360 elements" in note for note in found.notes if "one by one" in note] == [True] * warned
    assert ("one by one" in text(found, quiet=True)) is warned
    op = predict_op("experts", "h100", tokens=8, experts=8, topk=2, hidden=2880, width=360 if warned else 368)
    assert any("one by one" in note for note in op.notes) is warned
