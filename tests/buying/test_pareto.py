"""The Pareto front: nothing on it is beaten, whatever is off it is; dtypes side by side; the chart of it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import answer, refusal

from roofline import Comparison, compare
from roofline.buying.pareto import unbeaten
from roofline.charts.kinds.front import describe_front, draw_front, front_rows
from roofline.errors import UsageError
from roofline.reports.serving.comparison import thinned

VALUES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=30)


@given(VALUES)
def test_the_front_is_what_nothing_beats_in_both(pairs: list[tuple[int, int]]) -> None:
    times, costs = (np.array(values, dtype=np.float64) for values in zip(*pairs, strict=True))
    front = unbeaten(times, costs).tolist()
    for place, (time, cost) in enumerate(pairs):
        beaten = any(t <= time and c <= cost and (t, c) != (time, cost) for t, c in pairs)
        if beaten:
            assert place not in front
        else:
            assert (time, cost) in [pairs[at] for at in front]
    for fast, slow in pairwise(front):
        assert times[fast] < times[slow]
        assert costs[fast] > costs[slow]


def result(**asked: object) -> Comparison:
    wanted = {"hardware": "h100,mi300x,l40s", "dtype": "bf16,fp8", **asked}
    return compare("llama-3.1-8b", **wanted)  # type: ignore[arg-type]


def test_no_row_beats_the_front_and_targets_hold_on_it() -> None:
    found = result(tpot="20 ms")
    assert found.front
    for point in found.front:
        assert point.tpot_s <= 0.02
    for row in found.rows:
        if row.cost and row.point and row.qualifies:
            cheaper = [p for p in found.front if p.tpot_s <= row.point.tpot.value * (1 + 1e-9)]
            assert min(p.usd_per_million for p in cheaper) <= row.cost.mix(1.0) * (1 + 1e-9)


def test_each_dtype_is_a_row_of_its_own_and_a_refusal_one_too() -> None:
    rows = {str(row.curve.who): row for row in result(hardware="h100,a100").rows}
    assert set(rows) == {"h100-sxm-80gb bf16", "h100-sxm-80gb fp8", "a100-sxm-80gb bf16", "a100-sxm-80gb fp8"}
    assert "has no fp8" in rows["a100-sxm-80gb fp8"].misses[0]


def test_without_prices_there_is_no_front() -> None:
    assert result(hardware="l40s").front == ()
    with pytest.raises(UsageError, match="no hardware has a price of this kind"):
        draw_front(result(hardware="l40s"))


def test_a_thinned_front_keeps_its_ends_and_its_changes() -> None:
    front = result().front
    kept = thinned(front)
    assert (kept[0], kept[-1]) == (front[0], front[-1])
    assert len(kept) < len(front)
    for before, after in pairwise(front):
        if (before.hardware, before.dtype) != (after.hardware, after.dtype):
            assert after in kept


def test_the_shell_prints_the_front_and_json_has_all_of_it() -> None:
    asked = ("compare", "llama-3.1-8b", "--hardware", "h100,mi300x", "--dtype", "bf16,fp8")
    text = answer(*asked, "--pareto")
    assert "\nPareto front" in text
    points = json.loads(answer(*asked, "--json"))["pareto_front"]
    assert f" of {len(points)} points" in text


def test_the_chart_draws_a_line_for_each_hardware_and_the_front() -> None:
    found = result(hardware="h100,mi300x")
    (axes,) = draw_front(found).axes
    assert {line.get_gid() for line in axes.lines} >= {"front", "line:h100-sxm-80gb fp8", "line:mi300x bf16"}
    rows = front_rows(found)
    assert sum(row["on_front"] for row in rows) == len(found.front)
    assert "fastest" in describe_front(found)


def test_the_chart_at_the_shell(tmp_path: Path) -> None:
    asked = ("plot", "compare", "llama-3.1-8b", "--hardware", "h100,mi300x", "--over", "cost")
    words = answer(*asked, "-o", str(tmp_path / "a.png"), "--data")
    assert "cost against TPOT" in words
    assert (tmp_path / "a.csv").read_text().startswith("model,hardware,batch,tpot_s,usd_per_million_tokens,on_front")
    assert "cheapest" in words
    edited = (*asked, "--set", "hardware.memory.hbm.bandwidth=9TB/s", "-o", str(tmp_path / "c.png"), "--data")
    assert "edited" in answer(*edited)
    assert (tmp_path / "c.csv").read_text() != (tmp_path / "a.csv").read_text()
    assert "--attention" in refusal(2, *asked, "--attention", "materialised", "-o", str(tmp_path / "d.png"))
    assert "too many" in refusal(
        2, "plot", "compare", "llama-3.1-8b", "--hardware", "all", "--over", "cost", "-o", str(tmp_path / "b.png")
    )
