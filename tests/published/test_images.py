"""What papers state of networks that see: the work of reading an image's tokens."""

from __future__ import annotations

from fractions import Fraction

import pytest

from roofline.models.model import Model, load_model
from roofline.models.towers.rules import Size, pictures
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase

LLAVA = {
    "model_type": "llava",
    "architectures": ["LlavaForConditionalGeneration"],
    "text_config": {**load_model("llama-2-7b").fields, "model_type": "llama"},
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 336,
        "patch_size": 14,
    },
}
"""LLaVA-1.5-7B: Vicuna has Llama 2's sizes, the tower is CLIP's large one at 336 pixels (arXiv 2310.03744)."""


def layers_flops(model: Model, tokens: int) -> Fraction:
    """FLOPs of the decoder's layers for so many tokens, all pairs counted."""
    program = model.program(Conventions(count="square"))
    sizes = {name: Fraction(size) for name, size in {**program.sizes, "B": 1, "T": tokens, "S": tokens}.items()}
    layers = [(group, op) for group, op in program.in_phase(Phase.PREFILL) if group.name == "layers"]
    return sum((group.times(sizes) * op.flops(group.sizes(sizes)) for group, op in layers), Fraction(0))


def test_the_tokens_of_an_image_take_llava_the_work_that_pyramid_drop_states() -> None:
    """PyramidDrop (arXiv 2410.17247v2), "Infer Flops(T)" of LLaVA-1.5-7B: 3.82, in multiply-adds, of 576 tokens."""
    model = load_model(LLAVA)
    tokens = pictures(model.config.vision, Size(1024, 768), 1).tokens  # type: ignore[attr-defined]
    assert tokens == 576
    assert float(layers_flops(model, tokens)) / 2 == pytest.approx(3.82e12, rel=0.002)
