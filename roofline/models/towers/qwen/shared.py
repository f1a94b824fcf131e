"""What the towers of Qwen-VL share: images at their own size, patches of two frames, two matmuls."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Family, Fields, Rule, names, rule
from roofline.models.families.rules import whole
from roofline.models.shapes.tower import TowerConfig, program


def bounds(name: str, edge: str, default: int, kind: str = "processor") -> Rule[int]:
    """A bound of pixels, which a processor's file states as ``min_pixels`` or as the ``shortest_edge`` of its size."""
    path, edge = f"{kind}.{name}", f"{kind}.size.{edge}"
    return Rule(f"{path} {edge}", lambda fields: whole(fields, path if fields.get(path) is not None else edge, default))


def merged(fields: Fields, width: int) -> list[dict[str, Any]]:
    """Two matmuls: as wide as the patches of a token, then as the decoder."""
    return [{"width": fields["hidden_size"] * fields["merge"] ** 2, "function": "gelu"}, {"width": width}]


@rule("out_hidden_size")
def _merger(fields: Fields) -> list[dict[str, Any]]:
    return merged(fields, whole(fields, "out_hidden_size", 3584))  # as transformers fills it


@rule("in_channels in_chans spatial_patch_size")
def _elements(fields: Fields) -> int:
    """A patch's elements: all channels of two frames; an image is a video of one frame twice."""
    channels = whole(fields, "in_channels", whole(fields, "in_chans", 3))
    return int(channels * fields["temporal_patch_size"] * fields["patch_size"] ** 2)


QWEN = Family(
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
        "min_pixels": bounds("min_pixels", "shortest_edge", 56 * 56),
        "max_pixels": bounds("max_pixels", "longest_edge", 28 * 28 * 1280),
        "video": "each",
        "video_min_pixels": bounds("min_pixels", "shortest_edge", 128 * 28 * 28, "video_processor"),
        "video_max_pixels": bounds("max_pixels", "longest_edge", 28 * 28 * 768, "video_processor"),
    },
    inert=names("tokens_per_second"),
)


RESAMPLED = QWEN.but(
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
        "video_min_pixels": bounds("min_pixels", "shortest_edge", 128 * 32 * 32, "video_processor"),
        "video_max_pixels": bounds("max_pixels", "longest_edge", 32 * 32 * 768, "video_processor"),
    },
)
