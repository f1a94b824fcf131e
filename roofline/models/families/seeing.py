"""Networks that see, by the ``model_type`` of the whole: the tower of each; its text model is a family of its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from roofline.classes import frozen
from roofline.models.families.family import Family


@frozen
class Seeing:
    """A wrapper of a tower and a text model.

    towers: the ``model_type`` of its ``vision_config`` -> the tower, ``file.NAME``, imported when it is asked for; the
    first is meant where the file names none, and the only one where it names another. ``lifted``: fields beside its
    ``vision_config`` that rules of the tower read, as words, under ``outer.NAME``.
    """

    towers: Mapping[str, str]
    lifted: str = ""

    def tower(self, kind: object) -> Family | None:
        """The tower of a ``vision_config`` of a type; None where it is none of the wrapper's."""
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

SEEING: dict[str, Seeing] = {
    "gemma4": Seeing({"gemma4_vision": "gemma4.GEMMA4"}, "vision_soft_tokens_per_image"),
    "glm4v": Seeing({"glm4v_vision": "glm4v.GLM4V"}),
    "glm4v_moe": Seeing({"glm4v_moe_vision": "glm4v.GLM4V"}),
    "gemma3": Seeing({"siglip_vision_model": "gemma3.GEMMA3"}, "mm_tokens_per_image"),
    "internvl": Seeing({"internvl_vision": "internvit.INTERNVIT"}, f"downsample_ratio {_PROJECTOR}"),
    "kimi_k25": Seeing({"kimi_k25_vision": "moonvit.MOONVIT"}, "projection_hidden_size projection_layer_norm_eps"),
    "kimi_vl": Seeing({"moonvit": "moonvit.MOONVIT"}),
    "llama4": Seeing({"llama4_vision_model": "llama4.LLAMA4"}),
    "llava": Seeing(_LLAVA, _PROJECTOR),
    "llava_next": Seeing(_LLAVA_NEXT, f"image_grid_pinpoints {_PROJECTOR}"),
    "minimax_m3_vl": Seeing({"minimax_m3_vl_vision": "minimax_m3.MINIMAX_M3"}, "projector_hidden_size"),
    "paligemma": Seeing({"siglip_vision_model": "paligemma.PALIGEMMA"}, "projection_dim"),
    "mistral3": Seeing({"pixtral": "mistral3.MISTRAL3"}, f"spatial_merge_size {_PROJECTOR}"),
    "qwen2_5_vl": Seeing({"qwen2_5_vl": "qwen.qwen2_5_vl.QWEN2_5_VL"}),
    "qwen2_vl": Seeing({"qwen2_vl": "qwen.qwen2_vl.QWEN2_VL"}),
    "qwen3_5": Seeing({"qwen3_5": "qwen.qwen3_5.QWEN3_5"}),
    "qwen3_5_moe": Seeing({"qwen3_5_moe": "qwen.qwen3_5.QWEN3_5"}),
    "qwen3_vl": Seeing({"qwen3_vl": "qwen.qwen3_vl.QWEN3_VL"}),
    "qwen3_vl_moe": Seeing({"qwen3_vl_moe": "qwen.qwen3_vl.QWEN3_VL"}),
}
"""``model_type`` of the whole -> its tower."""
