"""Which constants a device gets, and what published ceilings make of its class's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from roofline import provenance
from roofline.calibration import load_class
from roofline.errors import SpecError
from roofline.hardware import hardware_names, load_hardware
from roofline.operators import predict_op
from roofline.provenance import constants_of, load_published

PUBLISHED = load_published()
HERE = sorted(set(PUBLISHED.devices) & set(hardware_names()))


@pytest.mark.parametrize("name", HERE)
def test_published_ceilings_are_below_the_peak_and_above_a_tenth(name: str) -> None:
    device, ceilings = load_hardware(name), PUBLISHED.devices[name]
    for dtype, rate in ceilings.matmul.items():
        assert 0.1 < rate / device.contraction_unit(dtype)[1] < 1.25, dtype  # a card may run above its rated clock
    if ceilings.bandwidth:
        assert 0.5 < ceilings.bandwidth / device.bandwidth < 1
    assert len(ceilings.source) > 10


def test_published_shares_are_the_ceilings_times_what_is_typical() -> None:
    constants, base = constants_of(load_hardware("h100"), "published"), load_class("nvidia-tensor-core")
    matmul = constants.of("matmul", "graph", dtype="bf16")
    assert (constants.provenance, constants.name) == ("published", "h100-sxm-80gb")
    assert matmul.compute == pytest.approx(0.97 * 794.5 / 989.4)
    assert constants.of("matmul", "graph", dtype="fp8").compute == pytest.approx(0.97 * 1402.6 / 1978.9)
    assert constants.of("matmul", "graph", dtype="int8").compute == base.compute  # nothing published
    assert matmul.memory == pytest.approx(0.9 * 3093 / 3350)
    assert constants.of("attention_decode", "graph").memory == base.kinds["attention_decode"].memory
    assert "h100" not in base.name


def test_a_published_band_is_no_narrower_than_the_class() -> None:
    for name in HERE:
        device = load_hardware(name)
        constants, base = constants_of(device, "published"), load_class(device.calibration_class).band
        widest = max(base, PUBLISHED.band, key=lambda band: band.high / band.low)
        assert (constants.low, constants.high, constants.evidence) == (widest.low, widest.high, widest.evidence)


def test_the_published_ceiling_of_an_mi300x_lies_inside_the_band_of_its_class() -> None:
    m, n, k = 10240, 15360, 8192  # the best shape of the MAMF table: 668.4 TFLOP/s
    seconds = 2 * m * n * k / 668.4e12
    found = predict_op("matmul", "mi300x", m=m, n=n, k=k, dtype="bf16", constants="class")
    assert found.low_s <= seconds <= found.high_s


def test_nothing_published_is_one_line() -> None:
    with pytest.raises(
        SpecError, match=r"^xeon-8480-plus: nothing published in calibrations/published\.yaml; leave out"
    ):
        constants_of(load_hardware("xeon"), "published")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"typical": {"compute": 0, "memory": 1}}, "published.yaml: typical.compute: "),
        ({"devices": {"x": {"matmul": {}, "source": "s"}}}, "published.yaml: devices.x.matmul: "),
        ({"devices": {"x": {"matmul": {"bf16": "3 GB"}, "source": "s"}}}, "published.yaml: devices.x.matmul.bf16: "),
        ({"devices": {"x": {"matmul": {"bf17": "3 TFLOP/s"}, "source": "s"}}}, "published.yaml: devices.x.matmul"),
        ({"extra": 1}, "published.yaml: extra: "),
    ],
    ids=str,
)
def test_a_malformed_file_is_one_line(
    change: dict[str, Any], text: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {
        "name": "published",
        "source": "arithmetic",
        "typical": {"compute": 1, "memory": 1},
        "band": {"low": 0.5, "high": 1.5, "evidence": "none"},
        "devices": {},
    }
    (tmp_path / "published.yaml").write_text(yaml.safe_dump({**plain, **change}), encoding="utf-8")
    monkeypatch.setattr(provenance, "data_folder", lambda _: tmp_path)
    with pytest.raises(SpecError) as caught:
        load_published()
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
