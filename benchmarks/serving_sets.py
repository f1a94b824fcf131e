"""Whole deployments that others measured, ``measured/serving``, each beside what ``compare`` says of it.

Prefill and decode on the same devices, one replica, so many requests in flight: time per output token. The rows say
neither what the KV cache is kept in nor how a mixture is stored, nor whether the engine decoded speculatively, and of
lengths the longest: that is read from the scripts that measured them, those of Llama-3.1-70B, DeepSeek-R1 and
gpt-oss-120b in github SemiAnalysisAI/InferenceX, benchmarks/*.sh of October 2025 to March 2026, and from the log of
what was run, perf-changelog.yaml. Speculative rows are left out, since how many tokens were accepted is not known.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from roofline.compression.modules import Modules
from roofline.compression.recipes import Checkpoint
from roofline.models.model import Model, load_model
from roofline.number import Grid
from roofline.serving.batch_sweep import curves
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.scenario import read_question
from roofline.timing.timing import Timing

MOST_IN_FLIGHT = 16
"""Requests in flight up to which rows are taken."""

DENSE = ("llama-3.1-70b", "qwen3-32b")
_MODELS = {
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "deepseek-ai/DeepSeek-R1": "deepseek-v3",
}
_SYSTEMS = {"h100_sxm": "h100", "h200_sxm": "h200", "b200_sxm": "b200"}
_PUBLISHED = {("gpt-oss-120b", "fp4"), ("deepseek-v3", "fp8")}
"""Served from the file that its makers published: MXFP4 in experts alone, and FP8 in blocks."""
_IN_8_BITS = "mxfp4:mxfp8+experts"
"""What both engines multiply such experts in on Blackwell; on Hopper it is 16 bits."""
_WIDE = Modules(("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa"))
_OF_OTHERS = {("deepseek-v3", "fp4"): Checkpoint("nvfp4", ((_WIDE, ""),))}
"""Served from a file of others: nvidia/DeepSeek-R1-0528-FP4-v2, of whose attention the last projection is narrow."""
_CACHE_AS_PUBLISHED = {("gpt-oss-120b", "h100"), ("gpt-oss-120b", "h200"), ("qwen3-32b", "h100")}
"""Whose scripts leave the KV cache in 16 bits, or are not known; all others ask for fp8, but SGLang's on H200."""
_SPECULATIVE = "1.2.0rc6.post3"
"""Of TensorRT-LLM, the version under which DeepSeek-R1 was run with multi-token prediction alone (pull requests 632 and
642 of InferenceX); plainly it ran under 1.2.0rc6.post2 and before (594, 620)."""
_BOTH_WAYS = ("1.1.0rc2.post2", "2026-01-14")
"""A version that ran both plainly and speculatively; on this day what pull request 392 had added, the latter."""
_PLAIN_NORMS = ("", "0.12.0")
"""Versions of vLLM that norm in the kernel of an all-reduce only if asked, as these scripts do on Blackwell alone.
TensorRT-LLM does so for Llama (modeling_llama.py), and not for Qwen3 (modeling_qwen3.py)."""
SHORTEST, _MEAN_LENGTH = 0.8, 0.9
"""Of prompts and answers that are drawn evenly from 0.8 to 1 times the length that a row states."""
_WAITING = ("", "0.11.2", "0.12.0")
"""Versions of vLLM whose host schedules a step after the one before ended; from 0.15 on it is ahead of the device."""
_ENGINES = {"trtllm": "tensorrt-llm", "vllm": "vllm", "sglang": "sglang"}


