"""Constants from timed operators: what is fitted is the very model that predicts, ``time_operator``.

Residuals are ln(predicted / measured), so that twice too slow weighs as much as twice too fast; the loss is soft-L1, so
that a few odd rows do not rule; each free constant has a weak log-normal prior, so that few rows are safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from roofline.calibration.constants import Constants
from roofline.calibration.corrections.correction import Prior
from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.errors import WorkloadError
from roofline.hardware.spec import HardwareSpec
from roofline.timing.operator import time_operator

SCALE = 0.05
"""Residuals beyond this count linearly, no longer as squares."""

_Z90 = 1.645  # of a normal distribution, 5th to 95th percentile


@frozen(eq=False)
class Timed:
    """Operators of one campaign and their measured times: arrays of one length. [s]

    Campaigns of one fit weigh alike by ``weight``, however many rows they have.
    """

    cost: Cost
    hardware: HardwareSpec
    measured_s: Any
    weight: float = 1.0


@frozen
class Interval:
    """A fitted constant and its 90 % interval, from the curvature of the loss: it knows noise, not a wrong form."""

    value: float
    low: float
    high: float


@frozen
class Fit:
    """Fitted constants, the interval of each, and how far off they leave the fitted rows: APE as a fraction."""

    constants: Constants
    intervals: Mapping[str, Interval]
    rows: int
    median_ape: float
    mean_ape: float


def fit_constants(
    campaigns: Sequence[Timed], start: Constants, free: Mapping[str, Prior], *, starts: int = 3, seed: int = 0
) -> Fit:
    """Fit the constants of ``start`` that ``free`` names, ``memory`` or ``split_k.partial``; the others stay.

    The best of ``starts`` runs counts, the first from the medians of the priors, the others from around them. Needs
    scipy. Raises WorkloadError for rows without a positive finite time, or fewer rows than free constants.

    Source: scipy.optimize.least_squares; soft-L1 as in Triggs et al. 1999, Bundle Adjustment, section 3.
    """
    _check([rows.measured_s for rows in campaigns], free)
    names = list(free)
    weights = _weights(campaigns)
    solution = solve(lambda logs: _log_errors(campaigns, _with(start, names, logs)), free, weights, starts, seed)
    fitted = start.replaced({name: interval.value for name, interval in solution.items()})
    apes = np.abs(np.expm1(_log_errors(campaigns, fitted)))
    return Fit(fitted, solution, len(weights), float(np.median(apes)), float(apes.mean()))


def solve(
    log_errors: Callable[[Any], Any], free: Mapping[str, Prior], weights: Any, starts: int = 3, seed: int = 0
) -> dict[str, Interval]:
    """The positive constants whose logarithms make ``log_errors`` least: robust, with priors, from several starts.

    ``weights`` has one number per row and adds up to the number of rows. Needs scipy.
    """
    from scipy.optimize import least_squares  # noqa: PLC0415  (start-up: only who fits needs it)

    centre = np.log([prior.median for prior in free.values()])
    sigma = np.array([prior.sigma for prior in free.values()])
    most = np.log([prior.most for prior in free.values()])

    def residuals(logs: Any) -> Any:
        errors = log_errors(logs) / SCALE
        robust = np.sign(errors) * np.sqrt(2 * weights * (np.sqrt(1 + errors**2) - 1))
        return np.concatenate([robust, (logs - centre) / sigma])

    random = np.random.default_rng(seed)
    begins = [centre, *(centre + 0.3 * random.standard_normal(len(free)) for _ in range(starts - 1))]
    runs = (least_squares(residuals, np.minimum(begin, most - 1e-3), bounds=(-np.inf, most)) for begin in begins)
    best = min(runs, key=lambda run: float(run.cost))
    spread = _spread(best, len(weights))
    return {
        name: Interval(*(float(np.exp(log + _Z90 * z * s)) for z in (0, -1, 1)))
        for name, log, s in zip(free, best.x, spread, strict=True)
    }


def held_out_band(campaigns: Sequence[Timed], constants: Constants) -> tuple[float, float]:
    """The 5th and 95th percentile of measured / predicted, each campaign weighing alike; at most 1, at least 1.

    Meant for rows that were not fitted.
    """
    return band_of(-_log_errors(campaigns, constants), _weights(campaigns))


def band_of(logs: Any, weights: Any) -> tuple[float, float]:
    """The weighted 5th and 95th percentile of exp(logs), where ``logs`` are ln(measured / predicted)."""
    order = np.argsort(logs)
    cumulated = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    low, high = np.exp(np.interp([0.05, 0.95], cumulated, logs[order]))
    return min(1.0, float(low)), max(1.0, float(high))


def _log_errors(campaigns: Sequence[Timed], constants: Constants) -> Any:
    """ln(predicted / measured), row by row."""
    times = [np.asarray(time_operator(rows.cost, rows.hardware, constants).time_s) for rows in campaigns]
    predicted = [np.broadcast_to(time, len(rows.measured_s)) for time, rows in zip(times, campaigns, strict=True)]
    return np.log(np.concatenate(predicted) / np.concatenate([rows.measured_s for rows in campaigns]))


def _weights(campaigns: Sequence[Timed]) -> Any:
    """One weight per row; they add up to the number of rows."""
    count = sum(len(rows.measured_s) for rows in campaigns)
    whole = sum(rows.weight for rows in campaigns)
    return np.concatenate(
        [np.full(len(rows.measured_s), rows.weight / whole * count / len(rows.measured_s)) for rows in campaigns]
    )


def _with(start: Constants, names: list[str], logs: Any) -> Constants:
    return start.replaced(dict(zip(names, np.exp(logs).tolist(), strict=True)))


def _spread(run: Any, rows: int) -> Any:
    """The deviation of each logarithm: the inverse of the curvature times the variance of the residuals."""
    variance = 2 * run.cost / max(1, rows)
    return np.sqrt(np.diag(np.linalg.pinv(run.jac.T @ run.jac)) * variance)


def _check(times: Sequence[Any], free: Mapping[str, Prior]) -> None:
    for seconds in times:
        good = np.isfinite(seconds) & (np.asarray(seconds) > 0)
        if not len(good) or not good.all():
            worst = "no rows" if not len(good) else f"row {int(np.argmin(good))}: not above 0"
            msg = f"times to fit: {worst}; expected positive seconds"
            raise WorkloadError(msg)
    count = sum(len(seconds) for seconds in times)
    if count < len(free):
        msg = f"{count} rows cannot fit {len(free)} constants ({', '.join(free)}); time more shapes"
        raise WorkloadError(msg)
