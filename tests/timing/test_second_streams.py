"""Operators that a replayed graph runs beside others: what they still take, and where nothing hides them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from roofline.prediction.figures import Figures
from roofline.prediction.predict import predict
from roofline.timing.timing import Timing, beside_others

BESIDE = {"shared_gate_up", "shared_act", "shared_down", "shared_router"}
ALONE = Timing(3.0, 0.5, 2.0, 4.0, latency_s=2.0, compute_s=0.4, memory_s=0.6)


@cache
def operators(*, beside: bool, hardware: str = "h100") -> dict[str, Figures]:
    edits: dict[str, Any] = {} if beside else {"engine.beside": []}
    found = predict("qwen1.5-moe-a2.7b", hardware, set=edits, engine="vllm", batch=4, context=64, phase="decode")
    return {each.name: each.figures for each in found.phases["decode"].operators}


def test_what_a_graph_runs_beside_others_takes_its_bound_and_hides_its_latency() -> None:
    own, hidden = operators(beside=False), operators(beside=True)
    faster = {name for name in own if hidden[name].timing.time_s < own[name].timing.time_s}
    assert faster == BESIDE
    for name in BESIDE:
        told, alone = hidden[name].timing, own[name].timing
        assert (hidden[name].flops, hidden[name].bytes) == (own[name].flops, own[name].bytes)
        assert told.time_s == pytest.approx(alone.bound_s)
        assert told.high_s == pytest.approx(alone.time_s)  # behind the others after all
        assert told.compute_s + told.memory_s == pytest.approx(told.time_s)
        assert told.latency_s == 0


def test_devices_that_an_engine_does_not_name_run_one_operator_after_the_other() -> None:
    told = [operators(beside=beside, hardware="mi300x") for beside in (False, True)]
    assert told[0] == told[1]


def test_of_an_array_of_steps_those_that_are_replayed_hide_it() -> None:
    each = beside_others(ALONE, np.array([1, 0]))
    for name in ("time_s", "bound_s", "low_s", "high_s", "latency_s", "compute_s", "memory_s"):
        first, second = getattr(each, name)
        assert first == pytest.approx(getattr(beside_others(ALONE, 1), name))
        assert second == pytest.approx(getattr(ALONE, name))


def test_what_takes_no_time_hides_nothing() -> None:
    nothing = replace(ALONE, time_s=0.0, bound_s=0.0, low_s=0.0, high_s=0.0, latency_s=0.0, compute_s=0.0, memory_s=0.0)
    assert beside_others(nothing, 1) == nothing
