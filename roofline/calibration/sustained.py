"""Rates under sustained load: matmuls of a training step are no faster than the best that others kept up.

Constants are fitted to bursts of a few launches. A card that is busy all the time comes to its power limit and lowers
its clock: of an H100 the fastest bursts reach 939 TFLOP/s in bf16, the best of 100 runs of each of many shapes 794.5.
Servers are not held to it: their steps wait for memory, and rows of them are predicted better without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from roofline.calibration.constants import ConstantSet
from roofline.calibration.provenance import constants_of, load_published
from roofline.calibration.siblings import calibrated_as
from roofline.hardware.loading import hardware_names, load_hardware


def under_load(constants: ConstantSet, hardware_name: str) -> ConstantSet:
    """The constants under sustained load: those of a library's device of which sustained matmuls were published.

    What usual shapes reach of that best is ``typical`` of calibrations/published.yaml. A sibling of which none were
    published loses as much as the device of its chip. A calibration of a user's own is as it was measured.
    """
    if hardware_name not in hardware_names():
        return constants
    of_class, measured = constants.provenance == "class", calibrated_as(load_hardware(hardware_name))
    if not of_class and not (constants.provenance == "calibrated" and constants.name == measured):
        return constants
    known = hardware_name in load_published().devices or measured is None
    shares = _shares(hardware_name if known else measured, of_class)
    return replace(constants, sustained=shares) if shares else constants


@lru_cache(maxsize=256)
def _shares(name: str, of_class: bool) -> Mapping[str, float]:
    """By dtype, of the matmuls that are slower under sustained load."""
    published, hardware = load_published(), load_hardware(name)
    ceilings = published.devices.get(name)
    if ceilings is None:
        return {}
    burst = constants_of(hardware, "class" if of_class else None)
    found = {
        dtype: published.typical.compute * rate / (burst.of("matmul", "graph", dtype=dtype).compute * peak)
        for dtype, rate in ceilings.matmul.items() if dtype in hardware.dtypes()
        for peak in (hardware.contraction_unit(dtype)[1],)
    }  # fmt: skip
    return {dtype: share for dtype, share in found.items() if share < 1}
