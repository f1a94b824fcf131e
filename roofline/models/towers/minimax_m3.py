"""The tower of MiniMax-M3: images at their own size, patches brought to the decoder's width and then merged."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Family, Fields, names, rule
from roofline.models.families.rules import whole
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.fields import sizes
from roofline.models.towers.qwen.shared import QWEN, bounds


@rule("outer.text_width outer.projector_hidden_size")
def _of_patches(fields: Fields) -> list[dict[str, Any]]:
    inner = whole(fields, "outer.projector_hidden_size", 6144)
    return [{"width": inner, "function": "gelu"}, {"width": fields["outer.text_width"]}]


@rule("num_channels")
def _elements(fields: Fields) -> int:
    return int(whole(fields, "num_channels", 3) * fields["temporal_patch_size"] * fields["patch_size"] ** 2)


_COMPRESSION = "img_token_compression_config"

MINIMAX_M3 = Family(
    TowerConfig,
    program,
    classes={"": {}},
    rename={
        "spatial_merge_size": "merge",
        f"{_COMPRESSION}.spatial_merge_size": "merge",
        f"{_COMPRESSION}.temporal_patch_size": "temporal_patch_size",
    },
    options={
        **sizes(1280, 5120, 32, 16, "gelu"),
        "merge": 2,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "max_position_embeddings": 1,
    },
    fixed={
        "patch_elements": _elements,
        "patch_bias": False,
        "embedding_norm": True,
        "positions": "none",
        "rotary": True,
        "final_norm": False,
        "projector": _of_patches,
        "merger": _of_patches,
        "rule": "resized",
        "min_pixels": bounds("min_pixels", "shortest_edge", 4 * 28 * 28),
        "max_pixels": bounds("max_pixels", "longest_edge", 451_584),
    },
    inert=QWEN.inert
    | names("image_size projection_dim rope_mode initializer_factor vocab_size vision_segment_max_frames")
    | names(f"{_COMPRESSION}.image_token_compression_method"),
    nested=(_COMPRESSION,),
)
