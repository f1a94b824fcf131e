"""Constants of a collective from timed ones: what is fitted is the very model that predicts, ``time_collective``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from roofline.calibration.calibration_file import CollectiveConstants
from roofline.calibration.corrections.correction import Prior
from roofline.calibration.fields import Band
from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.fitting.operators import Interval, band_of, solve
from roofline.timing.fitted_collectives import time_collective
from roofline.timing.timing import Timing

PRIORS = {
    "first": Prior(8e-6, 0.7),
    "each": Prior(1e-6, 1.0),
    "bandwidth": Prior(0.75, 0.3),
    "sharpness": Prior(0.6, 0.3),
}
"""Of NCCL over NVLink; wide, so that the rows decide."""


@frozen(eq=False)
class TimedCollective:
    """Timed runs of one operation over links of ``link`` B/s per direction: arrays of one length, times in s."""

    operation: str
    link: float
    message_bytes: Any
    devices: Any
    measured_s: Any

    def timing(self, constants: CollectiveConstants | None) -> Timing:
        """The prediction of every row."""
        return time_collective(self.operation, self.message_bytes, self.devices, self.link, constants)


def fit_collective(
    fitted: TimedCollective, between: TimedCollective, priors: Mapping[str, Prior] = PRIORS
) -> tuple[CollectiveConstants, dict[str, Interval]]:
    """Constants from ``fitted``, three digits of them, their band from ``between``, and the intervals of a fit.

    Needs scipy. Raises WorkloadError where there are fewer rows than constants, or none for the band.
    """
    if len(fitted.measured_s) < len(priors) or not len(between.measured_s):
        rows, others = len(fitted.measured_s), len(between.measured_s)
        msg = f"{fitted.operation}: {rows} rows to fit and {others} to check; expected {len(priors)} and 1 or more"
        raise WorkloadError(msg)

    def log_errors(logs: Any) -> Any:
        constants = _constants(dict(zip(priors, np.exp(logs), strict=True)))
        return np.log(fitted.timing(constants).time_s / fitted.measured_s)

    intervals = solve(log_errors, priors, np.ones(len(fitted.measured_s)))
    rounded = {name: float(f"{interval.value:.3g}") for name, interval in intervals.items()}
    logs = np.log(between.measured_s / between.timing(_constants(rounded)).time_s)
    low, high = band_of(logs, np.ones(len(logs)))
    band = Band(low=min(1.0, round(low, 2)), high=max(1.0, round(high, 2)), evidence=f"{len(logs)} rows not fitted")
    return _constants(rounded, band), intervals


def collective_fields(constants: CollectiveConstants) -> dict[str, Any]:
    """The fields of one collective, as a calibration's file has them."""
    return {
        "first": f"{constants.first * 1e6:.3g} us",
        "each": f"{constants.each * 1e6:.3g} us",
        "bandwidth": constants.bandwidth,
        "sharpness": constants.sharpness,
        "band": constants.band.model_dump(),
    }


def _constants(values: dict[str, Any], band: Band | None = None) -> CollectiveConstants:
    """Unchecked, since a fit passes through many values."""
    return CollectiveConstants.model_construct(**values, band=band or Band(low=1.0, high=1.0, evidence="none yet"))
