"""Every ``model_type`` that is modelled: one entry each, which maps its fields onto a shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roofline.models.families.classifiers import classifying
from roofline.models.families.encoder_decoders import ENCODER_DECODERS
from roofline.models.families.encoders import ENCODERS
from roofline.models.families.family import Family
from roofline.models.families.gpt_line import GPT_LINE
from roofline.models.families.linear_hybrids import LINEAR_HYBRIDS
from roofline.models.families.llama_line import LLAMA_LINE
from roofline.models.families.mamba_hybrids import MAMBA_HYBRIDS
from roofline.models.families.mixtures import MIXTURES
from roofline.models.families.seeing import SEEING
from roofline.models.families.state_spaces import STATE_SPACES
from roofline.models.families.vision import VISION
from roofline.models.families.windowed_mixtures import WINDOWED_MIXTURES
from roofline.models.shapes import decoder
from roofline.program.conventions import Conventions
from roofline.program.program import Program

FAMILIES: dict[str, Family] = {
    **ENCODERS,
    **ENCODER_DECODERS,
    **classifying({**GPT_LINE, **LINEAR_HYBRIDS, **LLAMA_LINE, **MAMBA_HYBRIDS, **MIXTURES, **WINDOWED_MIXTURES}),
    **STATE_SPACES,
    **VISION,
}
"""``model_type`` -> how it maps onto a shape."""

SYNONYMS = {"kimi_k2": "deepseek_v3"}
"""Types of remote code whose fields and network are those of a known one."""


def program_of(model_type: str) -> Callable[[Any, Conventions], Program]:
    """What makes the program of a configuration of a type: a family's shape, or a decoder behind a tower."""
    return decoder.program if model_type in SEEING else FAMILIES[model_type].program
