"""The tower of Llama 4: tiles, patches shuffled into channels."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Family, Fields, names, rule
from roofline.models.families.rules import stated, whole
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.fields import shuffled, sizes, square


@rule("outer.text_width projector_input_dim projector_output_dim vision_output_dim")
def _llama4_projector(fields: Fields) -> list[dict[str, Any]]:
    first, second = whole(fields, "projector_input_dim", 4096), whole(fields, "projector_output_dim", 4096)
    acted = ({"width": width, "bias": False, "function": "gelu"} for width in (first, second))
    return [*acted, {"width": fields["outer.text_width"], "bias": False}]


LLAMA4 = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options=sizes(768, 5632, 34, 16, "gelu"),
    fixed={
        **square(448, 14),
        "class_token": True,
        "patch_bias": False,
        "embedding_norm": True,
        "rotary": True,
        "merge": shuffled("pixel_shuffle_ratio"),
        "projector": _llama4_projector,
        "rule": "chunked",
        "max_tiles": stated("processor.max_patches", 16),
    },
    only={"vision_feature_select_strategy": "default", "multi_modal_projector_bias": False},
    inert=names("norm_eps projector_dropout vision_feature_layer"),
)
