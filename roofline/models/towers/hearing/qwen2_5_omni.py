"""The tower of Qwen2.5-Omni: pieces of two seconds, each of which sees itself alone; the mean of two places a token."""

from __future__ import annotations

from roofline.models.families.family import Rule
from roofline.models.families.rules import whole
from roofline.models.towers.hearing.whisper import WHISPER, matmul, seconds

QWEN2_5_OMNI = WHISPER.but(
    fixed={
        "trained_positions": False,
        "windows": Rule("", lambda fields: [1] * fields["num_hidden_layers"]),
        "final_norm": False,
        "pool": 2,
        "projector_norm": "layer",
        "projector": Rule("output_dim", lambda fields: matmul(whole(fields, "output_dim", 3584))),
        "ends": True,
        "rule": "pieces",
        "piece_frames": Rule("n_window", lambda fields: 2 * whole(fields, "n_window", 100)),
        "longest_s": seconds(30),
    },
)
