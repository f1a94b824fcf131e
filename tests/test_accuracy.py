"""The scoreboard: its split, its figures by hand, and the README's table, which is what it prints.

python tests/test_accuracy.py refreshes the table.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "measured"
sys.path.insert(0, str(ROOT / "benchmarks"))

import accuracy  # noqa: E402
from measured_sets import MeasuredSet, assert_disjoint, load_sets  # noqa: E402

from roofline.hardware import load_hardware  # noqa: E402
from roofline.operators import predict_op  # noqa: E402

TABLE = re.compile(r"(?<=<!-- accuracy -->\n)(.*?)(?=<!-- end of accuracy -->)", re.DOTALL)
measured = pytest.mark.skipif(not DATA.is_dir(), reason="needs the measurements in ../shared/measured")


def toy() -> MeasuredSet:
    """Nine matmuls: n and k from 1, 2, 3; 1 is fitted."""
    n, k = (column.ravel() for column in np.meshgrid([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]))
    known = {"n": frozenset((1,)), "k": frozenset((1,))}
    sizes = {"m": np.full(9, 4.0), "n": n, "k": k}
    return MeasuredSet("toy", "matmul", load_hardware("h100"), "bf16", sizes, np.full(9, 1e-5), known)


def pairs(rows: MeasuredSet) -> set[tuple[float, float]]:
    return set(zip(rows.sizes["n"].tolist(), rows.sizes["k"].tolist(), strict=True))


def test_the_split_shares_no_value_and_loses_no_row() -> None:
    rows = toy()
    assert pairs(rows.fitted()) == {(1, 1)}
    assert pairs(rows.held_out()) == {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert pairs(rows.between()) == {(1, 2), (1, 3), (2, 1), (3, 1)}
    assert_disjoint([rows.fitted()], [rows.held_out()])


def test_values_for_the_band_are_not_judged() -> None:
    rows = replace(toy(), fit_values={"n": frozenset((1,))}, band_values=frozenset((2,)))
    for part, value in ((rows.fitted(), 1), (rows.between(), 2), (rows.held_out(), 3)):
        assert set(part.sizes["n"].tolist()) == {value}


def test_a_shared_value_is_an_error() -> None:
    rows = toy()
    with pytest.raises(AssertionError, match=r"toy: n \[1.0\] stand among the fitted rows"):
        assert_disjoint([rows.fitted()], [rows.between()])


def test_the_figures_are_those_of_the_definition() -> None:
    predicted = predict_op("matmul", "h100", m=np.array([16.0, 16.0]), n=4096, k=4096)
    measured_s = np.array([predicted.time_s[0] / 1.1, predicted.high_s[1] * 2])
    n, median, mean, _, bias, cover, *_ = accuracy.scores(predicted, measured_s, np.ones(2, bool))
    second = 1 - predicted.time_s[1] / measured_s[1]
    assert (n, cover) == ("2", "50 %")
    assert median == mean == f"{100 * (0.1 + second) / 2:.1f} %"
    assert bias == f"{np.sqrt(1.1 * (1 - second)):.2f}"


@measured
def test_no_judged_shape_was_fitted_and_no_row_is_lost() -> None:
    sets = load_sets(DATA)
    assert_disjoint([rows.fitted() for rows in sets if rows.fit_values], [rows.held_out() for rows in sets])
    assert len(sets) > 20
    for rows in sets:
        assert len(rows.held_out()) >= 9, rows.name
        assert np.isfinite(rows.measured_s).all(), rows.name


@measured
def test_the_table_of_the_readme_is_what_the_scoreboard_prints() -> None:
    (table,) = TABLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert table.strip() == _table()


@measured
def test_a_calibration_beats_its_class_and_the_data_sheet_on_rows_that_were_not_fitted() -> None:
    def medians(constants: Any) -> list[float]:
        lines = [line for line in accuracy.board(DATA, constants) if line[0] and line[1] == "all"]
        return [float(line[3].split()[0]) for line in lines[:8]]  # the matmuls and attentions of the A100

    calibrated, data_sheet = medians("calibrated"), medians("datasheet")
    assert all(ours < naive for ours, naive in zip(calibrated, data_sheet, strict=True))
    assert sum(calibrated) < sum(medians("class"))


def _table() -> str:
    return "\n".join(accuracy.table(accuracy.board(DATA, None), brief=True))


if __name__ == "__main__":
    page = ROOT / "README.md"
    page.write_text(TABLE.sub(lambda _: _table() + "\n", page.read_text(encoding="utf-8")), encoding="utf-8")
