"""How many rows a second a sweep evaluates and writes, how large they are, what memory that takes.

    python benchmarks/sweep_rate.py [batches]

llama-3.1-8b on one device, batch by context, one process: with six columns kept, and with the usual ones. Seconds of
CPU of this process, reading and recording included; memory is the most that the process ever had.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import roofline
from roofline.sweeps.columns import KEPT

SIX = ("tpot_s", "low", "high", "total_bytes", "fits", "usd_per_mtoken")
HOUR = 3600.0
WANTED = 1e8  # rows of six columns in an hour, in a gigabyte


def measure(keep: tuple[str, ...], batches: int) -> float:
    """Print the rates of one choice of columns; the rows a second."""
    study = {"models": "llama-3.1-8b", "hardware": "h100", "batch": f"1..{batches}", "context": "64..8192:512",
             "keep": list(keep)}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        found = roofline.sweep(study, Path(folder) / "swept")
        seconds = time.process_time() - start
        size = sum(path.stat().st_size for path in found.parts())
    rate, most = found.rows / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{len(keep)} columns kept: {rate:,.0f} rows a second, {size / found.rows:.1f} B a row, "
        f"{size / found.rows / len(keep):.1f} B a number; at most {most:.2f} GB so far"
    )
    return rate


def main(batches: int) -> int:
    """Print both choices; the exit code says whether six columns stay below their bar."""
    six = measure(SIX, batches)
    measure(KEPT, batches)
    print(f"{WANTED:.0e} rows of six columns: {WANTED / six / HOUR:.2f} hours of a core (bar 1)")
    return int(WANTED / six > HOUR)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024))
