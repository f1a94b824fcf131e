"""A prompt and one token behind it, on modules without numbers: what torch's counter sees, and what we count."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from modules import cache_of, counted_pass, our_flops
from scan_counts import expected, kind_of
from shapes_alone import shapes_alone

from roofline.models.model import Model, load_model
from roofline.models.shapes.decoder_config import DecoderConfig
from roofline.program.phases import Phase

TURNED = {
    **dict.fromkeys(("glm46v", "glm4v", "glm4v_moe"), 0.5),
    **dict.fromkeys(("qwen2_5_omni_thinker", "qwen2_5_vl", "qwen2_vl"), 1.0),
    **dict.fromkeys(("qwen3_5", "qwen3_5_moe"), 0.25),
}
"""The part of each head that wholes rotate by places in an image, in sections that fit heads of the usual width."""


def turned(model: Model) -> Model:
    """The network with sections of its rotation that fit its heads, which changes no count."""
    if model.model_type not in TURNED:
        return model
    text, part = model.fields.get("text_config", model.fields), TURNED[model.model_type]
    width = text.get("head_dim", text["hidden_size"] // text["num_attention_heads"])
    turns = int(part * width) // 2
    sections = [turns - 2 * (turns // 3), turns // 3, turns // 3]
    rotation = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": part, "mrope_section": sections}
    own = {**text, "rope_parameters": rotation}
    return replace(model, fields={**model.fields, "text_config": own} if "text_config" in model.fields else own)


def as_run(model: Model) -> Model:
    """The network as transformers runs it: of Llama 4 all experts for every token, those not chosen on zeros."""
    if model.model_type != "llama4":
        return model
    assert isinstance(model.config, DecoderConfig)
    return load_model(model.fields, overrides={"num_experts_per_tok": model.config.num_local_experts})


def scans(model: Model) -> bool:
    """Whether it has layers with a state."""
    return getattr(model.config, "recurrence", None) is not None


def seen_of(module: Any, **keywords: Any) -> tuple[int, Any]:
    """What the counter sees of a pass of a module on ``meta``, and what that gives."""
    with shapes_alone():
        return counted_pass(module, **keywords)


def check_steps(
    model: Model, module: Any, keywords: Mapping[str, Any], sizes: tuple[int, int], before: Any = 0
) -> None:
    """A prompt of ``sizes``, sequences and tokens, behind FLOPs of something else; then one token, by the cache."""
    torch = pytest.importorskip("torch")
    own = "cache_params" if "cache_params" in inspect.signature(module.forward).parameters else "past_key_values"
    kept = {"use_cache": True, own: cache_of(module)}
    batch, prompt = sizes
    assert _flops(model, batch, 0, prompt) + before == seen_of(module, **kept, **keywords)[0]
    one = torch.ones(batch, 1, dtype=torch.long)
    assert _flops(model, batch, prompt, 1) == seen_of(module, input_ids=one, **kept)[0]


def _flops(model: Model, batch: int, past: int, new: int) -> Fraction:
    if scans(model):
        return sum(expected(model, kind_of(model), batch, past, new), Fraction(0))
    phase: Phase = Phase.DECODE if past and new == 1 else Phase.PREFILL
    return our_flops(model, phase, B=batch, T=new, S=past + new)
