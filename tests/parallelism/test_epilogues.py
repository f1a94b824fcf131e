"""Norms in the kernel of an all-reduce: which are found, what they save, and that nothing else changes."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from roofline.engines.library import load_engine
from roofline.models.model import load_model
from roofline.prediction.figures import Figures
from roofline.prediction.predict import predict
from roofline.program.merging import run_by

JOINED = {"ffn_norm", "output_norm", "q_proj.quantize", "gate.quantize"}


@cache
def decode(tp: int, *, joins: bool) -> dict[str, Figures]:
    edits: dict[str, Any] = {} if joins else {"engine.reduce_norm": []}
    asked: dict[str, Any] = {"engine": "tensorrt-llm", "dtype": "fp8", "phase": "decode", "context": 1024}
    found = predict("llama-3.1-8b", "8xh100" if tp > 1 else "h100", tp=tp, set=edits, **asked)
    return {each.name: each.figures for each in found.phases["decode"].operators}


def seconds(figures: dict[str, Figures], name: str) -> float:
    return float(figures[name].timing.time_s)


def test_norms_and_what_narrows_them_have_no_launch_behind_an_all_reduce() -> None:
    """The first norm of the network has one: nothing is added there that an all-reduce could take along."""
    own, joined = decode(8, joins=False), decode(8, joins=True)
    assert {name for name in own if seconds(joined, name) < seconds(own, name)} == JOINED
    assert all(seconds(joined, name) == seconds(own, name) for name in own if name not in JOINED)
    for name, figures in joined.items():
        assert (figures.bytes, figures.flops, figures.timing.bound_s) == (
            own[name].bytes, own[name].flops, own[name].timing.bound_s
        )  # fmt: skip


@pytest.mark.parametrize("name", ["ffn_norm", "output_norm"])
def test_what_is_saved_is_the_latency_of_the_norm(name: str) -> None:
    own, joined = decode(8, joins=False)[name].timing, decode(8, joins=True)[name].timing
    assert own.time_s - joined.time_s == pytest.approx(own.latency_s - joined.latency_s)
    assert float(joined.latency_s) == pytest.approx(0, abs=1e-12)


def test_one_device_reduces_nothing_and_joins_nothing() -> None:
    assert decode(1, joins=True) == decode(1, joins=False)


def test_an_engine_says_on_which_devices() -> None:
    vllm = load_engine("vllm")
    assert vllm.reduces_norm_on({"nvidia", "hopper"})
    assert not vllm.reduces_norm_on({"nvidia", "ampere", "sm_80"})


def test_an_engine_does_so_for_mixtures_alone_where_it_says_so() -> None:
    sglang = load_engine("sglang")
    asks = [
        any(op.joins for group in run_by(sglang, load_model(name).program()).groups for op in group.ops)
        for name in ("qwen3-30b-a3b", "llama-3.1-8b")
    ]
    assert asks == [True, False]
