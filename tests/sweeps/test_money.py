"""What rows cost, at each price there is, and whether they are within their targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import roofline
from roofline.sweeps.money import Money
from roofline.sweeps.questions import best, pareto
from roofline.sweeps.study import read_study

STUDY = {
    "models": "gpt2",
    "hardware": "a10,l40s",
    "counts": "1,2",
    "layouts": [{"dp": 1}, {"tp": 2}],
    "batch": "1,8",
    "prompt": 100,
    "generate": 20,
    "price_kind": "on_demand,purchase",
    "prices": "a10=0.6USD/h,a10=0.8USD/h,l40s=9000USD,1.5",
    "owning": {"years": 2, "pue": 1.5, "power_price": 0.2},
    "targets": {"ttft": "3ms", "tpot": ["0.7ms", 0.5]},
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> roofline.Sweep:
    return roofline.sweep(STUDY, tmp_path_factory.mktemp("priced"))


@pytest.fixture(scope="module")
def rows(swept: roofline.Sweep) -> list[dict[str, Any]]:
    return [row for row in swept.scan().to_table().to_pylist() if row["refused"] is None]


def test_each_price_that_concerns_a_device_is_a_row(rows: list[dict[str, Any]]) -> None:
    def rents(hardware: str, devices: int) -> set[float]:
        its = [row for row in rows if (row["hardware"], row["devices"]) == (hardware, devices)]
        return {round(row["usd_per_h"], 9) for row in its if row["price_kind"] == "on_demand"}

    assert rents("a10", 1) == {0.6, 0.8, 1.5}
    assert rents("a10", 2) == rents("2xa10", 2) == {1.2, 1.6, 3.0}  # two that a layout makes up, two that are there
    assert rents("l40s", 1) == {1.5}
    told = {row["price"] for row in rows if (row["hardware"], row["price_kind"]) == ("l40s", "purchase")}
    assert told == {"l40s 9,000 USD, purchase, as given (--prices)"}


def test_what_a_million_tokens_cost(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["usd_per_h"] is None:
            continue
        assert row["usd_per_mtoken"] == pytest.approx(row["usd_per_h"] / 3600 / row["tokens_per_s"] * 1e6, rel=1e-12)
        if row["price_kind"] == "purchase" and row["hardware"] == "2xl40s":
            energy = row["energy_j"] / row["request_s"] / 1000 * 1.5 * 0.2
            assert row["usd_per_h"] == pytest.approx(2 * 9000 / (2 * 8760) + energy, rel=1e-12)


def test_rows_say_whether_they_meet_their_targets(swept: roofline.Sweep, rows: list[dict[str, Any]]) -> None:
    assert {(row["ttft_target_s"], row["tpot_target_s"]) for row in rows} == {(0.003, 0.0007), (0.003, 0.5)}
    for row in rows:
        assert row["ttft_met"] == (row["ttft_s"] <= 0.003)
        assert row["tpot_met"] == (row["tpot_s"] <= row["tpot_target_s"])
        assert row["targets_met"] == (row["ttft_met"] and row["tpot_met"])
    assert {row["targets_met"] for row in rows} == {True, False}
    met = best(swept, "usd_per_mtoken", "targets_met and price_kind = on_demand").rows()
    assert met
    assert all(row["targets_met"] for row in met)
    missed = pareto(swept, ["tpot_s", "tokens_per_s"], "hardware", "not targets_met").rows()
    assert not any(row["targets_met"] for row in missed)


def test_a_phase_has_the_targets_that_it_can_meet(tmp_path: Path) -> None:
    study = {"models": "gpt2", "hardware": "a10", "prompt": "64,900", "phases": "prefill,decode", "context": 100,
             "targets": {"ttft": ["5ms", "1ms"], "tpot": "1s"}}  # fmt: skip
    rows = roofline.sweep(study, tmp_path).scan().to_table().to_pylist()
    told = [(row["phase"], row["prompt"], row["ttft_target_s"], row["tpot_met"]) for row in rows]
    assert told == [("prefill", 64, 0.005, None), ("prefill", 900, 0.005, None), ("prefill", 64, 0.001, None),
                    ("prefill", 900, 0.001, None), ("decode", None, None, True)]  # fmt: skip
    assert all(row["targets_met"] == row["ttft_met"] is not None for row in rows[:4])


def test_without_a_price_a_row_says_so(tmp_path: Path) -> None:
    study = {"models": "gpt2", "hardware": "t4", "context": 64, "price_kind": "spot,reserved,purchase,on_demand"}
    rows = roofline.sweep(study, tmp_path).scan().to_table().to_pylist()
    unpriced = [row for row in rows if row["usd_per_h"] is None]
    assert all(row["price"].startswith(f"no {row['price_kind']} price of t4") for row in unpriced)
    assert [row["price_kind"] for row in rows] == ["spot", "reserved", "purchase", "on_demand"]


def test_a_price_list_that_changes_is_read_anew(tmp_path: Path) -> None:
    study = read_study(STUDY)
    told = (tuple(study.prices), tuple(study.price_kind), (("years", 2), ("pue", 1.5), ("power_price", 0.2),
            ("hosting", 0.0), ("chassis", 0.0)))  # fmt: skip
    assert Money.asked("a10", told, {}).each == 4
    listed = tmp_path / "prices.yaml"
    text = "prices:\n- {hardware: a10, kind: on_demand, value: 0.5 USD/h, date: 2026-11, source: quote}\n"
    asked = {"models": "gpt2", "hardware": "a10", "context": 64, "prices": str(listed)}
    names = []
    for value in ("0.5", "0.7"):
        listed.write_text(text.replace("0.5", value), "utf-8")
        found = roofline.sweep(asked, tmp_path / "out")
        names.append(found.parts())
        assert [row["usd_per_h"] for row in found.scan().to_table().to_pylist()] == [float(value)]
    assert names[0] != names[1]
