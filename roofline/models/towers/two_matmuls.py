"""The projector of LLaVA's kin: two matmuls as wide as the decoder."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Fields, rule
from roofline.models.families.rules import flag


@rule("outer.text_width outer.multimodal_projector_bias outer.projector_hidden_act")
def two_matmuls(fields: Fields) -> list[dict[str, Any]]:
    """LLaVA's projector: two matmuls as wide as the decoder."""
    width, bias = fields["outer.text_width"], flag(fields, "outer.multimodal_projector_bias", True)
    function = fields.get("outer.projector_hidden_act") or "gelu"
    return [{"width": width, "bias": bias, "function": function}, {"width": width, "bias": bias}]
