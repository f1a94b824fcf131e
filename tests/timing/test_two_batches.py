"""Two-batch overlap: what of dispatch and combine is seen beside the other half's attention and experts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline
from roofline.cost.cost import Cost
from roofline.prediction.layouts.search import search_layouts
from roofline.prediction.predict import Prediction
from roofline.program.transfers import Transfer
from roofline.serving.batch_sweep import curves
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.operating_points import Targets
from roofline.serving.scenario import read_question
from roofline.timing.timing import Timing, total
from roofline.timing.two_batches import exposed

SENT = Transfer("all_to_all", 8, 1, "ep")
WHAT = (("attention", None), ("dispatch", SENT), ("experts", None), ("combine", SENT))
CUT: dict[str, Any] = {"set": {"engine.two_batches": True}}


def layers(seconds: tuple[float, ...], many: int, halves: int = 2) -> tuple[list[Cost], list[Timing]]:
    """So many layers of attention, dispatch, experts and combine, each half of which takes these seconds."""
    costs = [
        Cost("layers", name, "collective" if sent else "matmul", "bf16", many * halves, 0, 0, 0, 0, transfer=sent,
             halves=halves)
        for name, sent in WHAT
    ]  # fmt: skip
    return costs, [Timing(each, 0.5 * each, 0.8 * each, 1.5 * each, memory_s=each) for each in seconds]


def played(a: float, d: float, e: float, c: float, many: int) -> float:
    """The end of so many layers of two halves, which compute and send in turn, played out event by event."""
    ready, sent, computes, sends = [0.0, 0.0], [0.0, 0.0], 0.0, 0.0
    for _ in range(many):
        for work, message in ((a, d), (e, c)):
            for half in (0, 1):
                begun = max(computes, sent[half])
                ready[half] = computes = begun + work
                sends = max(sends, ready[half]) + message
                sent[half] = sends
    return max(sent)


SECONDS = st.floats(1e-6, 1e-3)


@given(SECONDS, SECONDS, SECONDS, SECONDS, st.integers(1, 60))
def test_no_layer_is_faster_than_its_parts_or_slower_than_all_of_them(
    a: float, d: float, e: float, c: float, many: int
) -> None:
    costs, whole = layers((a, d, e, c), many)
    seen = exposed(costs, whole)
    step = total((cost.count, each) for cost, each in zip(costs, seen, strict=True))
    alone = total((cost.count, each) for cost, each in zip(costs, whole, strict=True))
    most = 2 * many * max(a + e, d + c)
    assert most * (1 - 1e-9) <= float(step.time_s) <= float(alone.time_s) * (1 + 1e-9)
    assert step.bound_s <= step.low_s * (1 + 1e-9)
    assert step.low_s <= step.time_s * (1 + 1e-9)
    assert step.time_s <= step.high_s * (1 + 1e-9)
    assert step.latency_s + step.compute_s + step.memory_s + step.link_s == pytest.approx(step.time_s)


@pytest.mark.parametrize("seconds", list(itertools.product((1.0, 3.0), repeat=4)))
def test_the_form_is_that_of_two_halves_played_in_turn(seconds: tuple[float, ...]) -> None:
    costs, whole = layers(seconds, 1)
    layer = float(total((c.count, t) for c, t in zip(costs, exposed(costs, whole), strict=True)).time_s)
    last = played(*seconds, many=60) - played(*seconds, many=59)  # without the ends of a step
    assert last * (1 - 1e-9) <= layer <= 1.26 * last  # what is played does not wait for both before it
    if seconds in ((3, 1, 3, 1), (1, 3, 1, 3), (3, 3, 3, 3), (1, 1, 1, 1)):
        assert layer == pytest.approx(last)


def test_what_is_not_run_in_halves_is_as_it_was() -> None:
    costs, whole = layers((1.0, 2.0, 3.0, 4.0), 5, halves=1)
    assert exposed(costs, whole) == whole
    some = [replace(cost, count=np.array([5.0, 10.0]), halves=np.array([1.0, 2.0])) for cost in costs]
    alike = [each.each(lambda seconds: np.array([seconds, seconds])) for each in whole]
    cut, _ = layers((1.0, 2.0, 3.0, 4.0), 5)
    for each, first, second in zip(exposed(some, alike), whole, exposed(cut, whole), strict=True):
        assert np.asarray(each.time_s).tolist() == pytest.approx([first.time_s, second.time_s])


def ask(**options: Any) -> Prediction:
    asked = {"dtype": "fp8", "dp": 32, "ep": 32, "batch": 4096, "context": 3000} | options
    return roofline.predict("deepseek-v3", "32xh200", **asked)


def test_halves_read_their_experts_twice_and_hide_what_they_send() -> None:
    whole, cut = ask(), ask(**CUT)
    assert not whole.dispatch_hidden
    hidden = cut.dispatch_hidden["decode"]
    assert 0.3 < hidden <= 1
    assert cut.to_dict()["dispatch_hidden"] == {"decode": hidden}
    one, two = ({op.name: op for op in each.phases["decode"].operators} for each in (whole, cut))
    gate = next(name for name in one if name.endswith("experts_gate_up"))
    assert two[gate].count == 2 * one[gate].count
    assert two[gate].figures.flops == pytest.approx(one[gate].figures.flops, rel=1e-9)
    assert two[gate].figures.bytes > 1.5 * one[gate].figures.bytes
    few = ask(batch=32 * 31), ask(batch=32 * 31, **CUT)  # 31 tokens of a rank, and vLLM cuts from 32 on
    assert few[0].tpot_s == few[1].tpot_s


@pytest.mark.parametrize("work", [{"context": 3000}, {"prompt": 2048, "phase": "prefill"}])
def test_a_row_of_the_search_is_the_prediction(work: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"dtype": "fp8", **work, **CUT}
    table = search_layouts("deepseek-v2-lite", "8xh100", batch=[256], **asked)
    rows = [row for row in range(len(table)) if table.layout(row).ep > table.layout(row).tp][:6]
    assert rows
    for row in rows:
        one = roofline.predict("deepseek-v2-lite", "8xh100", batch=256, **table.layout(row).to_dict(), **asked)
        assert one.request_s == pytest.approx(float(table.request_s[row]), rel=1e-9)


def test_compare_hides_as_predict_does_and_takes_what_serves_most() -> None:
    asked: dict[str, Any] = {"dtype": "fp8", "prompt": 1000, "generate": 200}
    hardware = read_hardware(["2xh100"])
    targets = Targets.means(tpot_s=0.02)
    found = {
        cut: curves(read_question("deepseek-v2-lite", **asked, set={"engine.two_batches": cut}), hardware, targets)
        for cut in (False, True)
    }
    best = {str(curve.split): curve for curve in curves(read_question("deepseek-v2-lite", **asked), hardware, targets)}
    assert len(best) == len(found[False]) == len(found[True])
    for one, two in zip(found[False], found[True], strict=True):
        chosen = best[str(one.split)]
        if one.split.ep <= one.split.tp:
            assert chosen.running is not None
            assert not chosen.running.engine.two_batches
        if one.problem:
            continue
        rates = [float(np.max(each.of("requests_per_s"))) for each in (one, two, chosen)]
        assert rates[2] in (pytest.approx(rates[0]), pytest.approx(rates[1]))
