"""The tower of PaliGemma: SigLIP, one matmul."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Fields, rule
from roofline.models.towers.siglip import SIGLIP


@rule("outer.text_width outer.projection_dim")
def _one_matmul(fields: Fields) -> list[dict[str, Any]]:
    return [{"width": fields["outer.text_width"]}]


PALIGEMMA = SIGLIP.but(fixed={"projector": _one_matmul})
