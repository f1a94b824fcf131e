"""Which constants a device gets, and what published ceilings make of its class's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from roofline.buying.api import compare
from roofline.calibration import provenance
from roofline.calibration.constants import load_class
from roofline.calibration.power import powered_shares
from roofline.calibration.provenance import calibration_under, class_of, constants_of, load_published
from roofline.calibration.siblings import calibrated_as, load_siblings
from roofline.calibration.sustained import under_load
from roofline.errors import SpecError
from roofline.files.library import data_folder, read_yaml
from roofline.hardware.loading import hardware_names, load_hardware, spec_from_fields
from roofline.operators.predict_op import predict_op
from roofline.prediction.predict import predict
from roofline.prediction.sensitivity import sensitivities

PUBLISHED = load_published()
HERE = sorted(set(PUBLISHED.devices) & set(hardware_names()))


def test_an_edit_changes_one_thing_the_calibration_stays() -> None:
    plain_bandwidth = load_hardware("a100-sxm-80gb").bandwidth
    wider = {"hardware.memory.hbm.bandwidth": f"{1.5 * plain_bandwidth / 1e9} GB/s"}
    asked: Any = {"batch": 8, "context": 2048}
    plain, edited = (predict("llama-3.1-8b", "a100-sxm-80gb", **asked, set=edits) for edits in (None, wider))
    assert plain.constants == edited.constants
    bandwidth, *_ = sensitivities(plain, "decode", change=0.5)
    assert edited.request_s == pytest.approx(bandwidth.better_s)
    other = predict("llama-3.1-8b", "a100-sxm-80gb", **asked, set={"hardware.class": "nvidia-tensor-core"})
    assert other.constants.provenance == "class"
    rows = compare("llama-3.1-8b", "a100-sxm-80gb", set=wider).rows
    assert [row.curve.constants and row.curve.constants.provenance for row in rows] == ["calibrated"]
    timed = predict_op("matmul", "a100-sxm-80gb", m=8, k=8, n=8, set=wider)
    assert timed.constants.provenance == "calibrated"


@pytest.mark.parametrize("name", HERE)
def test_published_ceilings_are_below_the_peak_and_above_a_tenth(name: str) -> None:
    device, ceilings = load_hardware(name), PUBLISHED.devices[name]
    for dtype, rate in ceilings.matmul.items():
        assert 0.1 < rate / device.contraction_unit(dtype)[1] < 1.25, dtype  # a card may run above its rated clock
    if ceilings.bandwidth:
        assert 0.5 < ceilings.bandwidth / device.bandwidth < 1
    assert len(ceilings.source) > 10


def test_published_shares_are_the_ceilings_times_what_is_typical() -> None:
    constants, base = constants_of(load_hardware("h100"), "published"), class_of(load_hardware("h100"))
    matmul = constants.of("matmul", "graph", dtype="bf16")
    assert (constants.provenance, constants.name) == ("published", "h100-sxm-80gb")
    assert matmul.compute == pytest.approx(0.97 * 794.5 / 989.4)
    assert constants.of("matmul", "graph", dtype="fp8").compute == pytest.approx(0.97 * 1402.6 / 1978.9)
    assert constants.of("matmul", "graph", dtype="int8").compute == base.dtypes["int8"]  # nothing published
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


# Power


def test_a_power_limit_leaves_the_cube_root_of_what_the_peak_asks_for() -> None:
    b200 = load_hardware("b200")
    asked = 2250e12 * 0.25e-12 * 1.856**2  # W, at 0.25 pJ a FLOP at 1 GHz
    assert powered_shares(0.8, 0.25e-12, b200)["bf16"] == pytest.approx(0.8 * (1000 / asked) ** (1 / 3))
    assert powered_shares(0.8, 0.25e-12, b200)["fp8"] == pytest.approx(powered_shares(0.8, 0.25e-12, b200)["bf16"])
    assert powered_shares(0.8, 1e-15, b200)["bf16"] == 0.8  # nothing limits


def test_a_class_limits_devices_that_state_power_and_clock(tmp_path: Path) -> None:
    data = load_class("nvidia-hopper")
    assert data.flop_energy is not None
    l40s, a100 = (class_of(load_hardware(name)) for name in ("l40s", "a100"))
    assert l40s.dtypes["bf16"] < a100.dtypes["bf16"] == a100.compute
    assert a100.dtypes["fp32"] == data.dtypes["fp32"]  # what the file states goes first
    plain = {"name": "mine", "class": "nvidia-hopper", "source": "arithmetic",
             "peak": {"matrix": {"bf16": "9 TFLOP/s"}}, "memory": {"hbm": {"bandwidth": "1 TB/s"}}}  # fmt: skip
    assert powered_shares(data.compute, data.flop_energy, spec_from_fields(plain, "mine", what_if=True)) == {}
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(plain), encoding="utf-8")
    found = predict_op("matmul", mine, m=64, k=64, n=64).constants.of("matmul", "graph", dtype="bf16")
    assert found.compute == data.compute
    assert found.latency_s == pytest.approx(data.kinds["matmul"].latency.graph)  # type: ignore[union-attr]


def test_less_power_is_slower_where_the_peak_asks_for_more() -> None:
    sizes = {"m": 8192, "k": 8192, "n": 8192, "dtype": "bf16", "constants": "class"}
    plain = predict_op("matmul", "h100", **sizes)
    capped = predict_op("matmul", "h100", **sizes, set={"hardware.tdp": "350 W"})
    assert capped.bound_s == plain.bound_s
    assert 1.2 < capped.time_s / plain.time_s <= 2 ** (1 / 3)


# Dtypes


def test_a_dtype_that_was_not_measured_takes_the_class() -> None:
    constants = constants_of(load_hardware("a100"))
    base = constants_of(load_hardware("a100"), "class")
    assert constants.covers("bf16")
    assert constants.covers("fp16")
    assert not constants.covers("int8")
    for kind in ("matmul", "attention_decode", "norm"):
        assert constants.of(kind, "graph", dtype="int8") == base.of(kind, "graph", dtype="int8")
        assert constants.of(kind, "graph", dtype="bf16") != base.of(kind, "graph", dtype="bf16")
    found = predict_op("matmul", "a100", m=64, k=4096, n=4096, dtype="int8")
    assert found.band == base.band("matmul", "int8")
    assert found.constants.provenance == "class"
    single = predict("llama-3.1-8b", "a100", context=64, dtype="fp32")
    assert (single.constants.provenance, single.notes) == ("class", ())
    note, unpacked = predict("llama-3.1-8b", "a100", context=64, activation_dtype="fp32").notes
    assert unpacked == "no matmul that unpacks bf16 weights was timed: they take the constants of fp32 ones"
    assert note == "a100-sxm-80gb was not measured in fp32: it takes class nvidia-ampere"
    assert predict("llama-3.1-8b", "a100", context=64).notes == ()


# A calibration by name or file


def test_a_calibration_names_its_device() -> None:
    found = predict_op("attention", "a100-sxm-80gb-tensorrt-llm", batch=1, query=64, context=64, heads=8, kv_heads=8,
                       head_dim=128, causal=True)  # fmt: skip
    assert found.hardware.name == "a100-sxm-80gb"
    assert (found.constants.provenance, found.constants.name) == ("calibrated", "a100-sxm-80gb-tensorrt-llm")
    whole = predict("llama-3.1-8b", "a100-sxm-80gb-tensorrt-llm", context=128)
    assert whole.constants.name == "a100-sxm-80gb-tensorrt-llm"
    assert predict("llama-3.1-8b", "a100-sxm-80gb-tensorrt-llm", context=128, constants="class").constants.name == (
        "nvidia-ampere"
    )


def test_a_file_that_extends_a_device_is_its_calibration(tmp_path: Path) -> None:
    fields = read_yaml(data_folder("calibrations") / "devices" / "a100-sxm-80gb.yaml")
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({**fields, "name": "mine", "extends": "h100"}), encoding="utf-8")
    found = predict_op("matmul", mine, m=16, k=4096, n=4096)
    assert (found.hardware.name, found.constants.name) == ("h100-sxm-80gb", "mine")
    edited = predict("llama-3.1-8b", mine, context=64, set={"hardware.memory.hbm.bandwidth": "1 TB/s"})
    assert (edited.hardware.bandwidth, edited.constants.name) == (1e12, "mine")
    mine.write_text(yaml.safe_dump({**fields, "extends": "h100", "p": -1}), encoding="utf-8")
    with pytest.raises(SpecError, match=r"^mine\.yaml: p: "):
        predict_op("matmul", mine, m=16, k=4096, n=4096)
    mine.write_text(yaml.safe_dump({**fields, "extends": "nothing"}), encoding="utf-8")
    with pytest.raises(SpecError, match="unknown hardware 'nothing'"):
        predict_op("matmul", mine, m=16, k=4096, n=4096)


def test_a_lower_power_limit_lowers_what_matmuls_of_a_calibrated_device_reach() -> None:
    """The cube root of the power that is left, where the limit binds: 400 of an H100's 700 W."""

    def seconds(kind: str, **asked: Any) -> float:
        sizes: dict[str, Any] = {"m": 8192, "k": 8192, "n": 8192} if kind == "matmul" else {
            "batch": 1, "query": 1, "context": 4096, "heads": 32, "kv_heads": 8, "head_dim": 128}  # fmt: skip
        return float(predict_op(kind, "h100", **sizes, **asked).time_s)

    limits = ["700W", "600W", "500W", "400W", "300W"]
    times = [seconds("matmul", set={"hardware.tdp": watts}) for watts in limits]
    assert times[0] == seconds("matmul")
    assert times == sorted(times)
    assert times[3] / times[0] == pytest.approx((700 / 400) ** (1 / 3), rel=0.05)
    assert seconds("attention", set={"hardware.tdp": "400W"}) == seconds("attention")


