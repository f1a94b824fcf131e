"""Recorded validations: the table of docs/measuring.md is what the results say, and they hold no path and no host."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from roofline.calibration.constants import read_calibration

ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "validation_results").glob("*/*.json"))


def test_the_table_of_the_page_is_what_the_results_say() -> None:
    table = runpy.run_path(str(ROOT / "benchmarks" / "validation_table.py"))
    page = table["PAGE"].read_text(encoding="utf-8")
    assert table["written"](page) == page


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_has_its_environment_its_command_and_every_sample(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    for run in result["runs"].values():
        assert run["environment"]["torch"]
        assert run["command"].startswith("python benchmarks/record_validation.py")
        for case in run["cases"]:
            assert len(case["prediction_sha256"]) == 64
            assert len(case["samples_s"]) >= 3
            assert case["predicted_s"] > 0


@pytest.mark.parametrize("path", sorted(ROOT.glob("validation_results/*/*-fp32.yaml")), ids=lambda path: path.stem)
def test_the_calibration_of_a_run_can_be_read(path: Path) -> None:
    calibration = read_calibration(path)
    assert (path.parent / str(calibration.extends)).is_file()
