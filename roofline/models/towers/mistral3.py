"""The tower of Mistral Small 3.x: four patches brought to the width of one."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Fields, rule
from roofline.models.families.rules import flag, stated
from roofline.models.towers.pixtral import PIXTRAL
from roofline.models.towers.two_matmuls import two_matmuls


@rule("outer.text_width outer.multimodal_projector_bias outer.projector_hidden_act")
def _merged_matmuls(fields: Fields) -> list[dict[str, Any]]:
    """Mistral 3: four patches brought back to the width of one, then two matmuls."""
    bias = flag(fields, "outer.multimodal_projector_bias", False)
    after = two_matmuls({**fields, "outer.multimodal_projector_bias": bias})
    return [{"width": fields["hidden_size"], "bias": False}, *after]


MISTRAL3 = PIXTRAL.but(
    fixed={
        "final_norm": True,
        "merge": stated("outer.spatial_merge_size", 2),
        "projector": _merged_matmuls,
    }
)
