"""Siblings: devices of one chip on other boards, which take the calibration of the one that was measured.

Its shares of peaks and bandwidth stay shares, its times in cycles stay cycles, and a power limit leaves less of the
peaks, or more: an A100 PCIe is an A100 SXM under 300 W. Units, clocks, memory, caches and links are the sibling's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Annotated

from roofline.calibration.calibration_file import Calibration, KindConstants
from roofline.calibration.constants import device_names, load_class, load_device
from roofline.calibration.fields import Band, Data, JoulesPerFlop
from roofline.calibration.launch_latency import Latency
from roofline.calibration.power import under_power
from roofline.files.fields import Field
from roofline.files.findings import validated
from roofline.files.library import data_folder, read_yaml
from roofline.hardware.fields import Text
from roofline.hardware.loading import hardware_names, load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.identity import Same
from roofline.units import format_quantity


class Widened(Data):
    """Factors of bands, either way: ``memory`` where boards differ in memory alone, ``board`` in power or units too."""

    memory: Annotated[float, Field(ge=1, le=10, strict=False)]
    board: Annotated[float, Field(ge=1, le=10, strict=False)]


class Siblings(Data):
    """By how much the bands of a calibration are widened on a sibling, and what chips draw.

    ``flop_energy``: of a 16-bit FLOP at 1 GHz, by chip, where its boards show another than that of their class.
    """

    name: str
    source: str
    widened: Widened
    flop_energy: dict[Text, JoulesPerFlop] = {}


@cache
def load_siblings() -> Siblings:
    """The constants of ``calibrations/siblings.yaml``. Raises SpecError for a malformed file."""
    path = data_folder("calibrations") / "siblings.yaml"
    return validated(Siblings, read_yaml(path), path.name)


def calibrated_as(hardware: HardwareSpec) -> str | None:
    """The calibrated device that another is, or whose calibration it takes; None where it has those of its class.

    One of the same chip, the nearest in bandwidth: an H800 is an H100 with fewer links, an H200 NVL an H200 under less
    power. A card whose peaks are capped (H20, GeForce) is none. A shipped device that was edited takes its class's.

    >>> [calibrated_as(load_hardware(name)) for name in ("h100", "h800", "a100-pcie", "h200-nvl", "h20")]
    ['h100-sxm-80gb', 'h100-sxm-80gb', 'a100-sxm-80gb', 'h200-sxm-141gb', None]
    """
    return _calibrated_as(Same(hardware))


@lru_cache(maxsize=256)
def _calibrated_as(device: Same[HardwareSpec]) -> str | None:
    hardware, shipped = device.it, hardware_names()
    if hardware.name in shipped:
        if hardware != load_hardware(hardware.name):
            return None
        if hardware.name in device_names():
            return hardware.name
    if hardware.chip is None:
        return None
    known = (load_hardware(name) for name in device_names() if name in shipped)
    alike = [each for each in known if each.chip == hardware.chip and _compute_alike(each, hardware)]
    nearest = min(alike, key=lambda each: abs(math.log(each.bandwidth / hardware.bandwidth)), default=None)
    return nearest.name if nearest else None


_PER_CYCLE = 1.25
"""By how much what a unit computes in a cycle may differ between siblings: peaks are rated at clocks of their own."""


def _compute_alike(one: HardwareSpec, other: HardwareSpec) -> bool:
    """Whether a unit of either computes as much in a cycle: peaks of some cards are capped, and more easily reached.

    >>> h100 = load_hardware("h100")
    >>> [_compute_alike(h100, load_hardware(name)) for name in ("h100-pcie", "h20")]
    [True, False]
    """
    first, second = _per_cycle(one), _per_cycle(other)
    return all(1 / _PER_CYCLE < first[dtype] / second[dtype] < _PER_CYCLE for dtype in first.keys() & second.keys())


def _per_cycle(hardware: HardwareSpec) -> dict[str, float]:
    """FLOPs of a unit in a cycle, by dtype of 16 bits."""
    spread = hardware.unit_count * hardware.cycles_per_s
    peaks = {name: hardware.peak.matrix[name].value for name in ("bf16", "fp16") if name in hardware.peak.matrix}
    return {name: peak / spread for name, peak in peaks.items()} if spread else {}


def differences(measured: HardwareSpec, hardware: HardwareSpec) -> str:
    """What times of kernels follow from in which a device differs from the one that was measured, in words.

    >>> differences(load_hardware("a100"), load_hardware("a100-pcie"))
    '300 W, 1.94 TB/s'
    """
    return ", ".join([*_of_board(measured, hardware), *_of_memory(measured, hardware)])


def _of_board(measured: HardwareSpec, hardware: HardwareSpec) -> list[str]:
    found = []
    if hardware.tdp and hardware.tdp != measured.tdp:
        found.append(format_quantity(hardware.tdp, "power_w", 3))
    if hardware.units and hardware.unit_count != measured.unit_count:
        found.append(f"{hardware.unit_count} {hardware.units.name}s")
    if hardware.clock and hardware.clock != measured.clock:
        found.append(format_quantity(hardware.clock, "frequency_hz", 3))
    return found or ["other peaks"] * (_peaks(hardware) != _peaks(measured))


def _of_memory(measured: HardwareSpec, hardware: HardwareSpec) -> Iterator[str]:
    if hardware.bandwidth != measured.bandwidth:
        yield format_quantity(hardware.bandwidth, "bytes_per_s", 3)
    if _caches(hardware) != _caches(measured):
        yield "other caches"


def _peaks(hardware: HardwareSpec) -> dict[str, float]:
    """The peaks in 32 bits and fewer."""
    units = {"matrix": hardware.peak.matrix, "vector": hardware.peak.vector}
    return {f"{unit} {name}": entry.value for unit, entries in units.items() for name, entry in entries.items()
            if name != "fp64"}  # fmt: skip


def _caches(hardware: HardwareSpec) -> list[tuple[str, float | None]]:
    _, *inner = hardware.memory.items()
    return [(name, level.capacity) for name, level in inner]


def on_sibling(hardware: HardwareSpec, measured: str) -> Calibration:
    """The calibration of the device called ``measured`` as a sibling takes it: as it is where nothing differs."""
    data, whole = load_device(measured), load_hardware(measured)
    if hardware.name == measured or not differences(whole, hardware):
        return data
    factors = load_siblings().widened
    factor = factors.board if _of_board(whole, hardware) else factors.memory
    return _widened(moved(data, whole, hardware), factor)


def moved(data: Calibration, measured: HardwareSpec, hardware: HardwareSpec) -> Calibration:
    """The calibration of ``measured`` under the power and the clock of another device of its chip.

    The shares of the peak that matmuls reach change as those of its class do (``powered_shares``). Launch latencies
    are cycles, but for the host's part; other times are no shorter at a higher clock, as parts of them wait for memory.
    """
    chip = load_siblings().flop_energy.get(measured.chip or "")
    energy = data.flop_energy or chip or load_class(measured.calibration_class).flop_energy
    if energy is not None and (measured.tdp, _peaks(measured)) != (hardware.tdp, _peaks(hardware)):
        data = under_power(data, energy, measured, hardware)
    slower = measured.clock / hardware.clock if measured.clock and hardware.clock else 1.0
    if slower == 1:
        return data
    kinds = {kind: _at_clock(own, slower) for kind, own in data.kinds.items()}
    return data.model_copy(update={"latency": _launched(data.latency, slower), "kinds": kinds})


def _launched(latency: Latency, slower: float) -> Latency:
    graph = latency.graph * slower
    return latency.model_copy(update={"graph": graph, "eager": graph + latency.eager - latency.graph})


def _at_clock(own: KindConstants, slower: float) -> KindConstants:
    longer = {name: own.value(name) * max(1.0, slower) for name in own.times()}
    inner = {
        field: {name: _at_clock(each, slower) for name, each in getattr(own, field).items()}
        for field in ("libraries", "dtypes")
    }
    made = own.replaced(longer)
    latency = own.latency and _launched(own.latency, slower)
    return own.model_copy(update={name: getattr(made, name) for name in own.given()} | inner | {"latency": latency})


def _widened(data: Calibration, factor: float) -> Calibration:
    kinds = {kind: _kind_widened(own, data.name, factor) for kind, own in data.kinds.items()}
    return data.model_copy(update={"band": _wider(data.band, data.name, factor), "kinds": kinds})


def _kind_widened(own: KindConstants, name: str, factor: float) -> KindConstants:
    inner = {
        field: {key: _kind_widened(each, name, factor) for key, each in getattr(own, field).items()}
        for field in ("libraries", "dtypes")
    }
    return own.model_copy(update=inner | {"band": own.band and _wider(own.band, name, factor)})


def _wider(band: Band, name: str, factor: float) -> Band:
    return band.widened(factor, f"{name}'s, {factor:g} x wider either way: {band.evidence}")
