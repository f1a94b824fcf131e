"""The tower of Qwen3.5."""

from __future__ import annotations

from roofline.models.towers.qwen.shared import RESAMPLED

QWEN3_5 = RESAMPLED.but(inert="deepstack_visual_indexes")
