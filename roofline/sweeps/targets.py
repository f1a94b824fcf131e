"""The longest times that are good enough, and which rows of a sweep stay within them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.number import Grid
from roofline.serving.operating_points import Target
from roofline.sweeps.columns import MET, TARGETS


@frozen
class Limits:
    """Mean times to first token and per output token that are good enough; None asks for none. [s]"""

    ttft_s: float | None = None
    tpot_s: float | None = None

    @property
    def told(self) -> dict[str, float | None]:
        """The columns that say what is asked for."""
        return dict(zip(TARGETS, (self.ttft_s, self.tpot_s), strict=True))

    def met(self, found: Mapping[str, Any], size: int) -> dict[str, Grid]:
        """Whether each of ``size`` rows stays within them: 1, 0, or not a number where that is not known.

        >>> {name: met.tolist() for name, met in Limits(0.5, 0.02).met({"ttft_s": np.array([0.4, 0.6])}, 2).items()}
        {'ttft_met': [1.0, 0.0], 'tpot_met': [nan, nan], 'targets_met': [nan, 0.0]}
        """
        asked = {"ttft_s": self.ttft_s, "tpot_s": self.tpot_s}
        each = {name: _within(found.get(name), limit, size) for name, limit in asked.items()}
        missed = np.logical_or.reduce([met == 0 for met in each.values()])
        given = [each[name] for name, limit in asked.items() if limit is not None]
        unknown = np.logical_or.reduce([np.isnan(met) for met in given]) if given else np.ones(size, bool)
        both = np.where(missed, 0.0, np.where(unknown, np.nan, 1.0))
        return dict(zip(MET, (*each.values(), both), strict=True))


def limits_in(phase: str, limits: Sequence[Limits]) -> tuple[Limits, ...]:
    """Those that rows of a phase can meet: prefill has a time to first token alone, decode one per output token.

    >>> limits_in("decode", [Limits(0.5, 0.02), Limits(0.6, 0.02)])
    (Limits(ttft_s=None, tpot_s=0.02),)
    """
    has = {"encode": (), "listen": (), "train": (), "prefill": ("ttft_s",), "decode": ("tpot_s",)}.get(
        phase, ("ttft_s", "tpot_s")
    )
    return tuple(dict.fromkeys(Limits(**{name: getattr(each, name) for name in has}) for each in limits))


def _within(times: Any | None, limit: float | None, size: int) -> Grid:
    if times is None or limit is None:
        return np.full(size, np.nan)
    return np.where(np.isnan(times), np.nan, (times <= limit) * 1.0)


def limits_of(given: Mapping[str, Any]) -> tuple[Limits, ...]:
    """Every limit of ``ttft`` with every one of ``tpot``, each one or a list of them. Raises UsageError.

    >>> [each.tpot_s for each in limits_of({"ttft": "500ms", "tpot": ["20ms", 0.05]})]
    [0.02, 0.05]
    """
    each = [_times(name, given.get(name)) for name in ("ttft", "tpot")]
    return tuple(Limits(ttft, tpot) for ttft, tpot in product(*each))


def _times(name: str, given: Any) -> list[float | None]:
    if given is None:
        return [None]
    asked = given.split(",") if isinstance(given, str) else given if isinstance(given, list | tuple) else [given]
    targets = [Target.read(name, each.strip() if isinstance(each, str) else each) for each in asked]
    for target in targets:
        if target.percentile is not None:
            msg = f"{name} {target.statistic}: a sweep answers with means; size and simulate know percentiles"
            raise UsageError(msg)
    if not targets:
        msg = f"{name}: an empty list, expected times such as 30ms"
        raise UsageError(msg)
    return list(dict.fromkeys(target.time_s for target in targets))
