"""Networks that see or hear, by the ``model_type`` of the whole: the towers; the text model is a family of its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from roofline.classes import frozen
from roofline.models.families.family import Family


@frozen
class Tower:
    """What a wrapper has in front of its text model.

    towers: the ``model_type`` of its ``vision_config``, or ``audio_config`` -> the tower, ``file.NAME``, imported when
    it is asked for; the first is meant where the file names none, and the only one where it names another. ``lifted``:
    fields beside that mapping that rules of the tower read, as words, under ``outer.NAME``.
    """

    towers: Mapping[str, str]
    lifted: str = ""

    def tower(self, kind: object) -> Family | None:
        """The tower of a mapping of a type; None where it is none of the wrapper's."""
        first = next(iter(self.towers.values()))
        path = first if kind is None or len(self.towers) == 1 else self.towers.get(str(kind))
        if path is None:
            return None
        file, _, name = path.rpartition(".")
        found = getattr(import_module(f"roofline.models.towers.{file}"), name)
        assert isinstance(found, Family), path
        return found


_PROJECTOR = "projector_hidden_act multimodal_projector_bias vision_feature_layer vision_feature_select_strategy"

_LLAVA = {"clip_vision_model": "clip.CLIP", "siglip_vision_model": "siglip.SIGLIP", "pixtral": "pixtral.PIXTRAL"}
_LLAVA_NEXT = {"clip_vision_model": "llava_next.CLIP_TILES", "siglip_vision_model": "llava_next.SIGLIP_TILES"}

SEEING: dict[str, Tower] = {
    "cohere2_vision": Tower(
        {"siglip_vision_model": "cohere2_vision.COHERE2_VISION"}, "downsample_factor alignment_intermediate_size"
    ),
    "gemma4": Tower({"gemma4_vision": "gemma4.GEMMA4"}, "vision_soft_tokens_per_image"),
    "glm46v": Tower({"glm4v_vision": "glm4v.GLM4V"}),
    "glm4v": Tower({"glm4v_vision": "glm4v.GLM4V"}),
    "glm4v_moe": Tower({"glm4v_moe_vision": "glm4v.GLM4V"}),
    "gemma3": Tower({"siglip_vision_model": "gemma3.GEMMA3"}, "mm_tokens_per_image"),
    "idefics3": Tower({"idefics3_vision": "idefics3.IDEFICS3"}, "scale_factor"),
    "smolvlm": Tower({"smolvlm_vision": "idefics3.IDEFICS3"}, "scale_factor"),
    "internvl": Tower({"internvl_vision": "internvit.INTERNVIT"}, f"downsample_ratio {_PROJECTOR}"),
    "kimi_k25": Tower({"kimi_k25_vision": "moonvit.MOONVIT"}, "projection_hidden_size projection_layer_norm_eps"),
    "kimi_vl": Tower({"moonvit": "moonvit.MOONVIT"}),
    "lfm2_vl": Tower(
        {"siglip2_vision_model": "lfm2_vl.LFM2_VL"},
        "downsample_factor projector_hidden_size projector_hidden_act projector_bias projector_use_layernorm",
    ),
    "llama4": Tower({"llama4_vision_model": "llama4.LLAMA4"}),
    "llava": Tower(_LLAVA, _PROJECTOR),
    "llava_next": Tower(_LLAVA_NEXT, f"image_grid_pinpoints {_PROJECTOR}"),
    "minimax_m3_vl": Tower({"minimax_m3_vl_vision": "minimax_m3.MINIMAX_M3"}, "projector_hidden_size"),
    "paligemma": Tower({"siglip_vision_model": "paligemma.PALIGEMMA"}, "projection_dim"),
    "mistral3": Tower({"pixtral": "mistral3.MISTRAL3"}, f"spatial_merge_size {_PROJECTOR}"),
    "qwen2_5_vl": Tower({"qwen2_5_vl": "qwen.qwen2_5_vl.QWEN2_5_VL"}),
    "qwen2_5_omni_thinker": Tower({"qwen2_5_omni_vision_encoder": "qwen.qwen2_5_vl.QWEN2_5_VL"}),
    "qwen2_vl": Tower({"qwen2_vl": "qwen.qwen2_vl.QWEN2_VL"}),
    "qwen3_5": Tower({"qwen3_5": "qwen.qwen3_5.QWEN3_5"}),
    "qwen3_5_moe": Tower({"qwen3_5_moe": "qwen.qwen3_5.QWEN3_5"}),
    "qwen3_omni_moe_thinker": Tower({"qwen3_omni_moe_vision_encoder": "qwen.qwen3_omni.QWEN3_OMNI"}),
    "qwen3_vl": Tower({"qwen3_vl": "qwen.qwen3_vl.QWEN3_VL"}),
    "qwen3_vl_moe": Tower({"qwen3_vl_moe": "qwen.qwen3_vl.QWEN3_VL"}),
}
"""``model_type`` of the whole -> its tower of images."""

HEARING: dict[str, Tower] = {
    "qwen2_5_omni_thinker": Tower({"qwen2_5_omni_audio_encoder": "hearing.qwen2_5_omni.QWEN2_5_OMNI"}),
    "qwen2_audio": Tower({"qwen2_audio_encoder": "hearing.qwen2_audio.QWEN2_AUDIO"}),
    "qwen3_omni_moe_thinker": Tower({"qwen3_omni_moe_audio_encoder": "hearing.qwen3_omni.QWEN3_OMNI"}),
    "voxtral": Tower({"voxtral_encoder": "hearing.voxtral.VOXTRAL"}, "projector_hidden_act"),
}
"""``model_type`` of the whole -> its tower of sound."""

PERCEIVING = (*SEEING, *(kind for kind in HEARING if kind not in SEEING))
"""Every ``model_type`` of a whole that has a tower."""
