"""The bands of devices with rows: what constants err on rows that they did not see, by how much of a time is latency.

Where kernels stream, long ones err by little and short ones by their launches: their bands are told at four shares of
latency from 0 to 1, between which ends lie on lines. Others gain 1 to 8 % of the interval score by it, and cover less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from device_sets import SEEDS
from measured_sets import MeasuredSet
from scipy.stats import norm as normal
from scipy.stats import t as student

from roofline.calibration.constants import Constants
from roofline.fitting.operators import band_of
from roofline.timing.operator import time_operator

BY_LATENCY = ("convolution", "delta_rule", "mamba2", "attention_encoder")
"""How the kinds begin whose bands are by latency: chosen by the interval score of rows that no band was made of. It is
a fifth better for quantising too, whose kernels are so many in a step that its tape would be longer than it may be."""
_RANGES = 4
_FEWEST = 25  # rows of a range


class Seed(Protocol):
    """Rows that a seed judges: their sets, its constants, ln(predicted / measured), and the dimensions of each."""

    rows: tuple[MeasuredSet, ...]
    constants: Constants
    logs: Any

    @property
    def values(self) -> Any:
        """[rows, dimensions]."""


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Rows as ln(measured / predicted), their dimensions, and which part of what is predicted is latency."""

    logs: Any
    values: Any
    latency: Any

    @classmethod
    def of(cls, seed: Seed) -> Errors:
        """Those of a seed."""
        shares = []
        for timed in (timed for rows in seed.rows for timed in rows.timed()):
            told = time_operator(replace(timed.cost, alone=True), timed.hardware, seed.constants)
            shares.append(np.broadcast_to(told.share("latency"), len(timed.measured_s)))
        return cls(-seed.logs, seed.values, np.concatenate(shares))

    def where(self, rows: Any) -> Errors:
        """The rows that a mask picks."""
        return Errors(self.logs[rows], self.values[rows], self.latency[rows])

    @classmethod
    def joined(cls, parts: Sequence[Errors]) -> Errors:
        """All of them."""
        found = ([getattr(part, name) for part in parts] for name in ("logs", "values", "latency"))
        return cls(*(np.concatenate(each) for each in found))


def band_of_seeds(seeds: Sequence[Seed], kind: str) -> dict[str, Any]:
    """The fields of a band over the rows that each seed did not fit."""
    rows = Errors.joined([Errors.of(seed) for seed in seeds])
    evidence = f"{len(rows.logs):,} rows not fitted, in {len(SEEDS)} splits"
    return made(rows, evidence, by_latency=kind.startswith(BY_LATENCY))


def made(rows: Errors, evidence: str, *, by_latency: bool) -> dict[str, Any]:
    """The fields of a band of rows, in three digits and never narrower."""
    ranges = _ranges(rows) if by_latency else []
    told: dict[float, dict[str, float]] = {}
    for place, own in enumerate(ranges):
        share = 0.0 if place == 0 else round(float(np.median(own.latency)), 3)
        if own is ranges[-1] and place:
            told[1.0] = _ends(own)
        elif share < 1:
            told.setdefault(share, _ends(own))
    each = [{"share": share, **ends} for share, ends in told.items()]
    return band_fields(tuple(_ends(rows).values()), evidence, {"by_latency": each} if len(each) > 1 else {})


def band_fields(ends: Sequence[float], evidence: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a band, in three digits and never narrower."""
    low, high = ends
    return {"low": _down(low), "high": -_down(-high), **(more or {}), "evidence": evidence}


def _down(end: float) -> float:
    return math.floor(1000 * end) / 1000


def _ends(rows: Errors) -> dict[str, float]:
    low, high = band_of(widened(rows.logs, rows.values), np.ones(len(rows.logs)))
    return {"low": _down(low), "high": -_down(-high)}


def _ranges(rows: Errors) -> list[Errors]:
    """As many rows each, by how much of their time is latency; none where those would be few."""
    if len(rows.logs) < _RANGES * _FEWEST:
        return []
    place = np.digitize(rows.latency, np.quantile(rows.latency, np.arange(1, _RANGES) / _RANGES))
    found = (rows.where(place == each) for each in range(_RANGES))
    return [own for own in found if len(own.logs) >= _FEWEST]


def ends_at(band: dict[str, Any], latency: Any) -> Any:
    """ln of the ends of a band for each row, by how much of its time is latency: [2, rows]."""
    each = band.get("by_latency", [{"share": 0.0, "low": band["low"], "high": band["high"]}])
    shares = [ends["share"] for ends in each]
    return np.log([np.interp(latency, shares, [ends[end] for ends in each]) for end in ("low", "high")])


def ends_unseen(seeds: Sequence[Seed], kind: str) -> list[Any]:
    """The band that each judged row is held to, which saw none of its dimensions: ln of its ends, [2, rows] a seed.

    For each combination of dimensions it is made as the file's band is, of rows that share no dimension with it and
    are judged by the seeds that judge it; where there is none, of all rows that differ in a dimension.
    """
    every, by_latency = [Errors.of(seed) for seed in seeds], kind.startswith(BY_LATENCY)
    found = []
    for seed in every:
        ends = np.empty((2, len(seed.logs)))
        for dimensions in np.unique(seed.values, axis=0):
            own = np.all(seed.values == dimensions, axis=1)
            band = made(_without(dimensions, every), "", by_latency=by_latency)
            ends[:, own] = ends_at(band, seed.latency[own])
        found.append(ends)
    return found


def _without(dimensions: Any, seeds: Sequence[Errors]) -> Errors:
    own = [np.all(seed.values == dimensions, axis=1) for seed in seeds]
    apart = [~np.isin(seed.values, dimensions).any(axis=1) for seed in seeds]
    used = [rows if judges.any() else np.zeros_like(rows) for rows, judges in zip(apart, own, strict=True)]
    if not any(rows.any() for rows in used):
        used = [~rows for rows in own]
    return Errors.joined([seed.where(rows) for seed, rows in zip(seeds, used, strict=True)])


def widened(logs: Any, values: Any) -> Any:
    """ln(measured / predicted) of rows, what the rows of like dimensions share made as wide as few of them leave it.

    The mean of such rows lies from that of all by Student's t x (1 + 1/n)^(1/2) for n combinations, where a normal
    deviate would stand for many: the prediction interval of one more. Their scatter about their mean stays.
    """
    among, place = np.unique(values, axis=0, return_inverse=True)
    count, place = len(among), place.reshape(-1)
    if count < 2:
        return logs
    means = np.bincount(place, logs) / np.bincount(place)
    times = float(student.ppf(0.95, count - 1) / normal.ppf(0.95)) * (1 + 1 / count) ** 0.5
    return logs + (times - 1) * (means[place] - logs.mean())
