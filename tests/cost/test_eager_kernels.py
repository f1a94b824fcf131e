"""What eager torch runs: kernels and their traffic by hand, their sum as a time, and the terms of CPU kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from roofline.calibration.calibration_file import KindConstants
from roofline.calibration.constants import Constants, ConstantSet, load_class
from roofline.calibration.corrections.attention import KeyBlock
from roofline.calibration.corrections.matmuls import SpillColumns
from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import operator_cost
from roofline.cost.eager_kernels import kernels_of
from roofline.cost.kernel_shapes import AttentionShape, MatmulShape
from roofline.hardware.loading import load_hardware, spec_from_fields
from roofline.hardware.spec import HardwareSpec
from roofline.layers.attention import attention, query_key_norm, rotary
from roofline.layers.embedding import embedding_sum, token_embedding
from roofline.layers.feed_forward import activation
from roofline.layers.head import sampling
from roofline.layers.normalization import norm, residual_norm
from roofline.program.op import Op, Tensor, contract, weight
from roofline.program.workload import Precision
from roofline.timing.kernels.bandwidth import memory_s
from roofline.timing.kernels.work import spill_factor, work_factor
from roofline.timing.machine import Machine
from roofline.timing.operator import time_operator

FP32 = Precision("fp32", "fp32", "fp32")
SIZES = {"B": 2, "T": 3, "S": 5, "D": 8, "F": 16, "K": 2, "G": 2, "H": 4, "V": 100}
U, M, G = (Tensor(name, "B T F") for name in "umg")


def machine() -> HardwareSpec:
    """1000 FLOP/s, 10 B/s, a last cache of 100 B."""
    memory = {"dram": {"capacity": "1 GB", "bandwidth": "10 B/s"}, "llc": {"capacity": "100 B"}}
    fields: dict[str, Any] = {"name": "toy", "source": "arithmetic", "class": "cpu", "kind": "cpu", "memory": memory}
    fields["peak"] = {"vector": {"fp32": "1000 FLOP/s"}}
    return spec_from_fields(fields, "toy.yaml", what_if=True)


def names(op: Op) -> str:
    return " ".join(kernel.name for kernel in kernels_of(op))


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (norm("n", Tensor("x", "B T D"), Tensor("h", "B T D"), kind="layer"), "native_layer_norm"),
        (norm("n", Tensor("x", "B T D"), Tensor("h", "B T D"), kind="rms"), "pow mean add rsqrt mul mul"),
        (norm("n", Tensor("x", "B T D"), Tensor("h", "B T D"), kind="rms_bare"), "pow mean add rsqrt mul"),
        (residual_norm("n", Tensor("a", "B T D"), kind="layer", placement="pre"), "add native_layer_norm"),
        (query_key_norm(), "pow mean add rsqrt mul mul " * 2),
        (rotary(), "mul neg cat mul add " * 2),
        (activation("act", U, M, "gelu"), "gelu"),
        (activation("act", U, M, "gelu_new"), "mul pow mul add mul tanh add mul"),
        (activation("act", U, M, "silu", gate=G), "silu mul"),
        (attention(mask="causal")[0], "cat cat attention"),
        (attention(mask="full", cached=False)[0], "attention"),
        (embedding_sum(position=True, segment=True), "add add"),
        (token_embedding(), "token_embedding"),
        (sampling(), "_softmax argmax"),
    ],
    ids=str,
)
def test_the_kernels_of_an_operator(op: Op, expected: str) -> None:
    assert names(op) == expected.strip()


def test_an_operator_that_is_not_known_stays_one_kernel() -> None:
    op = replace(activation("act", U, M, "silu"), function="sine", name="unheard_of")
    assert names(op) == "unheard_of"


def test_the_traffic_of_a_rotation_by_hand() -> None:
    q = 2 * 3 * 2 * 2 * 4  # B T K G H
    k = 2 * 3 * 2 * 4
    moved = sum(kernel.bytes(SIZES, lambda _: 1) for kernel in kernels_of(rotary()))
    # mul: read, write; neg: half read, half written; cat: read, write; mul: read, write; add: two read, one written
    assert moved == (2 + 1 + 2 + 2 + 3) * (q + k)


def test_the_cache_is_read_and_written_whole_and_once() -> None:
    (op,) = attention(mask="causal")
    copies = kernels_of(op)[:-1]
    assert [kernel.kind for kernel in copies] == ["cache_copy", "cache_copy"]
    assert sum(kernel.bytes(SIZES, lambda _: 1) for kernel in copies) == 2 * 2 * (2 * 5 * 2 * 4)  # K and V; B S K H


def test_kernels_keep_what_the_operator_rebinds() -> None:
    op = sampling()  # T = 1
    assert [int(kernel.reads[0].elements({**SIZES, **kernel.local})) for kernel in kernels_of(op)] == [200, 200]


def set_of(**changes: Any) -> ConstantSet:
    data = load_class("cpu").model_copy(update={"name": "toy-measured", "extends": "toy", "p": 1.0, **changes})
    return ConstantSet.from_calibration(data)


@pytest.fixture
def rotation() -> Any:
    return operator_cost(rotary(), {letter: float(size) for letter, size in SIZES.items()}, FP32)


def test_an_unfused_operator_takes_as_long_as_its_kernels(rotation: Any) -> None:
    constants, toy = set_of(unfused=True), machine()
    plain = constants.of("elementwise", "eager")
    whole = Machine(toy, constants, "eager").time(rotation)
    parts = [time_operator(kernel, toy, plain) for kernel in rotation.kernels()]
    assert len(parts) == 10
    assert whole.time_s == pytest.approx(sum(part.time_s for part in parts))
    assert whole.latency_s + whole.compute_s + whole.memory_s == pytest.approx(whole.time_s)
    assert whole.bound_s == time_operator(rotation, toy, plain).bound_s < whole.time_s
    assert whole.low_s == pytest.approx(sum(part.low_s for part in parts))
    assert whole.high_s == pytest.approx(plain.high * whole.time_s)


@pytest.mark.parametrize(("unfused", "execution"), [(False, "eager"), (True, "graph")])
def test_from_a_graph_or_with_constants_of_whole_operators_it_is_one_kernel(
    rotation: Any, unfused: bool, execution: Any
) -> None:
    constants, toy = set_of(unfused=unfused), machine()
    timing = Machine(toy, constants, execution).time(rotation)
    assert timing == time_operator(rotation, toy, constants.of("elementwise", execution))


def test_a_kernel_takes_the_constants_of_its_name() -> None:
    own = {"tanh": KindConstants(special=0.01)}
    assert set_of(kinds=own).of("elementwise", "eager", "tanh").special == 0.01
    assert set_of(kinds=own).of("elementwise", "eager", "add").special == load_class("cpu").special


# Terms of CPU kernels


def matmul(rows: int, columns: int, depth: int) -> Any:
    op = contract("op", Tensor("x", "B D"), weight("w", "D F"), Tensor("y", "B F"))
    return operator_cost(op, {"B": float(rows), "D": float(depth), "F": float(columns)}, FP32)


def test_weights_are_known_to_a_matmul() -> None:
    assert matmul(2, 3, 5).shape.weight_bytes == 4 * 3 * 5
    assert matmul(2, 3, 5).shape == MatmulShape(2, 3, 5)


@pytest.mark.parametrize(("rows", "times"), [(1, 0), (2, 0.5), (3, 1), (100, 1)])
def test_weights_are_rearranged_for_several_rows(rows: int, times: float) -> None:
    cost, toy = matmul(rows, 3, 5), machine()
    plain, again = Constants(), Constants().replaced({"repack": 2.0})
    more = memory_s(cost, toy, again) - memory_s(cost, toy, plain)
    assert more == pytest.approx(2.0 * times * 4 * 15 / 10)


def test_each_column_of_weights_costs_some_elements_more() -> None:
    cost, toy = matmul(1, 3, 5), machine()
    more = memory_s(cost, toy, Constants().replaced({"extra_depth": 7.0})) - memory_s(cost, toy, Constants())
    assert more == pytest.approx(3 * 7 * 4 / 10)


def test_a_wide_output_costs_up_to_twice_as_much() -> None:
    wide = Corrections(spill_columns=SpillColumns(90.0))
    assert spill_factor(MatmulShape(1.0, 30.0, 5.0), wide) == pytest.approx(1.25)
    assert work_factor(matmul(1, 30, 5), load_hardware("a100"), wide) == pytest.approx(1.25)
    assert work_factor(matmul(1, 30, 5), load_hardware("a100"), Corrections()) == 1


@pytest.mark.parametrize(("columns", "warm"), [(4, 32), (5, 35), (20, 0)])
def test_what_fits_the_cache_is_warm_and_more_pushes_itself_out(columns: int, warm: int) -> None:
    op = activation("act", Tensor("u", "B F"), Tensor("m", "B F"), "relu")
    cost = operator_cost(op, {"B": 1.0, "F": float(columns)}, FP32)  # 8 bytes for each column, a cache of 100
    seconds = memory_s(cost, machine(), Constants().replaced({"reuse_bandwidth": 4.0}))
    assert seconds == pytest.approx((warm / 4 + 8 * columns - warm) / 10)


def test_a_masked_kernel_computes_half_a_block_more_but_never_more_than_all() -> None:
    def factor(tokens: float, mask: Any = "causal") -> float:
        (op,) = attention(mask=mask)
        sizes = {"B": 1.0, "T": tokens, "S": tokens, "K": 1.0, "G": 1.0, "H": 8.0}
        cost = operator_cost(op, sizes, FP32)
        assert isinstance(cost.shape, AttentionShape)
        return float(work_factor(cost, load_hardware("a100"), Corrections(key_block=KeyBlock(512.0))))

    assert factor(64) == pytest.approx(64 / 32.5)  # all 64 x 64
    assert factor(2048) == pytest.approx((2049 / 2 + 256) / (2049 / 2))
    assert factor(2048, "full") == 1
