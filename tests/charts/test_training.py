"""The chart of a training step: its bars are the memory, its passes the schedule, and no two texts overlap."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import artist, check_texts
from shell import roofline as shell

import roofline
from roofline.charts.drawing.theme import SIZES
from roofline.charts.kinds.training import describe_training, draw_training
from roofline.training.step import TrainingStep


@pytest.fixture(scope="module")
def step() -> TrainingStep:
    asked = {"sequence": 1024, "batch": 16, "pp": 4, "dp": 2, "microbatch": 1, "zero": 1, "recompute": "none"}
    return roofline.train("llama-3.2-1b", "8xh100", **asked, schedule="zb-h1").step  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
def test_bars_are_the_memory_and_texts_stay_apart(step: TrainingStep, size: str) -> None:
    figure = draw_training(step, size=size, theme="dark" if size == "slide" else "light")
    check_texts(figure)
    for stage, held in step.memory.items():
        assert artist(figure, f"memory:{stage}:saved").get_height() == pytest.approx(float(held.saved))
    spans = artist(figure, "passes:3:forward").get_paths()
    assert len(spans) == step.microbatches
    first = min(each.end_s - each.start_s for each in step.timeline() if (each.stage, each.what.kind) == (0, "forward"))
    assert spans[0].get_extents().width == pytest.approx(first)
    assert "zb-h1 of 8 microbatches" in describe_training(step)


def test_train_draws_it(tmp_path: Path) -> None:
    path = tmp_path / "step.png"
    line = f"train gpt2 --hardware h100 --batch 8 --quiet --plot {path}"
    assert shell(*line.split())[0] == 0
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert shell(*line.split()[:-1], "step.gif")[0] == 2
