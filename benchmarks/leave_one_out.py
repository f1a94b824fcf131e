"""How far class constants carry: matmul constants from two families of devices, judged on the third.

python benchmarks/leave_one_out.py --data DIR

Families: A100 bf16, H800 fp8, H20 fp8, weighing alike. Once e_c is one number for all devices, once it is what ``feed``
leaves of each device's peak (roofline/calibration/provenance.py); beside them constants fitted to the family itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from class_campaigns import Campaign, load_campaigns
from fit_classes import Found, errors_of, fit

FAMILIES = {
    "A100 bf16": ("GEMM bf16, TensorRT-LLM", "GEMM bf16, vLLM"),
    "H800 fp8": ("GEMM fp8, H800",),
    "H20 fp8": ("GEMM fp8, H20",),
}
FORMS = {
    "one e_c, from the others": ("compute", "memory", "latency_s"),
    "feed, from the others": ("feed", "memory", "latency_s"),
}


def lines(campaigns: Sequence[Campaign]) -> Iterator[tuple[str, str, Found, list[Campaign]]]:
    """Family, which constants, the constants, the family's campaigns."""
    families = {family: [c for c in campaigns if c.name in names] for family, names in FAMILIES.items()}
    for family, own in families.items():
        others = [campaign for name, members in families.items() if name != family for campaign in members]
        for title, free in FORMS.items():
            yield family, title, fit(others, free), own
        yield family, "one e_c, from itself", fit(own, FORMS["one e_c, from the others"]), own


def main() -> int:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description="Class constants, each family left out in turn.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    campaigns = load_campaigns(parser.parse_args().data)
    print("| family | constants | e_c | e_m | latency | median | mean |\n|---|---|--:|--:|--:|--:|--:|")
    for family, which, found, own in lines(campaigns):
        apes = 100 * np.abs(np.expm1(errors_of(own, found)))
        c = found.on(own[0].device, own[0].rows[0].cost.dtype)
        print(f"| {family} | {which} | {c.compute:.2f} | {c.memory:.2f} | {c.latency_s * 1e6:.1f} us "
              f"| {np.median(apes):.1f} % | {apes.mean():.1f} % |")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
