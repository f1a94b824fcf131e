"""The tower of Qwen3-VL: tokens of layers within go to the decoder too."""

from __future__ import annotations

from roofline.errors import shown
from roofline.models.families.family import Fields, rule
from roofline.models.towers.qwen.shared import RESAMPLED


@rule("deepstack_visual_indexes")
def _taps(fields: Fields) -> int:
    given = fields.get("deepstack_visual_indexes", [8, 16, 24])
    if not isinstance(given, list):
        msg = f"deepstack_visual_indexes: given {shown(given)}, expected a list of layer numbers"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return len(given)


QWEN3_VL = RESAMPLED.but(fixed={"taps": _taps})
