"""Young ports: how much slower than mature kernels those of an engine are that nobody timed on such a device."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from roofline.calibration.fields import Data
from roofline.files.fields import Field
from roofline.files.findings import validated
from roofline.files.library import data_folder, read_yaml


class YoungPorts(Data):
    """The factor by which the slow end of a band moves, and on what evidence."""

    name: str
    slower: Annotated[float, Field(ge=1, le=10)]
    evidence: str
    source: str


@cache
def load_young_ports() -> YoungPorts:
    """The factor of ``calibrations/young-ports.yaml``. Raises SpecError for a malformed file.

    >>> load_young_ports().slower > 1
    True
    """
    path = data_folder("calibrations") / "young-ports.yaml"
    return validated(YoungPorts, read_yaml(path), path.name)
