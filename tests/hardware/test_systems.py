"""Systems: what they hold, whose links and prices they state, and every door against what people write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import roofline
from roofline.calibration.review import review_file, unverified_values
from roofline.errors import RooflineError, SpecError
from roofline.files.library import data_folder, read_yaml
from roofline.hardware.library import parted
from roofline.hardware.loading import hardware_names, load_hardware, read_hardware_fields, spec_from_fields
from roofline.hardware.systems import System, load_every_system, load_system

FOLDER = data_folder("hardware_specs") / "systems"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
BOX = {"name": "box", "device": "h100", "count": 8, "source": "bench"}


def problem(fields: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        System.from_fields(fields, "box.yaml")
    text = str(caught.value)
    assert text.startswith("box.yaml: ")
    assert "\n" not in text
    return text.removeprefix("box.yaml: ")


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_system_holds_a_shipped_device_by_its_name(name: str) -> None:
    system = load_system(name)
    assert system.name == name
    assert system.device in hardware_names()
    assert system.title
    fields = read_yaml(FOLDER / f"{name}.yaml")
    used = set(re.findall(r"source: ([\w-]+)", (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
    assert used == set(fields["sources"])


def test_boxes_racks_clouds_and_one_card() -> None:
    held = {system.name: (system.count, system.device) for system in load_every_system()}
    assert held["hgx-h100"] == (8, "h100-sxm-80gb")
    assert held["gb200-nvl72"] == (72, "gb200-186gb")
    assert held["mi300x-8"] == (8, "mi300x")
    assert held["l40s-1"] == (1, "l40s")
    assert load_system("dgx-h100").name == "hgx-h100"


def test_links_are_the_devices_unless_the_system_says_otherwise() -> None:
    p4d, device = load_system("aws-p4d-24xlarge"), load_hardware("a100-sxm-40gb")
    assert p4d.link("scale_up") == device.links["scale_up"]
    own = p4d.link("scale_out")
    assert own is not None
    assert own.bandwidth_per_direction == 50e9 / 8  # 4 x 100 Gbit/s over 8 devices
    assert device.links["scale_out"].bandwidth_per_direction == 200e9 / 8
    assert load_system("l40s-1").link("scale_up") is None
    slice_of = load_system("tpu-v3-8").link("scale_up")
    assert slice_of is not None
    assert slice_of.domain == 4  # of the 1024 that a pod joins
    ultra = load_system("aws-trn2-ultraserver").link("scale_up")
    assert ultra is not None
    assert ultra.domain == 64


def test_prices_are_of_the_whole() -> None:
    (price,) = load_system("azure-nd-h100-v5").prices
    assert price.usd == pytest.approx(8 * 12.29)
    assert load_system("azure-nd-h100-v5").source_of(price, "value") == (
        "list prices of the provider, as quoted in 2026",
        True,
    )


def test_a_count_of_a_device_is_a_system_without_a_file() -> None:
    eight = load_system("8xh100")
    assert (eight.name, eight.count, eight.spec) == ("8xh100-sxm-80gb", 8, load_hardware("h100"))
    assert eight.link("scale_up") == load_hardware("h100").links["scale_up"]
    assert load_system("h100").count == 1
    assert (load_system("h100").name, load_system("1XH100").name) == ("h100-sxm-80gb", "h100-sxm-80gb")


def test_a_count_of_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((data_folder("hardware_specs") / "t4.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert load_system(f"4x{path}").count == 4
    with pytest.raises(SpecError, match=r"is 4 devices, and this is answered for one device so far; give .*mine\.yaml"):
        load_hardware(f"4x{path}")


def test_a_system_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "box.yaml"
    path.write_text(yaml.safe_dump(BOX), encoding="utf-8")
    assert load_system(path).count == 8
    one, eight = (roofline.predict("llama-3.1-8b", hardware) for hardware in ("h100", path))
    assert eight.count == 8
    assert eight.request_s < one.request_s
    path.write_text(yaml.safe_dump({**BOX, "count": 1}), encoding="utf-8")
    assert load_hardware(path).name == "h100-sxm-80gb"
    path.write_text(yaml.safe_dump({**BOX, "count": 1, "device": str(path)}), encoding="utf-8")
    with pytest.raises(SpecError, match=r"box\.yaml: device: .* is a system itself, expected a device"):
        load_hardware(path)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("count", 0, "count: given 0, expected at least 1"),
        ("count", 10**7, "count: given 10000000, expected at most 1e+06"),
        ("count", "8", 'count: given "8", expected a whole number'),
        ("device", "h101", "device: unknown hardware 'h101'; did you mean"),
        ("device", "hgx-h100", "device: hgx-h100 is 8 devices"),
        ("rentable", 9, "rentable: 9 of 8 devices, expected at most all of them"),
        ("links", {"scale_up": {"bandwidth": "1 GB/s"}}, "links.scale_up.bandwidth: unknown field"),
        ("prices", [{"kind": "spot", "value": "3 USD", "date": "2026"}], 'prices.0: "3 USD" is a sum of money'),
        ("source", {"default": "x", "count": 3}, "source: given a mapping, expected text, a key of sources"),
        ("sources", {"other": {"title": "t", "ref": "r"}}, "source: 'bench' is not a key of sources; known: other"),
        ("peak", {}, "peak: unknown field"),
    ],
)
def test_a_system_that_breaks_a_rule_is_refused_in_one_line(field: str, value: object, text: str) -> None:
    assert text in problem({**BOX, field: value})


@pytest.mark.parametrize(
    ("given_text", "wanted"),
    [
        ("8xh100", (8, "h100")),
        ("16Xa100-80gb", (16, "a100-80gb")),
        ("xeon", (1, "xeon")),
        ("4x./a.yaml", (4, "./a.yaml")),
    ],
)
def test_counts(given_text: str, wanted: tuple[int, str]) -> None:
    assert parted(given_text) == wanted


# every door against what people write

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def refusal(read: Callable[[], object]) -> str | None:
    """The line that refuses, or None; any other exception is a failure of the test."""
    try:
        read()
    except RooflineError as failure:
        return str(failure)
    return None


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{0,9}[xX][a-z0-9./-]{0,20}", fullmatch=True))
def test_any_text_is_a_system_or_one_line(text: str) -> None:
    for load in (load_system, load_hardware):
        assert len((refusal(lambda load=load: load(text)) or "read").splitlines()) == 1  # type: ignore[misc]


@given(st.sampled_from([*System.stated, "x"]), ANYTHING)
def test_any_field_of_a_system_is_read_or_refused_in_one_line(field: str, value: object) -> None:
    line = refusal(lambda: System.from_fields({**BOX, field: value}, "box.yaml"))
    assert line is None or (line.startswith("box.yaml: ") and len(line.splitlines()) == 1)


@given(st.sampled_from(["h100", "mi250x", "tpu-v4", "xeon", "apple-m4"]), st.data())
def test_any_field_of_a_device_is_read_or_refused_in_one_line(name: str, data: st.DataObject) -> None:
    fields = dict(read_hardware_fields(name)[0])
    path = data.draw(st.sampled_from(sorted(fields)))
    block = fields[path]
    if isinstance(block, dict) and data.draw(st.booleans()):
        fields[path] = {**block, data.draw(st.sampled_from(sorted(block)) | st.text(max_size=6)): data.draw(ANYTHING)}
    else:
        fields[path] = data.draw(ANYTHING)
    line = refusal(lambda: spec_from_fields(fields, "x.yaml"))
    if line is None:
        spec = spec_from_fields(fields, "x.yaml")
        assert spec.bandwidth > 0
        assert spec.dtypes()
        assert "name" not in unverified_values(spec)
    else:
        assert line.startswith("x.yaml: ")
        assert len(line.splitlines()) == 1


@given(name=st.sampled_from(["h100-sxm-80gb", "rtx-4090", "systems/hgx-h100"]), data=st.data())
def test_a_review_of_any_file_is_lines(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = (data_folder("hardware_specs") / f"{name}.yaml").read_text(encoding="utf-8")
    start, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 30))
    new = data.draw(st.text(alphabet='ab1 :{}[],.-\n"#', max_size=10))
    path = tmp_path_factory.mktemp("review") / "x.yaml"
    path.write_text(text[:start] + new + text[start + length :], encoding="utf-8")
    for line in review_file(path):
        assert line.startswith(str(path))
        assert "\n" not in line
