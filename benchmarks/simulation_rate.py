"""How many requests are simulated in a minute, and as a ratio to a fixed Python loop.

    python benchmarks/simulation_rate.py [requests]

Chat on an H100 at a quarter, at 0.9 and at 2 times what it serves; the loop is 20,000 multiplications, about a
millisecond of a core. The bar is 100,000 requests in a minute where it takes that. CPU time counts.
"""

from __future__ import annotations

import sys

from step_clock import loop, seconds

import roofline

BAR = 100_000
LOADS = (6.0, 21.0, 46.0)


def main(requests: int) -> int:
    """Print the rate at each load beside the bar; the exit code counts those below it."""
    model, below = roofline.load_model("llama-3.1-8b"), 0
    roofline.simulate(model, "h100", load=LOADS[0], requests=10)
    for load in LOADS:
        took = seconds(lambda load=load: roofline.simulate(model, "h100", load=load, requests=requests), 1)  # type: ignore[misc]
        fixed = min(seconds(loop, 1) for _ in range(20))
        scaled = requests / took * 60 * fixed / 1e-3
        below += scaled < BAR
        print(f"{load:g} req/s: {scaled:,.0f} requests a minute where the loop takes a millisecond (bar {BAR:,}), "
              f"{requests / took * 60:,.0f} here")  # fmt: skip
    return below


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
