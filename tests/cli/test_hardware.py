"""The verb ``hardware`` from the command line: filters, order, pages, checks, differences, templates, schemas."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from shell import answer, refusal, roofline

from roofline.files.library import data_folder, read_yaml
from roofline.hardware.loading import hardware_names, load_hardware
from roofline.hardware.schema import json_schema

SHIPPED = data_folder("hardware_specs")
GOOD = """name: mine
class: nvidia-tensor-core
source: bench
peak:
  matrix: {bf16: 400 TFLOP/s}
  vector: {fp32: 50 TFLOP/s}
memory:
  hbm: {capacity: 48 GiB, bandwidth: 2 TB/s}
tdp: 350 W
"""


def listed(*flags: str) -> list[str]:
    return list(json.loads(answer("hardware", "list", "--json", *flags)))


# list


def test_filters_keep_what_they_say() -> None:
    assert set(listed("--vendor", "amd", "--kind", "gpu")) >= {"mi300x", "mi355x", "rx-7900-xtx"}
    assert {load_hardware(name).vendor for name in listed("--vendor", "amd")} == {"AMD"}
    assert {load_hardware(name).kind for name in listed("--kind", "tpu")} == {"tpu"}
    assert all(load_hardware(name).capacity >= 192 * 2**30 * 0.99 for name in listed("--memory", "190GiB"))  # type: ignore[operator]
    assert "b200-180gb" not in listed("--memory", "190GiB")
    assert "h200-sxm-141gb" in listed("--memory", "141GiB")  # as sold: a little less is usable
    assert all("fp4" in load_hardware(name).dtypes() for name in listed("--dtype", "fp4"))
    table = answer("hardware", "list", "--dtype", "fp8", "--vendor", "nvidia").splitlines()
    assert re.search(r"^h100-sxm-80gb .* fp8  1\.98 PFLOP/s +591 ", "\n".join(table), re.MULTILINE)


def test_announced_parts_are_left_out_unless_asked_for() -> None:
    announced = {name for name in hardware_names() if load_hardware(name).status == "announced"}
    assert announced == {"rubin-288gb", "mi455x"}
    assert set(hardware_names()) - set(listed()) == announced
    assert set(listed("--announced")) == set(hardware_names())
    assert "\n2 announced devices left out (--announced); boxes and cloud shapes: " in answer("hardware", "list")
    assert "mi455x (announced)" in answer("hardware", "list", "--announced")
    assert "mi455x is announced, not shipped" in answer("predict", "bert-base", "--hardware", "mi455x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bandwidth", lambda spec: spec.bandwidth),
        ("memory", lambda spec: spec.capacity),
        ("tdp", lambda spec: spec.tdp),
        ("memory.l2.capacity", lambda spec: spec.memory["l2"].capacity if "l2" in spec.memory else None),
        ("peak.matrix.fp8", lambda spec: spec.peak_rate("matrix", "fp8")),
        ("ridge", lambda spec: spec.contraction_unit(spec.default_dtype())[1] / spec.bandwidth),
    ],
)
def test_numbers_sort_from_the_largest_and_what_is_not_stated_comes_last(field: str, value: Any) -> None:
    values = [value(load_hardware(name)) for name in listed("--sort", field)]
    stated = [number for number in values if number is not None]
    assert stated == sorted(stated, reverse=True)
    assert values == stated + [None] * (len(values) - len(stated))
    assert len(stated) > 10


def test_texts_sort_from_a() -> None:
    vendors = [(load_hardware(name).vendor or "").lower() for name in listed("--sort", "vendor")]
    assert vendors == sorted(vendors)
    dates = [load_hardware(name).released or "" for name in listed("--sort", "released")]
    assert dates == sorted(dates)


def test_systems_are_a_kind() -> None:
    table = answer("hardware", "list", "--kind", "system").splitlines()
    (row,) = (line for line in table if line.startswith("aws-p5-48xlarge "))
    assert "8 x h100-sxm-80gb" in row
    assert "55.04 USD/h on_demand" in row
    assert {"hgx-h100", "gb200-nvl72", "mi300x-8", "l40s-1"} <= set(listed("--kind", "system"))


# show


def test_a_page_shows_confidence_and_what_is_unverified() -> None:
    page = answer("hardware", "show", "xeon")
    assert re.search(r"^TDP +350 W +high +huggingface", page, re.MULTILINE)
    assert re.search(r"^clock +2 GHz +medium +vendor sheet recalled, not opened \(unverified\)", page, re.MULTILINE)
    assert "software sees 2 devices" in answer("hardware", "show", "mi250x")


@pytest.mark.parametrize("name", ["8xh100", "8XH100", "8xh100-sxm-80gb"])
def test_a_count_of_a_device_is_a_system(name: str) -> None:
    page = answer("hardware", "show", name)
    assert "8 x NVIDIA H100 SXM 80GB" in page
    assert "684 GB" in page
    shown = json.loads(answer("hardware", "show", name, "--json"))
    assert (shown["count"], load_hardware(shown["device"]).name) == (8, "h100-sxm-80gb")


def test_a_system_shows_its_own_links_and_the_whole_price() -> None:
    page = answer("hardware", "show", "aws-p4d-24xlarge")
    assert re.search(r"^scale_out, .* 6\.25 GB/s, EFA, 4 x 100 Gbit/s", page, re.MULTILINE)
    assert re.search(r"^scale_up, .* 300 GB/s, NVLink 3", page, re.MULTILINE)
    assert re.search(r"^price on_demand, the whole +21\.92 USD/h \(2026-08\) +.*\(unverified\)$", page, re.MULTILINE)


@pytest.mark.parametrize(("name", "count"), [("8xh100", 8), ("hgx-h100", 8), ("gb200-nvl72", 72)])
def test_several_devices_answer_where_one_does(name: str, count: int) -> None:
    whole = json.loads(answer("predict", "bert-base", "--hardware", name, "--batch", "72", "--json"))
    assert whole["hardware"]["count"] == count
    one = json.loads(answer("op", "matmul", "--m", "8", "--k", "8", "--n", "8", "--hardware", name, "--json"))
    assert one["notes"][0] == f"this is on one of {count} devices"
    said = answer("op", "collective", "--operation", "all_reduce", "--message-bytes", "1000", "--hardware", name)
    assert f"devices={count} " in said


def test_a_count_of_systems_is_refused() -> None:
    code, out, err = roofline("predict", "bert-base", "--hardware", "2xhgx-h100")
    assert (code, out) == (3, "")
    assert err.startswith("roofline: 2xhgx-h100: hgx-h100 is a system; a count goes with a device, as in 2xh100")


@pytest.mark.parametrize(
    ("name", "device"), [("1xh100", "h100-sxm-80gb"), ("l40s-1", "l40s"), ("aws-g4dn-xlarge", "t4")]
)
def test_a_system_of_one_is_its_device(name: str, device: str) -> None:
    result = json.loads(answer("predict", "bert-base", "--hardware", name, "--json"))
    assert (result["hardware"]["name"], result["hardware"]["count"]) == (device, 1)


# check


def check(tmp_path: Path, *texts: str) -> tuple[int, list[str], str]:
    files = []
    for index, text in enumerate(texts):
        files.append(tmp_path / f"{index}.yaml")
        files[-1].write_text(text, encoding="utf-8")
    code, out, err = roofline("hardware", "check", *map(str, files))
    return code, out.replace(f"{tmp_path}/", "").splitlines(), err


def test_good_files_are_called_good(tmp_path: Path) -> None:
    guess = GOOD.replace("source: bench", "source: bench\nconfidence: {tdp: low}")
    system = "name: box\ndevice: h100\ncount: 4\nsource: bench\n"
    code, out, err = check(tmp_path, GOOD, guess, system)
    assert (code, err) == (0, "")
    assert out == ["0.yaml: good", "1.yaml: good; 1 values are unverified, such as tdp", "2.yaml: good"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "2 TB/s",
            "2 TB",
            '0.yaml:8: memory.hbm.bandwidth: "2 TB" is a size (bytes), expected a rate such as "3.35 TB/s"',
        ),
        ("tdp: 350 W", "tpd: 350 W", "0.yaml:9: tpd: unknown field; did you mean tdp?"),
        ("class: nvidia-tensor-core\n", "", "0.yaml: class: missing, expected a file of calibrations/classes"),
        ("nvidia-tensor-core", "nvidia-tensor", "0.yaml:2: class 'nvidia-tensor' has no calibration; did you mean "),
        ("48 GiB", "48 GiB, usable: 30 GiB", "0.yaml:8: memory.hbm.usable: expected 0.9 to 1.03 of the capacity"),
        ("2 TB/s", "2 GB/s", "0.yaml: ridge point in bf16 is 2e+05 FLOP/B, expected 2 to 1000; check the units"),
        ("name: mine", "name: [", "0.yaml:"),
        ("source: bench", "source: {tdp: bench}", "0.yaml:3: source: no default, expected one for all that names no"),
    ],
)
def test_each_problem_has_its_line_and_its_fix(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert old in GOOD
    code, out, err = check(tmp_path, GOOD.replace(old, new), GOOD.replace("mine", "other"))
    assert code == 3
    assert out[0].startswith(line)
    assert out[-1] == "1.yaml: good"
    assert err == "roofline: 1 of 2 files would be refused; mend the lines above\n"


def test_every_problem_of_a_file_is_listed(tmp_path: Path) -> None:
    code, out, _ = check(tmp_path, GOOD.replace("2 TB/s", "2 TB").replace("350 W", "350").replace("400 T", "400 X"))
    assert code == 3
    assert [line.split(": ")[0] for line in out] == ["0.yaml:5", "0.yaml:8", "0.yaml:9"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: box\ndevice: h101\ncount: 4\nsource: x\n", "0.yaml:2: device: unknown hardware 'h101'; did you mean "),
        ("name: box\ndevice: h100\ncount: 0\nsource: x\n", "0.yaml:3: count: given 0, expected at least 1"),
        ("name: box\ndevice: h100\ncount: 4\nrentable: 8\nsource: x\n", "0.yaml:4: rentable: 8 of 4 devices, expected"),
        ("name: box\ndevice: hgx-h100\ncount: 1\nsource: x\n", "0.yaml:2: device: hgx-h100 is 8 devices, "),
        (
            "name: box\ndevice: h100\ncount: 2\nsource: x\nsources: {y: {title: t, ref: r}}\n",
            "0.yaml:4: source: 'x' is not",
        ),
    ],
)
def test_systems_are_checked_too(tmp_path: Path, text: str, line: str) -> None:
    code, out, _ = check(tmp_path, text)
    assert code == 3
    assert out[0].startswith(line)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    code, out, err = roofline("hardware", "check", str(tmp_path / "nope.yaml"))
    assert (code, out) == (3, f"{tmp_path}/nope.yaml: no such file\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("file", sorted(SHIPPED.rglob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_file_passes(file: Path) -> None:
    code, out, _ = roofline("hardware", "check", str(file))
    assert code == 0
    assert out.startswith(f"{file}: good")


# diff


def test_what_is_past_its_date_is_listed_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    *rows, _, last = answer("hardware", "check", "--older", "180d").splitlines()
    ages = [int(re.search(r" ([0-9]+)  \S", row)[1]) for row in rows[1:]]  # type: ignore[index]
    assert ages == sorted(ages, reverse=True)
    assert min(ages) > 180
    assert last.startswith(f"{len(ages)} of ")
    assert any(row.startswith("engine megatron") for row in rows)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert answer("hardware", "check", "--older", "0d").startswith("0 of ")


@pytest.mark.parametrize("given", [("--older", "180"), ()])
def test_an_age_is_a_number_of_days_and_something_is_to_check(given: tuple[str, ...]) -> None:
    assert "such as 180d" in refusal(2, "hardware", "check", *given)


def test_a_day_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert "seconds after 1970" in refusal(2, "hardware", "check", "--older", "180d")


def test_a_difference_has_ratios_and_ridge_points() -> None:
    table = answer("hardware", "diff", "h100", "mi300x")
    assert re.search(r"^ridge point bf16 +295 FLOP/B +247 FLOP/B +0\.835$", table, re.MULTILINE)
    assert re.search(r"^memory bandwidth +3\.35 TB/s +5\.3 TB/s +1\.58$", table, re.MULTILINE)
    facts = json.loads(answer("hardware", "diff", "h100", "rtx-4090", "--json"))
    assert (facts["one"], facts["other"]) == ("h100-sxm-80gb", "rtx-4090")
    assert facts["facts"]["memory bandwidth"]["ratio"] == pytest.approx(1008 / 3350)
    assert facts["facts"]["peak matrix fp64"]["other"] is None


def test_a_device_differs_from_itself_in_nothing() -> None:
    facts = json.loads(answer("hardware", "diff", "h100", "H100-SXM", "--json"))["facts"]
    assert {fact["ratio"] for fact in facts.values()} == {1.0}
    assert all(fact["one"] == fact["other"] for fact in facts.values())


# new


@pytest.mark.parametrize("template", hardware_names())
def test_a_template_loads_and_is_marked_as_copied(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "my-gpu.yaml" in answer("hardware", "new", "my-gpu", "--from", template)
    mine, theirs = load_hardware("./my-gpu.yaml"), load_hardware(template)
    assert (mine.name, mine.aliases, mine.prices) == ("my-gpu", [], [])
    assert mine.source_of(mine.main_memory, "bandwidth") == (f"copied from {template}, to be replaced", True)
    assert (mine.bandwidth, mine.dtypes(), mine.tdp) == (theirs.bandwidth, theirs.dtypes(), theirs.tdp)
    assert {dtype: mine.contraction_unit(dtype) for dtype in mine.dtypes()} == {
        dtype: theirs.contraction_unit(dtype) for dtype in theirs.dtypes()
    }


def test_a_template_overwrites_nothing_and_names_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer("hardware", "new", "my-gpu", "-o", "other.yaml")
    text = (tmp_path / "other.yaml").read_text(encoding="utf-8")
    assert text.count("# ") >= 10
    for arguments, code, words in (
        (("my-gpu", "-o", "other.yaml"), 3, "other.yaml: exists; name another file with -o"),
        (("My GPU",), 3, '"My GPU": expected lower-case letters'),
        (("8xh100",), 3, '"8xh100": expected lower-case letters'),
        (("my-gpu", "--from", "h1000"), 3, "unknown hardware 'h1000'; did you mean h100"),
        (("my-gpu", "-o", "x.json"), 2, "-o x.json: expected a name that ends in .yaml"),
    ):
        done = roofline("hardware", "new", *arguments)
        assert done[0] == code
        assert words in done[2]
    assert [path.name for path in tmp_path.iterdir()] == ["other.yaml"]
    assert (tmp_path / "other.yaml").read_text(encoding="utf-8") == text


# wrong flags


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("list", "--vendor", "nvidea"), 3, '--vendor "nvidea": no device has it; did you mean'),
        (("list", "--kind", "gpus"), 3, '--kind "gpus": no device has it; did you mean gpu'),
        (("list", "--dtype", "fp9"), 3, '--dtype "fp9": no device has it; did you mean'),
        (("list", "--memory", "80"), 3, '"80" has no unit, expected a size such as "80 GiB"'),
        (("list", "--sort", "speed"), 3, '--sort "speed": no device states it; try bandwidth, memory, peak'),
        (("list", "--sort", "memory.l2.capacty"), 3, "did you mean memory.l2.capacity"),
        (("list", "--kind", "system", "--dtype", "fp8"), 2, "--dtype does not go with --kind system"),
        (("show", "h10"), 3, "unknown hardware 'h10'; did you mean h100"),
        (("show", "8xh10"), 3, "unknown hardware 'h10'; did you mean h100"),
        (("show", "0xh100"), 3, '"0xh100": 0 devices, expected 1 to 1,000,000'),
        (
            ("show", "2xhgx-h100"),
            3,
            "2xhgx-h100: hgx-h100 is a system; a count goes with a device, as in 2xh100-sxm-80gb",
        ),
        (("diff", "h100", "8xh100"), 3, "8xh100 is 8 devices"),
        (("schema", "box"), 2, "schema 'box': expected device or system"),
        (("check",), 2, "expected files, or --older"),
    ],
)
def test_wrong_input_is_one_line(arguments: tuple[str, ...], code: int, text: str) -> None:
    done = roofline("hardware", *arguments)
    assert done[0] == code
    assert text in done[2]
    assert done[2].count("\n") == 1


# schema


KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list}


def conforms(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether a value is what the part of JSON Schema that ours uses allows."""
    if "$ref" in schema:
        return conforms(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    right = "anyOf" not in schema or any(conforms(value, choice, root) for choice in schema["anyOf"])
    right = right and value in schema.get("enum", [value])
    right = right and isinstance(value, KINDS[schema["type"]] if "type" in schema else object)
    if isinstance(value, str):
        right = right and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return right and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, (int, float)):
        return right and bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, list):
        return right and all(conforms(item, schema.get("items", {}), root) for item in value)
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, inner in value.items():
        rule = known.get(name, more)
        right = right and conforms(name, schema.get("propertyNames", {}), root)
        right = right and (rule if isinstance(rule, bool) else conforms(inner, rule, root))
    return right and set(schema.get("required", [])) <= set(value)


