"""The tower of LFM2-VL: SigLIP 2 at an image's own size, or tiles and the whole of a large one; patches shuffled."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Family, Fields, names, rule
from roofline.models.families.rules import by_flag, flag, stated, whole
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.fields import patch_elements, side, sizes


@rule("outer.text_width outer.projector_hidden_size outer.projector_hidden_act outer.projector_bias")
def _projector(fields: Fields) -> list[dict[str, Any]]:
    bias = flag(fields, "outer.projector_bias", True)
    function = fields.get("outer.projector_hidden_act") or "gelu"
    inner = {"width": whole(fields, "outer.projector_hidden_size", 2560), "bias": bias, "function": function}
    return [inner, {"width": fields["outer.text_width"], "bias": bias}]


def _pixels(name: str, default: int) -> Any:
    """The pixels of so many tokens."""

    @rule(name)
    def of_tokens(fields: Fields) -> int:
        return int(whole(fields, name, default) * (fields["patch_size"] * fields["merge"]) ** 2)

    return of_tokens


LFM2_VL = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options=sizes(768, 3072, 12, 12, "gelu_pytorch_tanh"),
    fixed={
        "patch_size": side("patch_size", 16),
        "patch_elements": patch_elements,
        "max_position_embeddings": stated("num_patches", 256),
        "positions": "resampled",
        "merge": stated("outer.downsample_factor", 2),
        "projector_norm": by_flag("outer.projector_use_layernorm", True, yes="layer", no=None),
        "projector": _projector,
        "rule": "roomy",
        "tile_size": stated("processor.tile_size", 512),
        "min_tiles": stated("processor.min_tiles", 2),
        "max_tiles": stated("processor.max_tiles", 10),
        "min_pixels": _pixels("processor.min_image_tokens", 64),
        "max_pixels": _pixels("processor.max_image_tokens", 256),
    },
    only={
        "vision_use_head": False,
        "processor.do_image_splitting": True,
        "processor.use_thumbnail": True,
        "processor.max_pixels_tolerance": 2.0,
    },
    inert=names("image_size projection_dim"),
)
