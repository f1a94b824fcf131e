"""The parts of a calibration file: shares, seconds, bands, and the terms of each kind of operator."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from roofline.errors import UnitError
from roofline.hardware.fields import Bytes
from roofline.units import parse_quantity


def _seconds(text: object) -> float:
    try:
        return parse_quantity(text, "time_s")
    except UnitError as failure:
        raise ValueError(str(failure)) from None


Seconds = Annotated[float, BeforeValidator(_seconds)]
Share = Annotated[float, Field(gt=0, le=2, strict=False)]
Factor = Annotated[float, Field(ge=0, le=100, strict=False)]
Tokens = Annotated[float, Field(ge=0, le=10_000, strict=False)]
Elements = Annotated[float, Field(ge=0, le=10**9, strict=False)]
Sharpness = Annotated[float, Field(ge=0.5, le=10, strict=False)]


class Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Latency(Data):
    """The constant cost of one operator: launched from a graph, or from the host. [s]"""

    graph: Seconds
    eager: Seconds


class Band(Data):
    """The 5th and 95th percentile of measured / predicted, and on what rows."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]
    evidence: str


class Tiles(Data):
    """How matmul kernels cut their output: ``feed`` is the share of the peak that a tile of side 64 is fed at.

    A split depth costs ``split`` [s] and ``partial`` of the traffic of its partial sums.
    """

    feed: Factor
    split: Seconds
    partial: Factor


class KindConstants(Data):
    """Constants of one kind of operator; what is absent is taken from the file's defaults.

    The terms of ``kernels.py``: tiles; extra_keys and extra_reads [tokens]; serial and cached, shares of the bandwidth;
    regroup [s]; repack, a part of the weights' traffic; extra_depth [elements]; wide [columns]; warm, a share of the
    bandwidth; key_block [tokens]; held [B] and again, a part of a row's traffic; group_rows.
    """

    compute: Share | None = None
    memory: Share | None = None
    vector: Share | None = None
    special: Share | None = None
    latency: Latency | None = None
    p: Sharpness | None = None
    tiles: Tiles | None = None
    extra_keys: Tokens = 0.0
    extra_reads: Tokens = 0.0
    serial: Factor = 0.0
    cached: Share | None = None
    regroup: Seconds = 0.0
    repack: Factor = 0.0
    extra_depth: Elements = 0.0
    wide: Elements = 0.0
    warm: Annotated[float, Field(gt=0, le=100, strict=False)] | None = None
    key_block: Tokens = 0.0
    held: Bytes | None = None
    again: Factor = 0.0
    group_rows: Elements = 0.0
    band: Band | None = None
