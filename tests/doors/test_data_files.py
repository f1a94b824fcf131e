"""The one YAML reader, which is strict; and the data folders, which are found wherever roofline is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roofline.errors import ConfigError, RooflineError, SpecError
from roofline.files.library import MAX_YAML_BYTES, data_folder, read_text, read_yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("hardware_specs", "calibrations", "engines")


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Writes a file and reads it as YAML."""

    def write_and_read(text: str | bytes) -> dict[str, Any]:
        path = tmp_path / "file.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_yaml(path)

    return write_and_read


def refusal(read: Any, text: str | bytes) -> str:
    with pytest.raises(SpecError) as caught:
        read(text)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "file.yaml" in message
    return message


# Strict YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-7", -7),
        ("12", 12),
        ("1.5", 1.5),
        ("2e3", 2000.0),
        ("-2.5E-3", -0.0025),
        # text, whatever YAML 1.1 makes of it
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("True", "True"),
        ("NULL", "NULL"),
        ("2024-01-02", "2024-01-02"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1.", "1."),
        (".5", ".5"),
        ("3.35 TB/s", "3.35 TB/s"),
        ("=", "="),
        ("'true'", "true"),
        ('"7"', "7"),
    ],
)
def test_a_scalar_is_what_it_looks_like(read: Any, text: str, value: object) -> None:
    found = read(f"key: {text}\n")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3: duplicate key 'a'"),
        ("a: {b: 1, b: 2}\n", ":1: duplicate key 'b'"),
        ("a: &x 1\nb: *x\n", ":1: anchors and aliases are not allowed"),
        ("a: &x [1]\n", ":1: anchors and aliases are not allowed"),
        ("a: *x\n", "anchors and aliases are not allowed"),
        ("a: {<<: {b: 1}}\n", None),  # checked below: a merge key is plain text
        ("a: !!python/object/apply:os.system [ls]\n", ":1: tags are not allowed"),
        ("a: !!str 1\n", ":1: tags are not allowed"),
        ("a: !local 1\n", ":1: tags are not allowed"),
        ("! {a: 1}\n", "file.yaml:1: "),
        ("a: 1\n---\nb: 2\n", "document"),
        ("1: a\n", "a key must be plain text"),
        ("true: a\n", "a key must be plain text"),
        ("null: a\n", "a key must be plain text"),
        ("? [1, 2]\n: a\n", "a key must be plain text"),
        ("? {a: 1}\n: a\n", "a key must be plain text"),
        ("- 1\n", "holds list, expected a mapping of fields"),
        ("just text\n", "holds str, expected a mapping of fields"),
        ("", "holds NoneType, expected a mapping of fields"),
        ("# nothing\n", "expected a mapping of fields"),
        ("a: [1, 2\n", "file.yaml:"),
        ("a: 'open\n", "file.yaml:"),
        ("a:\n\t- 1\n", "file.yaml:"),
        ("a: 1\n b: 2\n", "file.yaml:2"),
        ("a: \x00\n", "file.yaml"),
        ("a: \x07\n", "file.yaml"),
        ("%YAML 9.9\n---\na: 1\n", "file.yaml"),
    ],
    ids=repr,
)
def test_what_is_not_plain_is_refused_in_one_line(read: Any, text: str, problem: str | None) -> None:
    if problem is None:
        assert read(text) == {"a": {"<<": {"b": 1}}}
    else:
        assert problem in refusal(read, text)


def test_a_bomb_of_aliases_is_refused_before_it_grows(read: Any) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert "anchors and aliases" in refusal(read, "\n".join(lines))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_and_not_recursed_into(read: Any, opening: str) -> None:
    deep = (opening * 1_000_000)[: MAX_YAML_BYTES - 10]
    message = refusal(read, ("" if opening == "- " else "a: ") + deep)
    ours_or_of_yaml = "nested deeper than 20 levels|exceeded maximum nesting depth"
    assert re.search(f"file.yaml:1: ({ours_or_of_yaml})", message)


def test_twenty_levels_are_enough_and_allowed(read: Any) -> None:
    assert read("a: " + "[" * 19 + "]" * 19)
    assert "nested deeper" in refusal(read, "a: " + "[" * 20 + "]" * 20)


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(read: Any) -> None:
    text = "a: 1\n#" + "x" * (MAX_YAML_BYTES - 6)
    assert len(text) == MAX_YAML_BYTES
    assert read(text) == {"a": 1}
    assert f"{MAX_YAML_BYTES + 1} bytes, expected at most {MAX_YAML_BYTES}" in refusal(read, text + "x")


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000])
def test_a_number_too_long_for_an_int_is_refused(read: Any, number: str) -> None:
    assert refusal(read, f"a: {number}\n")


def test_an_overflowing_float_is_refused_or_stays_text(read: Any) -> None:
    try:
        value = read("a: 1e999\n")["a"]
    except SpecError:
        return
    assert value == "1e999"  # not infinity


