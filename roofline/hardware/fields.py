"""The parts of a hardware spec: quantities with units, and the blocks that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, TypeAlias, get_args

from roofline.classes import frozen
from roofline.errors import UnitError, shown
from roofline.files.door import Door
from roofline.files.fields import BeforeValidator, Field, model_validator
from roofline.schema import Says
from roofline.units import UNITS, Dimension, parse_quantity

Unit: TypeAlias = Literal["matrix", "vector", "special"]
Confidence: TypeAlias = Literal["high", "medium", "low"]
Dtype: TypeAlias = Literal["fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "fp6", "fp4", "int8", "int4"]
Topology: TypeAlias = Literal["switch", "mesh", "torus", "ring", "bridge"]
Function: TypeAlias = Literal["exp"]
Accumulator: TypeAlias = Literal["fp32", "fp16", "int32"]


def _quantity(dimension: Dimension) -> BeforeValidator:
    def parse(text: object) -> float:
        try:
            value = parse_quantity(text, dimension)
        except UnitError as failure:
            raise ValueError(str(failure)) from None
        if value <= 0:
            msg = f'"{text}" is not positive'
            raise ValueError(msg)
        return value

    return BeforeValidator(parse)


@frozen
class _Written:
    """The JSON Schema of a quantity: the spellings of its unit in a file, a number in SI base units in a result."""

    dimension: Dimension

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """Pydantic asks for it."""
        if handler.mode == "serialization":
            return {"type": "number", "unit": _BASE[self.dimension]}
        spellings = "|".join(re.escape(unit) for unit, (found, _) in UNITS.items() if found == self.dimension)
        return {"type": "string", "pattern": rf"^\s*[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\s*({spellings})\s*$"}


_BASE: dict[Dimension, str] = {
    "bytes": "B",
    "bytes_per_s": "B/s",
    "flops_per_s": "FLOP/s",
    "flops_per_cycle": "FLOP/cycle",
    "bytes_per_cycle": "B/cycle",
    "frequency_hz": "Hz",
    "power_w": "W",
}
"""The unit of a number without one."""

Bytes = Annotated[float, _quantity("bytes"), _Written("bytes")]
BytesPerS = Annotated[float, _quantity("bytes_per_s"), _Written("bytes_per_s")]
FlopsPerS = Annotated[float, _quantity("flops_per_s"), _Written("flops_per_s")]
FlopsPerCycle = Annotated[float, _quantity("flops_per_cycle"), _Written("flops_per_cycle")]
BytesPerCycle = Annotated[float, _quantity("bytes_per_cycle"), _Written("bytes_per_cycle")]
Hertz = Annotated[float, _quantity("frequency_hz"), _Written("frequency_hz")]
Watts = Annotated[float, _quantity("power_w"), _Written("power_w")]
Text = Annotated[str, Field(min_length=1, max_length=300)]


def year_as_text(given: object) -> object:
    """A year without quotes, which YAML reads as a number, as text."""
    return str(given) if isinstance(given, int) and 1900 <= given <= 2200 else given


def _date(given: object) -> object:
    """A year, month or day, as text."""
    text = year_as_text(given)
    if isinstance(text, str) and re.fullmatch(r"[0-9]{4}(-[0-9]{2}){0,2}", text):
        try:
            date.fromisoformat(text + "-01-01"[len(text) - 4 :])
        except ValueError:
            pass
        else:
            return text
    msg = f"given {shown(given)}, expected a date: 2026, 2026-08 or 2026-08-21"
    raise ValueError(msg)


def _source(given: object) -> object:
    """A source is text, or texts by field."""
    texts = list(given.values()) if isinstance(given, dict) else [given]
    if texts and all(isinstance(text, str) and 1 <= len(text) <= 300 for text in texts):
        return given
    msg = f"given {shown(given)}, expected {A_SOURCE}"
    raise ValueError(msg)


def _confidence(given: object) -> object:
    """A confidence is a word, or words by field."""
    words = list(given.values()) if isinstance(given, dict) else [given]
    if words and all(word in get_args(Confidence) for word in words):
        return given
    msg = f"given {shown(given)}, expected {A_CONFIDENCE}"
    raise ValueError(msg)


A_SOURCE = "text, a key of sources, or one of these by field such as {default: vendor data sheet, tdp: wikichip}"
A_CONFIDENCE = "high, medium or low, or one of these by field such as {default: high, tdp: low}"

Way: TypeAlias = Literal["rent", "purchase"]
"""How one has hardware."""
WAYS: tuple[Way, ...] = get_args(Way)

Date = Annotated[str, BeforeValidator(_date)]
Source = Annotated[str | dict[str, str], BeforeValidator(_source)]
Confidences = Annotated[Confidence | dict[str, Confidence], BeforeValidator(_confidence)]


class Block(Door):
    """Part of a spec: frozen, no unknown fields, a source of its own, by field if need be, or the file's."""

    source: Annotated[Source | None, Says(A_SOURCE)] = None
    confidence: Confidences | None = Field(default=None, description=A_CONFIDENCE)
    note: Annotated[Text | None, Says("what else to know")] = None

    def cited(self, field: str) -> str | None:
        """The source that the block names for ``field``: a key of ``sources``, or free text."""
        if isinstance(self.source, dict):
            return self.source.get(field, self.source.get("default"))
        return self.source

    def trusted(self, field: str) -> Confidence | None:
        """The confidence that the block states for ``field``."""
        if isinstance(self.confidence, dict):
            return self.confidence.get(field, self.confidence.get("default"))
        return self.confidence


def _spelled_out(entry: object) -> object:
    return entry if isinstance(entry, Mapping) else {"value": entry}


