"""The order of the packages: a file imports its own package or an earlier one, and the wings meet at timing."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

import pytest
import source
from source import FILES, PACKAGE, module_of

ORDER = (
    "errors classes number kept units version schema identity files engines options "
    "program layers hardware cost compression parallelism calibration models "
    "timing tape formulas prediction tracing training operators serving simulation validation fitting served buying "
    "sweeps reports charts page cli"
).split()
SOFTWARE = {"program", "layers", "cost", "compression", "parallelism", "models"}
HARDWARE = {"hardware", "calibration"}
LATER = {
    ("roofline.prediction.predict", "roofline.reports.prediction"),
    ("roofline.buying.ranking", "roofline.reports.serving.comparison"),
    ("roofline.buying.sizing", "roofline.reports.serving.sizing"),
    ("roofline.buying.training_costs", "roofline.reports.training"),
    ("roofline.simulation.simulate", "roofline.reports.serving.simulation"),
}
"""The one import of a later package: a notebook asks an answer for its page."""
LONGEST = 12


MODULES = {module_of(file): file for file in FILES}


def trees() -> dict[str, ast.Module]:
    """What every module holds, by its name."""
    return {name: source.trees()[file] for name, file in MODULES.items()}


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every module of ours that is imported anywhere in ``tree``: at the top, in a function, under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "roofline")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if (node.module or "").split(".")[0] == "roofline":
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from (name if name in MODULES else str(node.module) for name in names)


def wrongs(importer: str, tree: ast.AST) -> list[str]:
    """What ``importer`` imports from a later package or from the other wing."""
    found = []
    for imported in set(imports_of(tree)):
        here, there = (name.split(".")[1] if "." in name else "" for name in (importer, imported))
        wings = ({here, there} & SOFTWARE) and ({here, there} & HARDWARE)
        late = not there or ORDER.index(there) > ORDER.index(here)
        if (late or wings) and (importer, imported) not in LATER:
            found.append(f"{importer} imports {imported}")
    return found


WINDOWS = ("roofline", "roofline.__main__")  # they look at everything


def test_a_file_imports_its_own_package_or_an_earlier_one() -> None:
    found = {module: wrongs(module, trees()[module]) for module in MODULES if module not in WINDOWS}
    assert {module: wrong for module, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("importer", "code"),
    [
        ("roofline.program.op", "from roofline.layers.attention import attention"),
        ("roofline.program.op", "from roofline.cost import cost"),
        ("roofline.units", "import roofline.program.op"),
        ("roofline.hardware.spec", "def f():\n    from roofline.program.op import Op"),
        ("roofline.cost.cost", "if TYPE_CHECKING:\n    from roofline.hardware.spec import HardwareSpec"),
        ("roofline.models.model", "from roofline.calibration.constants import Constants"),
        ("roofline.timing.operator", "from roofline.reports.prediction import text"),
        ("roofline.reports.prediction", "from roofline import predict"),
    ],
)
def test_the_rule_can_fail(importer: str, code: str) -> None:
    assert wrongs(importer, ast.parse(code))


def test_nothing_imports_in_a_circle() -> None:
    """Late imports and those for types are counted too."""
    edges = {name: {i for i in imports_of(tree) if (name, i) not in LATER} - {name} for name, tree in trees().items()}
    done: set[str] = set()
    while ready := {name for name in edges if name not in done and edges[name] & set(edges) <= done}:
        done |= ready
    assert set(edges) - done == set()


def test_the_longest_chain_of_packages() -> None:
    needs: dict[str, set[str]] = {package: set() for package in ORDER}
    for name, tree in trees().items():
        if name not in WINDOWS:
            needs[name.split(".")[1]] |= {i.split(".")[1] for i in imports_of(tree) if (name, i) not in LATER}

    @functools.cache
    def depth(package: str) -> int:
        return 1 + max((depth(below) for below in needs[package] - {package}), default=0)

    assert max(depth(package) for package in ORDER) <= LONGEST


def test_every_package_of_the_order_is_there_and_no_folder_is_crowded() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert there - {"__init__", "__main__"} == set(ORDER)
    assert len(list(PACKAGE.glob("*.py"))) <= 10
    for folder in {file.parent for file in PACKAGE.rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) <= 20, folder


def test_no_private_name_crosses_a_module() -> None:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("roofline"):
                assert [alias.name for alias in node.names if alias.name.startswith("_")] == [], name
