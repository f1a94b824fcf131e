"""Multi-head latent attention: absorbed and expanded, against torch written out by hand, and the published cache."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.cost.kv_cache import cache_growth
from roofline.layers.latent_attention import latent_attention
from roofline.models.model import load_model
from roofline.prediction.predict import predict
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.workload import Precision

BF16 = Precision("bf16", "bf16", "bf16")
TINY = st.integers(1, 7)


@settings(deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys("BTKHJRU", TINY)), st.integers(0, 7))
def test_both_ways_give_the_same_numbers_and_our_counts(sizes, past):
    torch = pytest.importorskip("torch")
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
    B, T, K, H, J, R, U = (sizes[letter] for letter in "BTKHJRU")
    S = past + T
    torch.manual_seed(0)
    q, q_rotary = torch.randn(B, K, T, H).double(), torch.randn(B, K, T, J).double()
    latent, k_rotary = torch.randn(B, 1, S, R).double(), torch.randn(B, 1, S, J).double()
    k_up, v_up = torch.randn(1, K, R, H).double(), torch.randn(1, K, R, U).double()

    def probabilities(plain: object) -> object:
        return (plain + q_rotary @ k_rotary.transpose(2, 3)).softmax(-1)

    with counter(display=False) as expanded:
        k, v = latent @ k_up, latent @ v_up
        one = probabilities(q @ k.transpose(2, 3)) @ v
    with counter(display=False) as absorbed:
        other = (probabilities(q @ k_up.transpose(2, 3) @ latent.transpose(2, 3)) @ latent) @ v_up
    assert torch.allclose(one, other)
    bound = {letter: Fraction(size) for letter, size in {**sizes, "S": S}.items()}
    for way, counted in ((False, expanded), (True, absorbed)):
        for fused in (False, True):
            ops = latent_attention(absorbed=way, fused=fused, square=True)
            assert sum(op.flops(bound) for op in ops) == counted.get_total_flops()


def test_the_published_cache():
    """DeepSeek-V3 (arXiv 2412.19437): 61 layers keep 512 + 64 elements per token: 70,272 bytes in bf16."""
    assert cache_growth(load_model("deepseek-v3").program(), BF16, 1) == 70_272
    assert cache_growth(load_model("deepseek-v3").program(), BF16, 100_000) == 70_272
    assert cache_growth(load_model("mixtral-8x7b").program(), BF16, 1) == 131_072


def test_decode_is_absorbed_and_prefill_expanded():
    program = load_model("deepseek-v3").program()
    names = {phase: {op.name for _, op in program.in_phase(phase)} for phase in program.phases}
    assert "kv_up" in names[Phase.PREFILL] - names[Phase.DECODE]
    assert {"k_absorb", "v_up"} <= names[Phase.DECODE] - names[Phase.PREFILL]
    assert program.parameters() == load_model("deepseek-v3").program(Conventions(latent="expanded")).parameters()


def test_absorbed_decode_reads_the_latent_once_and_not_once_per_head():
    """What a step reads of 10,000 more tokens of context is 10,000 more latents of 576 elements per layer."""
    steps = [predict("deepseek-v3", "h200", context=length).phases["decode"] for length in (10_000, 20_000)]
    assert steps[1].figures.bytes - steps[0].figures.bytes == pytest.approx(10_000 * 70_272, rel=1e-9)


def test_expanding_in_decode_costs_far_more():
    absorbed, expanded = (
        sum(
            group.times(sizes) * op.flops(group.sizes(sizes))
            for program in [load_model("deepseek-v3").program(Conventions(latent=latent))]
            for sizes in [{k: Fraction(v) for k, v in {**program.sizes, "B": 1, "T": 1, "S": 4096}.items()}]
            for group, op in program.in_phase(Phase.DECODE)
        )
        for latent in ("absorbed", "expanded")
    )
    assert expanded > 50 * absorbed
