"""Every shipped value against the table of facts where it is beside this checkout, and against a digest where not."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from roofline.errors import UnitError
from roofline.hardware.fields import Level
from roofline.hardware.loading import hardware_names, load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.units import parse_quantity

FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts" / "hardware_facts.csv"
DEVICES = {
    "P100 SXM2 16GB": "p100-sxm2-16gb",
    "V100 SXM2 16GB": "v100-sxm2-16gb",
    "V100 SXM2 32GB": "v100-sxm2-32gb",
    "T4": "t4",
    "A10": "a10",
    "A10G": "a10g",
    "A30": "a30",
    "A40": "a40",
    "A100 PCIe 40GB": "a100-pcie-40gb",
    "A100 SXM 40GB": "a100-sxm-40gb",
    "A100 PCIe 80GB": "a100-pcie-80gb",
    "A100 SXM 80GB": "a100-sxm-80gb",
    "L4": "l4",
    "L40S": "l40s",
    "RTX 3090": "rtx-3090",
    "RTX 4090": "rtx-4090",
    "RTX 5090": "rtx-5090",
    "RTX 6000 Ada": "rtx-6000-ada",
    "RTX PRO 6000 Blackwell": "rtx-pro-6000-blackwell",
    "Jetson AGX Orin 64GB": "jetson-agx-orin-64gb",
    "DGX Spark (GB10)": "dgx-spark",
    "H100 PCIe": "h100-pcie-80gb",
    "H100 SXM": "h100-sxm-80gb",
    "H100 NVL": "h100-nvl-94gb",
    "H20": "h20-96gb",
    "H200 SXM": "h200-sxm-141gb",
    "H200 NVL": "h200-nvl-141gb",
    "GH200 96GB": "gh200-96gb",
    "GH200 144GB": "gh200-144gb",
    "B100": "b100-192gb",
    "B200": "b200-180gb",
    "GB200": "gb200-186gb",
    "B300": "b300-288gb",
    "GB300": "gb300-288gb",
    "NVIDIA Rubin (announced)": "rubin-288gb",
    "MI100": "mi100",
    "MI210": "mi210",
    "MI250X": "mi250x",
    "MI300X": "mi300x",
    "MI300A": "mi300a",
    "MI325X": "mi325x",
    "MI355X": "mi355x",
    "MI455X (announced)": "mi455x",
    "RX 7900 XTX": "rx-7900-xtx",
    "TPU v2": "tpu-v2",
    "TPU v3": "tpu-v3",
    "TPU v4": "tpu-v4",
    "TPU v5e": "tpu-v5e",
    "TPU v5p": "tpu-v5p",
    "TPU v6e (Trillium)": "tpu-v6e",
    "TPU v7 (Ironwood)": "tpu-v7",
    "AWS Trainium1": "trainium1",
    "AWS Inferentia2": "inferentia2",
    "AWS Trainium2": "trainium2",
    "AWS Trainium3": "trainium3",
    "Intel Gaudi2": "gaudi2",
    "Intel Gaudi3": "gaudi3",
    "Intel Max 1550 (PVC)": "max-1550",
    "Apple M1 Max": "apple-m1-max",
    "Apple M1 Ultra": "apple-m1-ultra",
    "Apple M2 Max": "apple-m2-max",
    "Apple M2 Ultra": "apple-m2-ultra",
    "Apple M3 Max": "apple-m3-max",
    "Apple M3 Ultra": "apple-m3-ultra",
    "Apple M4": "apple-m4",
    "Apple M4 Max": "apple-m4-max",
    "Groq LPU v1": "groq-lpu-v1",
    "Cerebras WSE-3": "cerebras-wse-3",
    "Xeon 8380": "xeon-8380",
    "Xeon 8480+": "xeon-8480-plus",
    "Xeon 6980P": "xeon-6980p",
    "EPYC 7763": "epyc-7763",
    "EPYC 9654": "epyc-9654",
    "EPYC 9965": "epyc-9965",
    "NVIDIA Grace": "grace",
    "AWS Graviton4": "graviton4",
    "Generic laptop CPU": "laptop-cpu",
}
DIGEST = "17f06fbf2ae85bb833b6bec0e21e3405a50e6882c07f2d8ae3ea6485eb599ff3"
"""Of all facts in all files: it changes with any value. Compare with the facts before writing a new one."""

INNER = ("l2", "cmem", "vmem", "sbuf", "sram")
"""What the facts call l2_capacity has other names where software manages it."""

ELSEWHERE = {
    ("H100 NVL", "note_tensor"),  # the bf16 peak once more
    ("Apple M4", "cpu_fp32_matrix_sme"),  # the CPU's, in the spec's note
}


@functools.cache
def facts() -> dict[str, list[dict[str, str]]]:
    """Device -> its rows, without what was measured: that is no data sheet."""
    if not FACTS.exists():
        pytest.skip("the facts table is not beside this checkout")
    found: dict[str, list[dict[str, str]]] = {}
    with FACTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["device"] != "_general" and not row["field"].startswith("measured_"):
                found.setdefault(row["device"], []).append(row)
    return found


def inner(spec: HardwareSpec) -> Level | None:
    name = next((name for name in INNER if name in list(spec.memory)[1:]), None)
    return spec.memory[name] if name else None


def total(level: Level | None, spec: HardwareSpec) -> float | None:
    if level is None or level.capacity is None:
        return None
    return level.capacity * (spec.units.count if level.scope == "unit" and spec.units else 1)


def stated(spec: HardwareSpec, field: str) -> Any:
    """The value of a field of the facts table in a spec, in SI base units."""
    if peak := re.fullmatch(r"([a-z0-9]+)_(matrix|vector)", field):
        return spec.peak_rate(peak[2], peak[1])  # type: ignore[arg-type]
    if peak := re.fullmatch(r"([a-z0-9]+)_matrix_fp16acc", field):
        return spec.peak.matrix[peak[1]].accumulators["fp16"].value  # type: ignore[index]
    up, host = spec.links.get("scale_up"), spec.links.get("host")
    prices = {price.kind: price.usd for price in spec.prices}
    if field in ("scaleout_nic", "tensor_rated_clock"):
        return bool(spec.links["scale_out"]) if field == "scaleout_nic" else spec.peak.matrix["bf16"].clock
    return {
        "vendor": spec.vendor,
        "kind": spec.kind,
        "architecture": spec.architecture,
        "release": spec.released,
        "memory_type": spec.main_memory.type,
        "memory_capacity": spec.main_memory.capacity,
        "memory_usable": spec.main_memory.usable,
        "memory_bandwidth": spec.bandwidth,
        "llc_capacity": total(spec.memory.get("llc"), spec),
        "llc_bandwidth_peak": spec.memory["llc"].bandwidth if "llc" in spec.memory else None,
        "l2_capacity": total(inner(spec), spec),
        "l2_bandwidth_peak": getattr(inner(spec), "bandwidth", None),
        "l1_shared_per_unit": getattr(spec.memory.get("shared"), "capacity", None),
        "host_memory": spec.host_memory and spec.host_memory.capacity,
        "boost_clock": spec.clock,
        "compute_units": spec.units and spec.units.count,
        "exp_throughput": spec.peak_rate("special", "exp"),
        "sparsity_2to4_factor": spec.sparsity and spec.sparsity.factor,
        "amx_bf16_per_cycle_core": "bf16" in spec.peak.matrix and spec.peak.matrix["bf16"].rate,
        "scaleup_type": getattr(up, "type", None),
        "scaleup_links": getattr(up, "count", None),
        "scaleup_bw_per_direction": getattr(up, "bandwidth_per_direction", None),
        "scaleup_p2p_bw_per_direction": getattr(up, "per_peer_per_direction", None),
        "scaleup_domain": getattr(up, "domain", None),
        "host_link": getattr(host, "type", None),
        "host_bw_per_direction": getattr(host, "bandwidth_per_direction", None),
        "tdp": spec.tdp,
        "price_purchase_approx": prices.get("purchase"),
        "price_rental_approx": next((usd for kind, usd in prices.items() if kind != "purchase"), None),
    }[field]


def in_base_units(value: str, unit: str) -> float:
    spelled = {"Gop/s": "GOP/s"}.get(unit, unit)
    for dimension in ("bytes", "bytes_per_s", "flops_per_s", "frequency_hz", "power_w", "usd", "usd_per_h"):
        try:
            return parse_quantity(f"{value} {spelled}", dimension)  # type: ignore[arg-type]
        except UnitError:
            continue
    return float(value)


def test_a_file_for_every_device_of_the_table() -> None:
    assert set(DEVICES.values()) <= set(hardware_names())
    assert len(DEVICES) == 77
    assert list(DEVICES) == list(facts())


@pytest.mark.parametrize("device", DEVICES)
def test_every_fact_stands_in_the_spec(device: str) -> None:
    spec, compared = load_hardware(DEVICES[device]), 0
    for row in facts()[device]:
        field, value = row["field"], row["value"]
        if field == "granularity" or (device, field) in ELSEWHERE:
            continue
        found = stated(spec, field)
        if field == "scaleout_nic":
            assert found
        elif re.fullmatch(r"[0-9.]+", value) and row["unit"]:
            assert found == pytest.approx(in_base_units(value, row["unit"]), rel=1e-12), field
        else:
            assert found == value.removesuffix("-H2"), field
        compared += 1
    assert compared >= 9


def path_of(spec: HardwareSpec, field: str) -> tuple[Any, str]:
    """The block and the field in which a fact stands."""
    if peak := re.fullmatch(r"([a-z0-9]+)_(matrix|vector)", field):
        return getattr(spec.peak, peak[2])[peak[1]], "value"
    main, up = spec.main_memory, spec.links.get("scale_up")
    if field.startswith("memory_"):
        return main, field.removeprefix("memory_")
    if field.startswith("scaleup_"):
        names = {"bw_per_direction": "bandwidth_per_direction", "p2p_bw_per_direction": "per_peer_per_direction"}
        name = field.removeprefix("scaleup_")
        return up, names.get(name, {"links": "count"}.get(name, name))
    tops = {"tdp": "tdp", "boost_clock": "clock", "release": "released", "architecture": "architecture"}
    if field in tops:
        return spec, tops[field]
    blocks: dict[str, tuple[Any, str]] = {
        "compute_units": (spec.units, "count"),
        "exp_throughput": (spec.peak.special.get("exp"), "value"),
        "sparsity_2to4_factor": (spec.sparsity, "factor"),
        "l2_capacity": (inner(spec), "capacity"),
        "l1_shared_per_unit": (spec.memory.get("shared"), "capacity"),
        "llc_capacity": (spec.memory.get("llc"), "capacity"),
        "llc_bandwidth_peak": (spec.memory.get("llc"), "bandwidth"),
        "host_link": (spec.links.get("host"), "type"),
        "host_bw_per_direction": (spec.links.get("host"), "bandwidth_per_direction"),
        "price_purchase_approx": (next((p for p in spec.prices if p.kind == "purchase"), None), "value"),
        "price_rental_approx": (next((p for p in spec.prices if p.kind != "purchase"), None), "value"),
    }
    return blocks.get(field, (None, ""))


@pytest.mark.parametrize("device", DEVICES)
def test_every_fact_has_the_confidence_and_the_kind_of_source_of_the_table(device: str) -> None:
    spec, compared = load_hardware(DEVICES[device]), 0
    for row in facts()[device]:
        block, name = path_of(spec, row["field"])
        if block is None or row["source_ref"] == "self-evident":
            continue
        assert spec.confidence_of(block, name) == row["confidence"], row["field"]
        title, unverified = spec.source_of(block, name)
        assert unverified == (row["source_ref"] == "unverified" or row["confidence"] == "low"), row["field"]
        assert title.split()[0].strip(":,") == row["source_title"].split()[0].strip(":,"), row["field"]
        compared += 1
    assert compared >= 5


def values(fields: Any) -> Any:
    """What a spec states, without what is said about it."""
    words = ("note", "source", "sources", "confidence", "title", "aliases", "class", "granularity")
    if isinstance(fields, dict):
        return {name: values(field) for name, field in fields.items() if name not in words}
    return [values(field) for field in fields] if isinstance(fields, list) else fields


def test_the_shipped_values_are_the_checked_ones() -> None:
    every = {name: values(load_hardware(name).to_dict()) for name in hardware_names()}
    text = json.dumps(every, sort_keys=True, ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST
