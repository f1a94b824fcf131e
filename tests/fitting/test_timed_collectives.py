"""Collectives that calibrate times: constants are found again from synthetic times, two processes talk for real."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from roofline.calibration.calibration_file import CollectiveConstants
from roofline.calibration.fields import Band
from roofline.errors import WorkloadError
from roofline.fitting.collectives import TimedCollective, collective_fields, fit_collective
from roofline.fitting.measured_roofs import measured_spec
from roofline.fitting.timed_collectives import POWERS, LinkRow, best_link, measure_links, timed_collectives
from roofline.program.transfers import PASSES
from roofline.validation.devices import Device

LINK = 200e9
TRUE = CollectiveConstants(
    first="9 us", each="2 us", bandwidth=0.8, sharpness=0.7, band=Band(low=1.0, high=1.0, evidence="none")
)  # type: ignore[arg-type]  # read as in a file


def synthetic(devices: tuple[int, ...], noise: float = 0.02) -> list[LinkRow]:
    random = np.random.default_rng(1)
    rows = []
    for operation, count, power in itertools.product(PASSES, devices, POWERS):
        timed = TimedCollective(operation, LINK, np.array([2.0**power]), np.array([count]), np.array([1.0]))
        seconds = float(timed.timing(TRUE).time_s[0]) * float(np.exp(noise * random.standard_normal()))
        rows.append(LinkRow(operation, count, 2**power, seconds))
    return rows


def test_constants_are_found_again_from_noisy_times(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("roofline.fitting.timed_collectives.timed_collectives", lambda *_: synthetic((2, 4, 8)))
    found = measure_links("cuda", 8, 10.0, link=LINK)
    assert set(found.constants) == set(PASSES)
    assert found.devices == 8
    for constants in found.constants.values():
        assert constants.band.evidence == "8 rows not fitted"  # 4 devices, odd powers
        assert 0.9 < constants.band.low <= 1 <= constants.band.high < 1.1
        for devices, power in itertools.product((2, 5, 8), POWERS):
            timed = TimedCollective("all_reduce", LINK, 2.0**power, devices, 1.0)
            assert timed.timing(constants).time_s == pytest.approx(timed.timing(TRUE).time_s, rel=0.08)
        CollectiveConstants.model_validate(collective_fields(constants))


def test_two_devices_are_checked_on_other_sizes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roofline.fitting.timed_collectives.timed_collectives", lambda *_: synthetic((2,)))
    found = measure_links("cuda", 2, 10.0)
    assert {c.band.evidence for c in found.constants.values()} == {"8 rows not fitted"}
    assert 0.6 * LINK < found.link < LINK  # the best rate seen stands for the link


def test_too_few_rows_are_refused() -> None:
    nothing = TimedCollective("all_reduce", LINK, np.array([]), np.array([]), np.array([]))
    with pytest.raises(WorkloadError, match="all_reduce: 0 rows to fit and 0 to check; expected 4 and 1 or more"):
        fit_collective(nothing, nothing)


def test_two_processes_time_every_collective() -> None:
    pytest.importorskip("torch")
    rows = timed_collectives("cpu", 2, 0.01, (12, 13))
    assert [(row.operation, row.devices, row.message_bytes) for row in rows] == [
        (operation, 2, size) for operation in PASSES for size in (4096, 8192)
    ]
    assert all(row.seconds > 0 for row in rows)
    assert best_link(rows) > 0


def test_a_measured_link_is_part_of_the_measured_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("roofline.fitting.timed_collectives.timed_collectives", lambda *_: synthetic((2, 4)))
    found = measure_links("cuda", 4, 10.0)
    device: Any = Device.open("cpu")
    spec = measured_spec("box", device, {"fp32": 50e9}, 20e9, "a test", found)
    assert spec["links"]["scale_up"] == {"bandwidth_per_direction": f"{found.link / 1e9:.4g} GB/s", "domain": 4}
    assert found.to_dict()["rows"][0][:3] == ["all_reduce", 2, 4096]
