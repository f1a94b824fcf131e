"""When something turns compute-bound: closed forms and bracketed roots against the predictions on both sides."""

from __future__ import annotations

import math
from typing import Any

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline
from roofline.calibration.provenance import constants_of
from roofline.errors import RooflineError
from roofline.formulas.boundaries import Difference, Side, find_boundary
from roofline.formulas.regimes import Regime, solve_regime
from roofline.formulas.setting import make_setting
from roofline.formulas.symbols import LETTERS, symbol
from roofline.program.phases import Phase


def solved(subject: str, variable: str, phase: Any = None, **keywords: Any) -> Regime:
    return solve_regime(make_setting(subject, **keywords), variable, phase)


def start(regime: Regime, which: str = "expected") -> float:
    """Where compute begins to bind, of a regime that has one such place."""
    (span,) = getattr(regime, which).spans
    assert span[0] is not None
    return float(span[0])


def test_the_batch_at_which_llamas_up_projection_turns() -> None:
    """By hand: R D F / (D F - R (D + F)), the ridge point R 295.3 by the sheet; with e_c, e_m and last tiles."""
    regime = solved("llama-3.1-8b", "B", Phase.DECODE, op="up", hardware="h100")
    assert start(regime, "roofs") == 326
    hidden, width, ridge = 4096, 14336, 989.4 / 3.35
    assert math.ceil(ridge * hidden * width / (hidden * width - ridge * (hidden + width))) == 326
    reach = constants_of(roofline.load_hardware("h100"), "class").of("matmul", "graph", dtype="bf16")
    tail = reach.corrections.tail
    assert tail is not None

    def compute_over_memory(batch: float) -> float:
        idle = tail.share * 132 / (batch / 128 * width / 128 * hidden / tail.depth)
        compute = 2 * batch * hidden * width * (1 + idle) / (989.4e12 * reach.compute)
        return compute / (2 * (batch * (hidden + width) + hidden * width) / (3.35e12 * reach.memory))

    turns = start(regime)
    assert compute_over_memory(turns - 1) < 1 <= compute_over_memory(turns)
    text = str(regime)
    assert "B >= 28672*peak/(28672*bandwidth - 9*peak)" in text
    assert "datasheet roofs  B >= 326  (closed form; compute / memory is 0.998547 at 325, 1.00133 at 326)" in text


def test_the_condition_in_letters_needs_no_device() -> None:
    regime = solved("matmul", "B")
    D, F = LETTERS["D"], LETTERS["F"]
    peak, bandwidth = symbol("peak"), symbol("bandwidth")
    assert sympy.simplify(regime.solved - D * F * peak / (D * F * bandwidth - peak * (D + F))) == 0
    assert regime.notes[0] == "where D*F*bandwidth - D*peak - F*peak > 0, else never"
    assert (regime.roofs, regime.expected) == (None, None)
    assert "\\ge" in regime.latex()
    assert regime._repr_latex_().startswith("$\\displaystyle B \\ge")


def test_a_side_that_falls_and_a_variable_that_cancels() -> None:
    assert "\n  peak <= B*D*F*bandwidth/(B*D + B*F + D*F)" in str(solved("matmul", "peak"))
    assert "\n  bandwidth >= peak*(B*D + B*F + D*F)/(B*D*F)" in str(solved("matmul", "bandwidth"))
    assert solved("attention", "B").solved is None


SPANS = [
    ("llama-3.1-8b", "up", Phase.DECODE, "B", "h100", {}),
    ("llama-3.1-8b", "down", Phase.PREFILL, "S", "mi300x", {}),
    ("llama-3.1-8b", "attention", Phase.PREFILL, "S", "mi300x", {}),
    ("qwen3-8b", "lm_head", Phase.DECODE, "B", "a100", {}),
    ("bert-large", "attention", Phase.ENCODE, "S", "t4", {}),
    ("gpt2", "qkv_proj", Phase.PREFILL, "S", "xeon", {"B": 3}),
]


@pytest.mark.parametrize(("model", "op", "phase", "variable", "device", "subs"), SPANS)
def test_predictions_turn_where_the_answer_says(
    model: str, op: str, phase: Any, variable: str, device: str, subs: dict[str, int]
) -> None:
    regime = solved(model, variable, phase, op=op, hardware=device, subs=subs)
    for which in ("roofs", "expected"):
        boundary = getattr(regime, which)
        closed = which == "roofs" or op == "attention" or device == "xeon"  # the last tiles have none
        assert boundary.method == ("closed form" if closed else "bracketed root")
        first = int(start(regime, which))
        for value, binds in ((first - 1, False), (first, True)):
            figures = operator_figures(model, op, phase, device, {"B": 1, "S": 2048, **subs, variable: value})
            if which == "expected":
                assert (figures.shares.compute >= figures.shares.memory) is binds
            else:
                spec = roofline.load_hardware(device)
                peak = spec.contraction_unit(spec.default_dtype())[1]
                assert (figures.flops / peak >= figures.bytes / spec.bandwidth) is binds


def operator_figures(model: str, op: str, phase: Any, device: str, sizes: dict[str, int]) -> Any:
    lengths = {"context": sizes["S"]} if phase == Phase.DECODE else {"prompt": sizes["S"], "generate": 1}
    limit = {"gpt2": "n_positions"}.get(model, "max_position_embeddings")
    given = roofline.predict(
        model, device, batch=sizes["B"], phase=phase, constants="class", engine="torch-compile",
        set={f"model.{limit}": 10**7}, **lengths,  # type: ignore[arg-type]
    ).phases[phase]  # fmt: skip
    return next(part.figures for part in given.operators if part.name == op) if op else given.figures


