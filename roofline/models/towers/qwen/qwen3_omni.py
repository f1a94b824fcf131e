"""The tower of images of Qwen3-Omni: that of Qwen3-VL, which reads videos as Qwen2-VL does."""

from __future__ import annotations

from roofline.models.towers.qwen.qwen3_vl import QWEN3_VL
from roofline.models.towers.qwen.shared import bounds

QWEN3_OMNI = QWEN3_VL.but(
    fixed={
        "video": "each",
        "video_min_pixels": bounds("min_pixels", "shortest_edge", 128 * 32 * 32, "video_processor"),
        "video_max_pixels": bounds("max_pixels", "longest_edge", 768 * 32 * 32, "video_processor"),
    }
)
