"""How long a step clock takes to answer, as a ratio to a fixed Python loop.

    python benchmarks/step_clock.py [runs]

A step of 64 requests, all decoding, or 62 beside two pieces of prompts; as a list, as an array, 2,000 steps in one
array. The loop is 20,000 multiplications, about a millisecond of a core; bars are microseconds where it takes that.
Both sides run in turn; of each, the least CPU time counts.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

import numpy as np

import roofline

STEPS = 2000
CASES = ("a list", 50.0, 1), ("an array", 25.0, 1), ("many steps in one array", 2.0, STEPS)
REPEATED = 200


def loop() -> int:
    """What everything is compared with."""
    total = 0
    for number in range(20_000):
        total += number * number % 7
    return total


def seconds(work: Callable[[], object], times: int) -> float:
    """CPU time of ``work``, done so often."""
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times


def main(runs: int) -> int:
    """Print the time of every way to ask beside its bar; the exit code counts those above it."""
    clock = roofline.StepClock("llama-3.1-8b", "h100")
    rng = random.Random(0)
    decode = [(1, rng.randint(100, 4000)) for _ in range(64)]
    above = 0
    for what, requests in (("64 decoding", decode), ("62 decoding, two pieces", [*decode[:62], (300, 0), (212, 512)])):
        array, many = np.array(requests), np.array([requests] * STEPS)
        ways: list[Callable[[], object]] = [
            lambda requests=requests: clock.step(requests),
            lambda array=array: clock.step(array),
            lambda many=many: clock.steps(many),
        ]
        least = [float("inf")] * (len(ways) + 1)
        for way in ways:
            way()
        for _ in range(runs):
            times = [seconds(way, 1 if steps > 1 else REPEATED) for way, (*_, steps) in zip(ways, CASES, strict=True)]
            least = [min(pair) for pair in zip(least, [*times, seconds(loop, 1)], strict=True)]
        for (name, bar, steps), found in zip(CASES, least, strict=False):
            micros = found / steps / least[-1] * 1e3
            above += micros > bar
            print(f"{what}, {name}: {micros:.2f} us a step where the loop takes a millisecond (bar {bar:g}), "
                  f"{found / steps * 1e6:.2f} us here")  # fmt: skip
    return above


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 40))
