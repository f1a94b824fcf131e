"""Which file a name means: the index, the folders of one's own, and what happens where two files share a name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from roofline.errors import SpecError
from roofline.files.library import data_folder, read_yaml
from roofline.hardware import library, loading
from roofline.hardware.library import INDEX, PATH_VARIABLE, build_index, device_files, find_file
from roofline.hardware.loading import hardware_names, load_every_hardware, load_hardware

SHIPPED = data_folder("hardware_specs")
MINE = """name: mine
aliases: [my-gpu]
class: nvidia-tensor-core
source: bench
peak: {matrix: {bf16: 400 TFLOP/s}, vector: {fp32: 50 TFLOP/s}}
memory: {hbm: {capacity: 48 GiB, bandwidth: 2 TB/s}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with one device."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text(MINE, encoding="utf-8")
    monkeypatch.setenv(PATH_VARIABLE, str(own))
    return own


@pytest.mark.parametrize("name", ["h100", "t4", "GH200-144GB"])
def test_a_shipped_name_parses_no_other_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Path] = []
    for room in (library, loading):
        monkeypatch.setattr(room, "read_yaml", lambda path: parsed.append(path) or read_yaml(path))
    load_hardware(name)
    assert len(parsed) <= 1  # not even that, where it was asked for before


def test_a_folder_of_ones_own_is_searched(folder: Path) -> None:
    assert load_hardware("my-gpu").name == load_hardware("MINE").name == "mine"
    assert [spec.name for spec in load_every_hardware()] == [*hardware_names(), "mine"]
    assert load_hardware("h100").name == "h100-sxm-80gb"


def test_several_folders_and_empty_ones(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.yml").write_text(MINE.replace("mine", "yours").replace("my-gpu", "your-gpu"))
    monkeypatch.setenv(PATH_VARIABLE, os.pathsep.join(["", str(folder), str(tmp_path / "more"), str(folder), ""]))
    assert (load_hardware("mine").name, load_hardware("your-gpu").name) == ("mine", "yours")


@pytest.mark.parametrize(
    ("word", "where"), [("h100", "h100-sxm-80gb.yaml"), ("T4", "t4.yaml"), ("other", "first.yaml")]
)
def test_a_name_that_exists_twice_says_where(folder: Path, word: str, where: str) -> None:
    (folder / "first.yaml").write_text(MINE.replace("mine", "first").replace("my-gpu", "other"), encoding="utf-8")
    (folder / "second.yaml").write_text(MINE.replace("mine", "second").replace("my-gpu", word), encoding="utf-8")
    for reading in (lambda: load_hardware(word), device_files):
        with pytest.raises(SpecError) as caught:
            reading()
        text = str(caught.value)
        assert text.startswith(f"{folder / 'second.yaml'}: the name or alias {word.lower()!r} is also that of ")
        assert text.endswith(f"{where}; rename one")


def test_a_file_of_the_shipped_folder_that_the_index_lacks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t4.yaml").write_text((SHIPPED / "t4.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / INDEX).write_text(json.dumps(build_index(tmp_path)), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(MINE, encoding="utf-8")
    for room in (library, loading):
        monkeypatch.setattr(room, "data_folder", lambda _: tmp_path)
    assert [load_hardware(name).name for name in ("my-gpu", "tesla-t4")] == ["mine", "t4"]
    (tmp_path / INDEX).unlink()
    assert [load_hardware(name).name for name in ("my-gpu", "tesla-t4")] == ["mine", "t4"]


def test_two_files_of_one_index_may_not_share_a_word(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MINE.replace("mine", "a"), encoding="utf-8")
    (tmp_path / "b.yaml").write_text(MINE.replace("mine", "b"), encoding="utf-8")
    with pytest.raises(SpecError, match=r"^b\.yaml: the name or alias 'my-gpu' is also that of a\.yaml; rename one$"):
        build_index(tmp_path)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "nope"))
    with pytest.raises(SpecError, match=rf"^{PATH_VARIABLE}: {tmp_path}/nope: no such folder$"):
        find_file("h100")


def test_a_broken_file_of_ones_own_is_named(folder: Path) -> None:
    (folder / "broken.yaml").write_text("name: [", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"broken\.yaml:2: .*; left out"):
        assert load_hardware("h100").name == "h100-sxm-80gb"
    with pytest.warns(UserWarning, match="left out"), pytest.raises(SpecError, match=r"broken\.yaml:2: "):
        load_hardware("broken")


AS_TYPED = """
    rtx-4090: 4090, RTX 4090, GeForce RTX 4090, nvidia rtx 4090; rtx-5070-ti: rtx 5070 ti, 5070ti, RTX 5070Ti
    rtx-5090: 5090; rtx-5080: 5080; rtx-4080: rtx 4080; rtx-4070-ti: 4070 ti; rtx-3060: 3060; rtx-3090: 3090
    rtx-a6000: A6000, RTX A6000; rtx-a4000: rtx a4000; rtx-pro-6000-blackwell: RTX PRO 6000, pro 6000 blackwell
    rtx-6000-ada: RTX 6000 Ada; apple-m4-pro-20core: m4 pro, M4Pro; apple-m4-max: Apple M4 Max; apple-m5: m5
    apple-m3-ultra: m3 ultra; apple-m5-max: m5 max; apple-m5-pro-20core: M5 Pro; dgx-spark: DGX Spark, spark, gb10
    strix-halo: strix halo, Ryzen AI Max+ 395, ai max 395; jetson-thor: thor, Jetson Thor; mi308x: MI308X
    jetson-agx-orin-64gb: orin, Jetson AGX Orin; arc-a770-16gb: Arc A770, a770; arc-b580: B580; arc-pro-b70: Arc Pro B70
    radeon-ai-pro-r9700: R9700, AI Pro R9700; rx-9070-xt: 9070 XT, RX 9070 XT; rx-7900-xtx: 7900 xtx
    mi350x: Instinct MI350X; mi300x: AMD MI300X; h20-96gb: h20; h800-sxm-80gb: H800; a800-sxm-80gb: a800; l20-48gb: L20
    ascend-910b1: 910b, Ascend 910B, Huawei Ascend 910B; gb300-nvl72: GB300 NVL72; gb200-nvl72: gb200 nvl72
    hgx-b300: DGX B300; gb300-288gb: gb300; h100-pcie-80gb: H100 PCIe; a100-pcie-80gb: A100 80GB PCIe; t4: Tesla T4
    gaudi3: Gaudi 3, Intel Gaudi 3; tpu-v6e: v6e, TPU v6e; tpu-v5e: Google TPU v5e; epyc-9654: AMD EPYC 9654
"""


def test_devices_are_found_as_people_type_them() -> None:
    for entry in AS_TYPED.replace("\n", ";").split(";"):
        file, _, names = entry.partition(":")
        for name in filter(None, names.split(",")):
            assert find_file(name.strip()).stem == file.strip()


def test_what_may_be_several_devices_is_refused(folder: Path) -> None:
    for name in ("acme-x-1", "acme-x1"):
        (folder / f"{name}.yaml").write_text(MINE.replace("mine", name).replace("my-gpu", f"the-{name}"))
    with pytest.raises(SpecError, match='"acmex1" may be acme-x-1 or acme-x1; name one'):
        find_file("acmex1")
    with pytest.raises(SpecError, match="unknown hardware 'nvidia'"):
        find_file("nvidia")
