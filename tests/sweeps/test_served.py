"""Rows of serving are what ``compare`` says of the same layout with as many requests in flight in each replica."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import roofline
from roofline.serving.batch_sweep import curves
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.scenario import read_question
from roofline.sweeps.columns import KEPT

HOW: dict[str, Any] = {"dtype": "bf16", "set": {"model.num_hidden_layers": 2, "model.num_experts_per_tok": 2}}


def swept(folder: Path, **study: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = roofline.sweep(study, folder).scan().to_table().to_pylist()
    return found


@pytest.mark.parametrize("layout", [{"tp": 8}, {"tp": 2}, {"tp": 2, "dp": 4, "ep": 8}])
def test_a_row_is_the_curve_of_compare(layout: dict[str, int], tmp_path: Path) -> None:
    lengths = {"prompt": 700, "generate": 40}
    rows = swept(tmp_path, models="mixtral-8x7b", hardware="8xh100", dtypes="bf16", set=HOW["set"], layouts=[layout],
                 keep=[*KEPT, "power_w"],
                 concurrency=[8, 32, 48], **lengths)  # fmt: skip
    question = read_question("mixtral-8x7b", **HOW, **lengths)
    words = ", ".join(f"{flag} {degree}" for flag, degree in layout.items())
    (curve,) = [each for each in curves(question, read_hardware(["8xh100"])) if str(each.split) == words]
    assert curve.state is not None
    assert curve.held is not None
    assert curve.running is not None
    for row, requests in zip(rows, (8, 32, 48), strict=True):
        column = int(np.flatnonzero(curve.state.batches == requests / curve.replicas)[0])
        expected = {name: float(curve.of(name)[column]) for name in ("ttft_s", "tpot_s")}
        expected["requests_per_s"] = float(curve.of("requests_per_s")[column]) * curve.replicas
        expected["tokens_per_s"] = expected["requests_per_s"] * 40
        expected["power_w"] = float(curve.of("power_w")[column]) * 8
        expected["request_s"] = expected["ttft_s"] + 39 * expected["tpot_s"]
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-12), name
        assert row["layout"].removeprefix("4 x ") == words
        assert sum(row[f"share_{part}"] for part in ("latency", "compute", "memory", "link")) == pytest.approx(1.0)
        room = curve.running.reserve.room(curve.hardware.device.capacity or 0)
        assert row["max_batch"] == curve.held.most(room) * curve.replicas * curve.groups
        assert row["fits"] == (requests <= row["max_batch"])
        assert (row["concurrency"], row["batch"], row["phase"], row["devices"]) == (requests, None, "serving", 8)


def test_of_all_layouts_the_one_that_serves_most_and_fits(tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "models": "llama-3.1-8b",
        "hardware": "4xl40s",
        "prompt": 900,
        "generate": 50,
        "concurrency": "1,2,60,200",
    }
    asked["keep"] = [*KEPT, "power_w"]
    best = swept(tmp_path / "best", **asked)
    every = [row for row in swept(tmp_path / "all", layouts="all", **asked) if not row["refused"]]
    assert {row["layout"] for row in every} == {
        "4 x one device", "2 x tp 2", "tp 4", "2 x pp 2", "tp 2, pp 2", "pp 4",
    }  # fmt: skip
    for row in best:
        rivals = [each for each in every if each["concurrency"] == row["concurrency"] and each["fits"]]
        assert row["requests_per_s"] == max(each["requests_per_s"] for each in rivals)
        assert row["fits"]
    first, second = best[0], [row for row in every if row["layout"] == "4 x one device"][:2]
    assert first["tpot_s"] == min(row["tpot_s"] for row in every if row["concurrency"] == 1)
    assert second[1]["requests_per_s"] == pytest.approx(2 * second[0]["requests_per_s"], rel=1e-12)  # two of four busy
    assert second[1]["power_w"] > second[0]["power_w"]


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        ({"models": "bert-base", "hardware": "a10"}, "generates no"),
        ({"models": "gpt2", "hardware": "a10", "generate": 1}, "nothing is decoded"),
        ({"models": "gpt2", "hardware": "a10", "prompt": 4000}, "max_position_embeddings"),
        ({"models": "llama-3.1-70b", "hardware": "t4", "generate": 9}, "does not fit"),
        ({"models": "gpt2", "hardware": "4xa10", "layouts": [{"tp": 4}], "dtypes": "fp8"}, "fp8"),
        ({"models": "gpt2", "hardware": "4xa10", "layouts": [{"tp": 8}]}, "is none of a replica of gpt2 on 4xa10"),
        ({"models": "llama-3.1-8b", "hardware": "l40s", "prompt": 9000, "concurrency": 200}, "larger engine.chunk"),
        ({"models": "gpt2", "hardware": "a10", "concurrency": 40, "set": {"engine.max_sequences": 39}}, "others wait"),
    ],
)
def test_what_is_not_served_is_a_row_with_its_reason(study: dict[str, Any], reason: str, tmp_path: Path) -> None:
    (row,) = swept(tmp_path, **{"concurrency": 4, **study})
    assert reason in str(row["refused"])
    assert row["tpot_s"] is None
    assert (row["phase"], row["concurrency"]) == ("serving", study.get("concurrency", 4))


def test_serving_is_beside_other_phases(tmp_path: Path) -> None:
    rows = swept(tmp_path, models="gpt2", hardware="a10", phases="request,serving", batch="1,2", concurrency="3,4",
                 prompt=64, generate=9, layouts=[{"tp": 1}])  # fmt: skip
    assert [(row["phase"], row["batch"], row["concurrency"]) for row in rows] == [
        ("request", 1, None), ("request", 2, None), ("serving", None, 3), ("serving", None, 4)
    ]  # fmt: skip
    assert all(row["usd_per_mtoken"] is not None or row["usd_per_h"] is None for row in rows)
