"""Hardware that a buyer names: devices, boxes, counts, calibrations; what is sold, and how far a replica may reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.calibration.calibration_file import Calibration
from roofline.calibration.provenance import calibration_under
from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.hardware.fields import Way
from roofline.hardware.library import is_path
from roofline.hardware.loading import load_every_hardware, load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System, load_every_system, load_system
from roofline.options.groups import Loaded
from roofline.prediction.fleet import Fleet, fleet_of
from roofline.timing.networks import HOST_DEVICES

_EDITED = " edited"


@frozen
class Hardware:
    """Hardware as asked for: its name, one of its devices, how many, and what is sold: the device or the box.

    ``reach`` is how many devices a replica may span. ``fleet`` knows the links and a calibration that was asked for.
    """

    name: str
    device: HardwareSpec
    count: int
    sold: HardwareSpec | System
    fleet: Fleet
    reach: int = 1

    def holding(self, devices: int) -> tuple[str, int]:
        """What to ask for where replicas span so many devices, by name, and how many replicas that makes."""
        named = self.name.removesuffix(_EDITED)
        if self.count % devices == 0:
            return named, self.count // devices
        return f"{devices}x{named if self.count == 1 else self.device.name}", 1

    @property
    def own(self) -> Calibration | None:
        """The calibration that was asked for by name."""
        return self.fleet.calibration


def names_of(given: str | Loaded | Sequence[str | Loaded]) -> list[str | HardwareSpec]:
    """The names, or what was loaded, one by one. Raises UsageError for an empty name, and for what is none."""
    listed = given.tolist() if isinstance(given, np.ndarray) else given
    names = listed.split(",") if isinstance(listed, str) else listed if isinstance(listed, Sequence) else [listed]
    clean = [name.strip() if isinstance(name, str) else name for name in names]
    if any(isinstance(name, str) and not name for name in clean):
        msg = f"hardware {shown(given)}: a name is empty; expected names with commas between them, such as h100,mi300x"
        raise UsageError(msg)
    known = [name for name in clean if isinstance(name, str | HardwareSpec)]
    if len(known) < len(clean):
        msg = f"hardware {shown(given)}: expected names, or hardware that was loaded"
        raise UsageError(msg)
    return known


def read_hardware(
    names: Sequence[str | HardwareSpec], edits: Mapping[str, Any] | None = None, *, way: Way = "rent"
) -> list[Hardware]:
    """Devices, systems, counts such as 8xh100, calibrations and spec files.

    ``all`` is every device of the library that one can have that ``way``. ``edits`` maps fields of a spec to values,
    for all that is named. Raises SpecError for an unknown name or field, UsageError for edits of what is loaded.
    """
    if edits:
        return [_edited(name, edits) for name in names]
    found: list[Hardware] = []
    for name in names:
        if name == "all":
            found += [_device(spec) for spec in load_every_hardware() if spec.had_by(way)]
        elif isinstance(name, HardwareSpec):
            found.append(_device(name))
        else:
            found.append(_named(name))
    return found


def _edited(name: str | HardwareSpec, edits: Mapping[str, Any]) -> Hardware:
    """Hardware with fields of its device edited, whose name says so."""
    found = None if isinstance(name, HardwareSpec) or name == "all" else _named(name, edits)
    if found is None:
        msg = f"set hardware.{next(iter(edits))}: edits go with hardware by name, not with {shown(str(name)[:30])}"
        raise UsageError(msg)
    own = found.own or calibration_under(edits, found.fleet.device)
    return replace(found, name=f"{found.name}{_EDITED}", fleet=replace(found.fleet, calibration=own))


def _device(spec: HardwareSpec) -> Hardware:
    return Hardware(spec.name, spec, 1, spec, Fleet(spec))


def _named(name: str, edits: Mapping[str, Any] | None = None) -> Hardware:
    fleet = fleet_of(name)
    if isinstance(fleet.device, HardwareSpec):
        spec = load_hardware(fleet.device.name, overrides=edits) if edits else fleet.device
    else:
        spec = load_hardware(fleet.device, overrides=edits)
    if not fleet.counted:
        called = name if fleet.calibration else spec.name
        sold = spec if fleet.calibration or is_path(name) else _sold(name, spec)
        return Hardware(called, spec, 1, sold, fleet)
    sold = spec if fleet.calibration else _sold(name, spec)
    return Hardware(fleet.name or name, spec, fleet.count, sold, fleet, fleet.count)


def _sold(name: str, spec: HardwareSpec) -> HardwareSpec | System:
    """A box where one is named, else the device."""
    system = load_system(name)
    return spec if system.name == spec.name else system


def boxed_by_maker(hardware: Hardware) -> Hardware:
    """The smallest box of a device's maker that holds it, which is how modules are sold; cards stay as they are."""
    device = hardware.device
    if not isinstance(hardware.sold, HardwareSpec) or hardware.own or is_path(hardware.name):
        return hardware
    maker = (device.vendor or "").casefold()
    boxes = [
        box
        for box in load_every_system()
        if box.spec.name == device.name and (box.vendor or "").casefold() == maker and box.had_by("purchase")
    ]
    least = min(boxes, key=lambda box: (box.count, box.name), default=None)
    if least is None or least.count == 1 or hardware.name != device.name:
        return hardware
    return _named(least.name)


def growing(hardware: Hardware) -> Hardware:
    """The same, with replicas that may span as many devices as its fast links join, or eight behind a host."""
    up, host = (hardware.device.links.get(name) for name in ("scale_up", "host"))
    joined = up.domain if up and up.bandwidth_per_direction and up.domain else HOST_DEVICES
    if joined > 1 and host is not None and host.bandwidth_per_direction:  # which joins what bridges do not
        joined = max(joined, HOST_DEVICES)
    return replace(hardware, reach=max(hardware.count, min(joined, HOST_DEVICES)))
