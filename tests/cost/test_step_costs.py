"""Costs that are asked for again are kept as polynomials, and stay what they are worked out to be."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.compression.recipes import read_recipe
from roofline.compression.transform import compressed, read_compression
from roofline.cost.cost import Cost, step_cost
from roofline.cost.polynomials import Evaluation, polynomials
from roofline.engines.library import load_engine
from roofline.models.model import load_model
from roofline.number import ceil_div, maximum, minimum, power
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharding import shard
from roofline.prediction.predict import predict
from roofline.program.axes import Sizes
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import Precision

BF16 = Precision("bf16", "bf16", "bf16")
PROGRAMS = {  # attention in full, behind windows, over latents and experts; recurrences; two towers; collectives
    "gpt2": lambda: load_model("gpt2").program(),
    "gemma-3-27b": lambda: load_model("gemma-3-27b").program(),
    "deepseek-v3": lambda: shard(load_model("deepseek-v3").program(), Layout.of(tp=8, pp=2)),
    "nemotron-h-8b": lambda: load_model("nemotron-h-8b").program(),
    "t5-base": lambda: load_model("t5-base").program(),
    "sparse mamba": lambda: compressed(load_model("mamba-1.4b").program(), SPARSE, RECIPE, 1.0)[0],
}
SPARSE = read_compression({"prune": None, "sparsity": "0.9:csr"})
RECIPE = read_recipe("bf16", default="bf16")
STEPS: tuple[Any, ...] = (Fraction(77), np.array([77.0, 78.0, 79.0]))


def costs(program: Program, phase: Phase, batch: int, length: Any) -> tuple[Cost, ...]:
    sizes: Sizes = {"B": batch, "T": 1 if phase.one_token else length, "S": length, "M": 33}
    return step_cost(program, phase, sizes, BF16, load_engine("vllm"))


def numbers(cost: Cost, *, kernels: bool = True) -> Iterator[Any]:
    """All that a cost counts, and what its kernels count."""
    yield from (cost.count, cost.flops, cost.vector_flops, cost.special, cost.bytes, cost.message_bytes)
    yield from (cost.link_bytes, cost.replayed)
    yield from (getattr(cost.shape, name) for name in getattr(cost.shape, "__slots__", ()))
    for other in (*(cost.kernels() if cost.kernels and kernels else ()), *([cost.padded] if cost.padded else [])):
        yield from numbers(other, kernels=False)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("length", STEPS, ids=["one", "several"])
def test_what_is_asked_for_again_is_the_same_to_the_digit(name: str, length: Any) -> None:
    program = PROGRAMS[name]()
    for phase in program.phases:
        if isinstance(length, np.ndarray) and not phase.one_token:
            continue
        for batch in (1, 3, 5, 6, 2, 9):  # the last ones are kept
            kept = costs(program, phase, batch, length)
        anew = costs(Program(program.groups, program.sizes), phase, 9, length)
        for one, other in zip(kept, anew, strict=True):
            assert (one.name, one.kind, one.dtype, one.decoding) == (
                other.name,
                other.kind,
                other.dtype,
                other.decoding,
            )
            for found, expected in zip(numbers(one), numbers(other), strict=True):
                assert np.array_equal(found, expected), one.name


def test_beside_arrays_what_a_float_does_not_hold_is_worked_out_anew() -> None:
    program = load_model("gpt2").program()
    for _ in range(6):
        kept = costs(program, Phase.DECODE, 3**19, np.array([77.0, 78.0]))
    anew = costs(Program(program.groups, program.sizes), Phase.DECODE, 3**19, np.array([77.0, 78.0]))
    assert any(cost.flops > 2**53 for cost in kept if isinstance(cost.flops, float))
    assert [cost.flops for cost in kept if cost.kind == "matmul"] == [c.flops for c in anew if c.kind == "matmul"]


def test_beside_arrays_pieces_of_no_whole_tokens_are_worked_out_anew() -> None:
    """A prompt of 86,418 tokens in eleven pieces: floats round on the way what polynomials hold to the end."""
    asked = [predict("recurrentgemma-9b", "a100-pcie-40gb", prompt=86418, sparsity="2:4").to_dict() for _ in range(5)]
    assert asked[0] == asked[-1]


@given(x=st.integers(0, 10**6), y=st.fractions(0, 50, max_denominator=9))
def test_a_polynomial_is_what_is_worked_out(x: int, y: Fraction) -> None:
    def count(x: Any, y: Any) -> Any:
        return 2 * x * (x - 1) / 2 - (1 - y) * Fraction(1, 3) + (x + y) ** 2 - x - -y

    assert Evaluation.of(count(*polynomials(2)))([x, y]) == count(Fraction(x), y)


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: maximum(x, 3),
        lambda x: minimum(3, x),
        lambda x: ceil_div(x, 3),
        lambda x: power(Fraction(1, 2), x),
        lambda x: x**3,
        lambda x: 1 / x,
        lambda x: x / x,
        lambda x: x * 0.5,
        lambda x: x == 1,
        lambda x: not x,
        int,
        float,
    ],
)
def test_what_is_no_polynomial_is_refused(ask: Any) -> None:
    with pytest.raises(TypeError):
        ask(polynomials(1)[0])
