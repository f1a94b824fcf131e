"""The tower of Pixtral: images at their own size, a token behind each row."""

from __future__ import annotations

from roofline.models.families.family import Family, names
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.fields import sizes, square

PIXTRAL = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options=sizes(1024, 4096, 24, 16, "gelu"),
    fixed={
        **square(1024, 16),
        "patch_bias": False,
        "embedding_norm": True,
        "norm": "rms",
        "gated": True,
        "positions": "none",
        "rotary": True,
        "attention_bias": False,
        "out_bias": False,
        "mlp_bias": False,
        "final_norm": False,
        "rule": "rows",
    },
    inert=names("head_dim outer.vision_feature_layer outer.vision_feature_select_strategy"),
)
