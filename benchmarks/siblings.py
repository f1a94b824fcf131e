"""Siblings beside what was measured on them: a chip's calibration on another board, and the class without that board.

python benchmarks/siblings.py --data DIR [--write]

Pairs whose rows the calibration did not see: an H200 by that of an H100, an H100 by that of an H200, an MI308X by that
of an MI300X (fp8 by block, which alone was timed there). Then best matmuls on boards of a chip, as a factor of those on
the measured one. --write renews calibrations/siblings.yaml, the factors by which bands are widened and what chips draw,
and the records of docs/accuracy.json: a board that differs in memory alone has the band that holds nine in ten rows of
the pairs of NVIDIA, sets weighing alike; any other is as much wider as nine in ten of the best matmuls are off.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from device_board import figures, store, stored, told_beside_naive
from expert_fits import Chain, timing_of
from expert_sets import load_experts
from fit_calibrations import written
from fit_devices import FITS, sets_of
from instinct_sets import load_inheriting_matmuls
from scipy.optimize import minimize_scalar

from roofline.calibration.constants import DATASHEET, ConstantSet, load_device
from roofline.calibration.kernels import Kernels
from roofline.calibration.power import powered_shares
from roofline.calibration.provenance import class_of
from roofline.calibration.siblings import calibrated_as, moved
from roofline.files.atomic import atomic_writer
from roofline.files.library import data_folder, read_yaml
from roofline.hardware.loading import load_hardware
from roofline.operators.predict_op import predict_op
from roofline.timing.timing import Timing

MEMORY = (("h100-sxm-80gb", "h200-sxm-141gb"), ("h200-sxm-141gb", "h100-sxm-80gb"))
"""Boards that differ in memory alone: the one whose calibration it is, and the one whose rows are told."""
CUT = ("mi300x", "mi308x")
"""A board of fewer units."""
DRAWING = "GA100"
"""The chip whose energy is fitted: by its class, fitted to later chips, an A100 draws a third of its limit."""
BOARDS = {"A100 PCIe": "a100-pcie-80gb", "GB200 SXM": "gb200-186gb", "GH200 SXM": "gh200-96gb",
          "A100 SXM": "a100-sxm-80gb", "B200 SXM": "b200-180gb", "H100 SXM": "h100-sxm-80gb"}  # fmt: skip
"""Devices as the table of best matmuls names them."""
SQUARE = 8192
"""What a best matmul of unknown size is told for."""
NAMES = ("median", "bias", "cover", "score")


@dataclass(frozen=True, slots=True)
class Told:
    """Rows of one kind on a board by the calibration of another, and what the class left out makes of them."""

    measured: str
    board: str
    kind: str
    timing: Timing
    naive: Any
    measured_s: Any
    by_class: Sequence[Mapping[str, float]]

    def beyond(self) -> Any:
        """How far each row lies outside its band, less than 0 inside, in logarithms."""
        logs, low, high = (np.log(each / self.timing.time_s) for each in
                           (self.measured_s, self.timing.low_s, self.timing.high_s))  # fmt: skip
        return np.maximum(logs - high, low - logs)

    def record(self) -> dict[str, Any]:
        """Its figures, and those of the class that has not seen the board, the mean of its sets."""
        own = figures(self.timing, self.naive, self.measured_s)
        classed = {name: float(np.mean([one[name] for one in self.by_class])) for name in NAMES}
        return {
            "board": self.board, "measured": self.measured, "kind": self.kind, "n": len(self.measured_s),
            **{name: round(own[name], 4) for name in NAMES},
            **{f"class_{name}": round(value, 4) for name, value in classed.items()},
        }  # fmt: skip


def unwidened(measured: str, board: str) -> ConstantSet:
    """The constants of a board by a calibration whose bands are those of the device that was measured."""
    hardware = load_hardware(board)
    return ConstantSet.from_calibration(
        moved(load_device(measured), load_hardware(measured), hardware), class_of(hardware)
    )


def by_memory(data: Path) -> Iterator[Told]:
    """The pairs that differ in memory alone: operators, then mixtures of experts."""
    left_out = _left_out("operators")
    for measured, board in MEMORY:
        constants, hardware = unwidened(measured, board), load_hardware(board)
        for fit in FITS:
            sets = [each.rows for each in sets_of(data, fit, hardware)]
            if sets and sets_of(data, fit, load_hardware(measured)):
                own = constants.using(Kernels.all_of(fit.library)).of(fit.kind, "graph", dtype=fit.dtype)
                named = " ".join((fit.kind, fit.dtype, fit.library)).strip()
                classed = left_out[board, fit.kind, fit.dtype, fit.library]
                yield Told(measured, board, named, *told_beside_naive(sets, own), classed)
        yield from _experts(data, measured, board)


def _experts(data: Path, measured: str, board: str) -> Iterator[Told]:
    constants, left_out = unwidened(measured, board), _left_out("experts")
    for rows in load_experts(data):
        if rows.device.name == board:
            known = constants.using(Kernels.all_of(rows.library))
            kinds = (known.of(kind, "graph", dtype=rows.dtype) for kind in ("grouped_matmul", "routed"))
            naive = timing_of(rows, Chain(DATASHEET, DATASHEET)).time_s
            classed = left_out[board, "experts", rows.dtype, rows.library]
            named = f"experts {rows.dtype} {rows.library}"
            yield Told(measured, board, named, timing_of(rows, Chain(*kinds)), naive, rows.measured_s, classed)


def _left_out(subject: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """What docs/accuracy.json has of devices left out of their class; of experts, balanced and skewed."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for one in stored(subject):
        if one["constants"] == "left out":
            place = one["device"], one["kind"].partition(",")[0], one["dtype"], one["library"]
            found.setdefault(place, []).append(one)
    return found


