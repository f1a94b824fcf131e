"""Whether bands are true: their coverage over all sets of docs/accuracy.json, and what true ones would show.

python benchmarks/band_coverage.py [--kinds]

The rows of a set are not independent. What all rows of a device left out have in common is one draw, and a split has as
many draws as there are dimensions in it, so that a band which holds 90 % of all rows holds nearly all of one set and
too few of another. So bands are judged by the mean coverage over sets, at several levels, and by the interval score.
Beside the share of sets covered by 85 to 96 % stands that of bands which are right: what rows share is drawn from a
normal distribution of the deviation seen among the sets, scatter is each set's own. Where a band is from other kernels,
as experts' are, how far a set's spread lies off what they tell is drawn too: no band that is from others knows it.
The interval is from 2,000 draws of kinds and of devices, each with replacement.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from device_board import LEVELS, stored
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import norm as normal

from roofline.hardware.loading import load_hardware
from roofline.number import Grid

SUBJECTS = ("operators", "experts", "collectives")
BETWEEN = (0.85, 0.96)
"""The coverage that each set is asked for."""
SIBLING, STRANGER, ALONE = (
    "left out, its architecture timed",
    "left out, other architectures alone",
    "left out, of kernels timed on no other",
)
_DRAWS = 2000
_FEW = 4
"""So many sets tell nothing of an interval."""
HEADING = ("sets", "constants", "n", "cover", "interval", *(f"{level} %" for level in LEVELS), "high / low", "score",
           "shared", "85 to 96 %", "if true")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The band of one set: its record, and what its constants are from.

    expected: of draws of what its rows share, the part in which a true band would cover what each set is asked for.
    """

    record: Mapping[str, Any]
    group: str
    expected: float

    @property
    def kind(self) -> str:
        """The kind; of experts the library, whatever the load."""
        named, _, load = str(self.record["kind"]).partition(",")
        return str(self.record["library"]) if load else named

    @property
    def device(self) -> str:
        """The device's name."""
        return str(self.record["device"])

    @property
    def cover(self) -> float:
        """The share of its rows within."""
        return float(self.record["cover"])


def if_true(shared: float, scatter: float, draws: int, unforeseen: float = 0.0) -> Grid:
    """The coverage of a set, drawn many times, by a band that is right: what rows share and their scatter, together.

    shared, scatter: deviations of ln(measured / predicted); draws: how many values of what rows share are in a set.
    unforeseen: the deviation of ln(the set's spread / the one that its band was made for); the band is as much wider
    as it takes to hold nine rows in ten all the same.
    """
    random, scatter = np.random.default_rng(0), max(scatter, 1e-6)
    common = random.normal(0.0, shared, (_DRAWS, draws))
    made_for = np.exp(random.normal(0.0, unforeseen, (_DRAWS, 1)))

    def covers(times: float) -> Grid:
        end = times * normal.ppf(0.95) * float(np.hypot(shared, scatter)) * made_for
        inside: Grid = ndtr((end - common) / scatter) - ndtr((-end - common) / scatter)
        return inside.mean(axis=1)

    return covers(float(brentq(lambda times: covers(times).mean() - 0.9, 0.5, 5.0)) if unforeseen else 1.0)


@cache
def bands(subject: str) -> tuple[Band, ...]:
    """The bands of a subject's records, of devices with constants and of devices left out.

    Where a set has one draw of what its rows share, its deviation is that of all sets of the group.
    """
    records = [one for one in stored(subject) if one["constants"] in ("fitted", "left out")]
    groups = [_group(one, records) for one in records]
    found = []
    spreads = [one["unforeseen"] for one in records if "unforeseen" in one]
    for record, group in zip(records, groups, strict=True):
        ones = [one["shared"] for one, of in zip(records, groups, strict=True) if of == group and one["draws"] == 1]
        shared = float(np.sqrt(np.mean(np.square(ones)))) if record["draws"] == 1 else record["shared"]
        unforeseen = float(np.std(spreads)) if "unforeseen" in record else 0.0
        covers = if_true(shared, record["scatter"], record["draws"], unforeseen)
        found.append(Band(record, group, float(asked(covers).mean())))
    return tuple(found)