class Peak(Block):
    """A dense peak rate of one unit in one dtype. [FLOP/s]

    ``rate`` [FLOP/cycle per unit] and ``clock`` [Hz], where stated, must reproduce it.
    """

    value: FlopsPerS = Field(description='a compute rate such as "989.4 TFLOP/s"')
    rate: Annotated[FlopsPerCycle | None, Says("of one of the units")] = None
    clock: Annotated[Hertz | None, Says("that the peak is rated at")] = None
    accumulate: Accumulator | None = Field(default=None, description="the accumulator, if it is not fp32 or int32")
    accumulators: dict[Accumulator, PeakEntry] = Field(default={}, description="the peak with other accumulators")
    block_scaled: bool = Field(default=False, description="the unit itself applies scales of blocks")
    elementwise: bool = Field(default=False, description="no unit for contractions: additions or multiplications alone")


PeakEntry = Annotated[Peak, BeforeValidator(_spelled_out)]


class Peaks(Block):
    """Dense peaks by unit and dtype; ``special`` counts transcendental operations."""

    matrix: Annotated[dict[Dtype, PeakEntry], Says("units for contractions, by dtype")] = {}
    vector: Annotated[dict[Dtype, PeakEntry], Says("units for elementwise work, by dtype")] = {}
    special: Annotated[dict[Function, PeakEntry], Says("units for exponentials")] = {}


class Units(Block):
    """What the device is made of: SMs, CUs, cores."""

    name: Annotated[Text, Says("what they are called: SM, CU, core")]
    count: Annotated[int, Field(ge=1), Says("how many there are")]


class Level(Block):
    """A memory level. Capacity and bandwidth are the device's, or one unit's where ``scope`` is ``unit``.

    ``width`` [B/cycle per unit] is the bandwidth of a level that runs at the units' clock.
    """

    type: Annotated[Text | None, Says("what it is made of, such as HBM3")] = None
    capacity: Annotated[Bytes | None, Says("what is built in")] = None
    usable: Bytes | None = Field(default=None, description="what software can allocate")
    bandwidth: Annotated[BytesPerS | None, Says("rate of reads and writes together")] = None
    width: Annotated[BytesPerCycle | None, Says("bandwidth at the clock of the units, per unit")] = None
    scope: Annotated[Literal["device", "unit"], Says("whose capacity and bandwidth these are")] = "device"


class Link(Block):
    """A link, per device and per direction. ``domain`` is how many devices it joins, ``count`` of how many it is made.

    ``per_peer_per_direction`` is what one peer gets where that is less than the whole.
    """

    type: Annotated[Text | None, Says("what it is, such as NVLink 4")] = None
    topology: Annotated[Topology | None, Says("how devices are joined")] = None
    count: Annotated[Annotated[int, Field(ge=1)] | None, Says("of how many links it is made")] = None
    bandwidth_per_direction: BytesPerS | None = Field(default=None, description='a rate such as "450 GB/s"')
    per_peer_per_direction: Annotated[BytesPerS | None, Says("what one peer gets, where that is less")] = None
    domain: Annotated[Annotated[int, Field(ge=1)] | None, Says("how many devices it joins")] = None
    reduces: bool = Field(default=False, description="whether the switch adds up what it passes on (NVLS)")

    @model_validator(mode="after")
    def _says_something(self) -> Link:
        if self.type is None and self.bandwidth_per_direction is None:
            msg = 'states no bandwidth_per_direction, expected a rate such as "450 GB/s", or a type where none is known'
            raise ValueError(msg)
        return self


@frozen
class HostLink:
    """The link over which a device reads the host's memory: what it is called, and its rate one way. [B/s]"""

    name: str
    bandwidth: float

    @classmethod
    def of(cls, stated: Link | None) -> HostLink | None:
        """That of a sheet; None where it states no rate."""
        if stated is None or not stated.bandwidth_per_direction:
            return None
        return cls(stated.type or "the host link", float(stated.bandwidth_per_direction))


Covers = Literal["device", "box"]


class Price(Block):
    """What the device costs, when, and what kind of price that is. [USD or USD/h]"""

    kind: Annotated[Literal["purchase", "on_demand", "reserved", "spot"], Says("bought, or how it is rented")]
    value: Annotated[Text, Says('"30000 USD" of a purchase, else "2.71 USD/h"')]
    date: Annotated[Date, Says("when it was read")]
    covers: Annotated[Covers, Says("the device alone, or its share of the box or rack that alone is sold")] = "device"

    @model_validator(mode="after")
    def _has_the_right_unit(self) -> Price:
        _ = self.usd
        return self

    @property
    def usd(self) -> float:
        """The price in USD, or USD/h unless it is a purchase."""
        try:
            return parse_quantity(self.value, "usd" if self.kind == "purchase" else "usd_per_h")
        except UnitError as failure:
            raise ValueError(str(failure)) from None


class Sparsity(Block):
    """Structured sparsity that the matrix unit accelerates, and by how much; pattern none and factor 1 where it cannot.

    ``by_dtype`` holds the dtypes that gain another factor.
    """

    pattern: Annotated[Text, Says("such as 2:4, two of four elements being kept")]
    factor: Annotated[float, Field(ge=1, le=4, strict=False), Says("peak with it / dense peak")]
    by_dtype: Annotated[
        dict[Dtype, Annotated[float, Field(ge=1, le=4, strict=False)]], Says("dtypes that gain another factor")
    ] = {}


class Reference(Door):
    """A source: its title, where it stands, and whether all that is taken from it is unverified."""

    title: Annotated[Text, Says("what it is")]
    ref: Annotated[Text, Says("where it stands")]
    unverified: Annotated[bool, Says("whether all that is taken from it was recalled or estimated")] = False
