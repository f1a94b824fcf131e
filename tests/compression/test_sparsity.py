"""Zeros left out: bytes and FLOPs by hand, break-even densities in symbols, time where the device gains."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest
import sympy
from small_llama import LEFT, LLAMA, MATRICES, NARROW, D, F, L

from roofline.compression.quantization import quantized
from roofline.compression.recipes import read_recipe
from roofline.compression.sparsity import read_sparsity, sparse
from roofline.cost.cost import Cost, step_cost
from roofline.cost.residency import footprint
from roofline.errors import UsageError
from roofline.formulas.break_even import break_even_density
from roofline.models.model import load_model
from roofline.number import exact
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.program.workload import Workload

ROWS = L * sum(out for _, out in MATRICES)
BYTES = {
    "bf16 2:4": NARROW * 2 // 2 + NARROW // 2 // 4,  # half the values, two bits for each: 9 bits a weight
    "w8a8 2:4": NARROW // 2 + NARROW // 2 // 4 + 4 * ROWS,  # 5 bits, and the scales
    "bf16 0.75:csr": NARROW // 4 * (2 + 4) + 4 * (ROWS + L * 7),  # value and column; a pointer for each row and the end
    "bf16 0.5:csr": NARROW // 2 * (2 + 4) + 4 * (ROWS + L * 7),
    "bf16 0.75:bitmap": NARROW // 4 * 2 + NARROW // 8,
    "w4a16 0.75:bitmap": NARROW // 4 // 2 + NARROW // 8 + 2 * NARROW // 128,  # scales stay for each group
    "bf16 0.75:block16": NARROW // 4 * 2 + 4 * NARROW // 4 // 256 + 4 * (ROWS // 16 + L * 7),
}


def held(text: str) -> Any:
    recipe_text, _, sparsity = text.partition(" ")
    recipe = read_recipe(recipe_text, default="bf16")
    program = quantized(load_model(LLAMA).program(), recipe)
    program = sparse(program, read_sparsity(sparsity), 2.0) if sparsity else program
    return footprint(program, Workload(1, 33, 8), program.phases, recipe.precision).weights_bytes


@pytest.mark.parametrize("text", BYTES)
def test_bytes_by_hand(text: str) -> None:
    assert held(text) == BYTES[text] + 2 * LEFT


def test_csr_at_density_a_half_weighs_more_than_dense_and_says_so() -> None:
    assert held("bf16 0.5:csr") > held("bf16")
    notes = predict("llama-3.1-8b", "h100", sparsity="0.5:csr").notes
    assert any("at density 0.5 it WEIGHS MORE than dense" in note for note in notes)
    assert any("breaks even at density 0.3332 to 0.3333, by matrix" in note for note in notes)
    assert any("weighs less than dense" in note for note in predict("llama-3.1-8b", "h100", sparsity="0.9:csr").notes)


@pytest.mark.parametrize("dtype", ["mxfp8", "nvfp4"])
def test_scales_of_quantised_activations_are_no_format_to_compute_in(dtype: str) -> None:
    found = predict("gpt2", "rtx-pro-6000-blackwell", dtype=dtype, sparsity="0.9:csr", phase="decode")
    ops = {op.name: op for group in found.program.groups for op in group.ops}
    assert found.request.precision.compute_dtype(ops["out_proj"]) == "bf16"  # that of the bias, the widest
    assert found.phases["decode"].figures.time_s > 0


@pytest.mark.parametrize("text", ["0.9:csr", "0.9:bitmap", "0.9:block16", "0.9:block4"])
def test_break_even_densities_in_symbols(text: str) -> None:
    """The solved formula is where stored and dense bytes meet, and what the tool computes in numbers."""
    sparsity = read_sparsity(text)
    w, depth, out = sympy.symbols("w D F", positive=True)
    root = break_even_density(sparsity)
    assert sympy.simplify(sparsity.stored_bytes(w, depth, out, root) - w * depth * out) == 0
    for width, n, m in ((2, 4096, 14336), (1, 64, 64), (Fraction(1, 2), 256, 384)):
        numbers = {w: sympy.Rational(Fraction(width)), depth: n, out: m}
        found = sparsity.break_even(Fraction(width), Fraction(n), Fraction(m))
        assert root.subs(numbers) == sympy.Rational(found.numerator, found.denominator)
    simple = {"0.9:csr": w / (w + 4), "0.9:bitmap": 1 - 1 / (8 * w), "0.9:block16": 64 * w / (64 * w + 1)}
    if text in simple:  # of a large matrix: pointers do not count
        limit = sympy.limit(sympy.limit(root, out, sympy.oo), depth, sympy.oo)
        wanted = simple[text] if text != "0.9:block16" else 1 / (1 + 1 / (64 * w))
        assert sympy.simplify(limit - wanted) == 0


def test_stored_bytes_are_those_of_the_program() -> None:
    for text in ("0.75:csr", "0.75:bitmap", "0.75:block16", "2:4"):
        sparsity = read_sparsity(text)
        matrices = (sparsity.stored_bytes(Fraction(2), Fraction(n), Fraction(m)) for n, m in MATRICES)
        assert held(f"bf16 {text}") == L * sum(matrices) + 2 * LEFT


def up(text: str, gain: float = 2.0) -> Cost:
    program = sparse(load_model(LLAMA).program(), read_sparsity(text), gain)
    sizes = {"B": exact(4), "T": exact(1), "S": exact(9)}
    costs = step_cost(program, Phase.DECODE, sizes, read_recipe(None, default="bf16").precision)
    return next(cost for cost in costs if cost.name == "up")


def test_flops_by_hand() -> None:
    dense = 2 * 4 * D * F
    assert (up("2:4").flops, up("2:4").vector_flops) == (dense // 2, 0)
    assert (up("0.75:csr").flops, up("0.75:csr").vector_flops) == (0, dense // 4)  # on the vector unit
    assert (up("0.75:bitmap").flops, up("0.75:bitmap").vector_flops) == (dense, D * F)  # unpacked once
    assert (up("0.75:block16").flops, up("0.75:block16").vector_flops) == (dense // 4, 0)


def test_traffic_is_what_is_stored() -> None:
    stored = read_sparsity("0.75:bitmap").stored_bytes(Fraction(2), Fraction(D), Fraction(F))
    assert up("0.75:bitmap").bytes == 2 * 4 * D + stored + 2 * 4 * F


def test_two_of_four_gains_only_where_the_device_accelerates_it() -> None:
    """A100 doubles its matmuls, V100 has no unit for it, B300 gains a third in fp4."""
    keywords: dict[str, Any] = {"batch": 8, "prompt": 2048, "generate": 1, "constants": "datasheet"}
    for name, dtype, gain in (("a100", "fp16", 2.0), ("v100", "fp16", 1.0), ("b300", "nvfp4", 1.33)):
        both = (predict("llama-2-7b", name, dtype=dtype, sparsity=s, **keywords) for s in (None, "2:4"))
        dense, lean = (
            next(op.figures for op in p.phases["prefill"].operators if op.name in ("up", "gate_up")) for p in both
        )
        assert dense.time_s / lean.time_s == pytest.approx(gain, rel=1e-3)
    plain, v100 = (predict("llama-2-7b", "v100", sparsity=s) for s in (None, "2:4"))
    assert plain.memory == v100.memory
    assert any("does not accelerate it, so the weights stay dense" in note for note in v100.notes)


def test_calibrated_tiles_do_not_hide_the_gain() -> None:
    dense, lean = (
        predict("llama-2-7b", "a100", batch=8, generate=1, sparsity=s).phases["prefill"].figures for s in (None, "2:4")
    )
    assert lean.time_s < 0.8 * dense.time_s


def test_experts_are_sparse_too() -> None:
    plain, lean = (predict("mixtral-8x7b", "h200", sparsity=s).memory.footprint.weights_bytes for s in (None, "2:4"))
    rest = 2 * 2 * 32000 * 4096  # token table and head, nearly all that stays dense
    assert lean - rest == pytest.approx((plain - rest) * 9 / 16, rel=1e-3)


@pytest.mark.parametrize(
    "text", ["0.9", "csr", "0.9:coo", "1.0:csr", "0:csr", ".0:csr", "0.9:block0", "4:2", "", "-0.5:csr"]
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape("expected 2:4, or zeros and their format")):
        predict("llama-3.1-8b", "h100", sparsity=text)
