"""The parts of a calibration file: shares, seconds, latencies, bands."""

from __future__ import annotations

from typing import Annotated

from roofline.errors import UnitError
from roofline.files.door import Door
from roofline.files.fields import BeforeValidator, Field, Info
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


class Band(Data):
    """The 5th and 95th percentile of measured / predicted, and on what rows."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]
    evidence: str
