"""The tower of CLIP."""

from __future__ import annotations

from roofline.models.families.family import Family, names
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.fields import sizes, square

CLIP = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options=sizes(768, 3072, 12, 12, "quick_gelu"),
    fixed={"class_token": True, "patch_bias": False, "embedding_norm": True, **square(224, 32)},
    inert=names("initializer_factor projection_dim vocab_size outer.vision_feature_layer"),
    only={"outer.vision_feature_select_strategy": "default"},
)
