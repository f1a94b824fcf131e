"""How long `compare` of one model over every device takes in a running process, as a ratio to one prediction.

Both are asked by name, so that both read their files.

python benchmarks/compare_hardware.py [runs]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import roofline
from roofline.hardware.loading import load_every_hardware

BAR = 20


def seconds(work: Callable[[], object], runs: int) -> float:
    """Median wall time of ``work``."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(runs: int) -> None:
    """Print the ratios within this run."""
    result = roofline.compare("llama-3.1-8b", "all", workload="chat")
    assert result.rows[0].curve.state is not None
    batches = max(len(row.curve.state.batches) for row in result.rows if row.curve.state is not None)
    one = seconds(lambda: roofline.predict("llama-3.1-8b", "h100"), runs)
    every = seconds(lambda: roofline.compare("llama-3.1-8b", "all", workload="chat"), runs)
    reading = seconds(load_every_hardware, runs)
    many = f"compare over {len(result.rows)} devices at {batches} batches each"
    print(f"{many} / one predict: {every / one:.1f} (bar {BAR})")
    print(f"of which reading all specs: {reading / one:.1f}")
    print(f"a device at a batch / one predict: 1 / {len(result.rows) * batches * one / every:,.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
