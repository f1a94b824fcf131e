"""Layouts in ``predict`` and in ``compare``: a decode step takes as long, and equal targets have one best layout."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from roofline.parallelism.layout import Layout
from roofline.prediction.layouts.evaluation import LayoutTable
from roofline.prediction.layouts.search import search_layouts
from roofline.program.phases import Phase
from roofline.serving.batch_sweep import curves
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.replica_layouts import replica_layouts
from roofline.serving.scenario import read_question

BATCHES = (8, 16, 32, 48)
CASES = [("deepseek-v2-lite", "4xh100"), ("llama-3.1-8b", "4xl40s")]


@cache
def both(model: str, hardware: str) -> tuple[dict[tuple[str, int], Curve], LayoutTable]:
    """The curves of replicas that only decode, by their layout and number, and the table of layouts of as many."""
    question = replace(read_question(model, prompt=1000, generate=64), only=Phase.DECODE)
    found = {(curve.layout, curve.replicas): curve for curve in curves(question, read_hardware([hardware]))}
    table = search_layouts(model, hardware, batch=BATCHES, prompt=1000, generate=64, phase="decode")
    return found, table


def replica_of(layout: Layout) -> tuple[str, int]:
    """A replica of a layout of all devices, and how many there are: ranks that share experts are of one."""
    ranks = max(int(layout.ep) // int(layout.tp), 1)
    return str(replace(layout, dp=ranks)), int(layout.dp) // ranks


def step_of(curve: Curve, replicas: int, batch: int) -> tuple[float, float]:
    """The time of a step, and the tokens per second of all replicas, at a batch of all of them."""
    assert curve.state is not None
    at = int(np.flatnonzero(curve.state.batches * replicas == batch)[0])
    step = float(curve.of("tpot_s")[at])
    return step, batch / step


@pytest.mark.parametrize(("model", "hardware"), CASES)
def test_a_decode_step_takes_as_long_in_compare_as_in_predict(model: str, hardware: str) -> None:
    found, table = both(model, hardware)
    seen = set()
    for row in range(len(table)):
        replica, count = replica_of(table.layout(row))
        if (curve := found.get((replica, count))) is not None:
            step, _ = step_of(curve, count, int(table.batch[row]))
            assert step == pytest.approx(float(table.tpot_s[row]), rel=1e-4), replica
            seen.add((replica, count))
    assert seen == set(found)


@pytest.mark.parametrize(("model", "hardware"), CASES)
def test_equal_targets_have_one_best_layout(model: str, hardware: str) -> None:
    found, table = both(model, hardware)
    chosen, told = set(), np.array([replica_of(table.layout(row)) in found for row in range(len(table))])
    for target in np.quantile(table.tpot_s, (0.02, 0.2, 0.6)):
        met = told & table.fits & (table.tpot_s <= target * (1 + 1e-4))
        rate = np.where(met, table.batch / table.tpot_s, 0.0)
        row = int(np.argmax(rate))
        steps = {
            (*key, batch): step_of(curve, key[1], batch)
            for key, curve in found.items()
            for batch in BATCHES
            if not curve.problem
        }
        rates = {key: rate for key, (step, rate) in steps.items() if step <= target * (1 + 2e-4)}
        best = max(rates, key=lambda key: rates[key])
        assert best == (*replica_of(table.layout(row)), int(table.batch[row]))
        chosen.add(best)
    assert len(chosen) > 1  # targets matter


def test_ranks_that_share_experts_are_one_replica() -> None:
    program = read_question("olmoe-1b-7b").program
    layouts = replica_layouts(program, 8)
    assert len(set(layouts)) == len(layouts)
    for layout in layouts:
        assert 8 % int(layout.devices) == 0
        assert layout.dp == 1 or layout.ep * layout.pp == layout.devices
    assert Layout(tp=2, dp=4, ep=8) in layouts
