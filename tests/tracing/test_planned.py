"""Traced modules on several devices: what a plan splits, what is exchanged, stages of a pipeline, refusals."""

from __future__ import annotations

import functools
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.distributed.device_mesh import init_device_mesh  # noqa: E402
from torch.distributed.tensor import Replicate  # noqa: E402
from torch.distributed.tensor.parallel import (  # noqa: E402
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.testing._internal.distributed.fake_pg import FakeStore  # noqa: E402

import roofline  # noqa: E402
from roofline.cost.cost import Cost, step_cost  # noqa: E402
from roofline.errors import WorkloadError  # noqa: E402
from roofline.models.model import Model, load_model  # noqa: E402
from roofline.parallelism.layout import Layout  # noqa: E402
from roofline.parallelism.replication import replicated_weights, replicated_work  # noqa: E402
from roofline.parallelism.sharding import shard  # noqa: E402
from roofline.program.conventions import Conventions  # noqa: E402
from roofline.program.phases import Phase  # noqa: E402
from roofline.program.workload import Precision  # noqa: E402

SQUARE, BF16 = Conventions(count="square"), Precision("bf16", "bf16", "bf16")
SIZES = {"B": 4, "T": 32, "S": 32}
PLAN = {"layers.*.qkv": "colwise", "layers.*.out": "rowwise", "layers.*.up": "colwise", "layers.*.down": "rowwise"}


class Layer(nn.Module):  # type: ignore[misc]
    """Attention of four heads, written out or fused, and a feed-forward network."""

    def __init__(self, *, fused: bool, normed: bool) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.up, self.down, self.norm = nn.Linear(32, 64), nn.Linear(64, 32), nn.LayerNorm(32)
        self.wide = nn.LayerNorm(64) if normed else nn.Identity()
        self.fused = fused

    def forward(self, x: Any) -> Any:
        b, s, _ = x.shape
        q, k, v = (t.view(b, s, -1, 8).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        if self.fused:
            y = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            y = (q @ k.transpose(-1, -2) / 3).softmax(-1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(b, s, -1))
        return x + self.down(self.wide(nn.functional.gelu(self.up(x))))


class Layers(nn.Module):  # type: ignore[misc]
    """Layers and a head; ``plan``: how tensor parallelism lays them."""

    def __init__(self, plan: Any, *, fused: bool = True, normed: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(fused=fused, normed=normed) for _ in range(4)])
        self.table, self.head = nn.Embedding(60, 32), nn.Linear(32, 60, bias=False)
        if plan is not None:
            self.tp_plan = plan

    def forward(self, tokens: Any) -> Any:
        x = self.table(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


@functools.cache
def traced(words: str = "", *, fused: bool = True, normed: bool = False) -> Model:
    more = dict(word.split("=") for word in words.split())
    return roofline.trace(Layers({**PLAN, **more}, fused=fused, normed=normed), {"tokens": "B,S"})


def costs(model: Model, layout: Layout) -> list[Cost]:
    phase = Phase.ENCODE if Phase.ENCODE in model.phases else Phase.PREFILL
    return [c for c in step_cost(shard(model.program(SQUARE), layout), phase, SIZES, BF16) if c.kind != "host"]


def flops(found: list[Cost]) -> float:
    return sum(float(c.count * c.flops) for c in found)


def sent(found: list[Cost]) -> dict[str, tuple[int, float]]:
    """Collectives by name: how often, and their message in bytes."""
    own = [cost for cost in found if cost.kind == "collective"]
    return {c.name: (sum(int(x.count) for x in own if x.name == c.name), float(c.message_bytes)) for c in own}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("tp", [2, 4])
def test_flops_and_weights_of_all_devices_are_those_of_one_and_what_is_replicated(tp: int, fused: bool) -> None:
    model, layout = traced("table=embedding_rowwise head=colwise_rep", fused=fused), Layout(tp=tp)
    whole, part = costs(model, Layout()), costs(model, layout)
    assert flops(part) * tp == flops(whole)
    assert not list(replicated_work(model.program(SQUARE), layout, Phase.ENCODE, SIZES))
    held = shard(model.program(), layout).parameters() * tp
    assert held == model.parameters + sum(each.surplus for each in replicated_weights(model.program(), layout))
    rows = 4 * 32
    assert sent(part) == {
        "table.all_reduce": (1, rows * 32 * 2),
        "out.all_reduce": (4, rows * 32 * 2),
        "down.all_reduce": (4, rows * 32 * 2),
        "head.all_gather": (1, rows * 60 * 2),
    }


def test_what_a_plan_leaves_out_is_whole_on_each_device() -> None:
    model, layout = traced(), Layout(tp=2)
    surplus = flops(costs(model, layout)) * 2 - flops(costs(model, Layout()))
    (head,) = replicated_work(model.program(SQUARE), layout, Phase.ENCODE, SIZES)
    assert (head.name, head.surplus) == ("head", surplus)


def test_elementwise_work_moves_a_part_on_each_device() -> None:
    one, two = ({c.name: c for c in costs(traced(), Layout(tp=tp))} for tp in (1, 2))
    assert float(two["gelu"].bytes) * 2 == float(one["gelu"].bytes)
    assert float(two["gelu"].vector_flops) * 2 == float(one["gelu"].vector_flops)
    assert two["norm"].bytes == one["norm"].bytes
    assert float(two["attention"].bytes) * 2 == float(one["attention"].bytes)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (None, "its module names no plan of tensor parallelism"),
        ({"nothing": "colwise"}, "names no plan"),
        ({"layers.*.up": "colwise"}, r"layers.0.down \(test_planned.py:\d+\) has a part of what it contracts"),
        ({"layers.*.norm": "sequence_parallel"}, "has layers.0.norm sequence_parallel, which is not modelled"),
        ({"layers.*.norm": SequenceParallel()}, r"has layers.0.norm SequenceParallel\(.*\), which is not modelled"),
        ({"layers.*.norm": "replicate"}, "splits none of its weights"),
        ({"layers.*.down.weight": "rowwise"}, "reads what devices have yet to add up"),
    ],
)
def test_a_plan_that_does_not_go_with_the_code_is_refused_in_a_line(plan: Any, words: str) -> None:
    model = roofline.trace(Layers(plan), {"tokens": "B,S"})
    with pytest.raises(WorkloadError, match=f"tp 2 cannot split a traced module: .*{words}") as failure:
        roofline.predict(model, "2xh100", tp=2, batch=4, prompt=32)
    assert "\n" not in str(failure.value)


