"""What a device's data sheet says: :class:`HardwareSpec`, which ``loading.py`` reads from one YAML file.

Facts only: dense peaks, capacities, bandwidths, each with its source. What software reaches of them stands in
``calibrations/``.
"""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

from roofline.errors import WorkloadError
from roofline.files.fields import BeforeValidator, Field
from roofline.hardware.fields import (
    A_SOURCE,
    WAYS,
    Block,
    Confidence,
    Hertz,
    HostLink,
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
    Way,
    year_as_text,
)
from roofline.hardware.library import A_NAME
from roofline.schema import Says

DEFAULT_DTYPES = ("bf16", "fp16", "fp32")
"""The dtype of a run that names none: the first of these that the device has."""

Kind: TypeAlias = Literal["gpu", "cpu", "apu", "soc", "tpu", "npu"]


class HardwareSpec(Block):
    """One product variant. Rates in FLOP/s and B/s, sizes in bytes, all per device."""

    source: Source = Field(description=A_SOURCE)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=60, description=A_NAME)]
    title: Annotated[Text | None, Says("for people")] = None
    aliases: Annotated[list[Text], Says("other names that it is found by")] = []
    vendor: Annotated[Text | None, Says("who makes it")] = None
    kind: Annotated[Kind, Says("gpu, apu, soc, cpu, tpu or npu")] = "gpu"
    calibration_class: Text = Field(alias="class", description="a file of calibrations/classes")
    architecture: Annotated[Text | None, Says("what the vendor calls it")] = None
    chip: Annotated[Text | None, Says("the die, whose calibration all that are built of it take")] = None
    released: Annotated[Annotated[Text, BeforeValidator(year_as_text)] | None, Says("year or month")] = None
    engines: Annotated[list[Text], Says("the usual ones for decoders; the first that loads what is stored runs")] = []
    status: Annotated[Literal["available", "announced"], Says("whether one can have it")] = "available"
    offered: Annotated[list[Way], Says("how one can have it; an empty list is a machine of one laboratory")] = [*WAYS]
    granularity: Annotated[Text | None, Says("what of a package the figures are of")] = None
    devices_per_package: Annotated[int, Field(ge=1, description="how many devices software sees in what is stated")] = 1
    units: Annotated[Units | None, Says("with rate and clock of a peak, these are checked against it")] = None
    clock: Hertz | None = Field(default=None, description="highest clock, or the base clock of a CPU")
    peak: Annotated[
        Peaks, Says("dense, one direction, fp32 accumulation; a figure 'with sparsity' is twice the dense one")
    ]
    sparsity: Annotated[Sparsity | None, Says("what structured sparsity would gain; peaks never include it")] = None
    memory: Annotated[dict[str, Level], Field(min_length=1, description="a mapping of levels, device memory first")]
    host_memory: Annotated[Level | None, Says("memory of the host beside it")] = None
    links: Annotated[
        dict[Literal["scale_up", "scale_out", "host"], Link],
        Says("per device and per direction; a sheet often prints both directions added"),
    ] = {}
    tdp: Annotated[Watts | None, Says("board or socket power")] = None
    prices: Annotated[list[Price], Says("what it costs, each with its date")] = []
    sources: Annotated[dict[str, Reference], Says("where figures were read, by key")] = {}
    exceptions: list[Text] = Field(default=[], description="loader checks that this device really breaks")

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
    def words(self) -> frozenset[str]:
        """What the device is known by: vendor, kind, class and architecture, such as nvidia, gpu, hopper, sm_90."""
        told = f"{self.vendor or ''} {self.kind} {self.calibration_class.replace('-', ' ')} {self.architecture or ''}"
        return frozenset(re.findall(r"[a-z0-9_.]+", told.lower()))

    @cached_property
    def main_memory(self) -> Level:
        """Device memory: the first level, which has a bandwidth."""
        return next(iter(self.memory.values()))

    @cached_property
    def bandwidth(self) -> float:
        """Bandwidth of device memory. [B/s]"""
        rate = self.main_memory.bandwidth
        assert rate is not None, "the loader checks this"
        return rate

    @property
    def capacity(self) -> float | None:
        """What software can allocate of device memory, or None where that is what one installs. [B]"""
        return self.main_memory.usable or self.main_memory.capacity

    @property
    def unit_count(self) -> int:
        """The processors that blocks of a kernel are spread over; 0 where the sheet does not say."""
        return self.units.count if self.units else 0

    @property
    def cycles_per_s(self) -> float:
        """The clock of the processors; 0 where the sheet does not say. [Hz]"""
        return self.clock or 0.0

    @property
    def host_link(self) -> HostLink | None:
        """The link over which the device reads the host's memory; None where the sheet states no rate of it."""
        return HostLink.of(self.links.get("host"))

    @cached_property
    def last_cache(self) -> float:
        """The capacity of the last cache before device memory; 0 where none is stated. [B]"""
        _, *caches = (level for level in self.memory.values() if level.scope == "device")
        return max((level.capacity for level in caches if level.capacity), default=0.0)

    def peak_rate(self, unit: Unit, dtype: str) -> float | None:
        """The dense peak of ``unit`` in ``dtype``, or None. [FLOP/s]"""
        entry: Peak | None = getattr(self.peak, unit).get(dtype)
        return entry.value if entry else None

    def work_rate(self, unit: Unit, dtype: str) -> float:
        """The rate of work beside the contractions: of its own unit, else the fastest of the vector unit. [FLOP/s]

        Without any, such work counts its bytes alone, as a note of the result says.
        """
        own = self.peak_rate(unit, dtype)
        return max((peak.value for peak in self.peak.vector.values()), default=math.inf) if own is None else own

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
    def dataflow(self) -> bool:
        """Whether a whole model streams through its on-chip memories, with no kernels one after the other."""
        return self.calibration_class == "sram-dataflow"

    def had_by(self, way: Way) -> bool:
        """Whether it ships, and one can rent or buy it."""
        return self.status == "available" and way in self.offered

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
        if self.dataflow:
            found.append(
                f"{self.name}: a dataflow chip, which launches no kernels; its times are a guess that took some, and "
                "comparisons leave it out"
            )
        if not self.peak.vector:
            found.append(
                f"{self.name}: no vector rate is known, so norms, softmax and activations cost their bytes alone"
            )
        return tuple(found)

    def default_dtype(self) -> str:
        """bf16, else fp16, else fp32, as the device has it."""
        return next((dtype for dtype in DEFAULT_DTYPES if dtype in self.dtypes()), self.dtypes()[0])
