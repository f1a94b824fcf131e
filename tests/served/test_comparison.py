"""A server's results: four formats read alike, joined with what is predicted, other models and loads refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from roofline import predict, simulate
from roofline.cli.app import app
from roofline.errors import RooflineError, SpecError
from roofline.prediction.verifying import Sent, measuring, verify
from roofline.served.comparison import compare_served
from roofline.validation.served_results import Load, read_results

TIMES = {"ttft": (0.1, 0.08, 0.4), "tpot": (0.009, 0.0088, 0.01), "itl": (0.009, 0.007, 0.05)}
END = (2.4, 2.38, 2.9)
VLLM: dict[str, Any] = {
    "backend": "openai", "model_id": "meta-llama/Llama-3.1-8B-Instruct", "num_prompts": 81, "request_rate": "inf",
    "max_concurrency": 8, "duration": 24.0, "completed": 80, "total_input_tokens": 80 * 512,
    "total_output_tokens": 80 * 256, "request_throughput": 3.3, "output_throughput": 850.0,
    **{f"{word}_{name}_ms": 1e3 * value for name, values in {**TIMES, "e2el": END}.items()
       for word, value in zip(("mean", "median", "p99"), values, strict=True)},
}  # fmt: skip
SGLANG = {
    **{name: value for name, value in VLLM.items() if "e2el" not in name and name not in ("model_id", "num_prompts")},
    "server_info": {"model_path": "/models/Llama-3.1-8B"},
    **{f"{word}_e2e_latency_ms": 1e3 * value for word, value in zip(("mean", "median", "p99"), END, strict=True)},
}
AIPERF: dict[str, Any] = {
    **{name: {"unit": "ms", "avg": 1e3 * values[0], "p50": 1e3 * values[1], "p99": 1e3 * values[2], "max": 9e9}
       for name, values in {"time_to_first_token": TIMES["ttft"], "inter_token_latency": TIMES["tpot"],
                            "inter_chunk_latency": TIMES["itl"], "request_latency": END}.items()},
    "request_throughput": {"unit": "requests/sec", "avg": 3.3},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 850.0},
    "request_count": {"unit": "requests", "avg": 80.0}, "error_summary": [{"count": 1}],
    "input_sequence_length": {"unit": "tokens", "avg": 512.0},
    "output_sequence_length": {"unit": "tokens", "avg": 256.0},
    "input_config": {"endpoint": {"model_names": ["llama-3.1-8b"]}, "loadgen": {"concurrency": 8}},
}  # fmt: skip
BENCH = {"model_filename": "models/llama-8b-q8.gguf", "model_n_params": 8_030_261_248, "n_prompt": 512, "n_gen": 0,
         "avg_ns": 20e6}  # fmt: skip
SERVERS = {"vllm.json": [VLLM], "sglang.jsonl": [SGLANG, SGLANG], "aiperf.json": [AIPERF]}


def _written(folder: Path, name: str, runs: list[dict[str, Any]]) -> Path:
    path = folder / name
    lines = name.endswith("jsonl")
    path.write_text("\n".join(map(json.dumps, runs)) if lines else json.dumps(runs if len(runs) > 1 else runs[0]))
    return path


@pytest.mark.parametrize("name", SERVERS)
def test_tools_that_load_servers_are_read_alike(name: str, tmp_path: Path) -> None:
    found = read_results(_written(tmp_path, name, SERVERS[name]))
    assert len(found) == len(SERVERS[name])
    for each in found:
        assert each.load == Load(512.0, 256.0, 80, 8)
        wanted = {(f"{metric}_s", word): value for metric, values in {**TIMES, "request": END}.items()
                  for word, value in zip(("mean", "p50", "p99"), values, strict=True)}  # fmt: skip
        wanted |= {("requests_per_s", "mean"): 3.3, ("output_tokens_per_s", "mean"): 850.0}
        assert each.measured == pytest.approx(wanted)
        assert each.failed == (0 if name == "sglang.jsonl" else 1)


def test_a_result_stands_beside_the_same_requests_simulated(tmp_path: Path) -> None:
    path = _written(tmp_path, "vllm.json", [VLLM])
    (found,) = compare_served(path, "llama-3.1-8b", "h100", dtype="fp8")
    wanted = simulate("llama-3.1-8b", "h100", prompt=512, generate=256, concurrency=8, requests=80, dtype="fp8")
    figures = {(each.metric, each.statistic): each for each in found.figures}
    assert len(figures) == 14
    assert figures["tpot_s", "mean"].predicted == pytest.approx(wanted.ledger.tpot_s.mean())
    assert figures["requests_per_s", "mean"].predicted == pytest.approx(80 / wanted.ledger.finished.max())
    assert figures["itl_s", "mean"].predicted == figures["tpot_s", "mean"].predicted
    assert figures["itl_s", "p99"].predicted is None
    for each in figures.values():
        if each.low is not None and each.high is not None and each.predicted is not None:
            assert each.low < each.predicted < each.high
            assert replace(each, measured=each.low).inside
            assert replace(each, measured=each.high * 1.01).inside is False
    assert found.notes == ("1 requests failed, and are in no figure",)


def test_llama_bench_stands_beside_the_steps_of_one_sequence(tmp_path: Path) -> None:
    decoding = {**BENCH, "n_prompt": 0, "n_gen": 128, "n_depth": 512, "avg_ns": 1.28e9}
    path = _written(tmp_path, "bench.json", [BENCH, decoding, {**BENCH, "n_gen": 128, "avg_ns": 1.3e9}])
    prompt, tokens, both = (each.figures for each in compare_served(path, "llama-3.1-8b", "h100"))
    whole = predict("llama-3.1-8b", "h100", prompt=512, generate=129)
    assert (prompt[0].measured, tokens[0].measured, both[0].measured) == pytest.approx((0.02, 0.01, 1.3))
    assert prompt[0].predicted == pytest.approx(whole.ttft_s)
    assert tokens[0].predicted == pytest.approx(whole.tpot_s)
    assert both[0].predicted == pytest.approx(whole.request_s)
    assert tokens[1].predicted == pytest.approx(1 / (whole.tpot_s or 0))


@pytest.mark.parametrize(
    ("run", "model", "options", "words"),
    [
        (VLLM, "qwen3-8b", {}, 'a result of another model: "meta-llama/Llama-3.1-8B-Instruct", not qwen3-8b'),
        (BENCH, "llama-3.2-1b", {}, "a result of another model: 8,030,261,248 parameters"),
        (VLLM, "llama-3.1-8b", {"prompt": 2048}, "another load: prompt 512, not 2048"),
        (VLLM, "llama-3.1-8b", {"batch": 16}, "another load: batch 8, not 16"),
        (VLLM, "llama-3.1-8b", {"context": 512}, "context does not go with the result of a server"),
        ({**VLLM, "request_rate": 5.0}, "llama-3.1-8b", {}, "5 req/s from at most 8 clients: not simulated"),
        ({**VLLM, "completed": 0}, "llama-3.1-8b", {}, "completed 0: expected a number above 0"),
        ({**VLLM, "mean_ttft_ms": "fast"}, "llama-3.1-8b", {}, 'mean_ttft_ms "fast": expected a number'),
        ({**BENCH, "n_depth": 9}, "llama-3.1-8b", {}, "a prompt behind others is not predicted"),
        ({"throughput": 1}, "llama-3.1-8b", {}, "no result that is read; expected the JSON of vllm bench serve"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    run: dict[str, Any], model: str, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(RooflineError) as failure:
        compare_served(_written(tmp_path, "x.json", [run]), model, "h100", **options)
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("Median TPOT (ms): 9")
    with pytest.raises(SpecError, match="neither JSON nor JSON lines"):
        read_results(tmp_path / "x.json")


def test_at_the_shell(tmp_path: Path) -> None:
    path, written = _written(tmp_path, "vllm.json", [VLLM]), tmp_path / "out.json"
    asked = ["validate", "llama-3.1-8b", "--hardware", "h100", "--serving", str(path)]
    found = CliRunner().invoke(app, [*asked, "-o", str(written)])
    assert found.exit_code == 0
    assert "of 12 lie in the band" in found.output
    assert "80 requests from 8 clients, 512 tokens in, 256 out" in found.output
    told = json.loads(written.read_text())
    assert told["verdict"]["serving"]["n"] == 12
    assert len(told["serving"][0]["figures"]) == 14
    assert CliRunner().invoke(app, [*asked, "--max-median-ape", "0.001"]).exit_code == 6
    for words in (["--compile"], ["--measurements", "x.csv"]):
        assert "does not go with --serving" in str(CliRunner().invoke(app, [*asked, *words]).exception)
    assert "go with --serving" in str(CliRunner().invoke(app, [*asked[:4], "--tp", "2"]).exception)


# The command that measures it


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_the_command_sends_what_was_predicted(engine: str) -> None:
    found = verify(predict("llama-3.1-8b", "h100", batch=16, prompt=1000, generate=100, engine=engine))
    words = found.command.split()
    assert {"meta-llama/Llama-3.1-8B", "1000", "100", "16", "160"} <= set(words)
    assert sum("rate" in word and "range" not in word for word in words) == 0
    rated = measuring(predict("llama-3.1-8b", "h100").model, engine, Sent(1000, 100, per_second=12.5)).command.split()
    assert (rated[rated.index("--request-rate") + 1], "750" in rated) == ("12.5", True)


def test_what_no_server_measures_is_measured_here_or_refused() -> None:
    command = verify(predict("bert-base", "t4", prompt=128, dtype="fp16")).command
    assert command == "roofline validate bert-base --hardware t4 --batch 1 --prompt 128 --dtype fp16 --compile"
    with pytest.raises(RooflineError, match="no server's tool measures a step by itself"):
        verify(predict("llama-3.1-8b", "h100", context=100))