def test_a_norm_over_what_is_split_is_refused_with_its_line() -> None:
    with pytest.raises(WorkloadError, match=r"layers.0.wide \(test_planned.py:\d+\) runs over an axis that its plan"):
        roofline.predict(traced(normed=True), "2xh100", tp=2, batch=4, prompt=32)


def test_degrees_must_divide_the_heads() -> None:
    with pytest.raises(WorkloadError, match="tp 8 does not divide the 4 heads"):
        roofline.predict(traced(), "8xh100", tp=8, batch=4, prompt=32)


def test_styles_of_torch_distributed_mean_what_those_of_transformers_do() -> None:
    plan = {
        "layers.*.qkv": ColwiseParallel(), "layers.*.out": RowwiseParallel(), "layers.*.up": ColwiseParallel(),
        "layers.*.down": RowwiseParallel(), "head": ColwiseParallel(output_layouts=Replicate()),
    }  # fmt: skip
    model, layout = roofline.trace(Layers(plan), {"tokens": "B,S"}), Layout(tp=2)
    assert sent(costs(model, layout)) == sent(costs(traced("head=colwise_rep"), layout))


def test_a_module_that_is_parallelized_already_is_split_as_it_was() -> None:
    torch.distributed.init_process_group("fake", rank=0, world_size=4, store=FakeStore())
    try:
        module = Layers(None)
        mesh = init_device_mesh("cpu", (4,))
        plan = {"qkv": ColwiseParallel(), "out": RowwiseParallel(), "up": ColwiseParallel(), "down": RowwiseParallel()}
        for layer in module.layers:
            parallelize_module(layer, mesh, plan)
        parallelize_module(module, mesh, {"table": RowwiseParallel(input_layouts=Replicate())})
        model = roofline.trace(module, {"tokens": "B,S"})
    finally:
        torch.distributed.destroy_process_group()
    whole = traced("table=embedding_rowwise")
    assert model.parameters == whole.parameters
    assert sent(costs(model, Layout(tp=2))) == sent(costs(whole, Layout(tp=2)))
    assert flops(costs(model, Layout(tp=2))) == flops(costs(whole, Layout(tp=2)))


def test_a_recorded_trace_keeps_its_plan(tmp_path: Any) -> None:
    traced().write_trace(tmp_path / "own.json")
    again = load_model(tmp_path / "own.json")
    assert sent(costs(again, Layout(tp=2))) == sent(costs(traced(), Layout(tp=2))) != {}


def test_a_pipeline_hands_on_what_layers_leave_and_splits_their_weights() -> None:
    found = roofline.predict(traced(), "4xh100", pp=4, batch=8, prompt=32)
    (send,) = [op for op in found.phases[Phase.ENCODE].operators if op.name.startswith("send")]
    assert send.count == 3
    alone = roofline.predict(traced(), "h100", batch=8, prompt=32)
    assert found.memory.footprint.weights_bytes < alone.memory.footprint.weights_bytes / 3
    with pytest.raises(WorkloadError, match="pp 8 is more than the 4 layers"):
        roofline.predict(traced(), "8xh100", pp=8, batch=8, prompt=32)
