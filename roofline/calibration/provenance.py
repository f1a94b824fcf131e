"""Which constants a device gets: its calibration's, its published ceilings', its class's, or none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from roofline.calibration.calibration_file import Calibration, KindConstants
from roofline.calibration.constants import (
    ConstantSet,
    Provenance,
    device_names,
    load_class,
    load_constants,
    load_device,
    read_calibration,
)
from roofline.calibration.fields import Band, Data, Share
from roofline.calibration.power import accumulates_at_half_rate, powered_shares
from roofline.calibration.siblings import calibrated_as, differences, moved, on_sibling
from roofline.errors import SpecError
from roofline.files.fields import Field
from roofline.files.findings import validated
from roofline.files.library import data_folder, read_yaml
from roofline.hardware.fields import BytesPerS, Dtype, FlopsPerS
from roofline.hardware.loading import hardware_names, load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.identity import Same
from roofline.options.groups import Timing


class Ceilings(Data):
    """What others reached on a device at best: matmul rates by dtype [FLOP/s], bandwidth [B/s]."""

    matmul: Annotated[dict[Dtype, FlopsPerS], Field(min_length=1)]
    bandwidth: BytesPerS | None = None
    source: str


class Typical(Data):
    """What a usual operator reaches of the ceilings."""

    compute: Share
    memory: Share


class Published(Data):
    """The ceilings of all devices, by name."""

    name: str
    source: str
    typical: Typical
    band: Band
    devices: dict[str, Ceilings]


def calibration_in(hardware: str | Path | HardwareSpec) -> tuple[str | Path | HardwareSpec, Calibration | None]:
    """What names a calibration, shipped or a YAML file that ``extends`` a device, as that device and the calibration.

    A calibration may extend a spec file that lies beside it. Anything else stays as it is. Raises SpecError for a
    malformed calibration.

    >>> calibration_in("a100-sxm-80gb-tensorrt-llm")[0]
    'a100-sxm-80gb'
    """
    if isinstance(hardware, HardwareSpec):
        return hardware, None
    path, name = Path(hardware), str(hardware).lower()
    found = None
    if path.suffix in (".yaml", ".yml"):
        found = read_calibration(path) if "extends" in read_yaml(path) else None
    elif name in device_names() and name not in hardware_names():
        found = load_device(name)
    if found is None:
        return hardware, None
    assert found.extends is not None
    beside = path.parent / found.extends
    return (beside if beside.suffix in (".yaml", ".yml") and path.suffix else found.extends), found


def calibration_under(edits: Collection[str], hardware: str | Path | HardwareSpec) -> Calibration | None:
    """The calibration that a shipped device keeps under ``edits``, paths of its fields: one thing changes, not two.

    None where nothing is edited, for a device that has none, and where its class is edited.
    """
    if not edits or "class" in edits:
        return None
    whole = hardware if isinstance(hardware, HardwareSpec) else load_hardware(hardware)
    measured = calibrated_as(whole)
    return None if measured is None else on_sibling(whole, measured)


def constants_of(
    hardware: HardwareSpec, provenance: Provenance | None = None, own: Calibration | None = None
) -> ConstantSet:
    """The constants of a device: what ``provenance`` asks for, else its calibration, else those of its class.

    ``own`` is a calibration that was asked for by name, or that stays under edits. Another one holds for the device as
    it was measured: read from another file, a device has those of its class. Raises SpecError where there is no such
    calibration, or nothing was published.
    """
    return _constants_of(Same(hardware), provenance, Same(own))


@lru_cache(maxsize=256)
def _constants_of(
    device: Same[HardwareSpec], provenance: Provenance | None, given: Same[Calibration | None]
) -> ConstantSet:
    hardware, own = device.it, given.it
    if provenance == "datasheet":
        return load_constants(hardware.calibration_class, provenance)
    if provenance == "class":
        return ConstantSet.from_calibration(class_of(hardware))
    if provenance == "published":
        return _published(hardware)
    if own is not None:
        shipped = load_hardware(hardware.name) if hardware.name in hardware_names() else hardware
        return ConstantSet.from_calibration(moved(own, shipped, hardware), class_of(hardware))
    measured = hardware.name if provenance and hardware.name in device_names() else calibrated_as(hardware)
    if measured is not None:
        found = ConstantSet.from_calibration(on_sibling(hardware, measured), class_of(hardware))
        return replace(found, under=differences(load_hardware(measured), hardware))
    if provenance is None:
        return ConstantSet.from_calibration(class_of(hardware))
    msg = f"{hardware.name} has no calibration (calibrated are {', '.join(device_names())}); leave out --constants"
    raise SpecError(msg)


def read_constants(asked: Timing, hardware: HardwareSpec, own: Calibration | None = None) -> ConstantSet:
    """The constants that options ask for; ``own`` and what is raised are as for :func:`constants_of`."""
    return constants_of(hardware, asked["constants"], own)


def on_edited(constants: ConstantSet, hardware: HardwareSpec) -> ConstantSet:
    """The constants of a class as they are on ``hardware``, whose peaks are others; a calibration's stay."""
    if constants.provenance != "class":
        return constants
    return replace(ConstantSet.from_calibration(class_of(hardware)), sustained=constants.sustained)