@dataclass(frozen=True, slots=True)
class Deployment:
    """One measured row: what was served by what, and what a client waited. [tokens, s]

    ``prompt`` and ``generate`` are means; ``drawn``: of lengths drawn from ``SHORTEST`` of the longest on.
    ``waiting``: an engine of a version whose host is not ahead of the device. ``rules``: how it was told to schedule.
    """

    model: str
    hardware: str
    engine: str
    precision: str
    tp: int
    ep: int
    in_flight: int
    prompt: int
    generate: int
    ttft_s: float
    tpot_s: float
    plain_norms: bool
    waiting: bool
    drawn: bool
    rules: tuple[tuple[str, float], ...] = ()

    @property
    def asked(self) -> tuple[object, ...]:
        """What one call of ``compare`` answers: all degrees and all batches of it."""
        told = self.model, self.hardware, self.engine, self.precision, self.prompt, self.generate
        return *told, self.plain_norms, self.waiting

    @property
    def pair(self) -> tuple[str, str]:
        """By which fitted rows are told from judged ones."""
        return self.model, self.hardware

    @property
    def devices(self) -> str:
        """What serves it, as hardware is asked for."""
        return f"{self.tp}x{self.hardware}" if self.tp > 1 else self.hardware

    @property
    def layout(self) -> str:
        """The layout as a curve names it."""
        experts = f", ep {self.ep}" if self.ep > 1 else ""
        return f"tp {self.tp}{experts}" if self.tp > 1 else "one device"

    @property
    def dtype(self) -> str | None:
        """The recipe of the numbers; None: as published."""
        if self.of_others:
            return None
        if (self.model, self.precision) in _PUBLISHED:
            return _IN_8_BITS if (self.model, self.hardware) == ("gpt-oss-120b", "b200") else None
        return {"": None, "fp8": "fp8", "fp4": "nvfp4"}[self.precision]

    @property
    def of_others(self) -> Checkpoint | None:
        """How a file that was served stores it; None: it was the makers' own, or all of it in one recipe."""
        return _OF_OTHERS.get((self.model, self.precision))

    @property
    def served_model(self) -> Model:
        """The model as the file that was served has it."""
        return _model(self.model, self.of_others)

    @property
    def kv_dtype(self) -> str | None:
        """What the KV cache is kept in; None: as the model is."""
        plain = self.pair in _CACHE_AS_PUBLISHED or (self.engine, self.hardware) == ("sglang", "h200")
        return None if plain else "fp8"

    @property
    def how(self) -> dict[str, Any]:
        """The engine and the number formats, as keywords."""
        edits: dict[str, Any] = {"engine.reduce_norm": []} if self.plain_norms else {}
        edits |= {"engine.host_ahead": False} if self.waiting else {}
        own = {"set": edits} if edits else {}
        return {"engine": self.engine, "dtype": self.dtype, "kv_dtype": self.kv_dtype, **own}

    @property
    def served(self) -> dict[str, Any]:
        """The same with how the engine was told to schedule."""
        edits = {**self.how.get("set", {}), **{f"engine.{field}": value for field, value in self.rules}}
        return {**self.how, "set": edits or None}