def by_units(data: Path) -> Iterator[Told]:
    """The board of fewer units, in the dtype that its chip was measured in; no class was fitted to its rows."""
    constants, classed = unwidened(*CUT), ConstantSet.from_calibration(class_of(load_hardware(CUT[1])))
    for rows in load_inheriting_matmuls(data):
        if rows.dtype == "fp8_block":
            own, other = (
                told_beside_naive([rows.rows], each.of("matmul", "graph", dtype=rows.dtype))
                for each in (constants, classed)
            )
            yield Told(*CUT, f"matmul {rows.dtype}", *own, [figures(*other)])


@dataclass(frozen=True, slots=True)
class Best:
    """The best matmul on a board beside that on the measured device, of one source: rates [FLOP/s] and shapes."""

    board: str
    dtype: str
    rates: tuple[float, float]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def measured(self) -> str:
        """The device whose calibration the board takes."""
        return calibrated_as(load_hardware(self.board)) or ""

    @property
    def seen(self) -> float:
        """The board's rate over the other's."""
        return self.rates[0] / self.rates[1]

    def told(self) -> float:
        """The same of what is predicted of these shapes."""
        rates = []
        for name, (m, n, k) in zip((self.board, self.measured), self.shapes, strict=True):
            found = predict_op("matmul", name, m=m, n=n, k=k, dtype=self.dtype)
            rates.append(2 * m * n * k / float(found.time_s))
        return rates[0] / rates[1]


def bests(data: Path) -> list[Best]:
    """The pairs of two tables: best of many shapes (ml-engineering), best square (torch-performance-test-data)."""
    rates: dict[tuple[str, str], tuple[float, tuple[int, ...]]] = {}
    for row in _read(data / "mamf_stas/mamf.csv"):
        name = BOARDS.get(row["accelerator"].removeprefix("NVIDIA ").split(" (")[0])
        if name:
            shape = tuple(int(size) for size in row["best_shape_MxNxK"].split("x"))
            rates[name, row["dtype"]] = float(row["mamf_tflops"]) * 1e12, shape
    squares: dict[tuple[str, str], tuple[float, tuple[int, ...]]] = {}
    for row in _read(data / "other/torch_matmul_table/matmul_tflops.csv"):
        if row["device"] in ("a100-sxm-80gb", "a100-pcie-40gb") and row["dtype"] in ("fp16", "bf16"):
            squares[row["device"], row["dtype"]] = float(row["tflops"]) * 1e12, (SQUARE,) * 3
    return [*_pairs(rates), *_pairs(squares)]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def _pairs(rates: Mapping[tuple[str, str], tuple[float, tuple[int, ...]]]) -> Iterator[Best]:
    for (board, dtype), (rate, shape) in rates.items():
        measured = calibrated_as(load_hardware(board))
        if measured not in (None, board) and (measured, dtype) in rates:
            other, shape_there = rates[str(measured), dtype]
            yield Best(board, dtype, (rate, other), (shape, shape_there))


