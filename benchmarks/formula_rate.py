"""How many evaluations a second a compiled formula makes, beside a loop over `predict`.

python benchmarks/formula_rate.py [points]

One evaluation is the expected time of llama-2-7b, all operators of a prefill and of one decode step, at a random batch
and length. One core; the rate is the median of nine runs. Also: layers against layers, and the memory held.
"""

from __future__ import annotations

import statistics
import sys
import time
import tracemalloc
from typing import Any

import numpy as np

import roofline
from roofline.formulas import compiling

BAR = 1e7
RUNS = 9


def seconds(fast: compiling.Compiled, batches: Any, lengths: Any) -> float:
    """Median wall time over all points."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        fast(B=batches, S=lengths)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def compiled(layers: int) -> compiling.Compiled:
    """The time of a llama-2-7b of so many layers."""
    model = roofline.load_model("llama-2-7b", overrides={"num_hidden_layers": layers})
    return compiling.compile(model.program(), "time", hardware="h100")


def main(points: int) -> int:
    """Print the rate and the ratios within this run; exit 1 below the bar."""
    random = np.random.default_rng(0)
    batches, lengths = (random.integers(1, top, points).astype(np.float64) for top in (257, 3840))
    fast, shallow = compiled(32), compiled(2)
    rate = points / seconds(fast, batches, lengths)
    print(f"{rate / 1e6:.1f} million evaluations a second (bar {BAR / 1e6:g}), median of {RUNS} runs")

    model, device, worst, loops = roofline.load_model("llama-2-7b"), roofline.load_hardware("h100"), 0.0, 50
    spent = 0.0
    for batch, length in zip(batches[:loops], lengths[:loops], strict=True):
        start = time.perf_counter()
        prefill = roofline.predict(model, device, batch=int(batch), prompt=int(length), generate=1, constants="class")
        decode = roofline.predict(model, device, batch=int(batch), context=int(length), constants="class")
        spent += time.perf_counter() - start
        expected = prefill.phases["prefill"].figures.time_s + decode.phases["decode"].figures.time_s
        worst = max(worst, abs(fast(B=batch, S=length) / expected - 1))
    print(f"{rate * spent / loops:,.0f} x a loop over predict; largest difference {worst:.1e}")

    few, many = seconds(shallow, batches, lengths), seconds(fast, batches, lengths)
    print(f"32 layers / 2 layers: {many / few:.2f} x the time")
    for count in (points // 10, points):
        tracemalloc.start()
        held = fast(B=batches[:count], S=lengths[:count])
        extra = tracemalloc.get_traced_memory()[1] - held.nbytes
        tracemalloc.stop()
        print(f"{count:,} points: {extra / 1e6:.2f} MB beyond arguments and result")
    return int(rate < BAR)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
