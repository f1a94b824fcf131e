"""What is wrong with a spec file, line by line: the loader's checks for people's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roofline.calibration.constants import load_class
from roofline.errors import RooflineError, SpecError
from roofline.files.findings import problems
from roofline.files.review import reviewed
from roofline.hardware.checks import blocks_of, check_spec
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System


def review_file(path: Path) -> list[str]:
    """Every problem of a device's or a system's file, one line each: file, line, field, what is wrong, how to mend it.

    An empty list means that the file will do. Raises nothing: what cannot be read is a problem of the file.
    """
    return reviewed(path, lambda fields: (_system_problems if "device" in fields else _device_problems)(fields))


def unverified_values(spec: HardwareSpec) -> list[str]:
    """The paths of all values that were recalled or estimated, not read."""
    found = []
    for path, block in blocks_of(spec):
        names = [name for name in block.stated if isinstance(getattr(block, name), (int, float, str))]
        inner = [name for name in names if name not in _WORDS and getattr(block, name) is not None]
        found += [f"{path}.{name}".lstrip(".") for name in inner if spec.source_of(block, name)[1]]
    return found


_WORDS = (
    "source confidence note name title calibration_class kind scope elementwise status vendor granularity "
    "devices_per_package"
).split()


def _device_problems(fields: dict[str, Any]) -> list[str]:
    try:
        spec = HardwareSpec.model_validate(fields)
        if problem := check_spec(spec):
            return [problem]
        load_class(spec.calibration_class)
    except ValueError as failure:
        return list(problems(failure, HardwareSpec))
    except SpecError as failure:
        return [str(failure)]
    return []


def _system_problems(fields: dict[str, Any]) -> list[str]:
    try:
        _ = System.model_validate(fields).spec
    except ValueError as failure:
        return list(problems(failure, System))
    except RooflineError as failure:
        return [f"device: {failure}"]
    return []
