"""Draw valid but odd commands for so many seconds: what fails is printed with its seed, and how many were answered.

PYTHONPATH=.:tests/support python benchmarks/fuzz_doors.py --seconds 600 --first 0
"""

from __future__ import annotations

import argparse
import time
import traceback
import warnings
from collections import Counter

from odd_input import check, command_of


def main() -> None:
    """Count the answers by verb and exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    end, seed, found = time.monotonic() + asked.seconds, asked.first, Counter[tuple[str, str]]()
    while time.monotonic() < end:
        command = command_of(seed)
        try:
            found[command[0], f"exit {check(command)}"] += 1
        except Exception:
            found[command[0], "FAILED"] += 1
            print(f"seed {seed}: {' '.join(command)}\n{traceback.format_exc(limit=-2)}", flush=True)
        seed += 1
    for (verb, outcome), count in sorted(found.items()):
        print(f"{verb:10} {outcome:8} {count:6}")
    print(f"{sum(found.values())} drawn, seeds {asked.first} to {seed - 1}")


if __name__ == "__main__":
    main()
