"""The verbs compare and size at the shell: reports, JSON, files, exit codes."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from shell import answer, refusal
from shell import invoked as run

from roofline.errors import RooflineError

TOO_LARGE = (
    "does not fit: 16.7 GB of 14.5 GB; 2 devices hold it (tp 2: 8.34 GB on each) or --dtype w8a16 does (9.69 GB)"
)


def test_without_targets_compare_answers_for_full_load_and_for_one_sequence() -> None:
    code, text = run("compare qwen3-32b --hardware m4-max,h100")
    assert code == 0
    assert "meets" not in text
    told = [line for line in text.splitlines() if line.startswith("apple-m4-max ")]
    assert [re.split(" {2,}", line)[1] for line in told] == ["full load", "alone"]
    (row, *_) = json.loads(run("compare qwen3-32b --hardware m4-max --json")[1])["rows"]
    assert row["batch_1"]["batch"] == 1
    assert row["batch_1"]["tpot_s"] < row["tpot_s"] / 10


def test_a_dataflow_chip_is_left_out_by_name() -> None:
    code, text = run("compare llama-3.1-8b --hardware h100,groq,wse-3")
    assert code == 0
    assert "groq-lpu-v1 misses: left out: a dataflow chip launches no kernels" in text
    assert "cerebras-wse-3 misses: left out" in text


@pytest.mark.parametrize(("dtype", "told"), [("fp8", True), ("fp8+kv8", False), ("bf16", False)])
def test_an_fp8_deployment_is_told_how_its_cache_is_kept(dtype: str, told: bool) -> None:
    for verb in ("compare", "predict"):
        _, text = run(f"{verb} llama-3.1-8b --hardware h100 --dtype {dtype}")
        assert ("the KV cache stays bf16" in text and "--kv-dtype fp8" in text) is told


def test_compare_says_who_is_best_what_misses_and_what_is_modelled() -> None:
    code, text = run("compare llama-3.1-8b --hardware h100,l40s,t4 --tpot 30ms --api 1/2")
    assert code == 0
    lines = text.splitlines()
    assert lines[0].startswith("chat traffic: prompt 1020 median")
    assert "Splitwise" in lines[0]
    assert re.fullmatch(r"best: h100-sxm-80gb, 0\.0[0-9]+ USD per million tokens at full load", lines[2])
    assert f"t4 misses: {TOO_LARGE}" in lines
    assert (
        "price: h100-sxm-80gb 2.71 USD/h, on_demand, 2026-09-20, 70 days old (Akash GPU prices transcribed 2026-09-20)"
        in lines
    )
    assert any(line.startswith("no cost: no on_demand price of l40s") for line in lines)
    assert any("no queueing" in line for line in lines)
    assert any("25% used" in line and "100% used" in line for line in lines)
    assert any(line.startswith("h100-sxm-80gb: cheaper than an API at 1 / 2 USD") for line in lines)
    assert any(line.startswith("h100-sxm-80gb: buying pays after") for line in lines)
    bands = r"constants: calibrated [a-z0-9-]+; matmuls in bf16: 90 % band 0\.[0-9]+ to 1\.[0-9]+ x expected"
    assert sum(bool(re.match(bands, line)) for line in lines) == 2


def test_nothing_meets_the_targets_is_exit_4_and_the_whole_table() -> None:
    code, text = run("compare llama-3.1-8b --hardware h100,t4 --tpot 1ms")
    assert code == 4
    assert "NOTHING MEETS THE TARGETS" in text
    assert re.search(r"h100-sxm-80gb misses: TPOT [0-9.]+ ms > 1\.00 ms", text)


def test_owning_says_its_terms() -> None:
    code, text = run("compare llama-3.1-8b --hardware h100 --price-kind purchase --years 3 --hosting 0.2USD/h")
    assert code == 0
    assert "owning: 3 years without rest value, PUE 1.3, 0.12 USD/kWh, hosting 0.2 USD/h per device" in text
    assert "the device alone, without chassis, CPUs and network" in text


def test_size_has_a_choice_and_a_runner_up() -> None:
    code, text = run("size llama-3.1-8b --hardware h100,mi300x --load 50req/s --tpot 30ms")
    assert code == 0
    assert re.search(r"\nchoice: 4 x mi300x \(band: \d+ to \d+\), 4 replicas on one device each, 7\.96 USD/h", text)
    assert re.search(r"\nrunner-up: 3 x h100-sxm-80gb \(band: \d+ to \d+\)", text)


def test_size_without_an_answer_is_exit_4_and_the_nearest_miss() -> None:
    code, text = run("size llama-3.1-8b --hardware h100,mi300x --load 50req/s --tpot 1ms")
    assert code == 4
    assert re.search(r"nearest miss: h100-sxm-80gb: TPOT [0-9.]+ ms > 1\.00 ms", text)
    assert "inputs: prices" in text


def test_quiet_is_the_verdict_alone() -> None:
    assert len(run("compare llama-3.1-8b --hardware h100 --quiet")[1].splitlines()) == 3
    assert len(run("size llama-3.1-8b --hardware h100 --load 1req/s --quiet")[1].splitlines()) == 4


@pytest.mark.parametrize("command", ["compare llama-3.1-8b", "size llama-3.1-8b --load 50req/s"])
def test_json_on_stdout_and_in_a_file_is_the_same(command: str, tmp_path: Path) -> None:
    asked = f"{command} --hardware h100,l40s,t4,apple-m3-ultra --tpot 30ms --api 1/2"
    printed = json.loads(run(f"{asked} --json")[1])
    code, text = run(f"{asked} -o {tmp_path / 'a.json'}")
    assert (code, text) == (0, "")
    assert json.loads((tmp_path / "a.json").read_text()) == printed
    assert printed["schema_version"] == 1
    assert printed["inputs"]["tpot_s"] == 0.03
    assert printed["inputs"]["workload"] == "chat"


def test_the_json_of_compare() -> None:
    rows = json.loads(run("compare llama-3.1-8b --hardware h100,t4 --json")[1])["rows"]
    best, misfit = rows
    assert best["hardware"] == {"name": "h100-sxm-80gb", "device": "h100-sxm-80gb", "count": 1}
    assert best["tpot_s_low"] <= best["tpot_s"] <= best["tpot_s_high"]
    assert best["cost"]["price"]["kind"] == "on_demand"
    assert best["cost"]["price"]["date"] == "2026-09-20"
    assert [at["utilization"] for at in best["cost"]["at"]] == [0.25, 0.5, 0.75, 1.0]
    assert best["power_w"] <= best["tdp_w"]
    assert (misfit["qualifies"], misfit["misses"]) == (False, [TOO_LARGE])


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("compare llama-3.1-8b", "--hardware is missing"),
        ("size llama-3.1-8b --hardware h100", "load is missing; give one of load"),
        ("size llama-3.1-8b --hardware h100 --load 50", "has no unit"),
        ("compare llama-3.1-8b --hardware h100 --ttft 500", "has no unit"),
        ("compare llama-3.1-8b --hardware h100 --constants best", "--constants"),
        ("compare llama-3.1-8b --hardware h100 --engine fast", "unknown engine"),
        ("compare llama-3.1-8b --hardware h100 --price-kind rent", "--price-kind"),
        ("compare llama-3.1-8b --hardware h100 -o a.txt", "expected one of .json, .csv, .md, .parquet"),
        ("compare llama-3.1-8b --hardware h100 --set x=1", "expected a path such as hardware.memory.hbm.bandwidth"),
        ("compare llama-3.1-8b --hardware h100 --set model.layers=1", "no such field"),
        ("compare llama-3.1-8b --hardware all --set hardware.tdp=1W", "edits go with hardware by name"),
        ("compare llama-3.1-8b --hardware l40s --set hardware.memory.hbm.bandwidth=6TB/s", "hbm"),
        ("compare nothing --hardware h100", "nothing"),
        ("compare t5-base --hardware h100", "serving is modelled for decoders"),
        ("compare bert-base --hardware h100 --ttft 20ms", "generates no tokens; give latency"),
        ("compare bert-base --hardware h100 --latency p95:20ms", "the latency of documents is a mean"),
        ("compare bert-base --hardware h100 --generate 8", "generates nothing"),
        ("compare bert-base --hardware h100 --workload chat", "generates nothing"),
        ("compare bert-base --hardware 2xh100 --pools", "generates nothing"),
        ("compare bert-base --hardware h100 --prompt 600", "max_position_embeddings 512"),
        ("compare llama-3.1-8b --hardware h100 --latency 20ms", "generates tokens; give ttft and tpot"),
        ("compare resnet-50 --hardware h100 --api 1/1", "its prices are of tokens"),
        ("compare resnet-50 --hardware h100 --prompt 9", "reads whole inputs; leave prompt out"),
    ],
)
def test_bad_flags_are_one_line(command: str, told: str) -> None:
    with pytest.raises(RooflineError) as caught:
        run(command)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_has_a_row_per_hardware(tmp_path: Path) -> None:
    asked = "compare llama-3.1-8b --hardware 2xh100,t4 --tpot 30ms --pools"
    told = json.loads(run(f"{asked} --json")[1])["rows"]
    for name in ("a.csv", "a.md", "a.parquet"):
        if name == "a.parquet":
            pytest.importorskip("pyarrow")
        assert run(f"{asked} -o {tmp_path / name}") == (0, "")
    rows = rows_of(tmp_path / "a.csv")
    assert [row["hardware"] for row in rows] == [row["hardware"]["name"] for row in told]
    for row, full in zip(rows, told, strict=True):
        assert row["tpot_s"] == ("" if full.get("tpot_s") is None else str(full["tpot_s"]))
        assert row["misses"] == "; ".join(full["misses"])
        if full["cost"]:
            assert float(row["usd_per_million_output_at_0.5"]) == full["cost"]["at"][1]["usd_per_million_output"]
            assert row["price_date"] == full["cost"]["price"]["date"]
        if full["pools"]:
            assert float(row["hand_over_bytes"]) == full["pools"]["hand_over"]["bytes"]
    assert len((tmp_path / "a.md").read_text().splitlines()) == 2 + len(told)


def test_a_file_of_size_has_the_choice_first_and_what_misses(tmp_path: Path) -> None:
    asked = "size llama-3.1-8b --hardware h100,t4 --load 50req/s --tpot 8ms"
    told = json.loads(run(f"{asked} --json")[1])
    assert run(f"{asked} -o {tmp_path / 'a.csv'}") == (0, "")
    rows = rows_of(tmp_path / "a.csv")
    assert (rows[0]["serves"], rows[0]["units"]) == ("True", str(told["choice"]["units"]))
    assert (rows[-1]["hardware"], rows[-1]["serves"], rows[-1]["units"]) == ("t4", "False", "")
    assert rows[-1]["reasons"].startswith("TPOT ")


def test_wide_tables_have_more_columns_and_all_points_of_the_front() -> None:
    narrow, wide = (run(f"compare llama-3.1-8b --hardware h100 --pareto{more}")[1] for more in ("", " --wide"))
    assert "most fit" in wide
    assert "most fit" not in narrow
    assert len(wide.splitlines()) > len(narrow.splitlines()) + 50
    assert "--wide has them all" in narrow
    text = run("size llama-3.1-8b --hardware h100 --load 5req/s --wide")[1]
    assert "for prompts" in text


def test_edits_are_told_and_never_pass_as_the_plain_device() -> None:
    edit = "--set hardware.memory.hbm.bandwidth=6.7TB/s --set model.num_hidden_layers=16"
    asked = "compare llama-3.1-8b --hardware h100 --tpot 30ms"
    (plain,), told = json.loads(run(f"{asked} --json")[1])["rows"], json.loads(run(f"{asked} {edit} --json")[1])
    (row,) = told["rows"]
    assert told["inputs"]["overrides"] == {"hardware.memory.hbm.bandwidth": "6.7TB/s", "model.num_hidden_layers": 16}
    assert row["hardware"]["name"] == "h100-sxm-80gb edited"
    assert row["requests_per_s"] > 2 * plain["requests_per_s"]
    assert row["cost"]["price"]["shape"] == "h100-sxm-80gb"
    text = run(f"size llama-3.1-8b --hardware 8xh100 --load 5req/s --pools {edit}")[1]
    assert "edited: hardware.memory.hbm.bandwidth = 6.7TB/s, model.num_hidden_layers = 16" in text
    assert "8xh100-sxm-80gb edited pools" in text


def test_size_breaks_even_with_an_api_as_compare_does() -> None:
    _, text = run("size llama-3.1-8b --hardware h100 --load 20req/s --api 0.6/0.8")
    assert re.search(r"h100.*: cheaper than an API at 0.6 / 0.8 USD per million tokens in / out (from|at no)", text)


def test_at_a_batch_that_is_given_the_fastest_comes_first() -> None:
    asked = ("compare", "llama-3.1-8b", "--hardware", "rtx-4090,tpu-v5e,dgx-spark,h100", "--dtype", "q4_k_m",
             "--engine", "llama.cpp", "--batch", "1")  # fmt: skip
    found = json.loads(answer(*asked, "--json"))
    assert [row["hardware"]["name"] for row in found["rows"]] == ["h100-sxm-80gb", "rtx-4090", "dgx-spark", "tpu-v5e"]
    times = [row["tpot_s"] for row in found["rows"][:3]]
    assert times == sorted(times)
    assert {row["batch"] for row in found["rows"][:3]} == {found["batch"]} == {1}
    assert "batch_1" not in found["rows"][0]
    assert "runs on gpu" in found["rows"][3]["misses"][0]
    text = answer(*asked)
    assert "fastest at batch 1: h100-sxm-80gb " in text
    assert "full load" not in text.splitlines()[6]


def test_a_batch_that_does_not_fit_is_said_and_one_of_nothing_refused() -> None:
    code, text = run("compare llama-3.1-8b --hardware l4 --batch 900")
    assert re.search(r"l4 misses: no batch of 900: [0-9]+ fit", text)
    assert code == 4
    assert "batch 0: expected a whole number" in refusal(
        2, "compare", "llama-3.1-8b", "--hardware", "l4", "--batch", "0"
    )
