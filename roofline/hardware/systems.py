"""Several devices in one box or cloud shape: :class:`System`, read by :func:`load_system`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from roofline.errors import SpecError, near_matches
from roofline.files.fields import BeforeValidator, Field, model_validator
from roofline.files.findings import first_problem
from roofline.files.library import read_yaml
from roofline.hardware.fields import (
    A_SOURCE,
    WAYS,
    Block,
    Level,
    Link,
    Price,
    Reference,
    Source,
    Text,
    Way,
    year_as_text,
)
from roofline.hardware.library import A_NAME, MAX_COUNT, is_path, parted, read_fields, system_files
from roofline.hardware.loading import load_hardware, spec_from_fields
from roofline.hardware.spec import HardwareSpec
from roofline.schema import Says

LinkName = Literal["scale_up", "scale_out", "host"]


class System(Block):
    """A box or a cloud shape: so many of one device, and how they are joined. Prices are those of the whole.

    ``links`` states what differs from the device's own; ``rentable`` is the fewest devices that one can rent of it.
    """

    source: Source = Field(description=A_SOURCE)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=60, description=A_NAME)]
    title: Annotated[Text | None, Says("for people")] = None
    aliases: Annotated[list[Text], Says("other names that it is found by")] = []
    vendor: Annotated[Text | None, Says("who makes or rents it")] = None
    device: Text = Field(description="the name or alias of a device")
    count: Annotated[int, Field(ge=1, le=MAX_COUNT, description="how many devices it holds")]
    released: Annotated[Annotated[Text, BeforeValidator(year_as_text)] | None, Says("year or month")] = None
    status: Annotated[Literal["available", "announced"], Says("whether one can have it")] = "available"
    offered: Annotated[list[Way], Says("how one can have it; an empty list is a machine of one laboratory")] = [*WAYS]
    links: Annotated[dict[LinkName, Link], Says("where they differ from the device's own")] = {}
    host: Text | None = Field(default=None, description="the CPUs beside the devices")
    host_memory: Annotated[Level | None, Says("memory of the host")] = None
    rentable: Annotated[Annotated[int, Field(ge=1)] | None, Says("fewest devices that one can rent of it")] = None
    prices: Annotated[list[Price], Says("what the whole costs, each with its date")] = []
    sources: Annotated[dict[str, Reference], Says("where figures were read, by key")] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> System:
        if self.rentable is not None and self.rentable > self.count:
            msg = f"rentable: {self.rentable} of {self.count} devices, expected at most all of them"
            raise ValueError(msg)
        for path, block in (("source", self), *((f"links.{name}.source", link) for name, link in self.links.items())):
            for key in block.source.values() if isinstance(block.source, dict) else (block.source,):
                if self.sources and key is not None and key not in self.sources:
                    msg = f"{path}: {key!r} is not a key of sources; {near_matches(key, self.sources)}"
                    raise ValueError(msg)
        return self

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], where: str) -> System:
        """The system in a mapping of YAML fields. Raises SpecError: file, field, what was given, what was expected."""
        try:
            system = cls.model_validate(dict(fields))
            _ = system.spec
        except ValueError as failure:
            msg = f"{where}: {first_problem(failure, cls)}"
            raise SpecError(msg) from None
        except SpecError as failure:
            msg = f"{where}: device: {failure}"
            raise SpecError(msg) from None
        return system

    def had_by(self, way: Way) -> bool:
        """Whether it ships, and one can rent or buy it."""
        return self.status == "available" and way in self.offered

    @property
    def spec(self) -> HardwareSpec:
        """One of its devices. Raises SpecError where there is no such device."""
        return load_hardware(self.device)

    def link(self, name: LinkName) -> Link | None:
        """A link, per device and direction: as the system states it, else as the device does, among its own devices."""
        link = self.links.get(name) or self.spec.links.get(name)
        if link is not None and link.domain is not None and link.domain > self.count:
            return link.model_copy(update={"domain": self.count})
        return link

    def source_of(self, block: Block, field: str) -> tuple[str, bool]:
        """The title of the source of ``field`` in ``block``, and whether the value is unverified."""
        key = block.cited(field) or self.cited("default") or "none"
        low = (block.trusted(field) or ("high" if block.cited(field) else self.trusted("default"))) == "low"
        reference = self.sources.get(key)
        return (reference.title, low or reference.unverified) if reference else (key, low)

    def to_dict(self) -> dict[str, Any]:
        """Every stated fact: SI base units in numbers."""
        return self.model_dump(mode="json", exclude_defaults=True)


def load_system(hardware: str | Path) -> System:
    """A system by name, alias or YAML file; ``8xh100`` is eight of a device, and a device by itself is one of it.

    Raises SpecError for an unknown name, an unreadable file or a system that contradicts itself.

    >>> (load_system("8xh100").count, load_system("8xh100").spec.name)
    (8, 'h100-sxm-80gb')
    """
    count, name = parted(hardware)
    fields, where = read_fields(name)
    if "device" in fields:
        if count == 1:
            return System.from_fields(fields, where)
        msg = f"{hardware}: {name} is a system; a count goes with a device, as in {count}x{fields['device']}"
        raise SpecError(msg)
    spec = spec_from_fields(fields, where) if is_path(name) else load_hardware(name)
    return System(
        name=spec.name if count == 1 else f"{count}x{spec.name}",
        title=f"{count} x {spec.title or spec.name}",
        device=str(name),
        count=count,
        source=spec.cited("default") or "",
        sources=spec.sources,
    )


def load_every_system() -> list[System]:
    """All systems, shipped ones by name, then those of the user's folders. Raises SpecError where a word is double."""
    return [System.from_fields(read_yaml(path), path.name) for path in system_files()]
