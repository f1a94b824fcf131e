"""Experts touched: by enumeration and by simulation of tiny mixtures, and what follows for bytes and time."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.cost.cost import Cost, step_cost
from roofline.layers.mixture_of_experts import touched_experts
from roofline.models.model import load_model
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.program.workload import Precision, Workload

BF16 = Precision("bf16", "bf16", "bf16")


@pytest.mark.parametrize(("experts", "picked", "tokens"), [(4, 1, 3), (4, 2, 2), (5, 3, 2), (3, 2, 4), (3, 3, 2)])
def test_the_expected_number_by_enumeration(experts, picked, tokens):
    """All choices of ``picked`` of ``experts`` by each token, each as likely as any other."""
    choices = list(itertools.combinations(range(experts), picked))
    touched = [len(set().union(*choice)) for choice in itertools.product(choices, repeat=tokens)]
    sizes = {"B": Fraction(1), "T": Fraction(tokens), "E": Fraction(experts), "A": Fraction(picked)}
    assert touched_experts(sizes) == Fraction(sum(touched), len(touched))


@given(st.integers(1, 512), st.integers(1, 64), st.data())
def test_between_those_of_one_token_and_all(tokens, experts, data):
    picked = data.draw(st.integers(1, experts))
    sizes = {"B": Fraction(tokens), "T": Fraction(1), "E": Fraction(experts), "A": Fraction(picked)}
    assert picked <= touched_experts(sizes) <= experts
    assert touched_experts({**sizes, "B": Fraction(1)}) == picked


def test_a_long_prompt_is_no_long_fraction():
    sizes = {"B": Fraction(64), "T": Fraction(32_768), "E": Fraction(128), "A": Fraction(8)}
    assert touched_experts(sizes) == 128.0


def up_projections(batch: int) -> Cost:
    program = load_model("mixtral-8x7b").program()
    sizes = Workload(batch, 1, 1, context=1024).sizes(Phase.DECODE)
    (cost,) = [cost for cost in step_cost(program, Phase.DECODE, sizes, BF16) if cost.name == "experts_gate_up"]
    return cost


def test_mixtral_reads_two_experts_for_one_token_and_nearly_all_for_many():
    expert = 2 * 4096 * 14_336  # gate and up
    activations = [batch * (4096 + 2 * 2 * 14_336) for batch in (1, 64)]  # read x; write g and u of two experts
    one, many = up_projections(1), up_projections(64)
    assert one.bytes == 2 * (2 * expert + activations[0])
    experts_read = (float(many.bytes) / 2 - activations[1]) / expert
    assert experts_read == pytest.approx(8 * (1 - 0.75**64))
    assert 7.999 < experts_read < 8
    assert many.flops == 64 * one.flops == 64 * 2 * 2 * expert  # FLOPs are those of two experts, whichever they are


def test_the_time_follows():
    """Batch 1 waits for two of eight experts; batch 64 for four times as many bytes of them, not 64 times."""
    one, many = (predict("mixtral-8x7b", "h200", context=1024, batch=batch).phases["decode"] for batch in (1, 64))
    times = [{op.name: op.figures.time_s for op in phase.operators} for phase in (one, many)]
    assert 3 < times[1]["experts_gate_up"] / times[0]["experts_gate_up"] < 4.5
    dense = predict("mixtral-8x7b", "h200", context=1024, set={"model.num_experts_per_tok": 8}).phases["decode"]
    assert dense.figures.bytes / one.figures.bytes > 3


def test_all_experts_reside_whatever_is_touched():
    assert (
        load_model("mixtral-8x7b").parameters == 46_702_792_704
    )  # the safetensors index of mistralai/Mixtral-8x7B-v0.1
    memory = predict("mixtral-8x7b", "h200", batch=1).memory.footprint
    assert memory.weights_bytes == 2 * 46_702_792_704


def test_chunks_by_enumeration():
    from roofline.layers.attention import chunk_keys, chunk_pairs

    for new, past, chunk in itertools.product(range(1, 12), range(12), range(1, 9)):
        seen = [range(query // chunk * chunk, query + 1) for query in range(past, past + new)]
        sizes = {"T": Fraction(new), "S": Fraction(past + new), "W": Fraction(chunk)}
        assert chunk_keys(sizes) == past + new - seen[0].start
        assert chunk_pairs(sizes) == sum(map(len, seen))
        assert chunk_pairs({**sizes, "S": chunk_keys(sizes)}) == sum(map(len, seen))  # as the layer states it
