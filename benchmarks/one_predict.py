"""How long one prediction takes in a running process, as a ratio to a fixed Python loop, and how that grows.

python benchmarks/one_predict.py [runs]

Batch and context are others in each run. The loop is 20,000 multiplications, about a millisecond of a core; the bars
are ratios to it. Both sides run in turn; of each, the least CPU time counts.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable

import roofline

COUNT = itertools.count()
LARGER = roofline.load_model("llama-3.1-70b")
MODEL = roofline.load_model("llama-3.1-8b")
DEVICE = roofline.load_hardware("h100")


def loop() -> int:
    """What everything is compared with."""
    total = 0
    for number in range(20_000):
        total += number * number % 7
    return total


def batch() -> int:
    """Another batch each time, of which none comes twice."""
    return next(COUNT) + 1


CASES: dict[str, tuple[Callable[[], object], float]] = {
    "one decode step at another context": (
        lambda: roofline.predict(MODEL, DEVICE, context=2048 + next(COUNT) % 999),
        2.0,
    ),
    "the same at another batch": (lambda: roofline.predict(MODEL, DEVICE, batch=batch(), context=2048), 2.0),
    "the same by names": (lambda: roofline.predict("llama-3.1-8b", "h100", batch=batch(), context=2048), 4.0),
    "a prompt and 256 tokens": (lambda: roofline.predict(MODEL, DEVICE, prompt=2048 + next(COUNT) % 999), 2.0),
    "the same at another batch each": (lambda: roofline.predict(MODEL, DEVICE, batch=batch()), 4.0),
    "80 layers in place of 32": (lambda: roofline.predict(LARGER, DEVICE, batch=batch(), context=2048), 2.0),
    "all of the JSON": (lambda: roofline.predict(MODEL, DEVICE, batch=batch()).to_dict(), 30.0),
}


def milliseconds(work: Callable[[], object]) -> float:
    """CPU time of ``work``."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e3


def main(runs: int) -> int:
    """Print each ratio beside its bar; the exit code counts those above it."""
    least = {name: float("inf") for name in ("", *CASES)}
    for _ in range(runs):
        for name, (work, _) in {"": (loop, 1.0), **CASES}.items():
            least[name] = min(least[name], milliseconds(work))
    above = 0
    for name, (_, bar) in CASES.items():
        ratio = least[name] / least[""]
        above += ratio > bar
        print(f"{name}: {ratio:.2f} x the loop (bar {bar:g}), {least[name]:.2f} ms here")
    return above


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