def test_a_card_that_accumulates_at_half_rate_reaches_more_of_its_peak_and_is_bound_at_its_highest_clock() -> None:
    half, full = load_hardware("rtx-4090"), load_hardware("rtx-6000-ada")
    of_half, of_full = (constants_of(card, "class").of("matmul", "graph", dtype="bf16") for card in (half, full))
    assert of_half.compute > 1 > of_full.compute
    assert of_half.boost > of_half.compute > of_full.boost == 1
    flops, cost = 2 * 8192**3, {"m": 8192, "k": 8192, "n": 8192, "dtype": "bf16"}
    found = predict_op("matmul", "rtx-4090", constants="class", **cost)
    assert found.bound_s == pytest.approx(flops / (of_half.boost * half.contraction_unit("bf16")[1]))
    assert found.bound_s < found.time_s


def test_a_higher_peak_of_a_card_at_half_rate_makes_prefill_faster() -> None:
    found = predict("llama-3.1-8b", "rtx-4090", prompt=2048, generate=1)
    peak = next(each for each in sensitivities(found, "prefill") if each.resource.part == "compute")
    assert peak.better_s < 0.95 * peak.time_s
    assert peak.worse_s > 1.05 * peak.time_s


@pytest.mark.parametrize(("name", "measured"), [("h800-sxm-80gb", "h100-sxm-80gb"), ("a800-sxm-80gb", "a100-sxm-80gb")])
def test_the_same_chip_has_the_same_constants(name: str, measured: str) -> None:
    """Fewer links change no kernel; another clock or memory is another chip, and one edited has those of its class."""
    device = load_hardware(name)
    assert constants_of(device) == constants_of(load_hardware(measured))
    assert calibration_under(["tdp"], name) == calibration_under(["tdp"], measured) is not None
    edited = device.model_copy(update={"tdp": 1.1 * (device.tdp or 0)})
    assert constants_of(edited).provenance == "class"
    assert under_load(constants_of(device), name).sustained == under_load(constants_of(device), measured).sustained


