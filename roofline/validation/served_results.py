"""Results of the tools that measure servers, as :class:`ServingResult`: vLLM's, SGLang's, AIPerf's, llama-bench's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal, TypeAlias

from roofline.classes import frozen
from roofline.errors import SpecError, shown
from roofline.files.library import read_text

Metric: TypeAlias = Literal["ttft_s", "tpot_s", "itl_s", "request_s", "requests_per_s", "output_tokens_per_s"]
Statistic: TypeAlias = Literal["mean", "p50", "p90", "p95", "p99"]
Kind: TypeAlias = Literal["requests", "prompt", "decoding", "both"]

METRICS: dict[Metric, str] = {
    "ttft_s": "TTFT",
    "tpot_s": "TPOT",
    "itl_s": "ITL",
    "request_s": "end to end",
    "requests_per_s": "requests/s",
    "output_tokens_per_s": "generated tokens/s",
}
RATES: tuple[Metric, ...] = ("requests_per_s", "output_tokens_per_s")
_LARGEST = 512 * 2**20  # bytes; a result may hold the times of every token


@frozen
class Load:
    """What a server was asked: mean lengths in tokens, how many requests, from so many clients or at a rate.

    ``clients`` and ``per_second`` are None where all requests come at the start. ``kind`` tells llama-bench's tests of
    a prompt, of decoding behind ``depth`` tokens, and of both, which no server runs, from requests.
    """

    prompt: float
    generate: float
    requests: int
    clients: int | None = None
    per_second: float | None = None
    kind: Kind = "requests"
    depth: int = 0

    @property
    def words(self) -> str:
        """In a few words."""
        if self.kind == "prompt":
            return f"a prompt of {self.prompt:,.0f} tokens"
        if self.kind != "requests":
            return f"{self.generate:,.0f} tokens behind {self.depth or self.prompt:,.0f}"
        how = "all at the start"
        if self.clients is not None:
            how = f"from {self.clients:,} clients"
        elif self.per_second is not None:
            how = f"at {self.per_second:g} req/s"
        return f"{self.requests:,} requests {how}, {self.prompt:,.0f} tokens in, {self.generate:,.0f} out on average"


@frozen
class ServingResult:
    """What a tool measured under a load, in seconds and per second. ``model`` is empty where it names none."""

    tool: str
    model: str
    load: Load
    measured: Mapping[tuple[Metric, Statistic], float]
    failed: int = 0
    parameters: int | None = None


def read_results(path: Path) -> list[ServingResult]:
    """The runs that a file holds: JSON or JSON lines, as the tools write them.

    Raises SpecError, in one line, for a file of none of them, and for a figure that is missing or none.
    """
    runs = _runs(path)
    if runs and all("n_prompt" in run and "avg_ns" in run for run in runs):
        return [_Fields(run, path).llama_bench() for run in runs]
    found = []
    for run in runs:
        fields = _Fields(run, path)
        if isinstance(run.get("time_to_first_token"), dict) or isinstance(run.get("request_latency"), dict):
            found.append(fields.aiperf())
        elif "mean_e2e_latency_ms" in run:
            found.append(fields.sglang())
        elif "mean_ttft_ms" in run and "model_id" in run:
            found.append(fields.vllm())
        else:
            msg = (
                f"{path}: no result that is read; expected the JSON of vllm bench serve --save-result, of AIPerf or "
                "GenAI-Perf (profile_export_*.json), of llama-bench -o json, or the JSON lines of sglang.bench_serving"
            )
            raise SpecError(msg)
    return found


def _runs(path: Path) -> list[dict[str, Any]]:
    """The objects of a file: one, a list of them, or one a line."""
    text = read_text(path, SpecError, _LARGEST)
    try:
        whole = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        try:
            whole = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (json.JSONDecodeError, RecursionError) as failure:
            msg = f"{path}: neither JSON nor JSON lines: {failure}"
            raise SpecError(msg) from None
    runs = whole if isinstance(whole, list) else [whole]
    if not runs or not all(isinstance(run, dict) for run in runs):
        msg = f"{path}: expected an object for each run"
        raise SpecError(msg)
    return runs


@frozen
class _Fields:
    """The fields of one run."""

    run: Mapping[str, Any]
    path: Path

    def number(self, *places: str, least: float = 0.0) -> float:
        """A number at the first of some places that has one, ``block.field``. Raises SpecError where none has."""
        for place in places:
            value = self.at(place)
            if isinstance(value, bool) or value is None:
                continue
            if isinstance(value, int | float) and isfinite(value) and value > least:
                return float(value)
            msg = f"{self.path}: {place} {shown(value)}: expected a number above {least:g}"
            raise SpecError(msg)
        msg = f"{self.path}: {places[0]} is missing"
        raise SpecError(msg)

    def at(self, place: str) -> Any:
        """What is at a place, None for nothing."""
        found: Any = self.run
        for name in place.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def whole(self, *places: str) -> int | None:
        """A number of clients or requests, None where there is none."""
        return int(self.number(*places)) if any(self.at(place) is not None for place in places) else None

    def vllm(self) -> ServingResult:
        """A run of ``vllm bench serve``."""
        return self._benchmark("vllm bench serve", str(self.at("model_id") or ""), "e2el_ms")

    def sglang(self) -> ServingResult:
        """A run of ``sglang.bench_serving``."""
        model = self.at("model_id") or self.at("server_info.model_path") or self.at("model") or ""
        return self._benchmark("sglang.bench_serving", str(model), "e2e_latency_ms")

    def _benchmark(self, tool: str, model: str, end_to_end: str) -> ServingResult:
        """A run of either, whose fields are alike."""
        completed = int(self.number("completed"))
        prompt, generate = (self.number(f"total_{way}_tokens") / completed for way in ("input", "output"))
        rate = self.at("request_rate")
        asked = inf if rate in (None, "inf", inf) else self.number("request_rate")
        load = self._load(prompt, generate, completed, self.whole("max_concurrency"), asked)
        measured: dict[tuple[Metric, Statistic], float] = {}
        times: dict[Metric, str] = {
            "ttft_s": "ttft_ms", "tpot_s": "tpot_ms", "itl_s": "itl_ms", "request_s": end_to_end
        }  # fmt: skip
        statistics: dict[str, Statistic] = {
            "mean": "mean", "median": "p50", "p90": "p90", "p95": "p95", "p99": "p99"
        }  # fmt: skip
        for metric, name in times.items():
            for word, statistic in statistics.items():
                if self.at(f"{word}_{name}"):  # no time per output token of one token
                    measured[metric, statistic] = self.number(f"{word}_{name}") / 1e3
        measured["requests_per_s", "mean"] = self.number("request_throughput")
        measured["output_tokens_per_s", "mean"] = self.number("output_throughput")
        prompts = self.whole("num_prompts") or completed
        return ServingResult(tool, model, load, measured, max(0, prompts - completed))

    def aiperf(self) -> ServingResult:
        """A run of AIPerf or GenAI-Perf: a block of statistics for each metric."""
        completed = int(self.number("request_count.avg")) if self.at("request_count.avg") else None
        config = "input_config"
        if completed is None:
            completed = self.whole(f"{config}.request_count", f"{config}.loadgen.request_count") or 1
        prompt, generate = (
            self.number(f"{way}_sequence_length.avg") if self.at(f"{way}_sequence_length") else
            self.number(f"total_{total}.avg") / completed
            for way, total in (("input", "isl"), ("output", "osl"))
        )  # fmt: skip
        clients = self.whole(f"{config}.loadgen.concurrency", f"{config}.perf_analyzer.stimulus.concurrency",
                             f"{config}.concurrency")  # fmt: skip
        rates = (f"{config}.loadgen.request_rate", f"{config}.perf_analyzer.stimulus.request_rate")
        rate = self.number(*rates) if any(self.at(place) is not None for place in rates) else inf
        failed = sum(int(each.get("count", 0)) for each in self.at("error_summary") or () if isinstance(each, dict))
        return ServingResult("AIPerf", self._named_model(), self._load(prompt, generate, completed, clients, rate),
                             dict(self._blocks()), failed)  # fmt: skip

    def _named_model(self) -> str:
        for place in ("endpoint.model_names", "model_names", "model", "endpoint.model"):
            found = self.at(f"input_config.{place}")
            names = found if isinstance(found, list) else [found] if found else []
            if len(names) == 1:
                return str(names[0])
        return ""

    def _blocks(self) -> Iterator[tuple[tuple[Metric, Statistic], float]]:
        """The statistics of each metric, by their units."""
        named: dict[Metric, str] = {
            "ttft_s": "time_to_first_token", "tpot_s": "inter_token_latency", "itl_s": "inter_chunk_latency",
            "request_s": "request_latency", "requests_per_s": "request_throughput",
            "output_tokens_per_s": "output_token_throughput",
        }  # fmt: skip
        statistics: dict[str, Statistic] = {"avg": "mean", "p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99"}
        for metric, name in named.items():
            unit = str(self.at(f"{name}.unit") or "ms")
            if metric not in RATES and unit not in _SECONDS:
                msg = f"{self.path}: {name}.unit {shown(unit)}: expected one of {', '.join(_SECONDS)}"
                raise SpecError(msg)
            for word, statistic in statistics.items():
                if self.at(f"{name}.{word}") and not (metric in RATES and statistic != "mean"):
                    yield (
                        (metric, statistic),
                        self.number(f"{name}.{word}") * (1.0 if metric in RATES else _SECONDS[unit]),
                    )

    def llama_bench(self) -> ServingResult:
        """A test of llama-bench: a prompt, decoding, or both, of one sequence."""
        prompt, generate, depth = (int(self.at(name) or 0) for name in ("n_prompt", "n_gen", "n_depth"))
        if depth and prompt:
            msg = f"{self.path}: n_depth {depth} with a prompt of {prompt}: a prompt behind others is not predicted"
            raise SpecError(msg)
        took = self.number("avg_ns") / 1e9
        measured: dict[tuple[Metric, Statistic], float] = {}
        kind: Kind = "prompt"
        if prompt and generate:
            kind, measured = "both", {("request_s", "mean"): took}
        elif generate:
            kind = "decoding"
            measured = {("tpot_s", "mean"): took / generate, ("output_tokens_per_s", "mean"): generate / took}
        else:
            measured = {("ttft_s", "mean"): took}
        load = Load(prompt, generate, 1, 1, None, kind, depth)
        return ServingResult("llama-bench", Path(str(self.at("model_filename") or "")).stem, load, measured,
                             parameters=self.whole("model_n_params"))  # fmt: skip

    def _load(self, prompt: float, generate: float, requests: int, clients: int | None, rate: float) -> Load:
        """The load. Raises SpecError for clients that ask at a rate too."""
        if clients is not None and isfinite(rate):
            msg = (
                f"{self.path}: {rate:g} req/s from at most {clients} clients: not simulated; measure with a rate, or "
                "with clients alone"
            )
            raise SpecError(msg)
        return Load(prompt, generate, requests, clients, rate if isfinite(rate) else None)


_SECONDS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "us": 1e-6, "ns": 1e-9}
