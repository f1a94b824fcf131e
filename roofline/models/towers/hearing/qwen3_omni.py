"""The tower of Qwen3-Omni: pieces of a second through convolutions in time and frequency, windows of eight of them."""

from __future__ import annotations

from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Fields, Rule, rule
from roofline.models.families.rules import stated, whole
from roofline.models.towers.hearing.whisper import WHISPER


@rule("output_dim")
def _two_matmuls(fields: Fields) -> list[dict[str, Any]]:
    first = {"width": fields["hidden_size"], "function": fields["hidden_act"]}
    return [first, {"width": whole(fields, "output_dim", 3584)}]


@rule("n_window_infer")
def _window(fields: Fields) -> int:
    """The pieces of a window."""
    frames, piece = whole(fields, "n_window_infer", 800), fields["piece_frames"]
    if frames < piece:
        msg = f"n_window_infer: given {shown(frames)}, expected at least {piece}, the frames of a piece"
        raise ValueError(msg)
    return int(frames // piece)


QWEN3_OMNI = WHISPER.but(
    fixed={
        "key_bias": True,
        "trained_positions": False,
        "channels": stated("downsample_hidden_size", 480),
        "windows": Rule("", lambda fields: [1] * fields["num_hidden_layers"]),
        "projector": _two_matmuls,
        "rule": "pieces",
        "piece_frames": Rule("n_window", lambda fields: 2 * whole(fields, "n_window", 50)),
        "window_pieces": _window,
        "rounds_up": False,
    },
    inert="conv_chunksize",
)