@pytest.mark.parametrize(
    ("model", "phase", "variable", "device", "subs"),
    [
        ("llama-3.1-8b", Phase.PREFILL, "S", "h100", {"B": 1}),
        ("gpt2", Phase.PREFILL, "S", "mi300x", {"B": 2}),
        ("llama-2-7b", Phase.DECODE, "B", "a100", {"S": 16}),
        ("bert-base", Phase.ENCODE, "S", "t4", {"B": 1}),
    ],
)
def test_a_whole_phase_turns_by_a_bracketed_root(
    model: str, phase: Any, variable: str, device: str, subs: dict[str, int]
) -> None:
    regime = solved(model, variable, phase, hardware=device, subs=subs)
    assert regime.expected is not None
    assert regime.expected.method == "bracketed root"
    assert "bracketed root" in str(regime)
    first = int(start(regime))
    for value, binds in ((first - 1, False), (first, True)):
        shares = operator_figures(model, "", phase, device, {**subs, variable: value}).shares
        assert (shares.compute >= shares.memory) is binds


def test_variables_of_the_machine_and_of_the_network() -> None:
    wide = solved("llama-3.1-8b", "bandwidth", Phase.DECODE, op="up", hardware="h100", subs={"B": 256})
    flops, moved = 2 * 256 * 4096 * 14336, 2 * (256 * 4096 + 256 * 14336 + 4096 * 14336)
    assert start(wide, "roofs") == pytest.approx(moved / (flops / 989.4e12), rel=1e-9)
    slow = solved("llama-3.1-8b", "peak", Phase.DECODE, op="up", hardware="h100", subs={"B": 256})
    assert slow.roofs is not None
    assert slow.roofs.spans == ((None, pytest.approx(flops / (moved / 3.35e12), rel=1e-9)),)
    assert "peak <= " in str(slow)
    hidden = solved("llama-3.1-8b", "D", Phase.DECODE, op="up", hardware="h100", subs={"B": 400})
    first = int(start(hidden, "roofs"))
    for size, binds in ((first - 1, False), (first, True)):
        intensity = 2 * 400 * size * 14336 / (2 * (400 * size + 400 * 14336 + size * 14336))
        assert (intensity >= 989.4 / 3.35) is binds


def test_never_and_always() -> None:
    never = solved("llama-3.1-8b", "B", Phase.DECODE, op="attention", hardware="h100")
    assert never.roofs is not None
    assert never.roofs.spans == ()
    assert "never  (closed form; compute / memory is at most 0.0135)" in str(never)  # 4 S / (S + 4) over 295.3
    always = solved("llama-3.1-8b", "B", Phase.PREFILL, op="up", hardware="h100")
    assert always.roofs is not None
    assert always.roofs.spans == ((None, None),)


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(1, 400), st.floats(0.5, 300))
def test_whole_numbers_against_counting(hidden: int, width: int, ridge: float) -> None:
    regime = solved("matmul", "B", subs={"D": hidden, "F": width, "peak": ridge, "bandwidth": 1.0})
    assert regime.roofs is not None

    def binds(rows: int) -> bool:
        moved = 2 * (rows * hidden + rows * width + hidden * width)
        return 2 * rows * hidden * width / ridge >= moved

    counted = next((rows for rows in range(1, 4000) if binds(rows)), None)
    if counted is None:
        assert regime.roofs.spans == () or float(regime.roofs.spans[0][0] or 0) >= 4000
    elif counted == 1:
        assert regime.roofs.spans == ((None, None),)
    else:
        assert regime.roofs.spans == ((counted, None),)


def test_a_span_with_two_ends() -> None:
    """x = v against y = (v^2 + 100) / 25: between 5 and 20."""
    v = LETTERS["S"]
    sides = (Side.of(1, v, (v**2 + 100) / 25),)
    closed = find_boundary(Difference(sides, v), "S", whole=True)
    assert (closed.spans, closed.method) == (((5, 20),), "closed form")
    assert str(closed).startswith("S >= 5 up to 20")
    cubic = (Side.of(1, v**2, v * (v**2 + 100) / 25),)
    assert find_boundary(Difference(cubic, v), "S", whole=True).spans == ((5, 20),)


@pytest.mark.parametrize(
    ("subject", "variable", "keywords", "message"),
    [
        ("llama-3.1-8b", "Z", {"op": "up"}, 'solve "Z": neither side of the condition holds it; they hold B, '),
        ("llama-3.1-8b", "L", {"op": "up"}, 'solve "L": neither side of the condition holds it'),
        ("llama-3.1-8b", "B", {"op": "up", "subs": {"B": 4}}, "solve B: subs puts a number in its place"),
        ("llama-3.1-8b", "B", {"op": "ffn_norm"}, "llama-3.1-8b ffn_norm has no contraction"),
        ("llama-3.1-8b", "B", {"op": "up", "subs": {"V": 4}}, "subs V: not in this formula"),
    ],
)  # fmt: skip
def test_refusals(subject: str, variable: str, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(RooflineError) as refused:
        solved(subject, variable, Phase.DECODE, hardware="h100", **keywords)
    assert str(refused.value).startswith(message)
