"""Hybrid sharding: ZeRO within groups of replicas, whose ends are plain ZeRO and what splits nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import roofline
from roofline.errors import RooflineError
from roofline.options.keywords import completed
from roofline.options.verbs.training import TrainOptions
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharded_backward import shard_training
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.training.question import read_training
from roofline.training.resting import local_weights
from roofline.training.search import search
from roofline.training.step import TrainingStep

ASKED: dict[str, Any] = {"batch": 64, "sequence": 1024, "tp": 1, "pp": 1, "cp": 1, "microbatch": 1,
                         "recompute": "none"}  # fmt: skip
EXPERTS = {"model_type": "mixtral", "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2,
           "num_attention_heads": 8, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
           "vocab_size": 1024, "max_position_embeddings": 4096}  # fmt: skip


def step(model: Any = "llama-3.2-1b", hardware: str = "64xh100", **options: Any) -> TrainingStep:
    return roofline.train(model, hardware, **{**ASKED, **options}).step


def sent(program: Program) -> dict[tuple[str, int, int], float]:
    """Bytes that exchanges of a layer's weights move over links, by collective, devices and stride."""
    layer = next(g for g in program.groups if g.stacked and Phase.BACKWARD in g.phases)
    names = {t.name for g in program.groups for op in g.ops for t in op.reads if t.role == "weight"}
    sizes, found = (
        layer.sizes({**program.sizes, "B": 1, "T": 64, "S": 64, "M": 64}),
        dict[tuple[str, int, int], float](),
    )
    for op in layer.ops:
        if op.transfer and (op.writes[0].gradient_of in names or op.writes[0].name in names):
            key = (op.transfer.operation, int(op.transfer.devices), int(op.transfer.stride))
            found[key] = found.get(key, 0.0) + float(op.message_bytes(sizes, lambda _: 2))
    return found


def test_one_group_is_plain_zero_and_groups_of_one_split_nothing() -> None:
    usual, one = step(hardware="8xh100", zero=3), step(hardware="8xh100", zero=3, replicate=1)
    assert (one.memory, one.timing.time_s) == (usual.memory, usual.timing.time_s)
    alone, whole = step(zero=3, replicate=64), step(zero=0)
    assert alone.memory == whole.memory
    assert alone.timing.time_s == pytest.approx(whole.timing.time_s, rel=0.05)  # one all-reduce for its two halves
    one, groups = (step(zero=3, replicate=n).memory["first"].optimizer for n in (1, 8))
    assert groups == pytest.approx(8 * one)


def test_gradients_are_scattered_within_a_group_and_summed_up_between_groups() -> None:
    network = step(zero=3).question.network.step
    plain, groups = (shard_training(network, Layout(dp=64), zero=3, replicate=n) for n in (1, 8))
    whole = sent(plain)["reduce_scatter", 64, 1]
    assert sent(plain) == {("all_gather", 64, 1): whole, ("reduce_scatter", 64, 1): whole}
    assert sent(groups) == {("all_gather", 8, 1): whole, ("reduce_scatter", 8, 1): whole,
                            ("all_reduce", 8, 8): whole / 8}  # fmt: skip


def test_experts_have_the_replicas_of_their_own_group() -> None:
    found = step(EXPERTS, "32xh100", ep=4, zero=1, replicate=4)
    replicas = {float(np.ravel(each.replicas)[0]) for each in found.choice.sharding.of(found.steps.memory.weights)}
    assert replicas == {2.0, 8.0}
    with pytest.raises(RooflineError, match="replicate 16 divides the replicas of no layout, 8 at most"):
        step(EXPERTS, "32xh100", ep=4, replicate=16)


def test_groups_on_a_node_are_searched_where_replicas_are_on_several() -> None:
    asked = completed(TrainOptions, {**ASKED, "microbatch": None, "zero": 3}, "train")
    tables = [search(read_training("llama-3.2-1b", hardware, asked)) for hardware in ("8xh100", "64xh100")]  # type: ignore[arg-type]
    assert [set(table.replicate) for table in tables] == [{1}, {1, 8}]
    table = tables[1]
    for row in (0, len(table) - 1):
        choice = table.choice(row)
        alone = step(microbatch=choice.microbatch, zero=3, replicate=choice.sharding.replicate)
        assert float(alone.timing.time_s) == pytest.approx(table.time_s[row], rel=1e-12)
        assert alone.memory["first"].total == pytest.approx(table.memory_bytes[row], rel=1e-12)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"replicate": 3}, "replicate 3 divides the replicas of no layout"),
        ({"replicate": 0}, "replicate 0: expected a whole number"),
        ({"zero": 0, "replicate": 2}, "ZeRO 0 splits nothing within groups"),
    ],
)
def test_groups_that_cannot_be_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(RooflineError, match=text):
        step(**options)


@pytest.mark.parametrize(
    ("model", "layout"),
    [("llama-3.1-70b", Layout(tp=8, dp=64)), ("llama-3.1-8b", Layout(tp=2, dp=16, cp=2)),
     (EXPERTS, Layout(tp=2, dp=16, ep=8)), ("deepseek-v3", Layout(dp=256, ep=64))],
)  # fmt: skip
def test_what_replicas_scatter_is_what_a_device_holds(model: Any, layout: Layout) -> None:
    """However few heads or experts a device has: its elements are split over replicas, not its heads."""
    network = read_training(model, "64xh100", completed(TrainOptions, ASKED, "train")).network
    program = shard_training(network.step, layout, zero=1)
    names = {t.name for g in program.groups for op in g.ops for t in op.reads if t.role == "weight"}
    scattered = sum(
        op.message_bytes(group.sizes({**program.sizes, "B": 1, "T": 64, "S": 64, "M": 64}), lambda _: 1)
        * group.times(program.sizes)
        for group in program.groups for op in group.ops
        if op.transfer and op.transfer.operation == "reduce_scatter" and op.writes[0].gradient_of in names
    )  # fmt: skip
    held = sum(each.elements for each in local_weights(network.forward, layout) if each.replicas > 1)
    assert scattered == pytest.approx(held, rel=1e-3)


def test_what_experts_save_does_not_shrink_as_they_are_spread() -> None:
    """Each device gets as many pairs of token and expert as it sends, and keeps the tokens that it was sent."""
    asked = {"batch": 64, "zero": 1, "dp": 8}
    one, eight = (step("olmoe-1b-7b", "8xh200", **asked, ep=ep).memory["first"].saved for ep in (1, 8))
    rows, hidden, layers = 1024 * 8, 2048, 16
    assert eight - one == pytest.approx(rows * hidden * 2 * layers)
