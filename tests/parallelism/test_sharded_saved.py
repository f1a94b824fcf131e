"""Saved activations against Korthikanti et al. 2022, in letters, and laws of what is recomputed."""

from __future__ import annotations

from typing import Any

import pytest
from grids import quick
from shell import refusal
from strategies import SPANNING
from sympy import Integer, expand, symbols

from roofline.cost.saved_bytes import of_tensor, saved_bytes
from roofline.errors import UsageError, WorkloadError
from roofline.formulas.building import formula
from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.number import exact
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharded_saved import lying
from roofline.program.conventions import Conventions
from roofline.program.dropout import with_dropout
from roofline.program.recompute import read_policy
from roofline.program.saved import saved_tensors
from roofline.program.workload import Precision
from roofline.training.network import Network

BF16 = Precision("bf16", "bf16", "bf16")
b, s, h, a, t = symbols("b s h a t", positive=True)
GPT = {"B": b, "T": s, "S": s, "D": h, "F": 4 * h, "K": a, "G": 1, "H": h / a, "L": 1}


def of_a_layer(layout: Layout, policy: str, *, attention: str = "materialised") -> Any:
    """Bytes that a layer of GPT with dropout saves on one device, without the statistics that the paper leaves out."""
    program = with_dropout(load_model("gpt2").program(Conventions(attention=attention, lm_head="all")))  # type: ignore[arg-type]
    kept, where = saved_tensors(program, read_policy(policy)), lying(Network(program).forward, layout)
    sizes = {**GPT, "K": Integer(96), "H": h / 96} if layout.tp > 1 else GPT
    layer = [each for each in kept if each.group.name == "layers" and each.tensor.dtype != "fp32"]
    return expand(sum(of_tensor(each, sizes, BF16, where) for each in layer))


@pytest.mark.parametrize(
    ("layout", "policy", "expected"),
    [
        (Layout(), "none", s * b * h * (34 + 5 * a * s / h)),  # section 4.1, eq. 1
        (Layout(tp=8), "none", s * b * h * (10 + 24 / t + 5 * a * s / (h * t))),  # 4.2.1, eq. 2
        (Layout(tp=8, sp=8), "none", s * b * h / t * (34 + 5 * a * s / h)),  # 4.2.2, eq. 4
        (Layout(tp=8, sp=8), "selective", 34 * s * b * h / t),  # 5, eq. 6
        (Layout(tp=8), "selective", s * b * h * (10 + 24 / t)),  # table 2
        (Layout(), "full", 2 * s * b * h),  # table 2
    ],
)
def test_korthikantis_formulas(layout: Layout, policy: str, expected: Any) -> None:
    """Korthikanti et al. 2022 (arXiv 2205.05198): the difference is 0, in letters; with tp, a is 96 heads."""
    numbers = {t: Integer(layout.tp)} | ({a: Integer(96)} if layout.tp > 1 else {})
    assert expand(of_a_layer(layout, policy) - expected.subs(numbers)) == 0


def test_statistics_and_fused_attention_besides() -> None:
    """16 b s bytes of LayerNorms' statistics; fused attention keeps a number for each row of scores."""
    plain = formula("gpt2", op="layers", quantity="saved", keep="all", attention="materialised", dropout=True)
    fused = formula("gpt2", op="layers", quantity="saved", keep="all", dropout=True)
    in_gpt = {"F": 4 * h, "G": 1, "K": a, "H": h / a, "D": h, "B": b, "S": s}
    letters = {symbol: in_gpt[str(symbol)] for symbol in plain.expression.free_symbols | fused.expression.free_symbols}
    assert expand(plain.expression.subs(letters) - b * s * (34 * h + 5 * a * s + 16)) == 0
    assert expand(fused.expression.subs(letters) - b * s * (34 * h + 4 * a + 16)) == 0


def test_a_gated_layer_keeps_three_widths_and_rotation_nothing() -> None:
    """RMSNorm 4 bytes a row; h and x twice, q, context, keys, values; gate, up and their product."""
    found = formula("llama-3.1-8b", op="layers", quantity="saved", keep="all").expression
    names = {str(symbol): symbol for symbol in found.free_symbols}
    B, S, D, F, K, G, H = (names[letter] for letter in "BSDFKGH")
    assert expand(found - 2 * B * S * (4 * D + 2 * K * G * H + 2 * K * H + 3 * F) - B * S * (4 * K * G + 8)) == 0


@pytest.mark.parametrize("preset", quick(SPANNING[:3], of=[*SPANNING, *preset_names()]))
def test_what_is_recomputed_is_not_kept(preset: str) -> None:
    """none >= selective >= full >= every:2; devices together hold the whole, and what is no split axis again."""
    program = load_model(preset).program(Conventions(attention="materialised", lm_head="all"))
    sizes = {letter: exact(size) for letter, size in {**program.sizes, "B": 2, "T": 64, "S": 64, "M": 64}.items()}
    words = ("none", "selective", "full", "every:2")
    held = [saved_bytes(saved_tensors(program, read_policy(word)), sizes, BF16) for word in words]
    assert held == sorted(held, reverse=True)
    assert held[-1] > 0


@pytest.mark.parametrize("model", ["gpt2", "llama-3.1-8b", "mixtral-8x7b"])
def test_devices_hold_less_than_one_and_together_no_less(model: str) -> None:
    program = load_model(model).program(Conventions(lm_head="all"))
    sizes = {letter: exact(size) for letter, size in {**program.sizes, "B": 1, "T": 512, "S": 512}.items()}
    kept = saved_tensors(program)
    whole = saved_bytes(kept, sizes, BF16)
    for layout in (Layout(tp=2), Layout(tp=2, sp=2), Layout(cp=4)):
        part = saved_bytes(kept, sizes, BF16, lying(Network(program).forward, layout))
        assert whole / layout.devices <= part < whole


def test_frozen_weights_need_no_inputs() -> None:
    program = load_model("llama-3.1-8b").program(Conventions(lm_head="all"))
    kept = {each.tensor.name for each in saved_tensors(program, trained=lambda _: False)}
    assert "m" not in kept  # the input of a matmul is kept for the gradient of its weight alone
    assert {"g", "u", "q", "context", "x"} <= kept


@pytest.mark.parametrize(("word", "text"), [("odd", "known: every:2, full, none"), ("every:0", "each K-th layer"),
                                            ("every:x", "each K-th layer")])  # fmt: skip
def test_unknown_policies(word: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        read_policy(word)


def test_what_cannot_be_asked_of_formulas() -> None:
    with pytest.raises(WorkloadError, match="name a model"):
        formula("attention", quantity="saved")
    with pytest.raises(UsageError, match="they go with quantity saved"):
        formula("gpt2", policy="full")
    assert "known: every:2" in refusal(2, "formula", "gpt2", "--quantity", "saved", "--policy", "odd")
