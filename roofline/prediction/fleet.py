"""Where a model runs: a device, or several of them with their network and a layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from pathlib import Path

from roofline.calibration.calibration_file import Calibration
from roofline.calibration.constants import ConstantSet
from roofline.calibration.provenance import calibration_in
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.hardware.fields import Link
from roofline.hardware.library import is_system, parted
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import LinkName, System, load_system
from roofline.identity import Same
from roofline.options.groups import Degrees
from roofline.parallelism.dimensions import OWN, given_degrees
from roofline.parallelism.layout import Layout
from roofline.timing.networks import LinkUse, Network, network_of

_LINKS: tuple[LinkName, ...] = ("scale_up", "scale_out", "host")


@frozen
class Fleet:
    """What ``--hardware`` names: a device, how many of it, what its system states of links, and a calibration.

    ``counted`` says that the number was given, not implied by a layout.
    """

    device: str | Path | HardwareSpec
    count: int = 1
    counted: bool = False
    name: str = ""
    title: str = ""
    links: Mapping[str, Link] = field(default_factory=dict)
    calibration: Calibration | None = None
    use: LinkUse = field(default_factory=LinkUse)

    def network(self, device: HardwareSpec, count: int, constants: ConstantSet) -> Network | None:
        """The network of ``count`` of its devices; None for one."""
        links = tuple((name, Same(link)) for name, link in self.links.items())
        return _network(Same(device), count, links, Same(constants), self.use) if count > 1 else None


@lru_cache(maxsize=256)
def _network(
    device: Same[HardwareSpec],
    count: int,
    links: tuple[tuple[str, Same[Link]], ...],
    constants: Same[ConstantSet],
    use: LinkUse,
) -> Network:
    """One object each, since memos key on it."""
    return network_of(device.it, count, {name: link.it for name, link in links}, constants.it, use)


def names_several(hardware: object) -> bool:
    """Whether these are names of devices with commas between them, and no file."""
    return isinstance(hardware, str) and "," in hardware and not Path(hardware).exists()


def fleet_of(hardware: str | Path | HardwareSpec | System) -> Fleet:
    """What a name, a file, a count of devices or a system means. Raises SpecError for what is none of these.

    >>> fleet_of("8xh100").count, fleet_of("hgx-h200").count, fleet_of("h100").counted
    (8, 8, False)
    """
    if isinstance(hardware, HardwareSpec):
        return Fleet(hardware)
    if isinstance(hardware, System):
        return _of_system(hardware)
    count, name = parted(hardware)
    known, own = calibration_in(name)
    if own is not None:
        return Fleet(known, count, count > 1, calibration=own, name=f"{count}x{name}" if count > 1 else "")
    if count == 1 and not is_system(name):
        return Fleet(hardware)
    return _of_system(load_system(hardware))


def _of_system(system: System) -> Fleet:
    links: dict[str, Link] = {}
    for name in _LINKS:
        if name in system.links and (link := system.link(name)) is not None:
            links[name] = link
    several = system.count > 1
    return Fleet(system.device, system.count, several, system.name, system.title or system.name, links)


def layout_of(asked: Degrees, fleet: Fleet) -> Layout | None:
    """The layout that flags fix, or None where the number of devices leaves some open.

    Raises UsageError for degrees that are none, or that do not make up the devices there are.
    """
    given = given_degrees(asked)
    layout = Layout.of(**given)
    if not fleet.counted or layout.devices == fleet.count:
        return layout
    if fleet.count % layout.devices == 0:
        return None
    made_up = " x ".join(OWN)
    named = ", ".join(f"{name} {degree}" for name, degree in given.items())
    msg = f"{named}: {layout.devices} devices do not make up the {fleet.count} of {fleet.name}; {made_up} must"
    raise UsageError(msg)
