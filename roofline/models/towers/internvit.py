"""The tower of InternVL: tiles and the whole image, patches shuffled into channels."""

from __future__ import annotations

from roofline.models.families.family import Family, Fields, Rule, names, rule
from roofline.models.families.rules import by_flag, flag, stated
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.fields import shuffled, sizes, square


@rule("use_mean_pooling")
def _last_norm(fields: Fields) -> bool:
    """Whether a norm follows the last layer; it is LayerNorm, whatever those of the layers are."""
    normed = not flag(fields, "use_mean_pooling", True)
    if normed and fields["norm"] == "rms":
        msg = "use_mean_pooling false is not modelled with norm_type rms_norm; expected layer_norm"
        raise ValueError(msg)
    return normed


INTERNVIT = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options={
        **sizes(1024, 4096, 24, 16, "gelu"),
        "attention_bias": False,
    },
    fixed={
        **square(448, 14),
        "query_key_norm": by_flag("use_qk_norm", False, yes="across", no="none"),
        "class_token": True,
        "layer_scale": True,
        "norm": Rule("norm_type", lambda fields: "rms" if fields.get("norm_type") == "rms_norm" else "layer"),
        "final_norm": _last_norm,
        "merge": shuffled("outer.downsample_ratio"),
        "projector_norm": "layer",
        "rule": "tiled",
        "min_tiles": stated("processor.min_patches", 1),
        "max_tiles": stated("processor.max_patches", 12),
    },
    only={"use_mask_token": False, "use_absolute_position_embeddings": True},
    inert=names(
        "layer_scale_init_value projection_dropout outer.vision_feature_layer outer.vision_feature_select_strategy "
        "drop_path_rate"
    ),
)