def load_deployments(data: Path, most: int = MOST_IN_FLIGHT) -> list[Deployment]:
    """The rows up to ``most`` in flight without pipelines and without attention in data parallel."""
    with (data / "serving" / "serving.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    plain = [row for row in rows if not _speculates(row)]
    return [_deployment(row) for row in _slower_of_both(plain) if _taken(row, most)]


def halves(rows: Iterable[Deployment]) -> tuple[list[Deployment], list[Deployment]]:
    """The rows of every second pair of model and hardware, and the others."""
    rows = list(rows)
    first = sorted({row.pair for row in rows})[::2]
    return [row for row in rows if row.pair in first], [row for row in rows if row.pair not in first]


@cache
def _model(name: str, stored: Checkpoint | None) -> Model:
    found = load_model(name)
    return found if stored is None else replace(found, checkpoint=stored)


def _speculates(row: Mapping[str, str]) -> bool:
    """Whether TensorRT-LLM drafted tokens by multi-token prediction."""
    if (row["backend"], _MODELS[row["model_path"]]) != ("trtllm", "deepseek-v3"):
        return False
    return row["backend_version"] == _SPECULATIVE or (row["backend_version"], row["measured"]) == _BOTH_WAYS


def _slower_of_both(rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The rows, but where one version ran both ways on one day, of two that are asked alike the slower, and none alone.

    SGLang 0.5.9 so ran DeepSeek-R1 in fp8 on 8 B200: dsr1-fp8-b200-sglang, and -mtp, up to 512 in flight.
    """
    kept, unclear = [], dict[tuple[str, ...], list[Mapping[str, str]]]()
    for row in rows:
        where = row["backend"], row["system"], row["precision"], row["tp_size"], row["backend_version"]
        if where != ("sglang", "b200_sxm", "fp8", "8", "0.5.9"):
            kept.append(row)
        else:
            unclear.setdefault((row["isl"], row["osl"], row["concurrency"]), []).append(row)
    pairs = (found for found in unclear.values() if len(found) > 1)
    return kept + [max(found, key=lambda row: float(row["tpot_ms"])) for found in pairs]


def _taken(row: Mapping[str, str], most: int) -> bool:
    alone = all(row[name] in ("", "1") for name in ("pp_size", "attention_dp_size"))
    in_flight = row["concurrency"] or row["batch_size"]
    return alone and row["mode"] == "agg" and int(in_flight) <= most


def _deployment(row: Mapping[str, str]) -> Deployment:
    drawn = bool(row["measured"])  # rows of those scripts have a date
    mean = _MEAN_LENGTH if drawn else 1
    return Deployment(
        _MODELS[row["model_path"]],
        _SYSTEMS[row["system"]],
        _ENGINES[row["backend"]],
        row["precision"],
        int(row["tp_size"]),
        max(1, int(row["moe_ep_size"] or 1)),
        int(row["concurrency"] or row["batch_size"]),
        round(int(row["isl"]) * mean),
        round(int(row["osl"]) * mean),
        float(row["ttft_ms"]) / 1e3,
        float(row["tpot_ms"]) / 1e3,
        _norms_plainly(row),
        row["backend"] == "vllm" and row["backend_version"] in _WAITING,
        drawn,
        tuple((_rules(row) if drawn else _generated(row)).items()),
    )


def _rules(row: Mapping[str, str]) -> dict[str, float]:
    """How a script of InferenceX tells the engine to schedule: tokens of a pass, and what prompts wait for."""
    model, device, tp = _MODELS[row["model_path"]], _SYSTEMS[row["system"]], int(row["tp_size"])
    longest, clients = int(row["isl"]), int(row["concurrency"] or row["batch_size"])
    alike = row["isl"] == row["osl"] == "1024"
    tokens = -(-(clients + longest + 64) // 64) * 64
    match row["backend"], model:
        case "trtllm", "llama-3.1-70b":
            chunk = 16384 if device == "b200" else longest + int(row["osl"])
            return {"chunk": chunk, **({"wait_steps": 20, "wait_share": 0.9} if alike and tp < 8 else {})}
        case "trtllm", "gpt-oss-120b":
            return {"chunk": 20_000}
        case "trtllm", "deepseek-v3":
            late = alike and 64 <= clients < 256 and row["precision"] == "fp8" and row["measured"] > "2026"
            chunk = max(8192, tokens) if device == "b200" else tokens
            return {"chunk": chunk, **({"wait_steps": 40, "wait_share": 0.8} if late and device == "b200" else {})}
        case "sglang", "deepseek-v3":
            if device == "h200":
                return {"chunk": 32768}
            small = row["precision"] == "fp8" and tp == 4
            chunk = 16384 if row["precision"] == "fp4" else 8192 if small else 32768
            return {"chunk": chunk, "poll_steps": 30 if clients >= 16 and not small else 10}
    return {}


def _generated(row: Mapping[str, str]) -> dict[str, float]:
    """How aiconfigurator has the engine schedule where it measures by itself: tokens of a pass, but under SGLang.

    So many for a longest prompt, all sequences and 1,500 more: src/aiconfigurator/generator/rule_plugin/benchmark.
    """
    if row["backend"] == "sglang":
        return {}
    return {"chunk": int(row["isl"]) + int(row["batch_size"]) + 1500}


def _norms_plainly(row: Mapping[str, str]) -> bool:
    if row["backend"] == "trtllm":
        return row["model_path"] == "Qwen/Qwen3-32B"
    return row["backend"] == "vllm" and row["system"] != "b200_sxm" and row["backend_version"] in _PLAIN_NORMS


@dataclass(frozen=True, slots=True)
class Answer:
    """A row beside what ``compare`` says of it: time per output token with its band. [s]

    ``decode_s``: of decode steps alone, with no prompt among them. ``prompt_s``: what one prompt adds to decoding.
    """

    row: Deployment
    tpot: Timing
    decode_s: float
    prompt_s: float


def answers(rows: Sequence[Deployment], **options: Any) -> list[Answer]:
    """Each row whose layout and load ``compare`` knows."""
    found = []
    for _, group in groupby(sorted(rows, key=lambda row: str(row.asked)), key=lambda row: row.asked):
        alike = list(group)
        curves_of = {curve.layout: curve for curve in _curves(alike[0], options)}
        found += [_answer(row, curves_of[row.layout]) for row in alike if _is_known(row, curves_of)]
    return found


def _is_known(row: Deployment, found: Mapping[str, Curve]) -> bool:
    state = found[row.layout].state if row.layout in found else None
    return state is not None and row.in_flight in state.batches


def _curves(row: Deployment, options: Mapping[str, Any]) -> list[Curve]:
    asked = {**row.how, "prompt": row.prompt, "generate": row.generate, **options}
    asked["set"] = {**row.how.get("set", {}), **options.get("set", {})} or None
    return curves(read_question(row.served_model, **asked), read_hardware([f"8x{row.hardware}"]))


def _answer(row: Deployment, curve: Curve) -> Answer:
    state = curve.state
    assert state is not None
    place = curve.row, int(np.searchsorted(state.batches, row.in_flight))

    def at(grid: Grid) -> float:
        return float(np.broadcast_to(grid, state.tpot_s.shape)[place])

    time, prompts = at(state.tpot_s), at(state.input_part)
    tpot = Timing(time, 0.0, time * at(state.low), time * at(state.high))
    return Answer(row, tpot, time * (1 - prompts), time * prompts * (row.generate - 1) / row.in_flight)
