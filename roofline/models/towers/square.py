"""Towers of square images, CLIP to MoonViT, each with the projectors of its families."""

from __future__ import annotations

from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Family, Fields, Rule, names, rule
from roofline.models.families.rules import flag, whole
from roofline.models.shapes.tower import TowerConfig, program


def side(name: str, default: int) -> Rule[int]:
    """A length that a file states as a number or as two equal ones."""

    return Rule(name, lambda fields: whole({name: _side_of(fields.get(name))}, name, default))


def _side_of(given: Any) -> Any:
    """The side of a square that is stated as two equal ones; anything else as it is."""
    return given[0] if isinstance(given, list) and len(given) == 2 and given[0] == given[1] else given


def stated(name: str, default: int) -> Rule[int]:
    """A whole number of the file."""
    return Rule(name, lambda fields: whole(fields, name, default))


@rule("num_channels")
def _elements(fields: Fields) -> int:
    return int(whole(fields, "num_channels", 3) * fields["patch_size"] ** 2)


def _positions(fields: Fields) -> int:
    return int((fields["image_size"] // fields["patch_size"]) ** 2 + bool(fields.get("class_token")))


@rule("outer.text_width outer.multimodal_projector_bias outer.projector_hidden_act")
def two_matmuls(fields: Fields) -> list[dict[str, Any]]:
    """LLaVA's projector: two matmuls as wide as the decoder."""
    width, bias = fields["outer.text_width"], flag(fields, "outer.multimodal_projector_bias", True)
    function = fields.get("outer.projector_hidden_act") or "gelu"
    return [{"width": width, "bias": bias, "function": function}, {"width": width, "bias": bias}]


def _square(image: int, patch: int) -> dict[str, Any]:
    return {
        "image_size": side("image_size", image),
        "patch_size": side("patch_size", patch),
        "patch_elements": _elements,
        "max_position_embeddings": _positions,
        "projector": two_matmuls,
    }


_SIZES = "hidden_size intermediate_size num_hidden_layers num_attention_heads".split()


def _sizes(hidden: int, inner: int, layers: int, heads: int, function: str) -> Fields:
    """What a tower's class takes where its file is silent."""
    return {**dict(zip(_SIZES, (hidden, inner, layers, heads), strict=True)), "hidden_act": function}


CLIP = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options=_sizes(768, 3072, 12, 12, "quick_gelu"),
    fixed={"class_token": True, "patch_bias": False, "embedding_norm": True, **_square(224, 32)},
    inert=names("initializer_factor projection_dim vocab_size outer.vision_feature_layer"),
    only={"outer.vision_feature_select_strategy": "default"},
)
SIGLIP = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options={**CLIP.options, "hidden_act": "gelu_pytorch_tanh"},
    fixed=_square(224, 16),
    only={"vision_use_head": False},
    inert=names("projection_dim outer.vision_feature_layer"),
)
PIXTRAL = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options=_sizes(1024, 4096, 24, 16, "gelu"),
    fixed={
        **_square(1024, 16),
        "patch_bias": False,
        "embedding_norm": True,
        "norm": "rms",
        "gated": True,
        "positions": "none",
        "rotary": True,
        "attention_bias": False,
        "out_bias": False,
        "mlp_bias": False,
        "final_norm": False,
        "rule": "rows",
    },
    inert=names("head_dim outer.vision_feature_layer outer.vision_feature_select_strategy"),
)


