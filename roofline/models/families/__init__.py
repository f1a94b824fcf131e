"""Every ``model_type`` that is modelled: one entry each, which maps its fields onto a shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from roofline.errors import SpecError
from roofline.files.plugins import plugin_table
from roofline.models.families.classifiers import SEQUENCE_CLASSES, scored
from roofline.models.families.family import Family
from roofline.program.conventions import Conventions
from roofline.program.program import Program

LINES = {
    "compressed": "deepseek_v4 minimax_m3_vl_text",
    "encoders": (
        "albert bert camembert deberta-v2 distilbert electra gte jina_embeddings_v3 modernbert mpnet nomic_bert "
        "roberta tutorial_encoder xlm-roberta"
    ),
    "encoder_decoders": "bart m2m_100 marian mbart mt5 pegasus t5 whisper",
    "gpt_line": "bloom cohere cohere2 falcon gpt2 gpt_bigcode gpt_neox gptj mpt opt phi stablelm starcoder2",
    "linear_hybrids": (
        "bailing_hybrid kimi_linear lfm2 lfm2_moe lfm3 minimax olmo_hybrid qwen3_5_moe_text qwen3_5_text qwen3_next "
        "recurrent_gemma"
    ),
    "llama_line": (
        "apertus arcee bitnet cwm ernie4_5 exaone4 gemma gemma2 gemma3_text gemma3n_text gemma4_text glm glm4 "
        "glm4v_text granite granite_swa helium hunyuan_v1_dense hyperclovax internlm3 iquestcoder jais2 llama "
        "mimo ministral ministral3 mistral nemotron olmo olmo2 olmo3 phi3 qwen2 qwen2_5_omni_text qwen2_5_vl_text "
        "qwen2_vl_text qwen3 qwen3_vl_text seed_oss smollm3 vaultgemma"
    ),
    "mamba_hybrids": "bamba falcon_h1 granitemoehybrid jamba nemotron_h",
    "mixtures": (
        "dbrx deepseek_v2 deepseek_v3 deepseek_v32 dots1 ernie4_5_moe flex_olmo glm4_moe glm4_moe_lite glm4v_moe_text "
        "glm_moe_dsa gpt_oss granitemoe granitemoe_swa granitemoeshared hunyuan_v1_moe hy_v3 llama4_text mellum "
        "minicpm3 minimax_m2 mistral4 mixtral olmoe phimoe qwen2_moe qwen3_moe qwen3_omni_moe_text "
        "qwen3_vl_moe_text solar_open youtu"
    ),
    "state_spaces": "falcon_mamba mamba mamba2",
    "vision": "clip clip_text_model clip_vision_model vit",
    "windowed_mixtures": "afmoe cohere2_moe exaone_moe laguna mimo_v2_flash step3_text step3p5",
}
"""The module of each line of families, whose table has the module's name in capitals, and its model types."""


class Families(Mapping[str, Family]):
    """``model_type`` -> how it maps onto a shape; a line of families is imported when one of them is asked for.

    Those of plugins are found by their type; the ones that are listed came with the package.
    """

    def __init__(self, lines: Mapping[str, str]) -> None:
        self._lines = {model_type: line for line, types in lines.items() for model_type in types.split()}
        self._found: dict[str, Family] = {}

    def __getitem__(self, model_type: str) -> Family:
        if model_type not in self._found and model_type not in self._lines:
            return _checked(model_type, plugin_table("FAMILIES")[model_type])
        if model_type not in self._found:
            line = self._lines[model_type]
            families = getattr(import_module(f"{__name__}.{line}"), line.upper())
            own = families[model_type]
            self._found[model_type] = scored(model_type, own) if model_type in SEQUENCE_CLASSES else own
        return self._found[model_type]

    def __contains__(self, model_type: object) -> bool:
        return model_type in self._lines or model_type in plugin_table("FAMILIES")

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def _checked(model_type: str, family: object) -> Family:
    """A family of a plugin. Raises SpecError for what is none."""
    if not isinstance(family, Family):
        msg = f"plugin: FAMILIES[{model_type!r}] is a {type(family).__name__}, expected a Family"
        raise SpecError(msg)
    return family


FAMILIES = Families(LINES)
"""``model_type`` -> how it maps onto a shape."""

SYNONYMS = {
    "deepseek_ref": "deepseek_v4",
    "kimi_k2": "deepseek_v3",
    "minimax_m1": "minimax",
    "minimax_m3": "minimax_m3_vl_text",
    "minimax_text_01": "minimax",
}
"""Types of remote code whose fields and network are those of a known one."""


def program_of(model_type: str) -> Callable[[Any, Conventions], Program]:
    """What makes the program of a configuration of a type: a family's shape, or a decoder behind a tower."""
    if model_type in FAMILIES:
        return FAMILIES[model_type].program
    from roofline.models.shapes import decoder  # noqa: PLC0415  (a shape is imported where a network has it)

    return decoder.program
