"""The parts of a calibration file: shares, seconds, latencies, bands."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Self

from roofline.errors import UnitError
from roofline.files.door import Door
from roofline.files.fields import BeforeValidator, Field, Info, model_validator
from roofline.units import UNITS, parse_quantity


def _seconds(text: object, info: Info) -> float:
    """A time, in cycles where it is cycles, or a sum of such: ``4.9 kcycle + 5 us``. [s]

    The context of the reading has the clock, in Hz. Raises ValueError for anything else.
    """
    parts = text.split(" + ") if isinstance(text, str) else [text]
    try:
        return sum(_of_clock(part, (info.context or {}).get("clock")) for part in parts)
    except UnitError as failure:
        raise ValueError(str(failure)) from None


def _of_clock(text: object, clock: float | None) -> float:
    in_cycles = isinstance(text, str) and UNITS.get(text.lstrip(" .0123456789e+-"), ("",))[0] == "cycles"
    if not in_cycles:
        return parse_quantity(text, "time_s")
    if clock is None:
        msg = f'"{text}" needs a clock: add clock: 1410 MHz, which serves devices that state none'
        raise ValueError(msg)
    return parse_quantity(text, "cycles") / clock


def _joules(text: object) -> float:
    try:
        return parse_quantity(text, "energy_per_flop_j")
    except UnitError as failure:
        raise ValueError(str(failure)) from None


Seconds = Annotated[float, BeforeValidator(_seconds)]
JoulesPerFlop = Annotated[float, BeforeValidator(_joules)]
MOST_SHARE = 2.0
"""What a share of a peak or a bandwidth can be stated as at most: beyond that the roof is wrong."""

Share = Annotated[float, Field(gt=0, le=MOST_SHARE, strict=False)]
Boost = Annotated[float, Field(ge=1, le=2, strict=False)]
Sharpness = Annotated[float, Field(ge=0.5, le=10, strict=False)]


class Data(Door):
    """A block of a calibration's file."""


Low = Annotated[float, Field(gt=0, le=1)]
High = Annotated[float, Field(ge=1)]


class Ends(Data):
    """The ends of a band where latency is such a ``share`` of the time."""

    share: Annotated[float, Field(ge=0, le=1, strict=False)]
    low: Low
    high: High


class Band(Data):
    """The 5th and 95th percentile of measured / predicted, and on what rows.

    ``by_latency``: the same of rows by how much of their time is latency, in rising shares from 0 to 1, between which
    the ends lie on lines. Where it is left out, one band serves all.
    """

    low: Low
    high: High
    by_latency: list[Ends] = []
    evidence: str

    @model_validator(mode="after")
    def _rises(self) -> Self:
        shares = [ends.share for ends in self.by_latency]
        if shares and (shares[0] != 0 or shares[-1] != 1 or any(one >= after for one, after in pairwise(shares))):
            told = ", ".join(f"{share:g}" for share in shares)
            msg = f"by_latency: shares {told}, expected to rise from 0 to 1"
            raise ValueError(msg)
        return self

    def at(self, latency: float) -> tuple[float, float]:
        """Low and high where latency is such a part of the time.

        >>> ends = [{"share": 0.0, "low": 0.9, "high": 1.1}, {"share": 1.0, "low": 0.5, "high": 1.5}]
        >>> low, high = Band.model_validate({"low": 0.8, "high": 1.2, "by_latency": ends, "evidence": "toy"}).at(0.5)
        >>> round(low, 3), round(high, 3)
        (0.7, 1.3)
        """
        for one, after in pairwise(self.by_latency):
            if one.share <= latency <= after.share:
                part = (latency - one.share) / (after.share - one.share)
                return one.low + part * (after.low - one.low), one.high + part * (after.high - one.high)
        return self.low, self.high

    def widened(self, factor: float, evidence: str) -> Band:
        """The same that many times wider on either side, whatever the latency."""

        def wider(ends: Ends | Band) -> dict[str, Any]:
            return {"low": ends.low / factor, "high": ends.high * factor}

        each = [ends.model_copy(update=wider(ends)) for ends in self.by_latency]
        return self.model_copy(update={**wider(self), "by_latency": each, "evidence": evidence})
