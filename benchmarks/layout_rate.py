"""How many layouts a second are evaluated, all at once, beside one `predict` after another.

python benchmarks/layout_rate.py

All layouts of llama-3.1-405b on 64 H100s, prefill and every decode step of a request, the model and the specs read
anew each time; the median of five runs after the imports. Exit 1 where that takes a second or more.
"""

from __future__ import annotations

import statistics
import sys
import time

import roofline
from roofline.prediction.layouts.search import search_layouts

MODEL, HARDWARE, BATCH, BAR, RUNS = "llama-3.1-405b", "64xh100", 64, 1.0, 5


def main() -> int:
    """Print the time, the rate and the ratio; exit 1 above the bar."""
    table = search_layouts(MODEL, HARDWARE, batch=BATCH)  # loads what is loaded on first use
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        search_layouts(MODEL, HARDWARE, batch=BATCH)
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    print(f"{len(table)} layouts in {seconds:.2f} s (bar {BAR:g} s): {len(table) / seconds:,.0f} layouts a second")

    batches = [16 * size for size in range(1, 33)]
    start = time.perf_counter()
    many = search_layouts(MODEL, HARDWARE, batch=batches)
    spent = time.perf_counter() - start
    print(f"{len(many):,} rows of {len(batches)} batches in {spent:.2f} s: {len(many) / spent:,.0f} rows a second")

    some = table.order()[:: max(1, len(table) // 5)][:5]
    start = time.perf_counter()
    for row in some:
        roofline.predict(MODEL, HARDWARE, batch=BATCH, **table.layout(row).to_dict())
    each = (time.perf_counter() - start) / len(some)
    print(f"{each * len(table) / seconds:,.0f} x a loop over predict")
    return int(seconds >= BAR)


if __name__ == "__main__":
    sys.exit(main())