@pytest.mark.parametrize("of", ["device", "system"])
def test_the_schema_is_printed(of: Any) -> None:
    assert json.loads(answer("hardware", "schema", of)) == json_schema(of)


@pytest.mark.parametrize("file", sorted(SHIPPED.rglob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_file_points_at_the_schema_and_conforms(file: Path) -> None:
    assert file.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")
    schema = json.loads((file.parent / "schema.json").read_text(encoding="utf-8"))
    assert conforms(read_yaml(file), schema, schema)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tdp", "700 MHz"),
        ("tdp", "700"),
        ("kind", "gpuu"),
        ("colour", "green"),
        ("peak", {"matrix": {"bf17": "1 TFLOP/s"}}),
        ("peak", {"matrix": {"bf16": "1 TB/s"}}),
        ("peak", {"matrix": {"bf16": {"rate": "1 FLOP/cycle"}}}),
        ("memory", {"hbm": {"bandwidth": "80 GB"}}),
        ("units", {"name": "SM", "count": 0}),
        ("name", "H100"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(field: str, value: object) -> None:
    schema, fields = json_schema(), read_yaml(SHIPPED / "h100-sxm-80gb.yaml")
    assert conforms(fields, schema, schema)
    assert not conforms({**fields, field: value}, schema, schema)
