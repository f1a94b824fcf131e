"""Experts under uneven loads: the fullest device is timed, memory is an even load's; what has no experts refuses."""

from __future__ import annotations

import pytest

from roofline.buying.recording import record
from roofline.cost.cost import Cost, step_cost
from roofline.cost.kernel_shapes import GroupedShape
from roofline.errors import UsageError, WorkloadError
from roofline.layers.expert_load import Routing
from roofline.models.model import load_model
from roofline.operators.predict_op import predict_op
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharding import shard
from roofline.prediction.predict import predict
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.workload import Precision


def expert_costs(routing: str, layout: Layout, batch: int = 64) -> dict[str, Cost]:
    """The experts of a decode step of a mixture, on one device."""
    program = shard(load_model("qwen3-30b-a3b").program(Conventions(routing=routing)), layout)
    sizes = {"B": batch // layout.dp, "T": 1, "S": 100}
    costs = step_cost(program, Phase.DECODE, sizes, Precision("bf16", "bf16", "bf16"))
    return {cost.name: cost for cost in costs if cost.name.startswith("experts_")}


@pytest.mark.parametrize("layout", [Layout(), Layout(tp=4, ep=4), Layout(dp=4, ep=4), Layout(tp=2, dp=2, ep=4)])
def test_an_uneven_load_is_that_of_the_fullest_device_and_balanced_that_of_all(layout: Layout) -> None:
    whole = {"B": 64, "T": 1, "E": 128, "A": 8}
    for word in ("balanced", "power_law:1.2"):
        load = Routing.of(word).load(whole, layout.ep)
        for name, cost in expert_costs(word, layout).items():
            if isinstance(cost.shape, GroupedShape):
                assert (cost.shape.rows, cost.shape.groups) == (load.pairs, load.touched), (word, name)
                assert cost.flops == load.pairs * 2 * 2048 * 768 * (2 if name == "experts_gate_up" else 1)
    even = expert_costs("balanced", layout)["experts_down"]
    skewed = expert_costs("power_law:1.2", layout)["experts_down"]
    assert skewed.flops > even.flops or layout.ep == 1
    assert expert_costs("uniform", layout)["experts_down"].flops == even.flops


def test_an_uneven_load_leaves_memory_as_it_is() -> None:
    even, skewed = (
        predict("qwen3-30b-a3b", "4xh100", tp=4, ep=4, batch=64, routing=r) for r in ("uniform", "power_law:1.2")
    )
    assert skewed.memory == even.memory
    assert skewed.phases[Phase.PREFILL].figures.time_s > even.phases[Phase.PREFILL].figures.time_s
    assert skewed.notes[-1].startswith("routing power_law:1.2: experts are timed as on the fullest device")


def test_one_operator_and_a_network_touch_as_many_experts() -> None:
    sizes = {"tokens": 64, "experts": 128, "topk": 8, "k": 768, "n": 2048}
    for word in ("balanced", "power_law:1.2"):
        alone = predict_op("grouped_matmul", "h100", routing=word, **sizes)
        inside = expert_costs(word, Layout())["experts_down"]
        assert alone.flops == inside.flops
        assert isinstance(inside.shape, GroupedShape)
        assert alone.bytes - 2 * 64 * (768 + 8 * 2048) == float(inside.shape.weight_bytes)
        assert alone.to_dict()["inputs"]["routing"] == word


def test_what_routes_nothing_refuses_a_routing() -> None:
    with pytest.raises(UsageError, match="routing balanced goes with grouped_matmul and experts, not with matmul"):
        predict_op("matmul", "h100", routing="balanced", m=1, k=1, n=1)
    with pytest.raises(WorkloadError, match=r"routing balanced: llama-3\.1-8b has no experts that tokens are sent to"):
        predict("llama-3.1-8b", "h100", routing="balanced")


def test_a_recording_takes_round_robin_and_no_draws() -> None:
    asked = {"batch": 16, "context": 1000}
    tape = record("qwen3-30b-a3b", "h100", routing="balanced", **asked)
    told = predict("qwen3-30b-a3b", "h100", routing="balanced", **asked)
    assert tape(**asked)["decode.time_s"] == pytest.approx(told.phases[Phase.DECODE].figures.time_s)
    with pytest.raises(UsageError, match=r"routing power_law:1.2 is drawn for numbers"):
        record("qwen3-30b-a3b", "h100", routing="power_law:1.2", **asked)


@pytest.mark.parametrize("spread", [2, 8, 64])
def test_a_device_works_on_the_tokens_that_come_to_it(spread: int) -> None:
    """One prompt a device: however many share experts, each has as many pairs, and sorts what was sent to it."""

    def experts(devices: int) -> Cost:
        layout = Layout(dp=devices, ep=devices)
        program = shard(load_model("deepseek-v3").program(), layout)
        costs = step_cost(program, Phase.PREFILL, {"B": 1, "T": 512, "S": 512}, Precision("bf16", "bf16", "bf16"))
        return next(cost for cost in costs if cost.name == "experts_gate_up")

    found, alone = experts(spread), experts(1)
    shape, whole = found.shape, alone.shape
    assert isinstance(shape, GroupedShape)
    assert isinstance(whole, GroupedShape)
    assert float(found.flops) == pytest.approx(float(alone.flops))
    assert float(shape.rows) == pytest.approx(float(whole.rows))
    assert float(shape.tokens) == pytest.approx(min(512 * spread, 512 * 8))
    assert float(found.bytes) <= float(alone.bytes) + 2 * 8 * 512 * 7168


def test_an_uneven_load_is_slower_and_contracts_no_more_in_all() -> None:
    even, uneven = (
        predict("mixtral-8x7b", "8xh100", tp=1, dp=8, ep=8, batch=8, prompt=4096, phase="prefill", routing=routing)
        .phases[Phase.PREFILL] for routing in ("uniform", "power_law:1.2")
    )  # fmt: skip
    assert uneven.total_flops == pytest.approx(even.total_flops)
    assert uneven.figures.time_s > 1.5 * even.figures.time_s
    assert uneven.figures.mfu == pytest.approx(even.figures.mfu * even.figures.time_s / uneven.figures.time_s)
