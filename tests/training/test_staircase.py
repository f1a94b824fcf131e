"""Recompute tensor by tensor: a staircase that no subset beats, in bytes and seconds that the step itself has."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pictures import artist, check_texts
from shell import answer

import roofline
from roofline.charts.kinds.training import draw_training
from roofline.errors import WorkloadError
from roofline.program.recompute import NOTHING, read_policy
from roofline.training.recomputing.staircase import Stair, staircase
from roofline.training.resting import Sharding
from roofline.training.rows import steps_of
from roofline.training.step import TrainingStep

ASKED = {"batch": 8, "sequence": 512, "microbatch": 1, "cp": 1, "pp": 1, "zero": 1}


def step(model: str = "llama-3.2-1b", hardware: str = "8xh100", **asked: Any) -> TrainingStep:
    return roofline.train(model, hardware, **{**ASKED, "recompute": "optimal", **asked}).step


@pytest.mark.parametrize(
    ("model", "tp", "ep"), [("llama-3.2-1b", 1, 1), ("gpt2", 2, 1), ("bert-base", 1, 1), ("mixtral-8x7b", 2, 8)]
)
def test_stairs_are_what_a_step_saves_and_runs_again(model: str, tp: int, ep: int) -> None:
    found = step(model, tp=tp, ep=ep, sp=1)
    stairs = staircase(found.question).stairs
    assert stairs[0] == Stair(NOTHING, stairs[0].saved_bytes, 0.0)
    for before, after in pairwise(stairs):
        assert before.saved_bytes > after.saved_bytes
        assert before.again_s <= after.again_s
    policies = tuple(stair.policy for stair in stairs)
    steps = steps_of(found.question, found.choice.layout, 1, policies, (Sharding(1),))
    layers = [float(np.ravel(held.saved[1])[0]) for held in steps.memory.held]
    assert [stair.saved_bytes for stair in stairs] == pytest.approx(layers)
    seconds = [float(np.ravel(steps.passes.again(policy).time_s)[0]) for policy in policies]
    assert [stair.again_s for stair in stairs] == pytest.approx(seconds, rel=1e-6)


def test_whole_layers_are_not_faster_than_the_last_stair() -> None:
    found = step(tp=1)
    stairs = staircase(found.question).stairs
    steps = steps_of(found.question, found.choice.layout, 1, (read_policy("full"),), (Sharding(1),))
    assert stairs[-1].again_s <= float(np.ravel(steps.passes.again(read_policy("full")).time_s)[0])
    assert stairs[-1].saved_bytes < 0.2 * stairs[0].saved_bytes


def test_what_is_made_again_is_made_of_what_is_kept() -> None:
    """Of each stair the operators that run again, in order, read nothing but what is kept or was made again."""
    found = step(tp=1)
    (layers,) = [group for group in found.question.network.forward.groups if group.stacked]
    saved = {(each.op.name, each.tensor.name) for each in found.question.network.saved(NOTHING) if each.group.stacked}
    for stair in staircase(found.question).stairs:
        kept = saved - {(op, name) for _, op, name in stair.policy.dropped}
        last = {tensor.name: op.name for op in layers.ops for tensor in op.writes}
        there = {name for op, name in kept if last[name] == op} | {"h"}  # h is a norm of x, which is kept
        for op in layers.ops:
            if ("layers", op.name) in stair.policy.runs:
                own = {tensor.name for tensor in op.reads if tensor.role in ("activation", "kv_cache")}
                inner = (
                    {"a", "f"} if op.name.endswith("norm") else set()
                )  # the norm alone runs, on the sum that is kept
                assert own <= there | inner, (op.name, stair.policy.words)
                there |= {tensor.name for tensor in op.writes}
            else:
                there |= {name for where, name in kept if where == op.name}


def test_a_limit_is_kept_at_the_least_time() -> None:
    free = step(tp=1)
    whole = free.memory["first"].saved
    times = []
    for share in (1.0, 0.6, 0.3):
        found = step(tp=1, recompute=f"optimal:{share * whole:.0f}B")
        assert found.memory["first"].saved <= share * whole + 1
        stairs = [each for each in staircase(found.question).stairs if each.policy == found.choice.policy]
        assert len(stairs) == 1
        times.append(float(found.timing.time_s))
    assert times == sorted(times)
    assert free.choice.policy == NOTHING
    with pytest.raises(WorkloadError, match=r"recompute optimal within 1\.00 kB: a device saves"):
        step(tp=1, recompute="optimal:1kB")


def test_it_is_drawn_and_told() -> None:
    found = step(tp=1, recompute="optimal:1GB", microbatch=4, batch=32)
    figure = draw_training(found)
    check_texts(figure)
    assert len(artist(figure, "stairs").get_xdata()) == len(found.staircase.stairs) if found.staircase else False
    text = answer("train", "gpt2", "--hardware", "h100", "--batch", "8", "--recompute", "optimal", "--explain")
    assert "exact over all " in text
    assert " made again: drops act.m" in text


def test_by_operator_every_second_matmul_is_made_again() -> None:
    """Llama's wk, wo and w3: torchtitan keeps attention and the outputs of wq, wv, w1 and w2, in their order."""
    asked: dict[str, Any] = {"batch": 8, "sequence": 1024, "tp": 1, "pp": 1, "microbatch": 1}
    none, found, full = (
        roofline.train("llama-3.2-1b", "8xh100", **asked, recompute=word).step
        for word in ("none", "selective-op", "full")
    )
    c = found.question.request.model.config
    d, kv, f = c.hidden_size, c.num_key_value_heads * c.head_dim, c.intermediate_size  # type: ignore[union-attr]
    again = 2 * 8 * 1024 * d * (kv + d + f) * c.num_hidden_layers  # type: ignore[union-attr]
    assert (found.hfu / found.mfu - 1) * found.flops == pytest.approx(again)
    assert full.memory["first"].saved < found.memory["first"].saved < none.memory["first"].saved
    assert none.causes["matmul_forward"] == pytest.approx(found.causes["matmul_forward"])
    assert 0 < found.causes["recompute"] < full.causes["recompute"]
