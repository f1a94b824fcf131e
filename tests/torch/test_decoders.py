"""Forward FLOPs of every decoder family equal torch's counter, on random small networks that are really run.

Attention is eager, so that the counter sees its two matmuls, and masked scores are computed: hence ``materialised``.
Latents are cached and expanded in decode too: hence ``expanded``. Under a window, transformers keeps the last W - 1
keys and computes the new ones on top: what ``window_keys`` says.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from grids import counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import eager_decoder
from strategies import DECODERS, decoder_configs

from roofline.models.model import Model, load_model
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase

AS_TORCH = Conventions(attention="materialised", count="square", lm_head="all", latent="expanded")


def our_flops(model: Model, phase: Phase, batch: int, new: int, context: int) -> Fraction:
    program = model.program(AS_TORCH)
    sizes = {letter: Fraction(size) for letter, size in {**program.sizes, "B": batch, "T": new, "S": context}.items()}
    return sum(group.times(sizes) * op.flops(group.sizes(sizes)) for group, op in program.in_phase(phase))


def counted(module: Any, batch: int, past: int, new: int) -> int:
    """What the counter sees of a forward pass of ``new`` tokens behind ``past`` cached ones."""
    torch, flop_counter = pytest.importorskip("torch"), pytest.importorskip("torch.utils.flop_counter")
    with torch.no_grad():
        cache = module(torch.zeros(batch, past, dtype=torch.long), use_cache=True).past_key_values if past else None
        with flop_counter.FlopCounterMode(display=False) as counter:
            module(torch.zeros(batch, new, dtype=torch.long), past_key_values=cache, use_cache=True)
    rotary = sum(
        sum(counts.values()) for name, counts in counter.get_flop_counts().items() if name.endswith("rotary_emb")
    )
    return int(counter.get_total_flops()) - rotary  # angles are a matmul of inner size 1 in some: no contraction


@pytest.mark.parametrize("count", counts(2, 30))
@pytest.mark.parametrize("model_type", DECODERS)
def test_random_decoders(model_type, count):
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        config=decoder_configs(model_type),
        batch=st.integers(1, 3),
        past=st.integers(0, 40),
        new=st.integers(1, 40),
    )
    def equal(config, batch, past, new):
        model = load_model(config)
        module = eager_decoder(model).requires_grad_(False)  # DBRX clamps a view in place
        assert our_flops(model, Phase.PREFILL, batch, new, past + new) == counted(module, batch, past, new)
        assert our_flops(model, Phase.DECODE, batch, 1, past + 1) == counted(module, batch, past, 1)

    equal()
