"""Devices of one class side by side: their rates are columns, so that one call times them all."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from roofline.calibration.calibration_file import Calibration, KindConstants
from roofline.calibration.constants import ConstantSet
from roofline.calibration.launch_latency import Latency
from roofline.classes import frozen
from roofline.hardware.fields import Unit
from roofline.hardware.spec import HardwareSpec
from roofline.number import Grid
from roofline.timing.rates import Rates


@frozen
class DeviceStack:
    """What timing asks of a device, as columns over several. Rates in FLOP/s and B/s, of shape (devices, 1)."""

    devices: tuple[HardwareSpec, ...]

    @property
    def name(self) -> str:
        """The names of the devices."""
        return ", ".join(device.name for device in self.devices)

    @property
    def unit_count(self) -> Grid:
        """The processors of each device; 0 where its sheet does not say."""
        return _column(device.unit_count for device in self.devices)

    @property
    def cycles_per_s(self) -> Grid:
        """The clock of each device; 0 where its sheet does not say. [Hz]"""
        return _column(device.cycles_per_s for device in self.devices)

    @property
    def last_cache(self) -> Grid:
        """The last cache of each device; 0 where its sheet does not say. [B]"""
        return _column(device.last_cache for device in self.devices)

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

    Shares and latencies become columns; what else a class has is the same for all of its devices.
    """
    if len(devices) == 1:
        return devices[0], constants[0]
    assert all(each.provenance != "calibrated" for each in constants), "a calibration is of one device"
    column = DeviceStack(tuple(devices))
    first = constants[0]
    bases = [each.calibration for each in constants if each.calibration is not None]
    if not bases:
        return column, first
    together = _together(bases)
    return column, replace(first, calibration=together, otherwise=together)


def _together(bases: Sequence[Calibration]) -> Calibration:
    """The calibrations of one class, each on its device, as one: what differs between them as columns."""
    dtypes = dict.fromkeys(dtype for base in bases for dtype in base.dtypes)
    shares = {dtype: _column(base.dtypes.get(dtype, base.compute) for base in bases) for dtype in dtypes}
    kinds = {kind: _kind_together([base.kinds[kind] for base in bases]) for kind in bases[0].kinds}
    latency = _latencies([base.latency for base in bases])
    return bases[0].model_copy(update={"dtypes": shares, "kinds": kinds, "latency": latency})


def _kind_together(each: Sequence[KindConstants]) -> KindConstants:
    """One kind's constants: times in cycles differ from clock to clock, those of its libraries and dtypes too."""
    own = each[0]
    times = {name: _column(one.value(name) for one in each) for name in own.times()}
    inner = {
        field: {name: _kind_together([getattr(one, field)[name] for one in each]) for name in getattr(own, field)}
        for field in ("libraries", "dtypes")
    }
    made = own.replaced(times)
    return own.model_copy(update={name: getattr(made, name) for name in own.given()} | inner
                          | {"latency": _latencies([one.latency for one in each])})  # fmt: skip


def _latencies(each: Sequence[Latency | None]) -> Latency | None:
    found = [latency for latency in each if latency is not None]
    if not found:
        return None
    return found[0].model_copy(
        update={"graph": _column(one.graph for one in found), "eager": _column(one.eager for one in found)}
    )


def grouped(
    places: Iterable[int], constants: Callable[[int], ConstantSet], alike: Callable[[int], Hashable]
) -> list[tuple[list[int], list[ConstantSet]]]:
    """The places that can be stacked, with the constants of each: of one class, and ``alike`` besides."""
    groups: dict[Hashable, tuple[list[int], list[ConstantSet]]] = {}
    for place in places:
        found = constants(place)
        apart = place if found.provenance == "calibrated" else None  # a calibration is of one device
        terms = _terms(found.calibration.kinds) if found.calibration else ()
        key = (found.provenance, found.name, found.kernels, apart, terms, alike(place))
        members, theirs = groups.setdefault(key, ([], []))
        members.append(place)
        theirs.append(found)
    return list(groups.values())


def _terms(kinds: Mapping[str, KindConstants]) -> tuple[Hashable, ...]:
    """The corrections that kinds, their libraries and dtypes have: fewer of a class on a device without a clock."""
    return tuple((name, tuple(one.given()), _terms(one.libraries), _terms(one.dtypes)) for name, one in kinds.items())


def _column(values: Iterable[float]) -> Grid:
    return np.array([[value] for value in values], dtype=np.float64)
