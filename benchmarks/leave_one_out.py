"""How far class constants carry: matmul constants from two families of devices, judged on the third.

python benchmarks/leave_one_out.py --data DIR

Families: A100 bf16, H800 fp8, H20 fp8, weighing alike. Once all of e_c, e_m and latency are fitted, once only latency,
with the shares of the class; beside them the class as it is shipped, and constants fitted to the family itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from fit_calibrations import PRIORS
from measured_sets import load_sets

from roofline.calibration import Constants, load_constants
from roofline.fitting import Timed, fit_constants
from roofline.timing import time_operator

FAMILIES = {
    "A100 bf16": ("GEMM bf16, TensorRT-LLM", "GEMM bf16, vLLM"),
    "H800 fp8": ("GEMM fp8, H800",),
    "H20 fp8": ("GEMM fp8, H20",),
}
ALL = ("compute", "memory", "latency_s")


def families(data: Path) -> dict[str, list[Timed]]:
    """The campaigns of each family; those of one family share its weight."""
    sets = {rows.name: rows for rows in load_sets(data)}
    return {
        family: [replace(timed, weight=1 / len(names)) for name in names for timed in sets[name].timed()]
        for family, names in FAMILIES.items()
    }


def fitted(campaigns: Sequence[Timed], free: Sequence[str]) -> Constants:
    """The class's matmul constants with some of them fitted."""
    start = load_constants("nvidia-tensor-core").of("matmul", "graph")
    return fit_constants(campaigns, start, {name: PRIORS[name] for name in free}).constants


def errors(campaigns: Sequence[Timed], constants: Constants) -> tuple[float, float]:
    """Median and mean APE in percent."""
    apes = [np.abs(time_operator(t.cost, t.hardware, constants).time_s / t.measured_s - 1) for t in campaigns]
    whole = 100 * np.concatenate(apes)
    return float(np.median(whole)), float(whole.mean())


def lines(known: Mapping[str, list[Timed]]) -> list[tuple[str, str, Constants]]:
    """Family, which constants, the constants."""
    found = []
    for family, own in known.items():
        others = [timed for name, campaigns in known.items() if name != family for timed in campaigns]
        found += [
            (family, "the shipped class", load_constants("nvidia-tensor-core").of("matmul", "graph")),
            (family, "all three from the others", fitted(others, ALL)),
            (family, "latency from the others", fitted(others, ("latency_s",))),
            (family, "all three from itself", fitted(own, ALL)),
        ]
    return found


def main() -> int:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description="Class constants, each family left out in turn.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    known = families(parser.parse_args().data)
    print("| family | constants | e_c | e_m | latency | median | mean |\n|---|---|--:|--:|--:|--:|--:|")
    for family, which, c in lines(known):
        median, mean = errors(known[family], c)
        print(f"| {family} | {which} | {c.compute:.2f} | {c.memory:.2f} | {c.latency_s * 1e6:.1f} us "
              f"| {median:.1f} % | {mean:.1f} % |")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
