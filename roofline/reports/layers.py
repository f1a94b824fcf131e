"""The layers that have a formula by themselves, by what they are."""

from __future__ import annotations

from roofline.files.plugins import plugin_table
from roofline.formulas.catalogue import LAYERS
from roofline.reports.width import aligned


def layers_table() -> list[str]:
    """The names of all layers, a row for each file of ``roofline.layers`` that states some, then those of plugins."""
    kinds: dict[str, list[str]] = {}
    for name, layer in LAYERS.items():
        kinds.setdefault(layer.stated_by.__module__.rpartition(".")[2].replace("_", " "), []).append(name)
    kinds["one operator"] = kinds.pop("op", [])
    if own := plugin_table("LAYERS"):
        kinds["plugins"] = list(own)
    rows = [(kind, ", ".join(names)) for kind, names in kinds.items()]
    return [*aligned([("kind", "layers"), *rows], left=(0, 1)), "", "roofline formula NAME, or a model: its formula"]