def energy(pairs: Sequence[Best]) -> float:
    """What a 16-bit FLOP of the chip at 1 GHz takes, by its boards' best matmuls. [J]"""
    own = [each for each in pairs if load_hardware(each.board).chip == DRAWING]

    def error(log: float) -> float:
        return float(sum((np.log(shares_ratio(np.exp(log), each) / each.seen)) ** 2 for each in own))

    return float(np.exp(minimize_scalar(error, bounds=np.log([1e-13, 2e-12]), method="bounded").x))


def shares_ratio(joules: float, pair: Best) -> float:
    """By how much the power limit of a board leaves less of a peak than that of the measured device."""
    board, measured = (
        powered_shares(1.0, joules, load_hardware(name))[pair.dtype] for name in (pair.board, pair.measured)
    )
    return board / measured


def widened(pairs: Sequence[Told], best: Sequence[Best]) -> dict[str, float]:
    """Factors of bands: what holds nine in ten rows, sets weighing alike, and how far nine in ten bests are off."""
    beyond = np.concatenate([pair.beyond() for pair in pairs])
    weights = np.concatenate([np.full(len(pair.measured_s), 1 / len(pair.measured_s)) for pair in pairs])
    order = np.argsort(beyond)
    reached = np.cumsum(weights[order]) / weights.sum()
    memory = float(np.exp(max(0.0, beyond[order][np.searchsorted(reached, 0.9)])))
    off = float(np.exp(np.quantile([abs(np.log(each.told() / each.seen)) for each in best], 0.9)))
    return {"memory": memory, "board": off}


GROUPS = ("matmul", "attention", "experts", "other")


def _group(kind: str) -> str:
    return next((group for group in GROUPS if group in kind), "other")


def table(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The mean over the sets of each pair and group of kinds, in Markdown."""
    yield ("| device | by the calibration of | kinds | sets | n | median | by its class | bias | by its class "
           "| cover | by its class | score | by its class |")  # fmt: skip
    yield "|---" * 3 + "|--:" * 10 + "|"
    places = dict.fromkeys((one["board"], one["measured"], _group(one["kind"])) for one in records)
    for board, measured, group in places:
        own = [
            one for one in records if (one["board"], one["measured"], _group(one["kind"])) == (board, measured, group)
        ]
        cells = [f"{len(own)}", f"{sum(one['n'] for one in own):,}"]
        for name in NAMES:
            for key in (name, f"class_{name}"):
                mean = float(np.mean([one[key] for one in own]))
                cells.append(f"{100 * mean:.1f} %" if name in ("median", "cover") else f"{mean:.2f}")
        yield f"| {board} | {measured} | {group} | {' | '.join(cells)} |"


def best_records(best: Sequence[Best]) -> list[dict[str, Any]]:
    """Best matmuls on boards as factors of those on the device that was measured."""
    return [
        {"board": each.board, "measured": each.measured, "dtype": each.dtype, "seen": round(each.seen, 3),
         "told": round(each.told(), 3)} for each in best
    ]  # fmt: skip


def best_table(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The same in Markdown."""
    yield "| board | beside | dtype | measured | told |"
    yield "|---|---|---|--:|--:|"
    for one in records:
        yield f"| {one['board']} | {one['measured']} | {one['dtype']} | {one['seen']:.3f} | {one['told']:.3f} |"


def main() -> int:
    """Print both tables and the factors, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write calibrations/siblings.yaml and docs/accuracy.json")
    asked = parser.parse_args()
    pairs, best = list(by_memory(asked.data)), bests(asked.data)
    records = [each.record() for each in (*pairs, *by_units(asked.data))]
    print("\n".join([*table(records), "", *best_table(best_records(best))]))
    joules, factors = energy(best), widened(pairs, best)
    wider = f"bands by memory alone {factors['memory']:.3f} x, others {factors['board']:.3f} x"
    print(f"{DRAWING} draws {joules * 1e12:.3g} pJ/FLOP; {wider}")
    if asked.write:
        store("siblings", records)
        store("best siblings", best_records(best))
        path = data_folder("calibrations") / "siblings.yaml"
        fields = read_yaml(path) | {
            "widened": {name: round(value + 0.005, 2) for name, value in factors.items()},
            "flop_energy": {DRAWING: f"{joules * 1e12:.2g} pJ/FLOP"},
        }
        with atomic_writer(path) as file:
            file.write(written(fields))
    return 0


if __name__ == "__main__":
    sys.exit(main())