# Siblings


def test_a_sibling_has_the_shares_of_its_chip_its_cycles_and_what_its_power_leaves() -> None:
    whole, less = (constants_of(load_hardware(name)) for name in ("h100", "h100-pcie"))
    assert (less.provenance, less.whose) == (
        "calibrated",
        "as h100-sxm-80gb, under 350 W, 114 SMs, 1.75 GHz, 2.00 TB/s",
    )
    ours, theirs = (each.of("matmul", "graph", dtype="bf16") for each in (less, whole))
    assert ours.memory == theirs.memory
    assert ours.latency_s == pytest.approx(theirs.latency_s * 1980 / 1755)
    assert ours.value("split_k.reduction") == pytest.approx(theirs.value("split_k.reduction") * 1980 / 1755)
    energy = load_class("nvidia-hopper").flop_energy
    assert energy is not None
    left = [powered_shares(1.0, energy, load_hardware(name))["bf16"] for name in ("h100-pcie", "h100")]
    assert ours.compute == pytest.approx(theirs.compute * left[0] / left[1])
    assert left[0] < left[1]
    attention = [each.of("attention_prefill", "graph", dtype="bf16").compute for each in (less, whole)]
    assert attention[0] == attention[1]


def test_the_host_takes_as_long_for_a_sibling() -> None:
    added = [
        known.of("matmul", "eager").latency_s - known.of("matmul", "graph").latency_s
        for known in (constants_of(load_hardware(name)) for name in ("h100", "h100-pcie"))
    ]
    assert added[0] == pytest.approx(added[1])


