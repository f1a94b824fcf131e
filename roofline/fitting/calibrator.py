"""From timed kernels to constants with intervals, and the error on shapes kept out of the fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roofline.calibration.constants import Constants
from roofline.calibration.corrections.correction import Prior
from roofline.calibration.corrections.registry import named_constants
from roofline.calibration.fields import MOST_SHARE
from roofline.classes import frozen
from roofline.cost.cost import operator_cost
from roofline.errors import WorkloadError
from roofline.fitting.campaign import Point
from roofline.fitting.operators import Fit, Timed, fit_constants, held_out_band
from roofline.hardware.spec import HardwareSpec
from roofline.program.workload import Precision
from roofline.timing.operator import time_operator
from roofline.validation.stopwatch import Samples

PRIORS = {
    "compute": Prior(0.75, 0.4, most=MOST_SHARE),
    "memory": Prior(0.75, 0.5, most=MOST_SHARE),
    "special": Prior(0.02, 2.0, most=MOST_SHARE),
    "vector": Prior(0.1, 2.0, most=MOST_SHARE),
    "latency_s": Prior(5e-6, 1.0),
    "p": Prior(2.0, 0.4),
    **{name: constant.prior for name, (_, constant) in named_constants().items()},
}
"""Wide: the rows decide, and few of them are enough for a sane answer."""

_STREAM = ("memory", "reuse_bandwidth", "latency_s")
CPU_FREE: dict[str, tuple[str, ...]] = {
    "matmul": ("compute", "memory", "latency_s", "repack", "extra_depth", "spill_columns"),
    "elementwise": _STREAM,
    "copy": _STREAM,
    "mean": _STREAM,
    "norm": _STREAM,
    "gelu": ("special", "latency_s"),
    "silu": ("special", "latency_s"),
    "tanh": ("special", "latency_s"),
    "softmax": ("special", "latency_s"),
    "embedding": _STREAM,
    "cache_copy": _STREAM,
    "optimizer_update": ("memory", "latency_s"),
    "conv": ("compute", "memory", "latency_s"),
    "max_pool": ("vector", "latency_s"),
    "attention_prefill": ("compute", "special", "memory", "reuse_bandwidth", "latency_s", "extra_keys", "key_block"),
    "attention_decode": ("compute", "memory", "reuse_bandwidth", "latency_s", "extra_keys"),
}
GPU_FREE = {
    **dict.fromkeys(CPU_FREE, ("memory", "latency_s")),
    "matmul": ("compute", "memory", "latency_s", "p"),
    "conv": ("compute", "memory", "latency_s", "p"),
    "max_pool": ("vector", "latency_s"),
    "attention_prefill": ("compute", "latency_s", "extra_keys"),
    "attention_decode": ("memory", "latency_s", "extra_reads"),
}
"""Group of kernels -> which of its constants are fitted. What none names is that of elementwise kernels."""


@frozen
class Fitted:
    """The constants of one group, and how far off they are on fitted and on held-out shapes: APEs as fractions."""

    fit: Fit
    constants: Constants
    errors: tuple[float, ...]
    band: tuple[float, float]

    @property
    def at_most(self) -> list[str]:
        """Which of its shares of a roof are the most that one is stated as: more was measured."""
        return [name for name in ("compute", "memory") if float(getattr(self.constants, name)) >= MOST_SHARE]


@dataclass(slots=True)
class Calibrator:
    """Fits the groups of one campaign on a device whose roofs are ``hardware``."""

    points: Sequence[Point]
    samples: Mapping[str, Samples]
    hardware: HardwareSpec
    dtype: str
    fitted: dict[str, Fitted] = field(default_factory=dict)

    def run(self) -> dict[str, Fitted]:
        """Every group that was timed; elementwise first, whose traffic the transcendental ones share."""
        free = CPU_FREE if self.hardware.kind == "cpu" else GPU_FREE
        plain = Constants(0.75, 1.0, 0.1, 0.75, 5e-6, 1.0 if self.hardware.kind == "cpu" else 2.0)
        for group in ("elementwise", *(name for name in free if name != "elementwise")):
            start = plain
            if "elementwise" in self.fitted and group not in (
                "matmul",
                "conv",
                "attention_prefill",
                "attention_decode",
            ):
                start = self.fitted["elementwise"].constants
            if rows := list(self._timed(group, held_out=False)):
                self.fitted[group] = self._fit(group, rows, start, free[group])
        return self.fitted

    def _fit(self, group: str, rows: list[Timed], start: Constants, free: Sequence[str]) -> Fitted:
        fit = fit_constants(rows, start, {name: PRIORS[name] for name in free})
        rounded = fit.constants.replaced({name: float(f"{fit.constants.value(name):.3g}") for name in free})
        checks = list(self._timed(group, held_out=True))
        errors = [error for timed in checks for error in _errors(timed, rounded)]
        return Fitted(fit, rounded, tuple(errors), held_out_band(checks, rounded) if checks else (1.0, 1.0))

    def _timed(self, group: str, *, held_out: bool) -> Iterator[Timed]:
        """The rows of a group, those of one statement together: a campaign each, by its number of rows."""
        chosen = [p for p in self.points if p.group == group and p.held_out == held_out and p.name in self.samples]
        for op in dict.fromkeys(p.op.name + str(p.op) + str(p.op.work) for p in chosen):
            same = [p for p in chosen if p.op.name + str(p.op) + str(p.op.work) == op]
            letters = {letter: np.array([p.sizes[letter] for p in same], float) for letter in same[0].sizes}
            cost = operator_cost(same[0].op, letters, Precision(self.dtype, self.dtype, self.dtype))
            measured = np.array([self.samples[p.name].time_s for p in same])
            yield Timed(cost, self.hardware, measured, weight=len(same))

    def band(self) -> tuple[float, float, int]:
        """The 5th and 95th percentile of measured / predicted over all held-out shapes, and how many these are."""
        logs = np.concatenate([-np.log1p(found.errors) for found in self.fitted.values()])
        if not len(logs):
            msg = "no held-out shape was timed; give --budget more seconds"
            raise WorkloadError(msg)
        low, high = np.exp(np.quantile(logs, [0.05, 0.95]))
        return min(1.0, float(low)), max(1.0, float(high)), len(logs)


def _errors(timed: Timed, constants: Constants) -> Any:
    """predicted / measured - 1, row by row."""
    return time_operator(timed.cost, timed.hardware, constants).time_s / timed.measured_s - 1


def kind_fields(found: Fitted, host_s: float) -> dict[str, Any]:
    """The fields of one kind as a calibration has them; from the host, a launch takes what the host adds."""
    c = found.constants
    fields: dict[str, Any] = {"compute": c.compute, "memory": c.memory, "special": c.special, "p": c.p}
    fields |= {"vector": c.vector} if "vector" in found.fit.intervals else {}
    fields["latency"] = {"graph": _us(float(c.latency_s)), "eager": _us(float(c.latency_s) + host_s)}
    fields |= c.corrections.written()
    if len(found.errors) >= 8:  # fewer say little: the band of all kinds holds
        low, high = found.band
        evidence = f"{len(found.errors)} shapes kept out of the fit"
        fields["band"] = {"low": _round(low, down=True), "high": _round(high), "evidence": evidence}
    return fields


def _round(ratio: float, *, down: bool = False) -> float:
    """Two decimals, away from one, so that the band never gets narrower."""
    return float(np.floor(ratio * 100) / 100 if down else np.ceil(ratio * 100) / 100)


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} us"
