"""The scoreboard of training steps: what the page shows is what it prints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "measured"
sys.path.insert(0, str(ROOT / "benchmarks"))

import training_board  # noqa: E402

measured = pytest.mark.skipif(not DATA.is_dir(), reason="needs the measurements in ../shared/measured")


@measured
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if "2022" in name else pytest.mark.slow) for name in training_board.SETS]
)
def test_the_page_shows_the_board(name: str) -> None:
    assert training_board.line(name, list(training_board.SETS[name](DATA))) in training_board.PAGE.read_text()


def test_a_row_by_hand() -> None:
    step = training_board.asked(
        training_board.gpt(64, 2, 2, 128, 1000), "a100-sxm-80gb", 1, sequence=128, batch=2, microbatch=2
    )
    judged = training_board.Judged("toy", 2 * float(step.timing.time_s), step)
    assert judged.ratio == 0.5
    assert judged.naive == pytest.approx(step.six_nd / (0.4 * 312e12) / judged.measured_s)
    row = training_board.line("toy", [judged])
    assert row.startswith("| toy | 1 | 50.0 % | 50.0 % | 50.0 % | 0.50 |")
