"""Backward FLOPs of a training step equal torch's own counter to the last digit, for every family.

The gradient of the sum of all that a module gives is taken under a second counter. Attention and experts are eager, so
that the counter sees their matmuls. Its traps are named rules: it forgets the groups of a convolution in the gradient
of the taps, and knows no triangular solve; torch differentiates neither an empty first state nor an unread last one,
and no choice of keys: an indexer learns by a loss of its own, which the module does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from grids import quick
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from modules import AS_TORCH, eager_decoder, module_of
from scan_counts import expected_backward, kind_of, mixes_tokens
from state_strategies import STATES
from strategies import (
    DECODERS,
    ENCODER_DECODERS,
    ENCODERS,
    decoder_configs,
    encoder_configs,
    encoder_decoder_configs,
    gpt2_configs,
    llama_configs,
    qwen3_configs,
    vit_configs,
)

from roofline.models.model import Model, load_model
from roofline.program.phases import Phase
from roofline.program.training import training_program

_OURS = {"gpt2": gpt2_configs, "llama": llama_configs, "qwen3": qwen3_configs}
_TINY: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 48, "n_head": 4, "n_layer": 2, "n_positions": 64, "vocab_size": 101},
    "llama-3.2-1b": {"hidden_size": 48, "head_dim": 6, "intermediate_size": 56, "num_hidden_layers": 2,
                     "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 101},
    "bert-base": {"hidden_size": 48, "intermediate_size": 56, "num_hidden_layers": 2, "vocab_size": 101},
    "mixtral-8x7b": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4,
                     "num_key_value_heads": 2, "vocab_size": 101},
    "deepseek-v2-lite": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 101,
                         "num_attention_heads": 2, "num_key_value_heads": 2, "moe_intermediate_size": 8,
                         "n_routed_experts": 4, "num_experts_per_tok": 2, "kv_lora_rank": 8, "qk_nope_head_dim": 4,
                         "qk_rope_head_dim": 4, "v_head_dim": 4},
    "t5-small": {"d_model": 16, "d_ff": 24, "num_layers": 2, "num_decoder_layers": 2, "vocab_size": 101},
    "vit-base-patch16-224": {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "image_size": 32,
                             "num_attention_heads": 2},
}  # fmt: skip


def our_flops(model: Model, **sizes: int) -> Fraction:
    """FLOPs of the backward phase, with the letters of the workload bound to ``sizes``; of an indexer none."""
    program = training_program(model.program(AS_TORCH))
    bound = {letter: Fraction(size) for letter, size in {**program.sizes, **sizes}.items()}
    steps = ((group, op) for group, op in program.in_phase(Phase.BACKWARD) if not op.name.startswith("index_"))
    return sum(group.times(bound) * op.flops(group.sizes(bound)) for group, op in steps)


def counted(module: Any, **inputs: Any) -> dict[str, int]:
    """What the counter sees of the backward pass, by operator of torch."""
    torch, counter = pytest.importorskip("torch"), pytest.importorskip("torch.utils.flop_counter")
    given_back = [tensor for tensor in module(**inputs).values() if isinstance(tensor, torch.Tensor)]
    total = sum(tensor.sum() for tensor in given_back if tensor.requires_grad)
    with counter.FlopCounterMode(display=False) as seen:
        total.backward()
    return {str(op): int(count) for op, count in seen.get_flop_counts()["Global"].items()}


def asked(model: Model, batch: int, length: int) -> tuple[dict[str, Any], dict[str, int]]:
    """What the module is given and the sizes that this binds."""
    import torch

    length = min(model.lengths.usual or length, model.lengths.positions)
    tokens = torch.full((batch, length), min(2, model.fields.get("vocab_size", 3) - 1))
    if "patch_size" in model.fields:
        side, length = model.fields["image_size"], model.lengths.positions
        images = torch.zeros(batch, model.fields.get("num_channels", 3), side, side)
        return {"pixel_values": images}, {"B": batch, "T": length, "S": length}
    inputs: dict[str, Any] = {"input_ids": tokens}
    if model.model_type == "whisper":
        inputs = {"input_features": torch.zeros(batch, model.fields["num_mel_bins"], 2 * length)}
    if len(model.phases) == 3:  # an encoder, and a decoder behind it
        inputs |= {"decoder_input_ids": torch.full((batch, 5), 2), "use_cache": False}
        return inputs, {"B": batch, "T": 5, "S": 5, "M": length}
    inputs |= {"use_cache": False} if model.generates else {}
    return inputs, {"B": batch, "T": length, "S": length, "M": length}


def make(model: Model) -> Any:
    return eager_decoder(model) if model.phases[0] is Phase.PREFILL else module_of(model, device="cpu")


def check(model: Model, batch: int, length: int) -> None:
    module = make(model)
    inputs, sizes = asked(model, batch, length)
    assert our_flops(model, **sizes) == sum(counted(module, **inputs).values())


@pytest.mark.parametrize("preset", _TINY)
def test_small_networks(preset: str) -> None:
    pytest.importorskip("transformers")
    check(load_model(preset, overrides=_TINY[preset]), 2, 7)


FAMILIES: dict[str, Callable[[], st.SearchStrategy[dict[str, Any]]]] = {
    **{name: lambda name=name: decoder_configs(name) for name in DECODERS},
    **{name: lambda name=name: encoder_configs(name) for name in ENCODERS},
    **{name: lambda name=name: encoder_decoder_configs(name) for name in ENCODER_DECODERS},
    **_OURS,
    "vit": vit_configs,
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_random_networks_of_every_family(family: str) -> None:
    pytest.importorskip("transformers")

    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
    @given(FAMILIES[family](), st.integers(1, 3), st.integers(2, 30))
    def equal(config: dict[str, Any], batch: int, length: int) -> None:
        check(load_model(config), batch, length)

    equal()


@pytest.mark.parametrize("family", quick(("mamba",), of=STATES))
def test_random_scans(family: str) -> None:
    """What torch runs without the fused kernels is another way to the same numbers."""
    pytest.importorskip("transformers")

    @settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STATES[family], st.integers(1, 3), st.integers(4, 9))  # as many tokens as taps, which some modules fill up
    def equal(config: dict[str, Any], batch: int, new: int) -> None:
        model = load_model(config)
        assume(mixes_tokens(model))
        inputs, sizes = asked(model, batch, new)
        seen = counted(make(model), **inputs)
        convolved = sum(count for name, count in seen.items() if "conv" in name)
        scans, convolutions = expected_backward(model, kind_of(model), batch, new)
        assert our_flops(model, **sizes) + scans == sum(seen.values()) - convolved
        assert convolved == convolutions

    equal()
