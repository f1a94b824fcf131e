"""What is read without pydantic is what pydantic reads: the same files, the same values, the same refusals."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from grids import examples
from hypothesis import strategies as st
from pydantic import ValidationError

from roofline.calibration.calibration_file import Calibration
from roofline.calibration.link_constants import Links
from roofline.engines.engine import Engine
from roofline.files.door import Door
from roofline.files.fields import Info
from roofline.files.library import data_folder, read_yaml
from roofline.files.pydantic_models import validated_by_pydantic
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System
from roofline.models.model import _shipped
from roofline.models.sources import PRESETS

CLOCK = {"clock": 1.41e9}
FOLDERS: dict[type[Door], tuple[str, str]] = {
    HardwareSpec: ("hardware_specs", "*.yaml"),
    System: ("hardware_specs", "systems/*.yaml"),
    Engine: ("engines", "*.yaml"),
    Calibration: ("calibrations", "*/*.yaml"),
    Links: ("calibrations", "links.yaml"),
}


def files(door: type[Door]) -> list[Path]:
    """The shipped files of a door."""
    folder, pattern = FOLDERS[door]
    return sorted(data_folder(folder).glob(pattern))


EVERY = [(door, path) for door in FOLDERS for path in files(door)]


@pytest.mark.parametrize("nth", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("door", FOLDERS, ids=lambda door: door.__name__)
def test_shipped_files_are_read_without_pydantic_and_as_pydantic_reads_them(door: type[Door], nth: int) -> None:
    assert files(door)
    for path in files(door)[::nth]:
        fields = read_yaml(path)
        read = door._read(fields, Info(CLOCK))
        theirs = validated_by_pydantic(door, fields, CLOCK)
        assert read == theirs, path.name
        assert read.model_fields_set == theirs.model_fields_set


def test_every_preset_is_read_without_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("roofline.files.pydantic_models.validated_by_pydantic", asked)
    assert all(_shipped.__wrapped__(path.stem) for path in sorted(PRESETS.glob("*.yaml"))[::7])


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in ``node``."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


@cache
def known(path: Path) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """The fields of a file, and the way to each value."""
    fields = read_yaml(path)
    return fields, list(places(fields))


STRANGE = st.sampled_from(
    [None, True, 0, 1, -1, 2.5, 10**400, float("inf"), float("nan"), "", "x", "1 GB/s", "3 us", "2 kcycle", [], [1],
     ["x"], {}, {"x": 1}, {"graph": "1 us", "eager": "2 us"}, b"x", (1,)]
)  # fmt: skip


@examples(st.sampled_from(EVERY), st.data(), STRANGE, st.sampled_from(["put", "leave out", "add"]), few=40, many=4000)
def test_a_file_that_is_changed_anywhere_is_read_or_refused_as_pydantic_does(
    which: tuple[type[Door], Path], data: st.DataObject, value: Any, how: str
) -> None:
    door, path = which
    fields, ways = known(path)
    fields, (*steps, last) = copy.deepcopy(fields), data.draw(st.sampled_from(ways))
    node: Any = fields
    for step in steps:
        node = node[step]
    if how == "leave out":
        del node[last]
    elif how == "add" and isinstance(node, dict):
        node["unheard_of"] = value
    else:
        node[last] = value
    asked = copy.deepcopy(fields)
    assert outcome(lambda: door.model_validate(fields, CLOCK)) == outcome(
        lambda: validated_by_pydantic(door, asked, CLOCK)
    )


def outcome(read: Callable[[], Door]) -> str:
    """What was read, or what is wrong with it."""
    try:
        return repr(read())
    except ValidationError as refusal:
        return repr(refusal.errors(include_url=False, include_context=False))
