"""Every preset at full size: parameters of the module and the FLOPs that torch's counter sees, to the last digit.

The modules are those of transformers, whole, with all their layers and experts, on the meta device, where they take
no memory and compute no number (``shapes_alone``). Of networks that see or hear, an image and a sound are read in the
same pass as the text behind them. What transformers runs otherwise than we count is in ``scan_counts``, ``perceived``
and ``forward_passes``.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from forward_passes import check_steps, scans, seen_of, turned
from grids import quick
from modules import module_of, our_flops, parameters_of
from perceived import check_whole
from scan_counts import kind_of

from roofline.models.model import Model, load_model
from roofline.models.sources import preset_names
from roofline.models.towers.rules import Size
from roofline.program.phases import Phase

NOT_THERE = ("bert-tutorial", "colbertv2", "kimi-vl-a3b", "mimo-7b", "step-3", "step-3.5-flash")
"""Presets whose class is not in transformers."""

BATCH, PROMPT, NEW = 2, 700, 9
"""Longer than windows of 128 and 512 tokens; the others are crossed by small random networks elsewhere."""

LOOPS = ("mamba", "lru")
"""Scans that transformers goes through token by token, in Python."""


def check_decoder(model: Model, module: Any) -> None:
    torch = pytest.importorskip("torch")
    if model.tower is not None or model.hearing is not None:
        check_whole(model, module, Size(700, 520), 9.3, text=50)
        return
    prompt = 24 if scans(model) and kind_of(model) in LOOPS else PROMPT
    check_steps(model, module, {"input_ids": torch.ones(BATCH, prompt, dtype=torch.long)}, (BATCH, prompt))


def check_encoder_decoder(model: Model, module: Any) -> None:
    torch = pytest.importorskip("torch")
    length = model.lengths.usual or 64
    inputs = {"input_ids": torch.full((BATCH, length), 2)}
    if model.model_type == "whisper":
        inputs = {"input_features": torch.zeros(BATCH, model.fields["num_mel_bins"], 2 * length)}
    tokens = torch.full((BATCH, NEW), 2)
    encode = our_flops(model, Phase.ENCODE, B=BATCH, T=length, S=length, M=length)
    prefill = our_flops(model, Phase.PREFILL, B=BATCH, T=NEW, S=NEW, M=length)
    found, first = seen_of(module, **inputs, decoder_input_ids=tokens, use_cache=True)
    assert encode + prefill == found
    kept = {"encoder_outputs": (first.encoder_last_hidden_state,), "past_key_values": first.past_key_values}
    decode = our_flops(model, Phase.DECODE, B=BATCH, T=1, S=NEW + 1, M=length)
    assert decode == seen_of(module, **kept, decoder_input_ids=tokens[:, :1], use_cache=True)[0]


def check_encoder(model: Model, module: Any) -> None:
    torch, read = pytest.importorskip("torch"), inspect.signature(module.forward).parameters
    tokens, keywords = model.lengths.positions if model.lengths.whole else min(64, model.lengths.positions), {}
    if "input_ids" in read:
        keywords["input_ids"] = torch.full((BATCH, tokens), 2)
    if "pixel_values" in read:
        side = getattr(module.config, "vision_config", module.config).image_size
        keywords["pixel_values"] = torch.zeros(BATCH, 3, side, side)
    assert our_flops(model, Phase.ENCODE, B=BATCH, T=tokens, S=tokens) == seen_of(module, **keywords)[0]


@pytest.mark.slow  # it imports every module of transformers
def test_presets_without_a_module():
    transformers = pytest.importorskip("transformers")
    classes = {name: (load_model(name).fields.get("architectures") or ["none"])[0] for name in preset_names()}
    assert tuple(name for name in classes if not hasattr(transformers, classes[name])) == NOT_THERE


@pytest.mark.parametrize(
    "preset",
    quick(
        ("bert-base", "gpt2", "llama-3.1-8b"),
        of=[name for name in preset_names() if name not in NOT_THERE],
    ),
)
def test_every_preset_is_the_network_of_transformers(preset):
    model = load_model(preset)
    module = module_of(turned(model), device="meta", experts="batched_mm").requires_grad_(False)
    assert model.parameters == parameters_of(module, model.fields)
    if Phase.DECODE not in model.phases and Phase.PREFILL not in model.phases:
        check_encoder(model, module)
    elif Phase.ENCODE in model.phases:
        check_encoder_decoder(model, module)
    else:
        check_decoder(model, module)