def _group(record: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    """Fitted, or what a device left out inherits."""
    if record["constants"] == "fitted":
        return "fitted"
    named = ("kind", "dtype", "library")
    others = {one["device"] for one in records if all(one[name] == record[name] for name in named)}
    others -= {record["device"]}
    if not others:
        return ALONE
    own = load_hardware(record["device"]).calibration_class
    return SIBLING if own in {load_hardware(other).calibration_class for other in others} else STRANGER


def asked(cover: Any) -> Any:
    """Whether a coverage is between what is asked for."""
    return (cover >= BETWEEN[0]) & (cover <= BETWEEN[1])


def interval(members: Sequence[Band]) -> tuple[float, float]:
    """90 % of the mean coverage."""
    named = [one.kind for one in members], [one.device for one in members]
    low, high = np.quantile(drawn_means(np.array([one.cover for one in members]), *named), [0.05, 0.95])
    return float(low), float(high)


def drawn_means(values: Any, kinds: Sequence[str], devices: Sequence[str]) -> Any:
    """Means of values of sets, whose kinds and devices are drawn with replacement many times."""
    random, weights = np.random.default_rng(0), np.ones((_DRAWS, len(values)))
    for names in (kinds, devices):
        among, place = np.unique(names, return_inverse=True)
        weights *= random.multinomial(len(among), np.full(len(among), 1 / len(among)), _DRAWS)[:, place]
    drawn = weights.any(axis=1)
    return weights[drawn] @ values / weights[drawn].sum(axis=1)


def line(subject: str, title: str, members: Sequence[Band]) -> tuple[str, ...]:
    """One row of the table."""
    mean = {name: float(np.mean([one.record[name] for one in members])) for name in
            ("cover", *(f"cover_{level}" for level in LEVELS), "width", "score")}  # fmt: skip
    ends = "{:.0f} to {:.0f} %".format(*(100 * end for end in interval(members))) if len(members) > _FEW else "-"
    squares = {name: float(np.mean([one.record[name] ** 2 for one in members])) for name in ("shared", "scatter")}
    levels = (f"{100 * mean[f'cover_{level}']:.0f} %" for level in LEVELS)
    return (subject, title, f"{len(members)}", f"{100 * mean['cover']:.1f} %", ends,
            *levels, f"{np.exp(mean['width']):.2f}", f"{mean['score']:.2f}",
            f"{100 * squares['shared'] / sum(squares.values()):.0f} %",
            f"{100 * np.mean([asked(one.cover) for one in members]):.0f} %",
            f"{100 * np.mean([one.expected for one in members]):.0f} %")  # fmt: skip


def lines(*, by_kind: bool = False) -> Iterator[tuple[str, ...]]:
    """Rows of every subject by what constants are from, then of operators left out by device, then by kind if asked."""
    for subject in SUBJECTS:
        every = bands(subject)
        for group in ("fitted", SIBLING, STRANGER, ALONE):
            members = [one for one in every if one.group == group]
            if members:
                yield line(subject, group, members)
    every = bands("operators")
    parts = [("device", {one.device for one in every})] + ([("kind", {one.kind for one in every})] if by_kind else [])
    for part, names in parts:
        for name in sorted(names):
            for group in ("fitted", "left out"):
                members = [one for one in every if getattr(one, part) == name and one.group.startswith(group)
                           and one.group != ALONE]  # fmt: skip
                if members:
                    yield line("operators", f"{group}, {name}", members)


def table(rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """The rows in Markdown."""
    yield "| " + " | ".join(HEADING) + " |"
    yield "|---" * 2 + "|--:" * (len(HEADING) - 2) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Coverage of all bands, and of true ones.")
    parser.add_argument("--kinds", action="store_true", help="each kind of operator too")
    print("\n".join(table(lines(by_kind=parser.parse_args().kinds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