@pytest.mark.parametrize("data", [b"a: \xff\xfe\n", b"\xff\xfea\x00:\x00 \x001\x00", b"a: \xc3\x28\n"], ids=repr)
def test_what_is_not_utf_8_is_refused(read: Any, data: bytes) -> None:
    assert "not UTF-8 text" in refusal(read, data)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"%@?#,\n 01~<=.", max_size=60))
def test_any_text_is_a_mapping_or_one_line(read: Any, text: str) -> None:
    try:
        assert isinstance(read(text.encode("utf-8", "surrogatepass")), dict)
    except SpecError as failure:
        assert len(str(failure).splitlines()) == 1  # noqa: PT017


# Files that are no files


def test_an_absent_file_a_folder_and_odd_files(tmp_path: Path) -> None:
    loop, pipe, dangling = tmp_path / "loop", tmp_path / "pipe", tmp_path / "dangling"
    loop.symlink_to(loop)
    dangling.symlink_to(tmp_path / "nothing")
    os.mkfifo(pipe)
    for path, problem in (
        (tmp_path / "absent.yaml", "no such file"),
        (tmp_path / "two\rlines.yaml", "no such file"),
        (dangling, "no such file"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),  # and nobody waits for a writer
        (Path("/dev/zero"), "not a regular file"),  # nor reads without end
        (loop, ""),
        (tmp_path / "a\x00b", ""),
        (tmp_path / ("x" * 5000), ""),
        (tmp_path / "absent.yaml" / "below", ""),
    ):
        with pytest.raises(ConfigError) as caught:
            read_text(path, ConfigError)
        assert problem in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_the_error_is_of_the_kind_asked_for(tmp_path: Path) -> None:
    for error in (SpecError, ConfigError):
        with pytest.raises(error):
            read_yaml(tmp_path / "absent.yaml", error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    with pytest.raises(SpecError, match=r"Permission denied$"):
        read_yaml(path)


def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("a: 1", encoding="utf-8")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "real.yaml")
    assert read_yaml(tmp_path / "link.yaml") == {"a": 1}


# Where the data is

_LOOK = """
import pathlib, roofline
from roofline.models.sources import preset_names
from roofline.calibration.constants import class_names
from roofline.engines.library import engine_names
from roofline.hardware.loading import hardware_names
from roofline.hardware.systems import load_every_system
print(pathlib.Path(roofline.__file__).resolve().parent)
print(len(hardware_names()), len(load_every_system()), len(class_names()), len(engine_names()), len(preset_names()))
print(roofline.predict("gpt2", "h100").hardware.name)
"""


def look(package_parent: Path, elsewhere: Path) -> None:
    """In a fresh process that sees ``package_parent`` first: its data are found and complete."""
    environment = {**os.environ, "PYTHONPATH": str(package_parent)}
    done = subprocess.run(
        [sys.executable, "-c", _LOOK], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    package, counts, device = done.stdout.splitlines()
    assert Path(package) == package_parent.resolve() / "roofline"
    names = ("hardware_specs", "hardware_specs/systems", "calibrations/classes", "engines", "roofline/models/presets")
    shipped = [ROOT / name for name in names]
    assert counts == " ".join(str(len(list(folder.glob("*.yaml")))) for folder in shipped)
    assert device == "h100-sxm-80gb"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a checkout holds and a build needs."""
    target = tmp_path / "clone"
    skip = shutil.ignore_patterns("__pycache__")
    for folder in ("roofline", *FOLDERS):
        shutil.copytree(ROOT / folder, target / folder, ignore=skip)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, target / file)
    return target


def test_data_are_found_in_a_plain_clone(clone: Path, tmp_path: Path) -> None:
    look(clone, tmp_path)


@pytest.mark.parametrize("name", FOLDERS)
def test_data_are_found_from_here(name: str) -> None:
    # As the tests run: an editable install or a checkout, whose data stand beside the package.
    assert data_folder(name).is_dir()
    assert list(data_folder(name).rglob("*.yaml"))


def test_a_folder_that_is_absent_says_so() -> None:
    with pytest.raises(SpecError, match=r"^nowhere: data folder not found in .*; reinstall roofline$"):
        data_folder("nowhere")


def test_the_wheel_includes_every_data_folder() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert build["wheel"]["packages"] == ["roofline"]  # presets go with it
    assert build["wheel"]["force-include"] == {name: f"roofline/{name}" for name in FOLDERS}
    assert {f"/{name}" for name in ("roofline", *FOLDERS)} <= set(build["sdist"]["include"])


@pytest.mark.skipif(not importlib.util.find_spec("hatchling"), reason="the wheel needs hatchling, which is not here")
def test_data_are_found_in_a_built_wheel(clone: Path, tmp_path: Path) -> None:
    script = f"from hatchling.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    built = subprocess.run([sys.executable, "-c", script], cwd=clone, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    elsewhere.mkdir()
    shutil.rmtree(clone)
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"roofline"}
    assert (site / "roofline" / "py.typed").is_file()
    look(site, elsewhere)


def test_the_readers_errors_are_for_users() -> None:
    assert issubclass(SpecError, RooflineError)
