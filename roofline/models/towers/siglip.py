"""The tower of SigLIP."""

from __future__ import annotations

from roofline.models.families.family import Family, names
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.clip import CLIP
from roofline.models.towers.fields import square

SIGLIP = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options={**CLIP.options, "hidden_act": "gelu_pytorch_tanh"},
    fixed=square(224, 16),
    only={"vision_use_head": False},
    inert=names("projection_dim outer.vision_feature_layer"),
)
