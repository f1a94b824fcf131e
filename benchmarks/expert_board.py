"""The scoreboard of mixtures of experts by device, dtype, kernel library and load, and their constants.

python benchmarks/expert_board.py --data DIR [--write | --without CORRECTION]

--write renews the kinds grouped_matmul and routed of devices and classes in calibrations/ and left_out/, and the
records of docs/accuracy.json from which docs/accuracy.md has its table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from device_board import figures, mean_of, shares, store, table
from expert_fits import (
    CACHED,
    CLASSES,
    FREE,
    SPREAD_POWER,
    Chain,
    Judged,
    band_unseen,
    class_kinds,
    judged,
    left_out,
    logs_of,
    timing_of,
    with_experts,
)
from expert_sets import ExpertSet, load_experts
from fit_calibrations import written
from fit_classes import LEFT_OUT, kept_libraries

from roofline.calibration.constants import DATASHEET
from roofline.files.atomic import atomic_writer
from roofline.files.library import data_folder, read_yaml

APART = {"trtllm": "untuned", "triton": "unaligned"}
"""What rows are that are told apart: of a tactic of another layout, of widths that no vector load takes."""


def board(data: Path) -> Iterator[dict[str, Any]]:
    """A record for each set and load: of rows not fitted, of all by other devices' constants, of rows apart."""
    others = {each.name: each for each in load_experts(data, usual=False)}
    for rows in sorted(load_experts(data), key=lambda each: (each.dtype, each.library)):
        seen = [
            (seed.rows, seed.chain.banded(*band_unseen(seed.spread, rows.kernel, data)[0]))
            for seed in judged(rows, data)
        ]
        unseen = left_out(rows, data)
        for load, skewed in (("balanced", 0), ("power law", 1)):
            found = mean_of([_figures(own, chain, skewed) for own, chain in seen])
            found |= _shares(rows.split_by, seen, skewed) | {"unforeseen": _unforeseen(judged(rows, data), skewed)}
            yield _record(rows, load, "fitted", found)
            if unseen:
                yield _record(rows, load, "left out", _figures(rows, unseen, skewed))
            if apart := others.get(rows.name):
                told = [_figures(apart, chain, skewed) for _, chain in seen]
                yield _record(rows, load, APART[rows.library], mean_of(told))


def _figures(every: ExpertSet, chain: Chain, skewed: int) -> dict[str, float]:
    rows = every.where(every.sizes["skewed"] == skewed)
    told, naive = timing_of(rows, chain), timing_of(rows, Chain(DATASHEET, DATASHEET))
    return figures(told, naive.time_s, rows.measured_s)


def _shares(split_by: str, seen: Sequence[tuple[ExpertSet, Chain]], skewed: int) -> dict[str, float]:
    """What rows of one value of a split share, and their scatter."""
    parts = [(own.where(own.sizes["skewed"] == skewed), chain) for own, chain in seen]
    logs = np.concatenate([logs_of(own, chain) for own, chain in parts])
    return shares(logs, np.concatenate([own.sizes[split_by] for own, _ in parts]))


def _unforeseen(seeds: Sequence[Judged], skewed: int) -> float:
    """How far the spread of rows not fitted lies off what their band is made for, but for a factor of all: its ln."""
    each = [np.abs(seed.logs[seed.rows.sizes["skewed"] == skewed]).mean() / seed.spread**SPREAD_POWER for seed in seeds]
    return float(np.log(each).mean())


def _record(rows: ExpertSet, load: str, constants: str, told: Mapping[str, float]) -> dict[str, Any]:
    named = {"device": rows.device.name, "kind": f"experts, {load}", "dtype": rows.dtype, "library": rows.library}
    return named | {"constants": constants} | {name: round(value, 4) for name, value in told.items()}


def renew_class(path: Path, data: Path) -> None:
    """Write the kinds of experts of a class's file anew; what was timed of others' libraries stays."""
    fields = read_yaml(path)
    others = fields["kinds"]["grouped_matmul"].get("libraries", {})
    lone = others["deepgemm"]["dtypes"]["fp8"] if "deepgemm" in others else {}
    kinds = class_kinds(fields["name"], lone, data)
    for kind, libraries in kept_libraries(path).items():
        if kind in kinds:
            kinds[kind].setdefault("libraries", {}).update(libraries)
    with atomic_writer(path) as file:
        file.write(written({**fields, "kinds": {**fields["kinds"], **kinds}}))


def main() -> int:
    """Print the scoreboard, and write if asked to."""
    parser = argparse.ArgumentParser(description="Fit mixtures of experts, and score them.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write calibrations/ and docs/accuracy.json")
    parser.add_argument("--without", default="", help="a correction to leave out, such as group_blocks")
    asked = parser.parse_args()
    for constants in (FREE, CACHED):
        constants.pop(asked.without, None)
    records = list(board(asked.data))
    print("\n".join(table(records)))
    if asked.write and not asked.without:
        store("experts", records)
        for device in {rows.device.name: rows.device for rows in load_experts(asked.data)}.values():
            path = data_folder("calibrations") / "devices" / f"{device.name}.yaml"
            fields = with_experts(read_yaml(path), device, asked.data)
            with atomic_writer(path) as file:
                file.write(written(fields))
        classes = [data_folder("calibrations") / "classes" / f"{name}.yaml" for name in CLASSES]
        for path in (*classes, *sorted(LEFT_OUT.glob("*.yaml"))):
            renew_class(path, asked.data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
