"""How long 3,232,128 layouts of a 175B model on 64 GPUs take, as many as calculon's search, which took 4.7 h there.

python benchmarks/training_search.py

GPT-3 175B on 64 A100 at batches that are multiples of 64 sequences, under six schedules: every layout, microbatch,
recompute policy and stage of ZeRO that divides, each with the time of a step, its band and its memory. CPU time of this
process, the median of three runs; exit 1 above 5 s.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import cast

from roofline.options.keywords import completed
from roofline.options.verbs.training import TrainOptions
from roofline.training.question import TrainingQuestion, read_training
from roofline.training.schedules import read_schedule
from roofline.training.search import search_batches

MODEL = {
    "model_type": "gpt2", "n_embd": 12288, "n_layer": 96, "n_head": 96, "n_positions": 2048, "vocab_size": 51200,
}  # fmt: skip
HARDWARE, SEQUENCE, COUNT, BAR, RUNS = "64xa100-80gb", 2048, 3_232_128, 5.0, 3
BATCHES = [64 * part for part in range(1, 129)]
SCHEDULES = [read_schedule(word) for word in ("1f1b", "gpipe", "interleaved:2", "interleaved:3", "zb-h1", "zb-h2")]


def question() -> TrainingQuestion:
    """A step of the smallest batch."""
    options = completed(TrainOptions, {"sequence": SEQUENCE, "batch": BATCHES[0]}, "train")
    return read_training(MODEL, HARDWARE, cast(TrainOptions, options))


def main() -> int:
    """Print rows, time and rate; exit 1 above the bar."""
    times, rows, fitting = [], 0, 0
    for _ in range(RUNS):
        start, rows, fitting = time.process_time(), 0, 0
        for table in search_batches(question(), BATCHES, SCHEDULES):
            rows, fitting = rows + len(table), fitting + int(table.fits.sum())
            if rows >= COUNT:
                break
        times.append(time.process_time() - start)
    seconds = statistics.median(times) * COUNT / rows
    print(f"{rows:,} rows, {fitting:,} of which fit, in {statistics.median(times):.1f} s of CPU time")
    print(f"{COUNT:,} rows: {seconds:.1f} s (bar {BAR:g} s), {rows / statistics.median(times):,.0f} a second")
    return int(seconds > BAR or rows < COUNT)


if __name__ == "__main__":
    sys.exit(main())
