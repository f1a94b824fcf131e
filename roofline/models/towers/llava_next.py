"""The towers of LLaVA-NeXT: tiles of the resolution that loses least, a new line behind each row."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Fields, rule
from roofline.models.towers.clip import CLIP
from roofline.models.towers.siglip import SIGLIP

_pinpoints = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


@rule("outer.image_grid_pinpoints")
def _resolutions(fields: Fields) -> Any:
    return fields.get("outer.image_grid_pinpoints") or _pinpoints


_ANYRES: Fields = {"rule": "anyres", "newline": True, "pinpoints": _resolutions}
CLIP_TILES = CLIP.but(fixed=_ANYRES)
SIGLIP_TILES = SIGLIP.but(fixed=_ANYRES)
