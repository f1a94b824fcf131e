"""Fits an A100's grouped matmuls to timings of whole mixtures of experts: two matmuls, what lies between, the sum.

What is elementwise has its constants already. The kernel is one launch, in which tokens are also sorted by expert: that
is in the latency of the two matmuls.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from grouped_sets import HIDDEN_BAND, HIDDEN_FIT, GroupedSet, mixture

from roofline.calibration.constants import Constants, load_constants
from roofline.calibration.corrections.correction import Prior
from roofline.fitting.operators import Fit, solve
from roofline.timing.operator import time_operator


def fit_mixture(data: Path, elementwise: Constants, free: Mapping[str, Prior]) -> tuple[Fit, Any]:
    """The constants of grouped matmuls, three digits of them, and ln(measured / predicted) of the rows for the band."""
    fitted, start = mixture(data, HIDDEN_FIT), load_constants("nvidia-ampere").of("grouped_matmul", "graph")

    def log_errors(logs: Any) -> Any:
        return _log_errors(fitted, start.replaced(dict(zip(free, np.exp(logs).tolist(), strict=True))), elementwise)

    found = solve(log_errors, free, np.ones(len(fitted.measured_s)))
    rounded = start.replaced({name: float(f"{interval.value:.3g}") for name, interval in found.items()})
    apes = np.abs(np.expm1(_log_errors(fitted, rounded, elementwise)))
    fit = Fit(rounded, found, len(apes), float(np.median(apes)), float(apes.mean()))
    return fit, -_log_errors(mixture(data, HIDDEN_BAND), rounded, elementwise)


def _log_errors(rows: GroupedSet, grouped: Constants, elementwise: Constants) -> Any:
    """ln(predicted / measured) of every mixture."""
    seconds = sum(
        time_operator(cost, rows.device, grouped if cost.kind == "matmul" else elementwise).time_s
        for cost in rows.costs
    )
    return np.log(seconds / rows.measured_s)
