"""Which calls of a traced module run as one kernel: each alone, as a graph compiler fuses, as an engine does."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from shell import refusal  # noqa: E402
from shell import roofline as run  # noqa: E402
from torch import nn  # noqa: E402

import roofline  # noqa: E402
from roofline.cost.cost import Cost, step_cost  # noqa: E402
from roofline.errors import UsageError, WorkloadError  # noqa: E402
from roofline.models.model import Model  # noqa: E402
from roofline.options.words import Fusion  # noqa: E402
from roofline.program.conventions import Conventions  # noqa: E402
from roofline.program.phases import Phase  # noqa: E402
from roofline.program.workload import Precision  # noqa: E402
from roofline.sweeps.sweep import open_sweep  # noqa: E402

BF16 = Precision("bf16", "bf16", "bf16")
B, S, HEADS, WIDE = 2, 64, 4, 8


class Attention(nn.Module):  # type: ignore[misc]
    """Heads that attend: in one call of torch, or as ``scores`` and ``shares`` say between two matmuls."""

    def __init__(self, scores: Callable[[Any], Any] | None, shares: Callable[[Any], Any] = lambda p: p) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(HEADS * WIDE, HEADS * WIDE) for _ in range(4))
        self.scores, self.shares, self.drop = scores, shares, nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        b, s, _ = x.shape
        q, k, v = (each(x).view(b, s, HEADS, WIDE).transpose(1, 2) for each in (self.q, self.k, self.v))
        if self.scores is None:
            y = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            y = self.shares(self.drop(self.scores(q @ k.transpose(-1, -2) / math.sqrt(WIDE)))) @ v
        return self.out(y.transpose(1, 2).reshape(b, s, -1))


def masked(a: Any) -> Any:
    hidden = torch.ones(a.shape[-2:], dtype=torch.bool).tril().logical_not()
    return a.masked_fill(hidden, float("-inf")).softmax(-1)


def capped(a: Any) -> Any:
    return (30 * torch.tanh(a / 30)).softmax(-1)


def cast(a: Any) -> Any:
    return a.to(torch.bfloat16).softmax(-1).to(a.dtype)


KINDS = {
    "fused": (None,), "plain": (lambda a: a.softmax(-1),), "masked": (masked,), "cast": (cast,), "capped": (capped,),
    "over queries": (lambda a: a.softmax(-2),), "in parts": (lambda a: a.softmax(-1), lambda p: p - p.mean()),
}  # fmt: skip


@functools.cache
def traced(kind: str) -> Model:
    return roofline.trace(Attention(*KINDS[kind]), {"x": "B,S,32"})


def costs(kind: str, fusion: Fusion) -> list[Cost]:
    program = traced(kind).program(Conventions(count="square", fusion=fusion))
    return [c for c in step_cost(program, Phase.ENCODE, {"B": B, "T": S, "S": S}, BF16) if c.kind != "host"]


@pytest.mark.parametrize(
    ("kind", "levels"),
    [("plain", "inductor engine"), ("masked", "inductor engine"), ("cast", "inductor engine"), ("capped", "engine")],
)
def test_attention_that_is_written_out_is_the_kernel_that_a_level_makes_of_it(kind: str, levels: str) -> None:
    (own,) = [cost for cost in costs("fused", "inductor") if cost.kind == "attention"]
    for fusion in ("none", "inductor", "engine"):
        found = costs(kind, fusion)
        attends = [cost for cost in found if cost.kind == "attention"]
        assert bool(attends) == (fusion in levels.split())
        assert sum(cost.flops for cost in found) == sum(cost.flops for cost in costs("fused", "none"))
        for cost in attends:
            assert (cost.shape, cost.flops) == (own.shape, own.flops)
            assert cost.bytes - own.bytes == (S * S if kind == "masked" else 0)  # a mask of a byte for each pair


@pytest.mark.parametrize("kind", ["over queries", "in parts"])
def test_what_is_no_attention_stays_as_it_is(kind: str) -> None:
    assert not [cost for cost in costs(kind, "inductor") if cost.kind == "attention"]
    with pytest.raises(WorkloadError, match=r"fusion engine: test_fusion.py:\d+ stores what a kernel of an engine"):
        costs(kind, "engine")


def test_each_call_alone_moves_what_it_reads_and_writes() -> None:
    alone, fused = costs("capped", "none"), costs("capped", "inductor")
    scores = B * HEADS * S * S * 2
    assert [cost.bytes for cost in alone if cost.special == scores / 2 and cost.kind == "elementwise"] == [2 * scores]
    assert len(alone) > len(fused)
    assert sum(c.vector_flops for c in alone) == sum(c.vector_flops for c in fused)


def test_an_eager_engine_fuses_nothing_and_a_preset_is_refused() -> None:
    asked = {"batch": B, "prompt": S}
    eager = roofline.predict(traced("plain"), "h100", engine="transformers", **asked)
    alone = roofline.predict(traced("plain"), "h100", engine="transformers", fusion="none", **asked)
    assert (eager.request_s, eager.to_dict()["inputs"]["fusion"]) == (alone.request_s, "none")
    assert roofline.predict(traced("plain"), "h100", **asked).to_dict()["inputs"]["fusion"] == "inductor"
    preset = roofline.predict("gpt2", "h100")
    assert "fusion" not in preset.to_dict()["inputs"]
    with pytest.raises(UsageError, match="fusion none goes with a traced module; gpt2 is stated as engines run it"):
        roofline.predict("gpt2", "h100", fusion="none")
    with pytest.raises(UsageError, match="fusion none goes with a traced module"):
        roofline.formula("gpt2", fusion="none")


@pytest.mark.parametrize("hardware", ["h100", "xeon-8480"])
@pytest.mark.parametrize("fusion", [None, "none", "engine"])
def test_what_is_compared_is_what_is_predicted(fusion: Fusion | None, hardware: str) -> None:
    asked = {"prompt": S, "batch": B, "fusion": fusion}
    (row,) = roofline.compare(traced("capped"), hardware, constants="class", **asked).rows
    own = roofline.predict(traced("capped"), hardware, constants="class", **asked)
    assert row.point is not None
    assert row.point.to_dict()["pass_s"] == pytest.approx(own.request_s, rel=1e-12)


def test_a_level_is_asked_of_every_answer_and_refused_of_a_preset(tmp_path: Any) -> None:
    traced("capped").write_trace(tmp_path / "own.json")
    asked, level = ("--hardware", "h100", "--prompt", "64"), ("--fusion", "engine")
    assert "fusion engine, 90% of the memory" in run("compare", str(tmp_path / "own.json"), *asked, *level)[1]
    picture = ("-o", str(tmp_path / "own.svg"))
    assert "attention (" in run("plot", "breakdown", str(tmp_path / "own.json"), *asked, *level, *picture)[1]
    for verb, more in {"size": ("--load", "1 req/s"), "train": (), "sweep": ("-o", str(tmp_path / "swept"))}.items():
        flags = asked if verb != "train" else asked[:2]
        problem = refusal(2, verb, "gpt2", *flags, *level, *more)
        assert "fusion engine goes with a traced module; gpt2 is stated as engines run it" in problem


def test_a_mask_that_no_batch_changes_does_not_bound_the_batch_of_a_sweep(tmp_path: Any) -> None:
    traced("masked").write_trace(tmp_path / "own.json")
    asked = ("--hardware", "h100", "--batch", "1,2", "--prompt", "64")
    assert run("sweep", str(tmp_path / "own.json"), *asked, "-o", str(tmp_path / "swept"))[0] == 0
    found = open_sweep(tmp_path / "swept").scan().to_table(columns=["max_batch"]).to_pylist()
    most = roofline.predict(traced("masked"), "h100", batch=2, prompt=64).memory.max_batch
    assert [row["max_batch"] for row in found] == [most, most]


def test_the_answer_says_which_was_taken(tmp_path: Any) -> None:
    traced("capped").write_trace(tmp_path / "own.json")
    asked = ("predict", str(tmp_path / "own.json"), "--hardware", "h100", "--prompt", "64")
    assert ", fusion engine" in run(*asked, "--fusion", "engine")[1]
    assert json.loads(run(*asked, "--json")[1])["inputs"]["fusion"] == "inductor"
