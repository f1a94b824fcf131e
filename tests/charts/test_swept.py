"""Pictures of what a sweep answered: every point of a front has its place, every cell its value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from shell import answer, roofline

from roofline import sweep
from roofline.charts.kinds.swept import describe_swept, draw_heat_map, draw_swept_front
from roofline.errors import UsageError
from roofline.sweeps.questions import Found

BATCHES = (1, 2, 4, 8)


def front(groups: int = 2) -> Found:
    rows: list[dict[str, Any]] = [
        {
            "model": "m",
            "hardware": f"d{g}",
            "batch": b,
            "tpot_s": 0.01 * (g + 1) * b**0.5,
            "usd_per_mtoken": (g + 1) / b,
        }
        for g in range(groups)
        for b in BATCHES
    ]
    return Found("front", pa.Table.from_pylist(rows), ("tpot_s", "usd_per_mtoken"), "hardware")


def pivot() -> Found:
    cells = [{"batch": b, "context": c, "tpot_s": 0.001 * b * c} for b in BATCHES for c in (10, 20) if b * c != 20]
    return Found("min tpot_s", pa.Table.from_pylist(cells), ("batch", "context"), "tpot_s", pivoted=True)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


@pytest.mark.parametrize("size", ["slide", "column"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_front_has_its_points_and_their_names(theme: str, size: str) -> None:
    figure = draw_swept_front(front(), theme=theme, size=size)
    lines = {line.get_gid(): line.get_xydata() for line in figure.axes[0].lines}
    for g in range(2):
        expected = [(0.01 * (g + 1) * b**0.5, (g + 1) / b) for b in BATCHES]
        assert lines[f"front:hardware d{g}"] == pytest.approx(np.array(expected))
    assert {"hardware d0", "hardware d1"} <= set(texts(figure))
    named = [text for text in texts(figure) if text.startswith("batch")]
    assert set(named) == {f"batch {b}" for b in BATCHES}
    assert "8 points" in describe_swept(front())


def test_a_heat_map_has_its_cells() -> None:
    figure = draw_heat_map(pivot())
    (image,) = figure.axes[0].images
    colours = np.asarray(image.get_array())
    assert colours.shape == (4, 2, 4)
    assert (colours[1, 0, 3], colours[0, 1, 3], colours[0, 0, 3]) == (0, 0, 1)  # no row has 20
    cells = [text for text in texts(figure) if text.endswith(" ms")]
    assert sorted(cells) == ["10 ms", "160 ms", "40 ms", "40 ms", "80 ms", "80 ms"]
    light = colours[..., :3].sum(axis=2)
    assert light[0, 0] < light[3, 0] < light[3, 1]  # less is better, and darker


def test_a_heat_map_says_what_does_not_fit() -> None:
    cells = [{"batch": b, "context": 10, "tpot_s": None if b > 2 else 0.01 * b} for b in BATCHES]
    found = Found("min tpot_s", pa.Table.from_pylist(cells), ("batch", "context"), "tpot_s", pivoted=True)
    assert any("an empty cell does not fit or has no row" in text for text in texts(draw_heat_map(found)))
    assert "2 points" in describe_swept(found)
    table = pa.table({"batch": [1], "context": [10], "tpot_s": pa.array([None], pa.float64())})
    with pytest.raises(UsageError, match="nothing fits"):
        draw_heat_map(Found("min tpot_s", table, ("batch", "context"), "tpot_s", pivoted=True))


def test_lines_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(UsageError, match="7 lines are too many"):
        draw_swept_front(front(7))


def test_from_the_shell(tmp_path: Path) -> None:
    sweep({"models": "gpt2", "hardware": "a10,l4", "batch": "1..8:log2", "context": "9,90"}, tmp_path / "out")
    show = ["sweep", "show", str(tmp_path / "out")]
    answer(*show, "--pareto", "tpot_s,tokens_per_s", "--by", "hardware", "--plot", str(tmp_path / "a.svg"))
    answer(*show, "--pivot", "batch,context", "--plot", str(tmp_path / "b.png"))
    assert "batch 8" in (tmp_path / "a.svg").read_text("utf-8")
    assert (tmp_path / "b.png").stat().st_size > 1000
    for words, problem in (
        (["--best", "tpot_s", "--plot", "a.png"], "--plot draws --pareto or --pivot"),
        (["--pivot", "batch,context", "--plot", "a.jpg"], "a.jpg"),
        (["--json"], "--json is of rows"),
    ):
        code, _, error = roofline(*show, *words)
        assert (code, error.count("\n"), problem in error) == (2, 1, True), error
