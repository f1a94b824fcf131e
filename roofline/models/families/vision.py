"""The families of images, and of images and text: one entry each."""

from __future__ import annotations

from collections.abc import Callable

from roofline.errors import shown
from roofline.models.families.family import USUAL, Family, Fields, names, rule
from roofline.models.families.rules import label_count, whole
from roofline.models.shapes import two_towers, vision


def _tokens(image: int, patch: int, prefix: str = "") -> Callable[[Fields], int]:
    """The tokens of an image: its whole patches, and the class token."""

    def tokens(fields: Fields) -> int:
        side, width = whole(fields, f"{prefix}image_size", image), whole(fields, f"{prefix}patch_size", patch)
        if width < 1 or side < width:
            msg = f"{prefix}image_size {shown(side)}: expected at least {prefix}patch_size {shown(width)}, at least 1"
            raise ValueError(msg)
        return (side // width) ** 2 + 1

    return tokens


@rule("pooler_act pooler_output_size")
def _as_wide_as_hidden(fields: Fields) -> str:
    """The pooler's activation; a pooler of another width than the hidden size is not modelled."""
    given = fields.get("pooler_output_size")
    if given not in (None, fields.get("hidden_size")):
        msg = f"pooler_output_size {shown(given)} is not modelled; expected hidden_size"
        raise ValueError(msg)
    return str(fields.get("pooler_act") or "tanh")


_CLIP_IMAGES: Fields = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "image_size": 224,
    "patch_size": 32,
    "num_channels": 3,
}
_CLIP_TEXT: Fields = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
}
_CLIP_TOWER: Fields = {"patch_bias": False, "embedding_norm": True}
_CLIP_INERT = "logit_scale_init_value initializer_factor dropout"

VISION: dict[str, Family] = {
    "clip": Family(
        two_towers.TwoTowersConfig,
        two_towers.program,
        classes={"CLIPModel": {"projected": True}},
        rename={
            **{f"text_config.{name}": name for name in _CLIP_TEXT},
            **{f"vision_config.{name}": f"images.{name}" for name in _CLIP_IMAGES},
        },
        options={
            "projection_dim": 512,
            **_CLIP_TEXT,
            **{f"images.{name}": value for name, value in _CLIP_IMAGES.items()},
        },
        fixed={
            "images.max_position_embeddings": _tokens(224, 32, "vision_config."),
            **{f"images.{name}": value for name, value in _CLIP_TOWER.items()},
        },
        only=USUAL,
        inert=names(
            f"{_CLIP_INERT} text_config.projection_dim vision_config.projection_dim "
            "text_config.initializer_factor vision_config.initializer_factor "
            "text_config.dropout vision_config.dropout"
        ),
        nested=("text_config", "vision_config"),
    ),
    "clip_text_model": Family(
        two_towers.TwoTowersConfig,
        two_towers.program,
        classes={"CLIPTextModel": {"projected": False}, "CLIPTextModelWithProjection": {"projected": True}},
        options={**_CLIP_TEXT, "projection_dim": 512},
        only=USUAL,
        inert=names(_CLIP_INERT),
    ),
    "clip_vision_model": Family(
        vision.VisionConfig,
        vision.program,
        classes={"CLIPVisionModel": {"projected": False}, "CLIPVisionModelWithProjection": {"projected": True}},
        options={**_CLIP_IMAGES, "projection_dim": 512},
        fixed={**_CLIP_TOWER, "max_position_embeddings": _tokens(224, 32)},
        only=USUAL,
        inert=names(_CLIP_INERT),
    ),
    "vit": Family(
        vision.VisionConfig,
        vision.program,
        classes={"ViTModel": {"pooler": True}, "ViTForImageClassification": {"head": "classifier"}},
        options={
            "hidden_act": "gelu",
            "image_size": 224,
            "patch_size": 16,
            "num_channels": 3,
            "qkv_bias": True,
        },
        fixed={
            "max_position_embeddings": _tokens(224, 16),
            "pooler_act": _as_wide_as_hidden,
            "num_labels": label_count,
        },
        only=USUAL,
        inert=names("encoder_stride"),
    ),
}
