"""How many operators a second `predict_op` times when they come as arrays, beside a loop over single ones.

python benchmarks/operator_rate.py [rows] [device]
"""

from __future__ import annotations

import sys
import time

import numpy as np

import roofline

BAR = 1e6


def main(rows: int, name: str) -> int:
    """Print the rate and the ratio within this run; exit 1 below the bar."""
    device = roofline.load_hardware(name)
    random = np.random.default_rng(0)
    m, k, n = (random.integers(1, 16384, rows).astype(np.float64) for _ in range(3))
    roofline.predict_op("matmul", device, m=m[:10], k=k[:10], n=n[:10])
    start = time.perf_counter()
    roofline.predict_op("matmul", device, m=m, k=k, n=n)
    rate = rows / (time.perf_counter() - start)
    start, singles = time.perf_counter(), 100
    for row in range(singles):
        roofline.predict_op("matmul", device, m=int(m[row]), k=int(k[row]), n=int(n[row]))
    single = singles / (time.perf_counter() - start)
    print(f"{rate / 1e6:.1f} million matmul rows a second (bar {BAR / 1e6:g})")
    print(f"{rate / single:,.0f} x a loop over single ones")
    return int(rate < BAR)


if __name__ == "__main__":
    sys.exit(main(int((*sys.argv[1:], "1000000")[0]), (*sys.argv[2:], "h100")[0]))
