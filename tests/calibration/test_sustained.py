"""Sustained load: never faster than in a burst, and no more than was published of a card that is busy all the time."""

from __future__ import annotations

import pytest

import roofline
from roofline.calibration.provenance import class_of, constants_of, load_published
from roofline.calibration.sustained import under_load
from roofline.hardware.loading import hardware_names, load_hardware


@pytest.mark.parametrize("name", sorted(load_published().devices))
@pytest.mark.parametrize("provenance", [None, "class"])
def test_matmuls_reach_no_more_than_was_kept_up(name: str, provenance: str | None) -> None:
    hardware, published = load_hardware(name), load_published()
    burst = constants_of(hardware, provenance)  # type: ignore[arg-type]
    lasting = under_load(burst, name)
    for dtype, rate in published.devices[name].matmul.items():
        if dtype in hardware.dtypes():
            one, other = (each.of("matmul", "graph", dtype=dtype) for each in (burst, lasting))
            most = published.typical.compute * rate / hardware.contraction_unit(dtype)[1]
            assert other.compute == pytest.approx(min(one.compute, most))
            assert lasting.of("norm", "graph", dtype=dtype) == burst.of("norm", "graph", dtype=dtype)


def test_all_else_is_as_it_was() -> None:
    unpublished = next(name for name in hardware_names() if name not in load_published().devices)
    h100 = load_hardware("h100")
    for constants, name in ((constants_of(load_hardware(unpublished)), unpublished),
                            (constants_of(h100, "datasheet"), h100.name), (constants_of(h100, "published"), h100.name),
                            (constants_of(h100), "a-card-of-mine")):  # fmt: skip
        assert under_load(constants, name) is constants
    assert under_load(constants_of(h100), h100.name).sustained.keys() == {"bf16", "fp8"}
    assert class_of(h100).compute


def test_a_lower_power_limit_lowers_both() -> None:
    times = [
        roofline.train("llama-3.2-1b", "h100", batch=8, sequence=2048, microbatch=1, recompute="none", **asked)
        .step.causes["matmul_weight_gradients"]
        for asked in ({}, {"set": {"hardware.tdp": "400W"}})
    ]  # fmt: skip
    assert times[1] > 1.1 * times[0]
