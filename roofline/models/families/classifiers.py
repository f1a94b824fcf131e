"""Decoders that classify sequences: the class of each family in transformers, and what it has in place of a head."""

from __future__ import annotations

from dataclasses import replace

from roofline.models.families.family import Family
from roofline.models.families.rules import label_count

SEQUENCE_CLASSES = {
    "arcee": "Arcee", "bloom": "Bloom", "deepseek_v2": "DeepseekV2", "deepseek_v3": "DeepseekV3",
    "exaone4": "Exaone4", "falcon": "Falcon", "gemma": "Gemma", "gemma2": "Gemma2", "gemma3_text": "Gemma3Text",
    "glm": "Glm", "glm4": "Glm4", "gpt2": "GPT2", "gpt_neox": "GPTNeoX", "gpt_oss": "GptOss", "gptj": "GPTJ",
    "hunyuan_v1_dense": "HunYuanDenseV1", "hunyuan_v1_moe": "HunYuanMoEV1", "jamba": "Jamba", "llama": "Llama",
    "ministral": "Ministral", "ministral3": "Ministral3", "mistral": "Mistral", "mixtral": "Mixtral", "mpt": "Mpt",
    "olmo": "Olmo", "olmo2": "Olmo2", "olmo3": "Olmo3", "opt": "OPT", "phi": "Phi", "phi3": "Phi3", "phimoe": "Phimoe",
    "qwen2": "Qwen2", "qwen2_moe": "Qwen2Moe", "qwen3": "Qwen3", "qwen3_5_text": "Qwen3_5Text",
    "qwen3_moe": "Qwen3Moe", "qwen3_next": "Qwen3Next", "seed_oss": "SeedOss", "smollm3": "SmolLM3",
    "stablelm": "StableLm", "starcoder2": "Starcoder2",
}  # fmt: skip
"""``model_type`` -> the stem of its class, as transformers 5 has them."""


def scored(name: str, family: Family) -> Family:
    """A family of decoders that classifies with the class of its name too: a score per label, without a bias."""
    own = {f"{SEQUENCE_CLASSES[name]}ForSequenceClassification": {"head": False, "classifier": True}}
    return replace(family, classes={**family.classes, **own}, fixed={**family.fixed, "num_labels": label_count})
