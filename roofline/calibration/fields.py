"""The parts of a calibration file: shares, seconds, latencies, bands."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from roofline.errors import UnitError
from roofline.units import parse_quantity


def _seconds(text: object) -> float:
    try:
        return parse_quantity(text, "time_s")
    except UnitError as failure:
        raise ValueError(str(failure)) from None


Seconds = Annotated[float, BeforeValidator(_seconds)]
Share = Annotated[float, Field(gt=0, le=2, strict=False)]
Sharpness = Annotated[float, Field(ge=0.5, le=10, strict=False)]


class Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Band(Data):
    """The 5th and 95th percentile of measured / predicted, and on what rows."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]
    evidence: str