@pytest.mark.parametrize(("name", "board"), [("gh200-96gb", True), ("a100-sxm-40gb", False), ("h100-nvl", True)])
def test_the_band_of_a_sibling_is_wider_by_what_its_board_differs_in(name: str, board: bool) -> None:
    device, widened = load_hardware(name), load_siblings().widened
    measured = calibrated_as(device)
    assert measured is not None
    ours, theirs = (constants_of(each).band("attention_decode", "bf16") for each in (device, load_hardware(measured)))
    factor = widened.board if board else widened.memory
    assert ours[0] == pytest.approx(theirs[0] / factor)
    assert ours[1] == pytest.approx(theirs[1] * factor)
    assert ours[2] == f"{measured}'s, {factor:g} x wider either way: {theirs[2]}"
    assert 1 < widened.memory < widened.board


def test_a_file_of_ones_own_that_states_its_chip_is_a_sibling(tmp_path: Path) -> None:
    stated = read_yaml(data_folder("hardware_specs") / "h100-pcie-80gb.yaml")
    plain = {field: value for field, value in stated.items() if field != "sources"} | {"source": "arithmetic"}
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({**plain, "name": "mine", "aliases": [], "tdp": "310 W"}), encoding="utf-8")
    found = predict_op("matmul", mine, m=16, k=4096, n=4096).constants
    assert found.whose.startswith("as h100-sxm-80gb, under 310 W")
    chipless = {field: value for field, value in plain.items() if field != "chip"}
    mine.write_text(yaml.safe_dump({**chipless, "name": "mine", "aliases": []}), encoding="utf-8")
    assert predict_op("matmul", mine, m=16, k=4096, n=4096).constants.provenance == "class"


def test_an_a100_pcie_is_no_faster_than_an_sxm_and_its_best_matmul_is_within_its_band() -> None:
    m, n, k = 2048, 5120, 6144  # the best shape of the MAMF table: 252.9 TFLOP/s, where an SXM has 271.2
    found, sxm = (predict_op("matmul", name, m=m, n=n, k=k, dtype="bf16") for name in ("a100-pcie", "a100"))
    assert found.time_s > 1.03 * sxm.time_s
    assert found.low_s <= 2 * m * n * k / 252.9e12 <= found.high_s


def test_matmuls_of_a_sibling_are_held_to_what_was_published_of_it_or_lose_as_much() -> None:
    sustained = [
        under_load(constants_of(load_hardware(name)), name).sustained
        for name in ("b100-192gb", "b200-180gb", "gb200-186gb")
    ]
    assert sustained[0] == sustained[1] != sustained[2]
