"""Every ``model_type`` that is modelled: one entry each, which maps its fields onto a shape."""

from __future__ import annotations

from roofline.architectures.families.encoder_decoders import ENCODER_DECODERS
from roofline.architectures.families.encoders import ENCODERS
from roofline.architectures.families.family import Family
from roofline.architectures.families.gpt_line import GPT_LINE
from roofline.architectures.families.linear_hybrids import LINEAR_HYBRIDS
from roofline.architectures.families.llama_line import LLAMA_LINE
from roofline.architectures.families.mamba_hybrids import MAMBA_HYBRIDS
from roofline.architectures.families.mixtures import MIXTURES
from roofline.architectures.families.state_spaces import STATE_SPACES
from roofline.architectures.families.vision import VISION

FAMILIES: dict[str, Family] = {
    **ENCODERS,
    **ENCODER_DECODERS,
    **GPT_LINE,
    **LINEAR_HYBRIDS,
    **LLAMA_LINE,
    **MAMBA_HYBRIDS,
    **MIXTURES,
    **STATE_SPACES,
    **VISION,
}
"""``model_type`` -> how it maps onto a shape."""
