"""The chart of a simulated load: its lines are the simulation's, and no two texts overlap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import artist, check_texts
from shell import roofline as shell

import roofline
from roofline.charts.drawing.theme import SIZES
from roofline.charts.kinds.load import describe_load, draw_load

FEW = {"engine.max_sequences": 16}


@pytest.fixture(scope="module")
def found() -> roofline.Simulation:
    asked = {"load": 4.0, "requests": 60, "prompt": 256, "generate": "16/32", "ttft": "60 ms", "tpot": "10 ms"}
    return roofline.simulate("llama-3.1-8b", "h100", **asked, set=FEW)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
def test_lines_are_the_simulation_and_texts_stay_apart(found: roofline.Simulation, size: str) -> None:
    figure = draw_load(found, size=size)
    check_texts(figure)
    waits = artist(figure, "waits:ttft_s")
    assert np.median(waits.get_xdata()) == pytest.approx(found.outcome.times["ttft_s"].percentiles[50], rel=0.05)
    assert artist(figure, "goodput").get_ydata() == pytest.approx([each.goodput for _, each in found.curve])
    assert all(each.goodput <= each.requests_per_s for _, each in found.curve)
    assert "TTFT" in describe_load(found)


def test_simulate_draws_it(tmp_path: Path) -> None:
    path = tmp_path / "load.png"
    line = f"simulate llama-3.1-8b --hardware h100 --concurrency 4 --requests 40 --quiet --plot {path}"
    assert shell(*line.split())[0] == 0
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert shell(*line.split()[:-1], "load.gif")[0] == 2
