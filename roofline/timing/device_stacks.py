"""Devices of one class side by side: their rates are columns, so that one call times them all."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roofline.calibration.constants import ConstantSet
from roofline.hardware.fields import Level, Unit, Units
from roofline.hardware.spec import HardwareSpec
from roofline.number import Grid
from roofline.timing.rates import Rates


@dataclass(frozen=True, slots=True)
class DeviceStack:
    """What timing asks of a device, as columns over several. Rates in FLOP/s and B/s, of shape (devices, 1)."""

    devices: tuple[HardwareSpec, ...]

    @property
    def name(self) -> str:
        """The names of the devices."""
        return ", ".join(device.name for device in self.devices)

    @property
    def units(self) -> Units | None:
        """None: kernel terms that ask for processors are of one device."""
        return None

    @property
    def memory(self) -> Mapping[str, Level]:
        """Empty: kernel terms that ask for caches are of one device."""
        return {}

    @property
    def bandwidth(self) -> Grid:
        """Bandwidth of device memory. [B/s]"""
        return _column(device.bandwidth for device in self.devices)

    def contraction_unit(self, dtype: str) -> tuple[Unit, Grid]:
        """A unit, and the dense peak that a contraction in ``dtype`` runs at. Raises WorkloadError where one has none.

        The peaks are each device's own; which unit it is may differ between them.
        """
        found = [device.contraction_unit(dtype) for device in self.devices]
        return found[0][0], _column(peak for _, peak in found)

    def work_rate(self, unit: Unit, dtype: str) -> Grid:
        """The rate of work beside the contractions, of each device. [FLOP/s]"""
        return _column(device.work_rate(unit, dtype) for device in self.devices)


def stacked(devices: Sequence[HardwareSpec], constants: Sequence[ConstantSet]) -> tuple[Rates, ConstantSet]:
    """The devices as one, with the constants of their class on each; a device alone is itself.

    Several must take constants without kernel terms: a calibration's ask for units and caches, which are one device's,
    and a calibration is of one device anyway.
    """
    if len(devices) == 1:
        return devices[0], constants[0]
    assert all(each.provenance != "calibrated" for each in constants), "a calibration is of one device"
    column = DeviceStack(tuple(devices))
    first = constants[0]
    bases = [each.calibration for each in constants if each.calibration is not None]
    if not bases:
        return column, first
    dtypes = dict.fromkeys(dtype for base in bases for dtype in base.dtypes)
    shares = {dtype: _column(base.dtypes.get(dtype, base.compute) for base in bases) for dtype in dtypes}
    together = bases[0].model_copy(update={"dtypes": shares})
    return column, replace(first, calibration=together, otherwise=together)


def grouped(
    places: Iterable[int], constants: Callable[[int], ConstantSet], alike: Callable[[int], Hashable]
) -> list[tuple[list[int], list[ConstantSet]]]:
    """The places that can be stacked, with the constants of each: of one class, and ``alike`` besides."""
    groups: dict[Hashable, tuple[list[int], list[ConstantSet]]] = {}
    for place in places:
        found = constants(place)
        members, theirs = groups.setdefault((found.provenance, found.name, alike(place)), ([], []))
        members.append(place)
        theirs.append(found)
    return list(groups.values())


def _column(values: Iterable[float]) -> Grid:
    return np.array([[value] for value in values], dtype=np.float64)