@rule("outer.mm_tokens_per_image")
def _pool(fields: Fields) -> int:
    """Gemma 3: the side of the squares of patches of which a token is the mean."""
    tokens = whole(fields, "outer.mm_tokens_per_image", 256)
    return max(1, int(fields["image_size"] // fields["patch_size"] // max(1, int(tokens**0.5))))


GEMMA3 = SIGLIP.but(
    fixed={
        "pool": _pool,
        "projector_norm": "rms",
        "projector": Rule("outer.text_width", lambda fields: [{"width": fields["outer.text_width"], "bias": False}]),
    }
)

_pinpoints = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


@rule("outer.image_grid_pinpoints")
def _resolutions(fields: Fields) -> Any:
    return fields.get("outer.image_grid_pinpoints") or _pinpoints


_ANYRES: Fields = {"rule": "anyres", "newline": True, "pinpoints": _resolutions}
LLAVA = {"clip_vision_model": CLIP, "siglip_vision_model": SIGLIP, "pixtral": PIXTRAL}
LLAVA_NEXT = {"clip_vision_model": CLIP.but(fixed=_ANYRES), "siglip_vision_model": SIGLIP.but(fixed=_ANYRES)}


@rule("outer.text_width outer.multimodal_projector_bias outer.projector_hidden_act")
def _merged_matmuls(fields: Fields) -> list[dict[str, Any]]:
    """Mistral 3: four patches brought back to the width of one, then two matmuls."""
    bias = flag(fields, "outer.multimodal_projector_bias", False)
    after = two_matmuls({**fields, "outer.multimodal_projector_bias": bias})
    return [{"width": fields["hidden_size"], "bias": False}, *after]


MISTRAL3 = PIXTRAL.but(
    fixed={
        "final_norm": True,
        "merge": stated("outer.spatial_merge_size", 2),
        "projector": _merged_matmuls,
    }
)


@rule("outer.text_width projector_input_dim projector_output_dim vision_output_dim")
def _llama4_projector(fields: Fields) -> list[dict[str, Any]]:
    first, second = whole(fields, "projector_input_dim", 4096), whole(fields, "projector_output_dim", 4096)
    acted = ({"width": width, "bias": False, "function": "gelu"} for width in (first, second))
    return [*acted, {"width": fields["outer.text_width"], "bias": False}]


def _shuffled(name: str) -> Rule[int]:
    """The side of the squares of patches that a ratio below 1 makes one."""

    def merge(fields: Fields) -> int:
        ratio = fields.get(name, 0.5)
        if not isinstance(ratio, int | float) or not 0 < ratio <= 1 or (1 / ratio) % 1:
            msg = f"{name}: given {shown(ratio)}, expected 1 / a whole number"
            raise ValueError(msg)
        return int(1 / ratio)

    return Rule(name, merge)


LLAMA4 = Family(
    TowerConfig,
    program,
    classes={"": {}},
    options=_sizes(768, 5632, 34, 16, "gelu"),
    fixed={
        **_square(448, 14),
        "class_token": True,
        "patch_bias": False,
        "embedding_norm": True,
        "rotary": True,
        "merge": _shuffled("pixel_shuffle_ratio"),
        "projector": _llama4_projector,
        "rule": "chunked",
        "max_tiles": stated("processor.max_patches", 16),
    },
    only={"vision_feature_select_strategy": "default", "multi_modal_projector_bias": False},
    inert=names("norm_eps projector_dropout vision_feature_layer"),
)


@rule("use_mean_pooling")
def _last_norm(fields: Fields) -> bool:
    """Whether a norm follows the last layer; it is LayerNorm, whatever those of the layers are."""
    normed = not flag(fields, "use_mean_pooling", True)
    if normed and fields["norm"] == "rms":
        msg = "use_mean_pooling false is not modelled with norm_type rms_norm; expected layer_norm"
        raise ValueError(msg)
    return normed


INTERNVIT = Family(
    TowerConfig,
    program,
    classes={"": {}},
    rename={"use_qk_norm": "query_key_norm"},
    options={
        **_sizes(1024, 4096, 24, 16, "gelu"),
        "attention_bias": False,
        "query_key_norm": False,
    },
    fixed={
        **_square(448, 14),
        "class_token": True,
        "layer_scale": True,
        "norm": Rule("norm_type", lambda fields: "rms" if fields.get("norm_type") == "rms_norm" else "layer"),
        "final_norm": _last_norm,
        "merge": _shuffled("outer.downsample_ratio"),
        "projector_norm": "layer",
        "rule": "tiled",
        "min_tiles": stated("processor.min_patches", 1),
        "max_tiles": stated("processor.max_patches", 12),
    },
    only={"use_mask_token": False, "use_absolute_position_embeddings": True},
    inert=names(
        "layer_scale_init_value projection_dropout outer.vision_feature_layer outer.vision_feature_select_strategy "
        "drop_path_rate"
    ),
)


@rule("pos_emb_height pos_emb_width init_pos_emb_height init_pos_emb_width pos_emb_time")
def _table(fields: Fields) -> int:
    sides = (whole(fields, f"pos_emb_{one}", whole(fields, f"init_pos_emb_{one}", 64)) for one in ("height", "width"))
    return next(sides) * next(sides)


@rule("merge_kernel_size")
def _kernel(fields: Fields) -> Any:
    return _side_of(fields.get("merge_kernel_size", [2, 2]))


@rule("outer.text_width")
def _moon_projector(fields: Fields) -> list[dict[str, Any]]:
    inner = fields["hidden_size"] * fields["merge"] ** 2
    return [{"width": inner, "function": "gelu"}, {"width": fields["outer.text_width"]}]


MOONVIT = Family(
    TowerConfig,
    program,
    classes={"": {}},
    rename={f"vt_{name}": name for name in _SIZES},  # as the file of Kimi-K2.5 has them
    options=_sizes(1152, 4304, 27, 16, "gelu_pytorch_tanh"),
    fixed={
        "patch_size": side("patch_size", 14),
        "patch_elements": _elements,
        "max_position_embeddings": _table,
        "positions": "resampled",
        "rotary": True,
        "merge": _kernel,
        "patch_norm": "layer",
        "projector": _moon_projector,
        "rule": "padded",
        "max_patches": stated("processor.max_patches", 16384),
        "max_side": stated("processor.size.max_height", 512),
    },
    inert=names(
        "outer.projection_hidden_size outer.projection_layer_norm_eps mm_hidden_size merge_type mm_projector_type "
        "pos_emb_type projector_hidden_act projector_ln_eps text_hidden_size video_attn_type init_pos_emb_time "
        "_attn_implementation"
    ),
)
