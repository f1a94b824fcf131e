"""docs/formulas.md is what the code says. ``python tests/house/test_formulas_page.py`` writes it anew."""

from __future__ import annotations

import ast
from pathlib import Path

from roofline.files.atomic import atomic_writer
from roofline.formulas.catalogue import LAYERS
from roofline.formulas.page import formulas_page

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "formulas.md"


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == formulas_page()


def test_every_layer_is_on_it_with_its_source() -> None:
    """Each public function of a layer file that returns operators has an entry, and each entry a section."""
    stated = {(layer.stated_by.__module__, layer.stated_by.__name__) for layer in LAYERS.values()}
    layers = ROOT / "roofline" / "layers"
    for file in sorted(layers.rglob("*.py")):
        module = ".".join(("roofline", "layers", *file.relative_to(layers).with_suffix("").parts))
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            returns_ops = isinstance(node, ast.FunctionDef) and ast.unparse(node.returns or node) in (
                "Op",
                "tuple[Op, ...]",
            )
            if returns_ops and not node.name.startswith("_"):  # type: ignore[attr-defined]
                assert (module, node.name) in stated  # type: ignore[attr-defined]
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("\n## ") == text.count("\nSource: ") == len(LAYERS)
    assert text.count("Source: the definition of the operation") <= 2  # a matrix product and a sum


if __name__ == "__main__":
    with atomic_writer(PAGE) as page:
        page.write(formulas_page())
