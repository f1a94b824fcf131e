"""Public timings of whole models, as calls of ``predict`` and the seconds that were measured.

One device each. How a runtime works is part of the question: gpt-fast replays a compiled graph, with queries, keys and
values as one matmul; FasterTransformer's BERT in fp16 fuses as TensorRT does; its other networks, ONNX Runtime and
TensorFlow launch each kernel from the host (``engine="transformers"``). Attention is fused where the runtime's is: in
gpt-fast, and in FasterTransformer's BERT in fp16.

Left out: several devices; training; lengths that are not known, as with padding removed (FasterTransformer's BERT-6B is
among them: it is up to 1.7 x faster than the data sheet allows for the tokens stated).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measured_sets import other_device

from roofline.prediction.predict import Prediction, predict


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run: keywords of ``predict``, and the seconds of the request, or of the one step it has."""

    asked: Mapping[str, Any]
    measured_s: float

    def prediction(self, constants: Any) -> Prediction:
        """What ``predict`` says; a device without a calibration takes its class."""
        return predict(**{**self.asked, "constants": constants})


@dataclass(frozen=True, slots=True)
class WholeModelSet:
    """Runs of one campaign; ``group`` is its line in the short table."""

    name: str
    group: str
    runs: tuple[Run, ...]


_STORED = {"engine.attention": "materialised"}
_MERGED = {"engine.merges": {"qkv_proj": ["q_proj", "k_proj", "v_proj"]}}
"""``wqkv`` of gpt-fast's model.py."""


def load_whole_models(data: Path) -> list[WholeModelSet]:
    """Every set of the folder, in the order of the scoreboard."""
    return [rows for read in _READERS for rows in read(data)]


def _gpt_fast(data: Path) -> Iterable[WholeModelSet]:
    """Batch 1, a prompt of 5 tokens, 200 generated ones: the defaults of its ``generate.py``."""
    names = {"Llama-2-7B": "llama-2-7b", "Llama-2-70B": "llama-2-70b", "Llama-3.1-8B": "llama-3.1-8b",
             "Llama-3.1-70B": "llama-3.1-70b", "Mixtral-8x7B": "mixtral-8x7b"}  # fmt: skip
    weights = {"Base": "bf16", "8-bit": "int8", "int8 1 GPU": "int8", "4-bit (G=32)": "int4"}
    recipes: dict[str, dict[str, str]] = {"bf16": {"dtype": "bf16"}, "int8": {"dtype": "bf16", "weight_dtype": "int8"},
                                          "int4": {"dtype": "w4a16+g32+zp16"}}  # fmt: skip
    found: dict[str, list[Run]] = {recipe: [] for recipe in recipes}
    for row in _read(data, "gpt_fast/decode_bs1.csv"):
        dtype = weights.get(row["technique_or_ngpus"])
        if row["section"] in ("Benchmarks", "Mixtral 8x7B") and dtype:
            asked = {"model": names[row["model"]], "hardware": "a100-sxm-80gb", "batch": 1, "prompt": 5,
                     "generate": 200, **recipes[dtype], "engine": "torch-compile", "set": _MERGED}  # fmt: skip
            found[dtype].append(Run(asked, 200 / float(row["tokens_per_s"])))
    fast = "Llama, Mixtral decode, bf16, int8 and int4 weights, gpt-fast, A100"
    yield WholeModelSet("Llama decode bf16, gpt-fast, A100 at 330 W", fast, tuple(found["bf16"]))
    yield WholeModelSet("Llama, Mixtral decode int8 weights, gpt-fast, A100 at 330 W", fast, tuple(found["int8"]))
    yield WholeModelSet("Llama decode int4 weights, gpt-fast, A100 at 330 W", fast, tuple(found["int4"]))


def _fastertransformer_gpt(data: Path) -> Iterable[WholeModelSet]:
    rows = [row for row in _read(data, "fastertransformer/latency_tables.csv") if row["model"].startswith("GPT-")]
    for model in dict.fromkeys(row["model"] for row in rows):
        runs = [
            Run({"model": _gpt(row), "hardware": "a100-sxm-80gb", "batch": int(row["batch"]),
                 "prompt": int(row["in_len"]), "generate": int(row["out_len"]), "dtype": "fp16",
                 "engine": "transformers", "set": _STORED}, float(row["latency_ms"]) * 1e-3)
            for row in rows if row["model"] == model
        ]  # fmt: skip
        yield WholeModelSet(
            f"{model} requests fp16, FasterTransformer, A100",
            "GPT 350M to 6.7B requests fp16, FasterTransformer, A100",
            tuple(runs),
        )


