"""The tower of Gemma 3: means of squares of patches, one matmul."""

from __future__ import annotations

from roofline.models.families.family import Fields, Rule, rule
from roofline.models.families.rules import whole
from roofline.models.towers.siglip import SIGLIP


@rule("outer.mm_tokens_per_image")
def _pool(fields: Fields) -> int:
    """Gemma 3: the side of the squares of patches of which a token is the mean."""
    tokens = whole(fields, "outer.mm_tokens_per_image", 256)
    return max(1, int(fields["image_size"] // fields["patch_size"] // max(1, int(tokens**0.5))))


GEMMA3 = SIGLIP.but(
    fixed={
        "pool": _pool,
        "projector_norm": "rms",
        "projector": Rule("outer.text_width", lambda fields: [{"width": fields["outer.text_width"], "bias": False}]),
    }
)
