"""Draw valid but odd commands: what fails is printed with its seed, and how many of each verb were answered.

PYTHONPATH=.:tests/support python benchmarks/fuzz_doors.py --draws 20000 --first 0
PYTHONPATH=.:tests/support python benchmarks/fuzz_doors.py --presets 1,2,8
"""

from __future__ import annotations

import argparse
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import count as numbers
from itertools import islice

from odd_input import check, command_of

from roofline.models.sources import preset_names

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
    parser.add_argument("--presets", metavar="1,2,8", help="predict every preset on so many H100, layout open, instead")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    end, found = time.monotonic() + asked.seconds, Counter[tuple[str, str]]()
    drawn = ((f"seed {seed}", command_of(seed)) for seed in numbers(asked.first))
    for name, command in _every_preset(asked.presets) if asked.presets else islice(drawn, asked.draws):
        found[command[0], _outcome(name, command)] += 1
        if found.total() % EVERY == 0:
            print(f"{found.total()} drawn, {_answered(found)} answered", flush=True)
        if time.monotonic() > end:
            break
    for (verb, outcome), times in sorted(found.items()):
        print(f"{verb:10} {outcome:8} {times:6}")
    print(f"{found.total()} asked, {_answered(found)} answered")


def _answered(found: Counter[tuple[str, str]]) -> int:
    return sum(times for (_, outcome), times in found.items() if outcome in ("exit 0", "exit 4"))


def _every_preset(devices: str) -> Iterator[tuple[str, list[str]]]:
    for preset in preset_names():
        for number in devices.split(","):
            yield f"{preset} on {number}", ["predict", preset, "--hardware", f"{number}xh100", "--json"]


def _outcome(name: str, command: list[str]) -> str:
    try:
        return f"exit {check(command)}"
    except Exception:
        print(f"{name}: {' '.join(command)}\n{traceback.format_exc(limit=-2)}", flush=True)
        return "FAILED"


if __name__ == "__main__":
    main()
