"""The tower of GLM-4V: images at their own size, four patches convolved to one, a gated layer behind."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Fields, Rule, rule
from roofline.models.families.rules import whole
from roofline.models.towers.fields import side
from roofline.models.towers.qwen.shared import QWEN, bounds


@rule("out_hidden_size outer.text_width")
def _convolved(fields: Fields) -> list[dict[str, Any]]:
    width = whole(fields, "out_hidden_size", fields["outer.text_width"])
    return [{"width": width}, {"width": width, "bias": False}]


@rule("image_size")
def _table(fields: Fields) -> int:
    image = side("image_size", 336)(fields)
    return int((image // fields["patch_size"]) ** 2)


GLM4V = QWEN.but(
    without="max_position_embeddings",
    options={
        "num_hidden_layers": 24,
        "num_attention_heads": 12,
        "hidden_size": 1536,
        "hidden_act": "silu",
        "attention_bias": False,
    },
    fixed={
        "norm": "rms",
        "gated": True,
        "projector_width": Rule("intermediate_size", lambda fields: whole(fields, "intermediate_size", 13_696)),
        "intermediate_size": Rule("", lambda fields: whole(fields, "out_hidden_size", fields["outer.text_width"])),
        "out_bias": False,
        "mlp_bias": False,
        "patch_bias": True,
        "embedding_norm": True,
        "positions": "resampled",
        "max_position_embeddings": _table,
        "projector": _convolved,
        "image_frames": 2,
        "min_pixels": bounds("min_pixels", "shortest_edge", 112 * 112),
        "max_pixels": bounds("max_pixels", "longest_edge", 28 * 28 * 15_000),
        "video": "none",
    },
)
