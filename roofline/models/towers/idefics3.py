"""The tower of Idefics3 and SmolVLM: tiles of an image that is enlarged, and the whole; squares of patches shuffled."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Family, Fields, rule
from roofline.models.families.rules import stated
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.fields import sizes, square


@rule("outer.text_width")
def _matmul(fields: Fields) -> list[dict[str, Any]]:
    return [{"width": fields["outer.text_width"], "bias": False}]


IDEFICS3 = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options=sizes(1152, 3072, 12, 16, "gelu_pytorch_tanh"),
    fixed={
        **square(224, 32),
        "merge": stated("outer.scale_factor", 2),
        "projector": _matmul,
        "rule": "split",
        "tile_size": stated("processor.max_image_size.longest_edge", 364),
        "longest_edge": stated("processor.size.longest_edge", 4 * 364),
    },
)
