"""What software reaches of a data sheet: fitted constants, with their provenance and their error band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from roofline.data_files import data_folder, read_yaml
from roofline.doors import first_problem
from roofline.errors import SpecError, UnitError, near_matches
from roofline.units import parse_quantity

Execution: TypeAlias = Literal["graph", "eager"]
Provenance: TypeAlias = Literal["datasheet", "class"]


def _seconds(text: object) -> float:
    try:
        return parse_quantity(text, "time_s")
    except UnitError as failure:
        raise ValueError(str(failure)) from None


Seconds = Annotated[float, BeforeValidator(_seconds)]
Share = Annotated[float, Field(gt=0, le=2, strict=False)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Latency(_Data):
    """The constant cost of one operator: launched from a graph, or from the host. [s]"""

    graph: Seconds
    eager: Seconds


class KindConstants(_Data):
    """Constants of one kind of operator; what is absent is taken from the file's defaults."""

    compute: Share | None = None
    memory: Share | None = None
    latency: Latency | None = None


class Band(_Data):
    """The 5th and 95th percentile of measured / predicted, and on what rows."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]
    evidence: str


class Calibration(_Data):
    """Constants of a class of devices: shares of the peaks reached, latency, the sharpness p of the corner."""

    name: str
    title: str
    p: Annotated[float, Field(ge=0.5, le=10, strict=False)]
    compute: Share
    memory: Share
    vector: Share
    special: Share
    latency: Latency
    kinds: dict[str, KindConstants] = {}
    band: Band
    source: str


@dataclass(frozen=True, slots=True)
class Constants:
    """The constants of one kind of operator: shares of matrix, vector and special peak and of bandwidth; latency; p."""

    compute: float = 1.0
    vector: float = 1.0
    special: float = 1.0
    memory: float = 1.0
    latency_s: float = 0.0
    p: float = float("inf")


DATASHEET = Constants(vector=float("inf"), special=float("inf"))
"""No losses, no latency, a sharp corner, work beside the contractions free: the bound itself."""


@dataclass(frozen=True, slots=True)
class ConstantSet:
    """Where constants come from, their band, and the constants of each kind."""

    provenance: Provenance
    name: str
    low: float
    high: float
    evidence: str
    calibration: Calibration | None = None

    def of(self, kind: str, execution: Execution) -> Constants:
        """The constants of ``kind`` (matmul, attention_prefill, attention_decode, norm ...)."""
        if self.calibration is None:
            return DATASHEET
        base, kind_constants = self.calibration, self.calibration.kinds.get(kind, KindConstants())
        latency = kind_constants.latency or base.latency
        return Constants(
            compute=kind_constants.compute or base.compute,
            vector=base.vector,
            special=base.special,
            memory=kind_constants.memory or base.memory,
            latency_s=latency.graph if execution == "graph" else latency.eager,
            p=base.p,
        )


def load_constants(calibration_class: str, provenance: Provenance | None = None) -> ConstantSet:
    """The constants for a class of devices; ``datasheet`` asks for none. Raises SpecError for an unknown class."""
    if provenance == "datasheet":
        return ConstantSet(
            "datasheet", "datasheet", 1.0, 1.0, "the data sheet's roofline: a lower bound, not a forecast"
        )
    data = load_class(calibration_class)
    return ConstantSet("class", data.name, data.band.low, data.band.high, data.band.evidence, data)


def class_names() -> list[str]:
    """The names of the shipped classes."""
    return sorted(path.stem for path in (data_folder("calibrations") / "classes").glob("*.yaml"))


def load_class(name: str) -> Calibration:
    """The calibration of a class of devices. Raises SpecError for an unknown class or a malformed file."""
    if name not in class_names():
        msg = f"class {name!r} has no calibration; {near_matches(name, class_names())}"
        raise SpecError(msg)
    path = data_folder("calibrations") / "classes" / f"{name}.yaml"
    fields: dict[str, Any] = read_yaml(path)
    try:
        return Calibration.model_validate(fields)
    except ValidationError as failure:
        msg = f"{path.name}: {first_problem(failure, Calibration)}"
        raise SpecError(msg) from None
