"""The towers of Qwen2-VL, Qwen2.5-VL, Qwen3-VL and Qwen3.5: images at their own size, patches of two frames."""

from __future__ import annotations

from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Family, Fields, Rule, names, rule
from roofline.models.families.rules import whole
from roofline.models.shapes.tower import TowerConfig, program


def _bounds(name: str, edge: str, default: int, kind: str = "processor") -> Rule[int]:
    """A bound of pixels, which a processor's file states as ``min_pixels`` or as the ``shortest_edge`` of its size."""
    path, edge = f"{kind}.{name}", f"{kind}.size.{edge}"
    return Rule(f"{path} {edge}", lambda fields: whole(fields, path if fields.get(path) is not None else edge, default))


def _merged(fields: Fields, width: int) -> list[dict[str, Any]]:
    """Two matmuls: as wide as the patches of a token, then as the decoder."""
    return [{"width": fields["hidden_size"] * fields["merge"] ** 2, "function": "gelu"}, {"width": width}]


@rule("out_hidden_size outer.text_width")
def _merger(fields: Fields) -> list[dict[str, Any]]:
    return _merged(fields, whole(fields, "out_hidden_size", fields["outer.text_width"]))


@rule("in_channels in_chans spatial_patch_size")
def _elements(fields: Fields) -> int:
    """A patch's elements: all channels of two frames; an image is a video of one frame twice."""
    channels = whole(fields, "in_channels", whole(fields, "in_chans", 3))
    return int(channels * fields["temporal_patch_size"] * fields["patch_size"] ** 2)


@rule("fullatt_block_indexes")
def _windows(fields: Fields) -> list[int]:
    full = fields.get("fullatt_block_indexes", [7, 15, 23, 31])
    if not isinstance(full, list) or not all(isinstance(each, int) for each in full):
        msg = f"fullatt_block_indexes: given {shown(full)}, expected a list of layer numbers"
        raise ValueError(msg)
    return [int(layer not in full) for layer in range(fields["num_hidden_layers"])]


@rule("deepstack_visual_indexes")
def _taps(fields: Fields) -> int:
    given = fields.get("deepstack_visual_indexes", [8, 16, 24])
    if not isinstance(given, list):
        msg = f"deepstack_visual_indexes: given {shown(given)}, expected a list of layer numbers"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return len(given)


_QWEN = Family(
    TowerConfig,
    program,
    classes={"": {}},
    rename={"depth": "num_hidden_layers", "num_heads": "num_attention_heads", "spatial_merge_size": "merge"},
    options={
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "merge": 2,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "max_position_embeddings": 1,
    },
    fixed={
        "patch_elements": _elements,
        "projector": _merger,
        "rotary": True,
        "packed_qkv": True,
        "positions": "none",
        "patch_bias": False,
        "rule": "resized",
        "min_pixels": _bounds("min_pixels", "shortest_edge", 56 * 56),
        "max_pixels": _bounds("max_pixels", "longest_edge", 28 * 28 * 1280),
        "video": "each",
        "video_min_pixels": _bounds("min_pixels", "shortest_edge", 128 * 28 * 28, "video_processor"),
        "video_max_pixels": _bounds("max_pixels", "longest_edge", 28 * 28 * 768, "video_processor"),
    },
    inert=names("tokens_per_second"),
)

QWEN2_VL = _QWEN.but(
    rename={"embed_dim": "hidden_size"},
    options={"hidden_size": 1280, "hidden_act": "quick_gelu"},
    fixed={
        "intermediate_size": Rule("mlp_ratio", lambda fields: fields["hidden_size"] * whole(fields, "mlp_ratio", 4)),
        "projector": Rule("outer.text_width hidden_size", lambda fields: _merged(fields, fields["outer.text_width"])),
    },
)
QWEN2_5_VL = _QWEN.but(
    options={"hidden_size": 3584, "hidden_act": "silu", "intermediate_size": 3420, "window_size": 112},
    fixed={"norm": "rms", "gated": True, "windows": _windows},
)
_RESAMPLED = _QWEN.but(
    rename={"num_position_embeddings": "max_position_embeddings"},
    options={
        "num_hidden_layers": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "hidden_act": "gelu_pytorch_tanh",
        "patch_size": 16,
        "max_position_embeddings": 2304,
    },
    fixed={
        "positions": "resampled",
        "patch_bias": True,
        "video": "all",
        "video_min_pixels": _bounds("min_pixels", "shortest_edge", 128 * 32 * 32, "video_processor"),
        "video_max_pixels": _bounds("max_pixels", "longest_edge", 32 * 32 * 768, "video_processor"),
    },
)
QWEN3_VL = _RESAMPLED.but(fixed={"taps": _taps})
QWEN3_5 = _RESAMPLED.but(inert="deepstack_visual_indexes")
