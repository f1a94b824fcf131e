"""Llama-2-70B and BLOOM-176B on A100 as vLLM of 2023 served them, each row beside ``predict``: ``measured/splitwise``.

    python benchmarks/splitwise.py --data DIR [--write]

A first token of a batch of prompts, and a decode step, by model and tensor parallel degree. Nothing is fitted to them,
and the host's time of a vLLM of that year, 42 to 55 ms a step, is in no constant of today's: decode steps are told too
fast. Left out are the two rows whose batch did not fit at once, and those beyond the positions of the model. Beside
them the naive roofline. ``--write`` renews docs/accuracy.json.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from device_board import figures as figures_of
from device_board import store
from simulated_serving import FIGURES, cells

import roofline
from roofline.errors import WorkloadError
from roofline.timing.timing import Timing

MODELS = {"llama2-70b": "llama-2-70b", "bloom-176b": "bloom-176b"}
NAMES = ("TTFT", "TPOT")
_TOLD = ("model", "tensor_parallel", "prompt_size", "batch_size")
_NOT_AT_ONCE = {("llama2-70b", "2", "512", batch) for batch in ("32", "64")}


@dataclass(frozen=True, slots=True)
class Row:
    """A measured row: of ``time`` TTFT or TPOT what was predicted, with its band and roofline, and measured. [s]"""

    model: str
    tp: int
    time: str
    predicted: tuple[float, float, float, float]
    measured_s: float


def rows(data: Path) -> Iterator[Row]:
    """Both times of each row that the model has positions for."""
    with (data / "splitwise" / "perf_model.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if tuple(row[name] for name in _TOLD) in _NOT_AT_ONCE:
                continue
            model, tp = MODELS[row["model"]], int(row["tensor_parallel"])
            batch, prompt, generate = (int(row[name]) for name in ("batch_size", "prompt_size", "token_size"))
            try:
                phases = roofline.predict(
                    model, f"{tp}xa100-sxm-80gb", batch=batch, prompt=prompt, generate=generate, tp=tp, dtype="fp16",
                    engine="vllm",
                ).phases  # fmt: skip
            except WorkloadError:
                continue
            for name, phase, column in zip(NAMES, ("prefill", "decode"), ("prompt_ms", "token_ms"), strict=True):
                told = phases[phase].figures
                ends = (told.time_s, told.bound_s, told.low_s, told.high_s)
                yield Row(model, tp, name, ends, float(row[column]) / 1e3)


def board(data: Path) -> Iterator[dict[str, Any]]:
    """A record for each model and time, then for each degree of it."""
    found = list(rows(data))
    for model in sorted({row.model for row in found}):
        own = [row for row in found if row.model == model]
        degrees = sorted({f"{row.tp}" for row in own})
        for tp in ("all", *degrees) if len(degrees) > 1 else degrees:
            for name in NAMES:
                alike = [row for row in own if row.time == name and tp in ("all", f"{row.tp}")]
                yield _record(model, tp, name, alike)


def _record(model: str, tp: str, time: str, found: Sequence[Row]) -> dict[str, Any]:
    expected, bound, low, high = np.array([row.predicted for row in found]).T
    figures = figures_of(Timing(expected, bound, low, high), bound, np.array([row.measured_s for row in found]))
    told = {name: round(value, 4) for name, value in figures.items() if name in FIGURES}
    return {"model": model, "tp": tp, "time": time, **told}


def table(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The records in Markdown."""
    yield "| model | tp | time | " + " | ".join(name.replace("_", " ") for name in FIGURES) + " |"
    yield "|---" * 3 + "|--:" * len(FIGURES) + "|"
    for one in records:
        yield f"| {one['model']} | {one['tp']} | {one['time']} | {' | '.join(cells(one))} |"


def main() -> int:
    """Print the table, and write the copy if asked to."""
    parser = argparse.ArgumentParser(description="A100 rows of Splitwise beside predict.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write docs/accuracy.json")
    asked = parser.parse_args()
    records = list(board(asked.data))
    print("\n".join(table(records)))
    if asked.write:
        store("splitwise", records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
