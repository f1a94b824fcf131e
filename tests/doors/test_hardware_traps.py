"""The 26 traps of accelerator data sheets: the value that is often printed, the right one, and what catches it.

Where units x rate x clock can tell, the wrong value put into the shipped file must be refused by the loader.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from roofline.errors import SpecError
from roofline.hardware.loading import load_hardware, read_hardware_fields, spec_from_fields
from roofline.hardware.systems import load_system

T, P, G, GIB, MIB = 1e12, 1e15, 1e9, 2**30, 2**20


def rate(name: str, dtype: str, unit: str = "matrix") -> float | None:
    return load_hardware(name).peak_rate(unit, dtype)  # type: ignore[arg-type]


def refusal(name: str, path: str, value: object) -> str:
    """What the loader says to a shipped spec with one value replaced."""
    fields = copy.deepcopy(read_hardware_fields(name)[0])
    *steps, last = path.split(".")
    block: Any = fields
    for step in steps:
        block = block[step]
    block[last] = value
    with pytest.raises(SpecError) as caught:
        spec_from_fields(fields, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "dtype", "dense", "sparse"),
    [
        ("h100", "bf16", 989.4, 1979),
        ("h100", "fp8", 1978.9, 3958),
        ("h200", "bf16", 989.4, 1979),
        ("b200", "fp8", 4500, 9000),
        ("b200", "fp4", 9000, 18000),
        ("gb200", "bf16", 2500, 5000),
        ("l40s", "bf16", 362, 733),
        ("l4", "bf16", 121, 242),
        ("rtx-pro-6000", "fp4", 2015, 4000),
    ],
)
def test_01_sparse_peaks_sold_as_dense(name: str, dtype: str, dense: float, sparse: float) -> None:
    assert rate(name, dtype) == dense * T
    assert f"stated {sparse:g}" in refusal(name, f"peak.matrix.{dtype}.value", f"{sparse} TFLOP/s")


@pytest.mark.parametrize(
    ("name", "into_fp32", "into_fp16"), [("rtx-4090", 165.2, 330.3), ("rtx-3090", 71.2, 142), ("rtx-5090", 209.5, 419)]
)
def test_02_geforce_halves_its_rate_with_an_fp32_accumulator(name: str, into_fp32: float, into_fp16: float) -> None:
    peak = load_hardware(name).peak.matrix["fp16"]
    assert (peak.value, peak.accumulators["fp16"].value) == (into_fp32 * T, into_fp16 * T)
    assert "stated" in refusal(name, "peak.matrix.fp16.value", f"{into_fp16} TFLOP/s")
    assert "stated" in refusal(name, "peak.matrix.fp16.accumulators.fp16.value", f"{into_fp32} TFLOP/s")
    for full_rate in ("a10", "a40", "l4", "l40s", "rtx-6000-ada", "rtx-pro-6000"):
        whole = load_hardware(full_rate).peak.matrix["fp16"]
        assert not whole.accumulators
        assert whole.rate == 1024


@pytest.mark.parametrize(
    ("name", "dtype", "matrix", "vector"),
    [("rtx-4090", "fp16", 165.2, 82.6), ("rtx-3090", "fp16", 71.2, 35.6), ("h100", "fp16", 989.4, 133.8)],
)
def test_03_the_vector_rate_is_not_the_tensor_rate(name: str, dtype: str, matrix: float, vector: float) -> None:
    assert (rate(name, dtype), rate(name, dtype, "vector")) == pytest.approx((matrix * T, vector * T))
    assert "stated" in refusal(name, f"peak.matrix.{dtype}.value", f"{vector} TFLOP/s")


@pytest.mark.parametrize(
    ("name", "rated", "boost"),
    [
        ("h100", 1830, 1980),
        ("b200", 1856, 1965),
        ("gb200", 2062, 2112),
        ("h100-pcie", 1620, 1755),
        ("h100-nvl", 1545, 1785),
        ("h200-nvl", 1545, 1785),
    ],
)
def test_04_tensor_peaks_are_rated_below_the_highest_clock(name: str, rated: float, boost: float) -> None:
    spec = load_hardware(name)
    assert (spec.peak.matrix["bf16"].clock, spec.clock) == (rated * 1e6, boost * 1e6)
    if boost / rated > 1.03:
        assert "stated" in refusal(name, "peak.matrix.bf16.clock", f"{boost} MHz")
    fp32 = load_hardware("h100").peak.vector["fp32"]
    assert fp32.clock == 1980e6  # two peaks of one sheet, two clocks


@pytest.mark.parametrize(
    ("name", "sold_gib", "usable_mib"),
    [
        ("h100", 80, 81559),
        ("h200", 141, 143771),
        ("b200", 180, 183359),
        ("gb200", 186, 189471),
        ("b300", 288, 275040),
        ("t4", 16, 15360),
        ("a10", 24, 23028),
        ("l40s", 48, 46068),
    ],
)
def test_05_gb_of_device_memory_are_gib_and_less_is_usable(name: str, sold_gib: int, usable_mib: int) -> None:
    spec = load_hardware(name)
    assert (spec.main_memory.capacity, spec.capacity) == (sold_gib * GIB, usable_mib * MIB)
    level = next(iter(spec.memory))
    if usable_mib * MIB > 1.03 * sold_gib * 1e9:  # the capacity read as decimal: software would see more than there is
        assert "GB for GiB?" in refusal(name, f"memory.{level}.capacity", f"{sold_gib} GB")


@pytest.mark.parametrize(
    ("name", "gb_per_s"),
    [
        ("h100", 3350),
        ("h100-pcie", 2000),
        ("a100-sxm-80gb", 2039),
        ("a100-pcie", 1935),
        ("a100-40gb", 1555),
        ("a100-pcie-40gb", 1555),
    ],
)
def test_06_bandwidth_is_decimal_and_the_variants_own(name: str, gb_per_s: float) -> None:
    assert load_hardware(name).bandwidth == gb_per_s * G


def test_07_b200_has_7_7_tb_per_s() -> None:
    rates = {name: load_hardware(name).bandwidth for name in ("b200", "gb200", "gb300", "b300")}
    assert rates == {"b200": 7672 * G, "gb200": 8000 * G, "gb300": 8000 * G, "b300": 7750 * G}


@pytest.mark.parametrize(
    ("name", "bf16", "fp8", "fp4", "watt"),
    [
        ("b200", 2250, 4500, 9000, 1000),
        ("gb200", 2500, 5000, 10000, 1200),
        ("b300", 2250, 4500, 13500, 1100),
        ("gb300", 2500, 5000, 15000, 1400),
    ],
)
def test_08_boxes_and_racks_hold_different_parts(name: str, bf16: float, fp8: float, fp4: float, watt: float) -> None:
    assert [rate(name, dtype) for dtype in ("bf16", "fp8", "fp4")] == [bf16 * T, fp8 * T, fp4 * T]
    assert load_hardware(name).tdp == watt
    systems = {"b200": "hgx-b200", "gb200": "gb200-nvl72", "b300": "hgx-b300", "gb300": "gb300-nvl72"}
    assert load_system(systems[name]).spec == load_hardware(name)


def test_09_blackwell_ultra_gave_up_int8_and_fp64() -> None:
    assert (rate("b300", "int8"), rate("gb300", "int8")) == (153.5 * T, 165 * T)
    assert (rate("b300", "fp64"), rate("b200", "fp64")) == (1.25 * T, 37 * T)
    assert load_hardware("b300").peak.special["exp"].rate == 2 * load_hardware("b200").peak.special["exp"].rate  # type: ignore[operator]
    assert "slower than bf16" in refusal("b300", "exceptions", [])
    rubin = load_hardware("rubin")
    assert rubin.peak.matrix["int8"].value < rubin.peak.matrix["bf16"].value


def test_10_fp4_gains_a_third_from_sparsity_on_blackwell_ultra() -> None:
    for name in ("b300", "gb300"):
        sparsity = load_hardware(name).sparsity
        assert sparsity is not None
        assert (sparsity.factor, sparsity.by_dtype) == (2, {"fp4": 1.33})
    plain = load_hardware("b200").sparsity
    assert plain is not None
    assert plain.by_dtype == {}


def test_11_fp6_runs_as_fp8_on_nvidia_and_as_fp4_on_amd() -> None:
    for name in ("b100", "b200", "gb200", "b300", "gb300"):
        assert rate(name, "fp6") == rate(name, "fp8")
    assert rate("mi355x", "fp6") == rate("mi355x", "fp4") == 10066 * T


@pytest.mark.parametrize(
    ("name", "one_way", "links"), [("h100", 450, 18), ("a100", 300, 12), ("b200", 900, 18), ("v100", 150, 6)]
)
def test_12_links_are_per_direction(name: str, one_way: float, links: int) -> None:
    link = load_hardware(name).links["scale_up"]
    assert (link.bandwidth_per_direction, link.count) == (one_way * G, links)
    assert "bandwidth: unknown field; known: bandwidth_per_direction, " in refusal(
        name, "links.scale_up.bandwidth", "900 GB/s"
    )


@pytest.mark.parametrize(("name", "whole", "peer"), [("mi300x", 448, 64), ("mi250x", 350, 50), ("mi355x", 535, 76.5)])
def test_13_one_peer_of_a_mesh_gets_one_link(name: str, whole: float, peer: float) -> None:
    link = load_hardware(name).links["scale_up"]
    assert (link.bandwidth_per_direction, link.per_peer_per_direction) == (whole * G, peer * G)
    assert link.topology == "mesh"
    assert link.count == 7


def test_14_an_a10g_is_not_an_a10() -> None:
    a10, a10g = load_hardware("a10"), load_hardware("a10g")
    assert (rate("a10", "bf16"), rate("a10g", "bf16")) == (125 * T, 70 * T)
    assert a10.units is not None
    assert a10g.units is not None
    assert (a10.units.count, a10g.units.count, a10.tdp, a10g.tdp) == (72, 80, 150, 300)
    assert "stated 125" in refusal("a10g", "peak.matrix.bf16.value", "125 TFLOP/s")


def test_15_power_capped_cards_have_constants_of_their_own() -> None:
    assert rate("t4", "fp16") == 65 * T  # the sheet's: what is sustained stands in the class
    classes = {name: load_hardware(name).calibration_class for name in ("t4", "l4", "a10")}
    assert set(classes.values()) == {"nvidia-power-capped"}


def test_16_rated_and_sustained_are_kept_apart_on_mi300x() -> None:
    assert rate("mi300x", "bf16") == 1307.4 * T
    assert {load_hardware(name).calibration_class for name in ("mi300x", "mi325x", "mi355x")} == {"amd-matrix-core"}
    text = str(read_hardware_fields("mi300x")[0]["peak"])
    assert "668" not in text


def test_17_mi100_runs_bf16_at_half_its_fp16_rate() -> None:
    assert (rate("mi100", "bf16"), rate("mi100", "fp16")) == (92.3 * T, 184.6 * T)
    assert "stated 184.6" in refusal("mi100", "peak.matrix.bf16.value", "184.6 TFLOP/s")
    assert "bf16: slower than fp16" in refusal("mi100", "exceptions", [])


def test_18_cdna_2_gains_nothing_from_int8() -> None:
    assert rate("mi250x", "int8") == rate("mi250x", "fp16") == 383 * T
    assert rate("mi210", "int8") == rate("mi210", "fp16")
    assert "stated 766" in refusal("mi250x", "peak.matrix.int8.value", "766 TOP/s")


def test_19_v100_sxm2_is_neither_the_pcie_card_nor_the_v100s() -> None:
    v100 = load_hardware("v100")
    assert (v100.clock, v100.bandwidth, rate("v100", "fp16"), v100.tdp) == (1530e6, 900 * G, 125 * T, 300)
    assert "stated 112" in refusal("v100", "peak.matrix.fp16.value", "112 TFLOP/s")


def test_20_gaudi_3_is_rated_at_1600_mhz_and_fp16_is_slow() -> None:
    assert (rate("gaudi3", "bf16"), rate("gaudi3", "fp16")) == (1677 * T, 459 * T)
    assert "fp16: slower than bf16" in refusal("gaudi3", "exceptions", [])


def test_21_tpu_v3_is_stated_per_chip() -> None:
    assert rate("tpu-v3", "bf16") == 123 * T
    assert load_hardware("tpu-v3").devices_per_package == 2
    assert load_system("tpu-v3-8").count == 4  # the 8 are cores
    assert "stated 420" in refusal("tpu-v3", "peak.matrix.bf16.value", "420 TFLOP/s")
    assert "stated 140" in refusal("tpu-v3", "peak.matrix.bf16.value", "140 TFLOP/s")


def test_22_gib_per_s_that_are_gb_per_s() -> None:
    rates = {name: load_hardware(name).bandwidth for name in ("trainium1", "inferentia2", "tpu-v5e")}
    assert rates == {"trainium1": 820 * G, "inferentia2": 820 * G, "tpu-v5e": 819 * G}


@pytest.mark.parametrize(
    ("name", "dtype", "dense", "headline"),
    [
        ("jetson-orin", "int8", 85.2, 275),
        ("gb10", "fp4", 475, 1000),
        ("rtx-4090", "fp8", 330.3, 1321),
        ("rtx-5090", "fp4", 1676, 3352),
    ],
)
def test_23_ai_tops_add_sparsity_and_engines(name: str, dtype: str, dense: float, headline: float) -> None:
    assert rate(name, dtype) == dense * T
    assert f"stated {headline:g}" in refusal(name, f"peak.matrix.{dtype}.value", f"{headline} TOP/s")
    assert load_hardware("rtx-4090").peak.matrix["fp8"].accumulators["fp16"].value == 660.6 * T


def test_24_an_nvl_card_is_half_of_the_pair() -> None:
    nvl = load_hardware("h100-nvl")
    assert (rate("h100-nvl", "fp8"), nvl.bandwidth, nvl.main_memory.capacity) == (1670.7 * T, 3938 * G, 94 * GIB)
    assert "stated 3958" in refusal("h100-nvl", "peak.matrix.fp8.value", "3958 TFLOP/s")


def test_25_amx_does_1024_operations_a_cycle_at_a_stated_clock() -> None:
    for name, clock in (("xeon-8480-plus", 2000e6), ("xeon-6980p", 2000e6)):
        peak = load_hardware(name).peak.matrix["bf16"]
        assert (peak.rate, peak.clock) == (1024, clock)
        assert "stated" in refusal(name, "peak.matrix.bf16.rate", "2048 FLOP/cycle")


def test_26_a_rating_may_lie_below_what_is_reached() -> None:
    assert rate("rtx-5090", "bf16") == 209.5 * T  # 254 was timed: constants may be above 1
    from roofline.calibration.calibration_file import Calibration
    from roofline.files.pydantic_models import pydantic_model

    share = pydantic_model(Calibration).model_fields["compute"].metadata
    assert any(getattr(bound, "le", 0) >= 254 / 209.5 for bound in share)
