"""Devices by name, alias or path: a YAML file becomes a :class:`HardwareSpec`, checked against itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.errors import SpecError, UsageError, one_line, shown
from roofline.files.edits import edited_fields
from roofline.files.findings import validated
from roofline.files.library import data_folder, read_yaml
from roofline.hardware.checks import check_spec
from roofline.hardware.library import (
    MAX_COUNT,
    SYSTEMS,
    device_files,
    find_file,
    is_path,
    is_shipped,
    parted,
    read_fields,
)
from roofline.hardware.spec import HardwareSpec
from roofline.options.edits import edits_by_room


def spec_from_fields(fields: Mapping[str, Any], where: str, *, what_if: bool = False) -> HardwareSpec:
    """The spec in a mapping of YAML fields. Raises SpecError: file, field, what was given, what was expected.

    A ``what_if`` device need not exist: its peaks may be any, in any order.
    """
    spec = validated(HardwareSpec, fields, where)
    if problem := check_spec(spec, what_if=what_if):
        msg = one_line(f"{where}: {problem}")
        raise SpecError(msg)
    return spec


@frozen
class _Read:
    """The fields of a file; two files are one if they read the same."""

    text: str
    fields: Mapping[str, Any] = field(compare=False)


@lru_cache(maxsize=256)
def _checked(read: _Read, where: str) -> HardwareSpec:
    """The spec in what was read, which is checked once a process: nothing of a spec can be changed."""
    return spec_from_fields(read.fields, where)


def load_hardware(hardware: str | Path, *, overrides: Mapping[str, Any] | None = None) -> HardwareSpec:
    """The spec of a device by name or alias, in any case, or by the path to a YAML file.

    ``overrides`` maps paths to values, ``{"memory.hbm.bandwidth": "6 TB/s"}``. Raises SpecError for an unknown name, an
    unreadable file or a spec that contradicts itself.

    >>> load_hardware("h100").name
    'h100-sxm-80gb'
    """
    if not overrides and parted(hardware)[0] == 1 and not is_path(hardware):
        path = find_file(str(parted(hardware)[1]))
        if is_shipped(path) and path.parent.name != SYSTEMS:
            return _shipped(path)
    fields, where = read_hardware_fields(hardware)
    if not overrides:
        return _checked(_Read(repr(fields), fields), where)
    return spec_from_fields(edited_fields(fields, overrides, where), where, what_if=True)


@lru_cache(maxsize=512)
def _shipped(path: Path) -> HardwareSpec:
    """A shipped device, which is read and checked once a process."""
    return spec_from_fields(read_yaml(path), path.name)


def load_every_hardware() -> list[HardwareSpec]:
    """All devices, shipped ones by name, then those of the user's folders.

    Raises SpecError that names both files where two share a name or an alias.
    """
    return [spec_from_fields(read_yaml(path), path.name) for path in device_files()]


def hardware_names() -> list[str]:
    """The names of the shipped devices."""
    return list(_names())


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in data_folder("hardware_specs").glob("*.yaml")))


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


def edited_device(hardware: str | Path | HardwareSpec, edits: Mapping[str, Any]) -> HardwareSpec:
    """The device, with the fields edited that paths such as hardware.memory.hbm.bandwidth name; those of engines stay.

    Raises UsageError for a path of a model, which an operator has not, and for a device that is loaded already.
    """
    fields = edits_by_room(edits, ("hardware", "engine"))["hardware"]
    if not isinstance(hardware, HardwareSpec):
        return load_hardware(hardware, overrides=fields)
    if fields:
        msg = f"set hardware.{next(iter(fields))}: the hardware is loaded already; give its name to edit it"
        raise UsageError(msg)
    return hardware