def class_of(hardware: HardwareSpec) -> Calibration:
    """The calibration of a device's class, on the device. Raises SpecError for an unknown class."""
    return _on(Same(load_class(hardware.calibration_class, hardware.clock)), Same(hardware))


@lru_cache(maxsize=256)
def _on(data: Same[Calibration], hardware: Same[HardwareSpec]) -> Calibration:
    return on_device(data.it, hardware.it)


def on_device(data: Calibration, hardware: HardwareSpec) -> Calibration:
    """A class's calibration with the shares of the peak that a device's power limit and its accumulators leave it.

    A device that states no units has no kernels that are spread over them: kinds of a library's are left out, what
    the blocks of experts take, and tiles of matmuls.
    """
    shares = powered_shares(data.compute, data.flop_energy, hardware) if data.flop_energy else {}
    boost = data.boost
    if data.half_rate and accumulates_at_half_rate(hardware):
        shares |= dict.fromkeys(hardware.peak.matrix.keys() & _ACCUMULATED, data.half_rate.compute)
        boost = data.half_rate.boost
    spread = bool(hardware.unit_count and hardware.cycles_per_s)
    kinds = data.kinds if spread else {k: _unspread(own) for k, own in data.kinds.items() if own.library is None}
    return data.model_copy(update={"dtypes": {**shares, **data.dtypes}, "kinds": kinds, "boost": boost})


_ACCUMULATED = {"tf32", "bf16", "fp16", "fp8"}
"""What matrix units accumulate in fp32."""


def _unspread(own: KindConstants) -> KindConstants:
    """A kind, its dtypes too, without what is stated by unit."""
    inner = {
        field: {name: _unspread(each) for name, each in getattr(own, field).items()}
        for field in ("dtypes", "libraries")
    }
    by_unit = dict.fromkeys(("group_blocks", "pair_tiles", "tiles", "split_k", "least_tile"))
    return own.model_copy(update=by_unit | inner)


def load_published() -> Published:
    """The published ceilings. Raises SpecError: field, what was given, what was expected."""
    path = data_folder("calibrations") / "published.yaml"
    return validated(Published, read_yaml(path), path.name)


def _published(hardware: HardwareSpec) -> ConstantSet:
    """The class's constants with the shares of matmuls, and of streaming, from the ceilings of the device.

    The band is the wider one of both.
    """
    published, base = load_published(), class_of(hardware)
    ceilings = published.devices.get(hardware.name)
    if ceilings is None:
        msg = f"{hardware.name}: nothing published in calibrations/published.yaml; leave out --constants"
        raise SpecError(msg)
    shares: dict[str, float] = {
        dtype: published.typical.compute * rate / hardware.contraction_unit(dtype)[1]
        for dtype, rate in ceilings.matmul.items()
        if dtype in hardware.dtypes()
    }
    memory = base.memory
    if ceilings.bandwidth:
        memory = published.typical.memory * ceilings.bandwidth / hardware.bandwidth
    source = f"{ceilings.source}; the rest as {base.name}"
    band = max(published.band, base.band, key=lambda band: band.high / band.low)
    changes = {
        "name": hardware.name,
        "dtypes": base.dtypes | shares,
        "memory": memory,
        "band": band,
        "source": source,
    }
    data: Calibration = base.model_copy(update=changes)
    return ConstantSet("published", hardware.name, band.low, band.high, band.evidence, data)
