"""What a device's data sheet says: :class:`HardwareSpec`, read from one YAML file by :func:`load_hardware`.

Facts only: dense peaks, capacities, bandwidths, each with its source. What software reaches of them stands in
``calibrations/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from roofline.data_files import data_folder, read_yaml
from roofline.doors import validated
from roofline.errors import SpecError, UsageError, WorkloadError, near_matches, one_line, shown
from roofline.hardware_checks import check_spec
from roofline.hardware_fields import (
    A_SOURCE,
    Block,
    Confidence,
    Hertz,
    Level,
    Link,
    Peak,
    Peaks,
    Price,
    Reference,
    Source,
    Sparsity,
    Text,
    Unit,
    Units,
    Watts,
    year_as_text,
)
from roofline.hardware_library import A_NAME, MAX_COUNT, device_files, parted, read_fields

DEFAULT_DTYPES = ("bf16", "fp16", "fp32")
"""The dtype of a run that names none: the first of these that the device has."""

Kind: TypeAlias = Literal["gpu", "cpu", "apu", "soc", "tpu", "npu"]


class HardwareSpec(Block):
    """One product variant. Rates in FLOP/s and B/s, sizes in bytes, all per device."""

    source: Source = Field(description=A_SOURCE)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=60, description=A_NAME)]
    title: Text | None = None
    aliases: list[Text] = []
    vendor: Text | None = None
    kind: Kind = "gpu"
    calibration_class: Text = Field(alias="class", description="a file of calibrations/classes")
    architecture: Text | None = None
    released: Annotated[Text, BeforeValidator(year_as_text)] | None = None
    status: Literal["available", "announced"] = "available"
    granularity: Text | None = None
    devices_per_package: Annotated[int, Field(ge=1, description="how many devices software sees in what is stated")] = 1
    units: Units | None = None
    clock: Hertz | None = Field(default=None, description="highest clock, or the base clock of a CPU")
    peak: Peaks
    sparsity: Sparsity | None = None
    memory: Annotated[dict[str, Level], Field(min_length=1, description="a mapping of levels, device memory first")]
    host_memory: Level | None = None
    links: dict[Literal["scale_up", "scale_out", "host"], Link] = {}
    tdp: Watts | None = None
    prices: list[Price] = []
    sources: dict[str, Reference] = {}
    exceptions: list[Text] = Field(default=[], description="loader checks that this device really breaks")

    @model_validator(mode="after")
    def _is_consistent(self, info: ValidationInfo) -> HardwareSpec:
        if problem := check_spec(self, what_if=bool(info.context)):
            raise ValueError(problem)
        return self

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], where: str, *, what_if: bool = False) -> HardwareSpec:
        """The spec in a mapping of YAML fields. Raises SpecError: file, field, what was given, what was expected.

        A ``what_if`` device need not exist: its peaks may be any, in any order.
        """
        return validated(cls, fields, where, context=what_if)

    def source_of(self, block: Block, field: str) -> tuple[str, bool]:
        """The title of the source of ``field`` in ``block``, or its free text, and whether the value is unverified.

        What names no source has that of the block around it, in the end the file's. A value is unverified where it was
        recalled or estimated: its source says so, or its confidence is low.
        """
        key = next(key for holder, name in self._around(block, field) if (key := holder.cited(name)) is not None)
        unverified = self.confidence_of(block, field) == "low"
        reference = self.sources.get(key)
        return (reference.title, unverified or reference.unverified) if reference else (key, unverified)

    def confidence_of(self, block: Block, field: str) -> Confidence:
        """How sure ``field`` of ``block`` is: as the block says, high if it names a source alone, else as around it."""
        for holder, name in self._around(block, field):
            if (word := holder.trusted(name)) is not None:
                return word
            if holder.cited(name) is not None:
                break
        return "high"

    def _around(self, block: Block, field: str) -> list[tuple[Block, str]]:
        outer: list[Block] = [self.peak, self] if isinstance(block, Peak) else [self]
        return [(block, field), *((holder, "default") for holder in outer if holder is not block)]

    def to_dict(self) -> dict[str, Any]:
        """Every stated fact: SI base units in numbers, as in ``hardware show --json``."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    @property
    def main_memory(self) -> Level:
        """Device memory: the first level, which has a bandwidth."""
        return next(iter(self.memory.values()))

    @property
    def bandwidth(self) -> float:
        """Bandwidth of device memory. [B/s]"""
        rate = self.main_memory.bandwidth
        assert rate is not None, "the loader checks this"
        return rate

    @property
    def capacity(self) -> float | None:
        """What software can allocate of device memory, or None where that is what one installs. [B]"""
        return self.main_memory.usable or self.main_memory.capacity

    def peak_rate(self, unit: Unit, dtype: str) -> float | None:
        """The dense peak of ``unit`` in ``dtype``, or None. [FLOP/s]"""
        entry: Peak | None = getattr(self.peak, unit).get(dtype)
        return entry.value if entry else None

    def contraction_unit(self, dtype: str) -> tuple[Unit, float]:
        """The unit that runs a contraction in ``dtype``, matrix if it can, and its peak. [FLOP/s]

        Raises WorkloadError if the device has no rate for this dtype: there is no silent fall-back.
        """
        units: tuple[Unit, ...] = ("matrix", "vector")
        for unit in units:
            entry: Peak | None = getattr(self.peak, unit).get(dtype)
            if entry and not entry.elementwise:
                return unit, entry.value
        msg = f"{self.name} has no {dtype}; it has {', '.join(self.dtypes())}"
        raise WorkloadError(msg)

    def accumulating(self, dtype: str) -> HardwareSpec:
        """The device as it is where its matrix unit sums in ``dtype``; the device itself for the usual sums.

        Raises WorkloadError if no peak is stated for that accumulator.
        """
        usual = {name: entry.accumulate or "fp32" for name, entry in self.peak.matrix.items()}
        found = {
            name: entry.accumulators[dtype] for name, entry in self.peak.matrix.items() if dtype in entry.accumulators
        }
        kept = {name: entry for name, entry in self.peak.matrix.items() if usual[name] == dtype}
        if not dtype or (dtype == "fp32" and kept):
            return self
        if not found and not kept:
            msg = f"{self.name} states no peak with {dtype} accumulators; leave the accumulator out"
            raise WorkloadError(msg)
        return self.model_copy(update={"peak": self.peak.model_copy(update={"matrix": found})})

    def dtypes(self) -> list[str]:
        """Every dtype that a contraction can run in."""
        entries = (*self.peak.matrix.items(), *self.peak.vector.items())
        return list(dict.fromkeys(dtype for dtype, peak in entries if not peak.elementwise))

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader of any figure for this device should know."""
        found = []
        if self.status == "announced":
            found.append(f"{self.name} is announced, not shipped: its figures are the vendor's plans")
        if self.devices_per_package > 1:
            found.append(
                f"{self.name}: software sees {self.devices_per_package} devices, the figures are the package's"
            )
        if not self.peak.vector:
            found.append(
                f"{self.name}: no vector rate is known, so norms, softmax and activations cost their bytes alone"
            )
        return tuple(found)

    def default_dtype(self) -> str:
        """bf16, else fp16, else fp32, as the device has it."""
        return next((dtype for dtype in DEFAULT_DTYPES if dtype in self.dtypes()), self.dtypes()[0])


def load_hardware(hardware: str | Path, *, overrides: Mapping[str, Any] | None = None) -> HardwareSpec:
    """The spec of a device by name or alias, in any case, or by the path to a YAML file.

    ``overrides`` maps paths to values, ``{"memory.hbm.bandwidth": "6 TB/s"}``. Raises SpecError for an unknown name, an
    unreadable file or a spec that contradicts itself.

    >>> load_hardware("h100").name
    'h100-sxm-80gb'
    """
    fields, where = read_hardware_fields(hardware)
    for path, value in (overrides or {}).items():
        fields = _edited(fields, path.split("."), value, f"{where}: {path}")
    return HardwareSpec.from_fields(fields, where, what_if=bool(overrides))


def load_every_hardware() -> list[HardwareSpec]:
    """All devices, shipped ones by name, then those of the user's folders.

    Raises SpecError that names both files where two share a name or an alias.
    """
    return [HardwareSpec.from_fields(read_yaml(path), path.name) for path in device_files()]


def hardware_names() -> list[str]:
    """The names of the shipped devices."""
    return sorted(path.stem for path in data_folder("hardware_specs").glob("*.yaml"))


def read_hardware_fields(hardware: str | Path) -> tuple[dict[str, Any], str]:
    """The raw fields of one device's spec file, and its name for error messages.

    A system that holds one device is that device. Raises SpecError for an unknown name, and for several devices.
    """
    count, name = parted(hardware)
    fields, where = read_fields(name)
    if "device" in fields and count == fields.get("count") == 1:
        device = str(fields["device"])
        fields, inner = read_fields(device)
        if "device" in fields:
            msg = f"{where}: device: {shown(device)} is a system itself, expected a device"
            raise SpecError(msg)
        where = inner
    if count == 1 and "device" not in fields:
        return fields, where
    held, one = fields.get("count", 1), one_line(str(fields["device"])[:60] if "device" in fields else str(name))
    many = f"{count * held:,} devices" if isinstance(held, int) and 0 < held <= MAX_COUNT else "several devices"
    msg = f"{hardware} is {many}, and this is answered for one device so far; give {one} for one of them"
    raise SpecError(msg)


def _edited(fields: Mapping[str, Any], path: list[str], value: object, where: str) -> dict[str, Any]:
    """``fields`` with one value replaced. Raises SpecError where the path leads through a field that is not there."""
    head, *rest = path
    if not rest:
        return {**fields, head: value}
    inner = fields.get(head)
    if not isinstance(inner, Mapping):
        there = [name for name, field in fields.items() if isinstance(field, Mapping)]
        msg = f"{where}: {shown(head)} holds no fields to edit; {near_matches(head, there)}"
        raise SpecError(msg)
    return {**fields, head: _edited(inner, rest, value, where)}


def edited_device(hardware: str | Path | HardwareSpec, edits: Mapping[str, Any]) -> HardwareSpec:
    """The device, with the fields edited that paths such as hardware.memory.hbm.bandwidth name.

    Raises UsageError for a path of anything else, and for a device that is loaded already.
    """
    fields = {}
    for path, value in edits.items():
        room, _, name = path.partition(".")
        if room != "hardware" or not name:
            msg = f"set {path}: expected a path such as hardware.memory.hbm.bandwidth; an operator has no other fields"
            raise UsageError(msg)
        fields[name] = value
    if not isinstance(hardware, HardwareSpec):
        return load_hardware(hardware, overrides=fields)
    if fields:
        msg = f"set hardware.{next(iter(fields))}: the hardware is loaded already; give its name to edit it"
        raise UsageError(msg)
    return hardware
