"""How long one prediction takes in a running process, as a ratio to building its program, and against layers.

python benchmarks/one_predict.py [runs]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import roofline


def milliseconds(work: Callable[[], object], runs: int) -> float:
    """Median wall time of ``work``."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def main(runs: int) -> None:
    """Print the ratios within this run."""
    device = roofline.load_hardware("h100")
    small, large = (roofline.load_model(name) for name in ("llama-3.1-8b", "llama-3.1-70b"))
    step = milliseconds(lambda: roofline.predict(small, device, context=2048), runs)
    more = milliseconds(lambda: roofline.predict(large, device, context=2048), runs)
    request = milliseconds(lambda: roofline.predict(small, device, prompt=2048, generate=256), runs)
    print(f"80 layers / 32 layers, one decode step: {more / step:.2f} (cost is flat in the number of layers)")
    print(f"prefill and 255 decode steps / one decode step: {request / step:.2f} (steps are one array)")
    print(f"one decode step takes {step:.1f} ms here")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
