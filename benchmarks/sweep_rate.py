"""How many rows a second a sweep evaluates and writes, how large they are, what memory that takes.

    python benchmarks/sweep_rate.py [batches] [contexts] [--six]

llama-3.1-8b on one device, batch by context, one process: with six columns kept, and with the usual ones; and whole
requests, a prompt and 256 generated tokens, with the usual ones. Seconds of
CPU of this process, reading and recording included; memory is the most that the process ever had. ``12500 8000 --six``
is the whole of 10^8 rows.
"""

from __future__ import annotations

import argparse
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


def measure(keep: tuple[str, ...], batches: int, lengths: dict[str, str]) -> float:
    """Print the rates of one choice of columns; the rows a second of CPU."""
    study = {"models": "llama-3.1-8b", "hardware": "h100", "batch": f"1..{batches}", **lengths, "keep": list(keep)}
    with tempfile.TemporaryDirectory() as folder:
        start, begun = time.process_time(), time.monotonic()
        found = roofline.sweep(study, Path(folder) / "swept")
        seconds, waited = time.process_time() - start, time.monotonic() - begun
        size = sum(path.stat().st_size for path in found.parts())
    rate, most = found.rows / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{len(keep)} columns kept: {found.rows:,} rows, {rate:,.0f} a second of CPU ({seconds:.0f} s of CPU in "
        f"{waited:.0f} s), {size / found.rows:.1f} B a row, "
        f"{size / found.rows / len(keep):.1f} B a number; at most {most:.2f} GB so far"
    )
    return rate


def main() -> int:
    """Print both choices; the exit code says whether six columns stay below their bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("batches", type=int, nargs="?", default=1024)
    parser.add_argument("contexts", type=int, nargs="?", default=512)
    parser.add_argument("--six", action="store_true", help="six columns alone")
    asked = parser.parse_args()
    span = f"64..8192:{asked.contexts}"
    six = measure(SIX, asked.batches, {"context": span})
    if not asked.six:
        measure(KEPT, asked.batches, {"context": span})
        print("requests: ", end="")
        measure(KEPT, asked.batches, {"prompt": span, "generate": "256"})
    print(f"{WANTED:.0e} rows of six columns: {WANTED / six / HOUR:.2f} hours of a core (bar 1)")
    return int(WANTED / six > HOUR)


if __name__ == "__main__":
    sys.exit(main())
