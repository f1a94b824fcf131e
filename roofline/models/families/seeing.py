"""Networks that see, by the ``model_type`` of the whole: the tower of each; its text model is a family of its own."""

from __future__ import annotations

from roofline.classes import frozen
from roofline.models.families.family import Family
from roofline.models.towers.qwen import QWEN2_5_VL, QWEN2_VL, QWEN3_5, QWEN3_VL


@frozen
class Seeing:
    """A wrapper of a tower and a text model.

    ``lifted``: fields beside its ``vision_config`` that rules of the tower read, as words, under ``outer.NAME``.
    """

    tower: Family
    lifted: str = ""


SEEING: dict[str, Seeing] = {
    "qwen2_5_vl": Seeing(QWEN2_5_VL),
    "qwen2_vl": Seeing(QWEN2_VL),
    "qwen3_5": Seeing(QWEN3_5),
    "qwen3_5_moe": Seeing(QWEN3_5),
    "qwen3_vl": Seeing(QWEN3_VL),
    "qwen3_vl_moe": Seeing(QWEN3_VL),
}
"""``model_type`` of the whole -> its tower."""
