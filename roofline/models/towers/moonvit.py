"""The tower of Kimi-VL and Kimi-K2.5: images at their own size, padded to whole tokens."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Family, Fields, names, rule
from roofline.models.families.rules import stated, whole
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.fields import SIZES, patch_elements, side, side_of, sizes


@rule("pos_emb_height pos_emb_width init_pos_emb_height init_pos_emb_width pos_emb_time")
def _table(fields: Fields) -> int:
    sides = (whole(fields, f"pos_emb_{one}", whole(fields, f"init_pos_emb_{one}", 64)) for one in ("height", "width"))
    return next(sides) * next(sides)


@rule("merge_kernel_size")
def _kernel(fields: Fields) -> Any:
    return side_of(fields.get("merge_kernel_size", [2, 2]))


@rule("outer.text_width")
def _moon_projector(fields: Fields) -> list[dict[str, Any]]:
    inner = fields["hidden_size"] * fields["merge"] ** 2
    return [{"width": inner, "function": "gelu"}, {"width": fields["outer.text_width"]}]


MOONVIT = Family(
    TowerConfig,
    program,
    classes={"": {}},
    rename={f"vt_{name}": name for name in SIZES},  # as the file of Kimi-K2.5 has them
    options=sizes(1152, 4304, 27, 16, "gelu_pytorch_tanh"),
    fixed={
        "patch_size": side("patch_size", 14),
        "patch_elements": patch_elements,
        "max_position_embeddings": _table,
        "positions": "resampled",
        "rotary": True,
        "merge": _kernel,
        "patch_norm": "layer",
        "projector": _moon_projector,
        "rule": "padded",
        "max_patches": stated("processor.max_patches", 16384),
        "max_side": stated("processor.size.max_height", 512),
    },
    inert=names(
        "outer.projection_hidden_size outer.projection_layer_norm_eps mm_hidden_size merge_type mm_projector_type "
        "pos_emb_type projector_hidden_act projector_ln_eps text_hidden_size video_attn_type init_pos_emb_time "
        "_attn_implementation"
    ),
)
