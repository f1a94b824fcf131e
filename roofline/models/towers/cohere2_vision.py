"""The tower of Command A Vision: tiles, patches shuffled into channels, a gated projector."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Fields, rule
from roofline.models.families.rules import stated, whole
from roofline.models.towers.siglip import SIGLIP


@rule("outer.text_width outer.alignment_intermediate_size")
def _gated(fields: Fields) -> list[dict[str, Any]]:
    inner = whole(fields, "outer.alignment_intermediate_size", 36_864)
    if inner % 2:
        msg = f"alignment_intermediate_size: given {inner}, expected an even number, a half of which is a gate"
        raise ValueError(msg)
    first = {"width": inner // 2, "function": "silu", "gated": True}
    return [first, {"width": fields["outer.text_width"]}]


COHERE2_VISION = SIGLIP.but(
    fixed={
        "merge": rule("outer.downsample_factor")(lambda fields: whole(fields, "outer.downsample_factor", 2)),
        "projector": _gated,
        "rule": "canvas",
        "min_tiles": stated("processor.min_patches", 1),
        "max_tiles": stated("processor.max_patches", 12),
    },
)
