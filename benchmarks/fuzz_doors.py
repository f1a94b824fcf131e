"""Draw valid but odd commands: what fails is printed with its seed, and how many of each verb were answered.

PYTHONPATH=.:tests/support python benchmarks/fuzz_doors.py --draws 20000 --first 0
"""

from __future__ import annotations

import argparse
import time
import traceback
import warnings
from collections import Counter
from itertools import count, islice

from odd_input import check, command_of

EVERY = 1000
"""Draws between two lines of progress."""


def main() -> None:
    """Count the answers by verb and exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20000)
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="stop after so long, however few were drawn"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    end, found = time.monotonic() + asked.seconds, Counter[tuple[str, str]]()
    for seed in islice(count(asked.first), asked.draws):
        command = command_of(seed)
        found[command[0], _outcome(seed, command)] += 1
        if (drawn := found.total()) % EVERY == 0:
            print(f"{drawn} drawn", flush=True)
        if time.monotonic() > end:
            break
    for (verb, outcome), times in sorted(found.items()):
        print(f"{verb:10} {outcome:8} {times:6}")
    answered = sum(times for (_, outcome), times in found.items() if outcome in ("exit 0", "exit 4"))
    print(f"{found.total()} drawn from seed {asked.first}, {answered} answered")


def _outcome(seed: int, command: list[str]) -> str:
    try:
        return f"exit {check(command)}"
    except Exception:
        print(f"seed {seed}: {' '.join(command)}\n{traceback.format_exc(limit=-2)}", flush=True)
        return "FAILED"


if __name__ == "__main__":
    main()
