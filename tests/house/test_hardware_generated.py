"""What is generated from the specs is up to date: index, schemas, tables.

``python tests/house/test_hardware_generated.py`` writes it anew.
"""

from __future__ import annotations

import json
import re

import pytest

from roofline.files.library import data_folder
from roofline.hardware.library import build_index, read_index
from roofline.hardware.loading import hardware_names, load_every_hardware
from roofline.hardware.schema import schema_text
from roofline.hardware.systems import load_every_system
from roofline.reports import library_table as report_comparison

SHIPPED = data_folder("hardware_specs")


def with_tables(readme: str) -> str:
    """The README of the specs with the tables of devices and of systems written anew."""
    tables = {
        "devices": report_comparison.comparison(load_every_hardware()),
        "systems": report_comparison.system_comparison(load_every_system()),
    }
    for name, lines in tables.items():
        block = f"<!-- {name} -->\n" + "\n".join(lines) + f"\n<!-- end of {name} -->"
        readme, times = re.subn(rf"<!-- {name} -->.*?<!-- end of {name} -->", lambda _: block, readme, flags=re.DOTALL)  # noqa: B023
        assert times == 1, f"no marks for the table of {name}"
    return readme


def generated() -> dict[str, str]:
    """File below the folder of the specs -> what it should hold."""
    return {
        "index.json": json.dumps(build_index(SHIPPED), indent=1) + "\n",
        "schema.json": schema_text("device"),
        "systems/schema.json": schema_text("system"),
        "README.md": with_tables((SHIPPED / "README.md").read_text(encoding="utf-8")),
    }


@pytest.mark.parametrize("file", ["index.json", "schema.json", "systems/schema.json", "README.md"])
def test_what_is_shipped_is_what_the_specs_give(file: str) -> None:
    assert (SHIPPED / file).read_text(encoding="utf-8") == generated()[file]


def test_the_index_knows_every_name_and_the_table_every_device() -> None:
    index = read_index(SHIPPED)
    assert {index[name] for name in hardware_names()} == {f"{name}.yaml" for name in hardware_names()}
    table = (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert [name for name in hardware_names() if f"| `{name}`" not in table] == []
    assert [system.name for system in load_every_system() if f"| `{system.name}` |" not in table] == []


def test_marks_of_confidence() -> None:
    rows = {line.split("`")[1]: line for line in report_comparison.comparison(load_every_hardware())[2:]}
    cells = [cell.strip() for cell in rows["b300-288gb"].strip("|").split("|")]
    assert cells[:3] == ["`b300-288gb`", "288", "7750"]
    assert cells[6:10] == ["2250", "4500", "153.5", "13500~"]
    assert "| 1000? |" in rows["tpu-v7"]  # the power is an estimate
    assert "`mi455x` (announced)" in rows["mi455x"]


if __name__ == "__main__":
    for name, text in generated().items():
        (SHIPPED / name).write_text(text, encoding="utf-8")