def _fastertransformer_bert(data: Path) -> Iterable[WholeModelSet]:
    devices = {"A100": "a100-sxm-80gb", "V100": "v100-sxm2-16gb"}
    rows = _read(data, "fastertransformer/latency_tables.csv")
    for gpu, precision in (("A100", "FP16"), ("A100", "TF32"), ("A100", "FP32"), ("V100", "FP16"), ("V100", "FP32")):
        edits = None if precision == "FP16" else _STORED
        runs = tuple(
            Run({"model": "bert-base", "hardware": devices[gpu], "batch": int(row["batch"]),
                 "prompt": int(row["in_len"]), "dtype": precision.lower(),
                 "engine": "tensorrt" if precision == "FP16" else "transformers", "set": edits},
                float(row["latency_ms"]) * 1e-3)
            for row in rows
            if (row["gpu"], row["model"], row["precision"], row["variant"]) == (gpu, "BERT-base", precision, "FT")
        )  # fmt: skip
        kept = "fp16" if precision == "FP16" else "tf32, fp32"
        yield WholeModelSet(f"BERT-base {precision.lower()}, FasterTransformer, {gpu}",
                            f"BERT-base {kept}, FasterTransformer, A100, V100", runs)  # fmt: skip


def _onnxruntime(data: Path) -> Iterable[WholeModelSet]:
    rows = [row for row in _read(data, "onnxruntime_bert/v100.csv") if row["engine"] == "onnxruntime-1.4.0"]
    for model, precision in (("bert-base", "fp16"), ("bert-base", "fp32"), ("gpt2", "fp16"), ("gpt2", "fp32")):
        runs = []
        for row in rows:
            if row["model"].startswith(model) and row["precision"] == precision:
                new, past = int(row["seq_len"]), int(row["past_len"] or 0)
                length = {"prompt": new} if model == "bert-base" else {"context": past + new}
                asked = {"model": model, "hardware": other_device("v100"), "batch": int(row["batch"]),
                         "dtype": precision, "engine": "transformers", "set": _STORED, **length}  # fmt: skip
                runs.append(Run(asked, float(row["latency_ms"]) * 1e-3))
        step = "" if model == "bert-base" else " decode"
        yield WholeModelSet(
            f"{model}{step} {precision}, ONNX Runtime, V100 PCIe",
            f"{model}{step} fp16, fp32, ONNX Runtime, V100 PCIe",
            tuple(runs),
        )


def _frameworks(data: Path) -> Iterable[WholeModelSet]:
    """TensorFlow on graphs of unfused operators: attention materialised. Time is batch / throughput."""
    devices = {"V100 16GB": "v100-sxm2-16gb", "V100 32GB": "v100-sxm2-32gb", "A100 40GB": "a100-sxm-40gb",
               "A100 80GB": "a100-sxm-80gb", "T4": "t4"}  # fmt: skip
    found: dict[str, list[Run]] = {"A100": [], "V100": [], "T4": []}
    for row in _read(data, "dle_bert/bert_squad_inference.csv"):
        asked = {"model": f"bert-{row['model']}", "hardware": devices[row["gpu"]], "batch": int(row["batch"]),
                 "prompt": int(row["seq_len"]), "dtype": row["precision"],
                 "engine": "transformers", "set": _STORED}  # fmt: skip
        seconds = int(row["batch"]) / float(row["throughput_sent_per_s"])
        found[row["gpu"].split()[0]].append(Run(asked, seconds))
    for gpu, runs in found.items():
        yield WholeModelSet(f"BERT, TensorFlow, {gpu}", "BERT, TensorFlow, A100, V100, T4", tuple(runs))


def _gpt(row: Mapping[str, str]) -> dict[str, Any]:
    width = int(row["heads"]) * int(row["head_dim"])
    return {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 51200, "n_positions": 1024,
            "n_embd": width, "n_layer": int(row["layers"]), "n_head": int(row["heads"])}  # fmt: skip


_READERS: tuple[Callable[[Path], Iterable[WholeModelSet]], ...] = (
    _gpt_fast, _fastertransformer_gpt, _fastertransformer_bert, _onnxruntime, _frameworks)  # fmt: skip


def _read(data: Path, file: str) -> list[dict[str, str]]:
    with (data / file).open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))
