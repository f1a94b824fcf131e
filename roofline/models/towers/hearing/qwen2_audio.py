"""The tower of Qwen2-Audio: sound padded to 30 s, the mean of two places a token."""

from __future__ import annotations

from roofline.models.families.family import Rule
from roofline.models.towers.hearing.whisper import WHISPER, matmul, seconds

QWEN2_AUDIO = WHISPER.but(
    fixed={
        "final_norm": False,
        "pool": 2,
        "projector_norm": "layer",
        "projector": Rule("outer.text_width", lambda fields: matmul(fields["outer.text_width"])),
        "rule": "padded",
        "longest_s": seconds(30),
    },
)
