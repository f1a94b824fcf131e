"""The best square matmul of each card beside the class's: what GeForce cards reach, and what the bound says.

python benchmarks/best_matmuls.py --data DIR

Cards whose matrix units accumulate in fp32 at half rate share one constant, ``half_rate.compute`` of nvidia-gddr: the
factor that is printed last is what it has to be multiplied by. Each of them is told by the others too. A row is the
best of the sizes 1,024 to 10,240 of a community table, some machines of one card among them; it is compared with 8,192.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from roofline.calibration.power import accumulates_at_half_rate
from roofline.errors import RooflineError
from roofline.hardware.loading import load_hardware
from roofline.operators.predict_op import predict_op

SIZE = 8192
DTYPES = ("fp16", "bf16")
NAMES = {"rtx-4090-48gb": "rtx-4090"}
"""Cards that are others with more memory."""


def rows_of(data: Path) -> Iterator[tuple[str, str, float]]:
    """Card, dtype and FLOP/s of each row of a card of the library."""
    for row in csv.DictReader((data / "other/torch_matmul_table/matmul_tflops.csv").open(encoding="utf-8")):
        device = NAMES.get(row["device"], row["device"])
        try:
            load_hardware(device).contraction_unit(row["dtype"])
        except RooflineError:
            continue
        if row["dtype"] in DTYPES:
            yield device, row["dtype"], float(row["tflops"]) * 1e12


def main() -> None:
    """Print the table, and the factor of the cards that compute at half rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    measured: dict[tuple[str, str], list[float]] = {}
    for device, dtype, rate in rows_of(parser.parse_args().data):
        measured.setdefault((device, dtype), []).append(rate)
    flops, told = 2 * SIZE**3, {}
    for (device, dtype), rates in measured.items():
        found = predict_op("matmul", device, m=SIZE, k=SIZE, n=SIZE, dtype=dtype, constants="class")
        told[device, dtype] = flops / found.time_s, flops / found.bound_s, rates
    halves = {key: np.log(np.median(rates) / told[key][0]) for key, rates in measured.items()
              if accumulates_at_half_rate(load_hardware(key[0]))}  # fmt: skip
    cards = {device: np.mean([logs for key, logs in halves.items() if key[0] == device]) for device, _ in halves}
    print("| card | dtype | n | measured | class | off | by the other cards | bound | best of bound |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for (device, dtype), (expected, bound, rates) in sorted(told.items()):
        off = expected / np.median(rates) - 1
        others = [log for card, log in cards.items() if card != device]
        unseen = f"{expected * np.exp(np.mean(others)) / np.median(rates) - 1:+.1%}" if device in cards else "-"
        figures = f"{np.median(rates) / 1e12:.0f} | {expected / 1e12:.0f} | {off:+.1%} | {unseen} | {bound / 1e12:.0f}"
        print(f"| {device} | {dtype} | {len(rates)} | {figures} | {max(rates) / bound:.2f} |")
    print(f"factor of half_rate.compute: {np.exp(np.mean(list(cards.values()))):.3f}")


if __name__ == "__main__":
    main()
