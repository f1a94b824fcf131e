"""The tower of Qwen2-VL."""

from __future__ import annotations

from roofline.models.families.family import Rule
from roofline.models.families.rules import whole
from roofline.models.towers.qwen.shared import QWEN, merged

QWEN2_VL = QWEN.but(
    rename={"embed_dim": "hidden_size"},
    options={"hidden_size": 1280, "hidden_act": "quick_gelu"},
    fixed={
        "intermediate_size": Rule("mlp_ratio", lambda fields: fields["hidden_size"] * whole(fields, "mlp_ratio", 4)),
        "projector": Rule("outer.text_width hidden_size", lambda fields: merged(fields, fields["outer.text_width"])),
    },
)
