"""Formulas equal direct binding, in every format, for every architecture; and those of the literature."""

from __future__ import annotations

import functools
import itertools
import json
import math
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import Any, get_args

import pytest
import sympy
from grids import paired, quick
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ARCHITECTURES, SPANNING, model_configs

import roofline
from roofline.cost.cost import step_cost
from roofline.cost.residency import footprint
from roofline.errors import RooflineError, UsageError, WorkloadError
from roofline.formulas.building import formula
from roofline.formulas.catalogue import ALIASES, LAYERS
from roofline.formulas.expressions import Formula, Quantity
from roofline.formulas.substitution import read_number, read_substitutions
from roofline.formulas.symbols import LETTERS, RATES, SHARES, meaning, symbol
from roofline.models.model import load_model
from roofline.number import exact
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.recompute import read_policy
from roofline.program.training import training_program
from roofline.program.workload import Precision, Workload

B, T, S, D, F, K, G, H, V, L = (LETTERS[letter] for letter in "BTSDFKGHVL")
BF16 = Precision("bf16", "bf16", "bf16")
COUNTS: tuple[Quantity, ...] = ("flops", "bytes", "parameters", "kv_cache", "memory", "intensity")
POINTS = [{"B": b, "S": span, "M": span} for b, span in ((1, 1), (3, 77), (64, 8192))]


def phases(preset: str) -> tuple[Any, ...]:
    return load_model(preset).phases


def counted(preset: str, phase: Any, quantity: Quantity, point: dict[str, int]) -> float:
    """The same quantity by direct binding of exact numbers, without a formula."""
    model = load_model(preset)
    program, precision = model.program(), Precision("bf16", "bf16", "bf16", model.checkpoint.state)
    batch, span = point["B"], point["S"]
    new = 1 if phase == Phase.DECODE else span
    if quantity in ("flops", "bytes", "intensity"):
        sizes = {"B": exact(batch), "T": exact(new), "S": exact(span), "M": exact(span)}
        costs = step_cost(program, phase, sizes, precision)
        flops, moved = (sum(cost.count * getattr(cost, name) for cost in costs) for name in ("flops", "bytes"))
        return {"flops": flops, "bytes": moved, "intensity": flops / moved}[quantity]
    start = None if load_model(preset).lengths.decoder_start is None else span
    workload = Workload(batch, span, 1, span if phase == Phase.DECODE else None, decoder_start=start)
    held = footprint(program, workload, (phase,), precision)
    parameters = load_model(preset).parameters
    return {"parameters": parameters, "kv_cache": held.carried_bytes, "memory": held.total_bytes}[quantity]


CHEAP: tuple[Quantity, ...] = ("flops", "bytes", "parameters", "kv_cache")
COUNTED = [  # tests of compiling have the other half of the architectures
    *((name, CHEAP[place % 4]) for place, name in enumerate(ARCHITECTURES[::2])),
    *itertools.product(dict.fromkeys([*SPANNING, "bert-base"]), COUNTS),
]


@pytest.mark.parametrize(
    ("preset", "quantity"), quick(COUNTED, of=itertools.product(dict.fromkeys([*ARCHITECTURES, "bert-base"]), COUNTS))
)
def test_counts_equal_direct_binding(preset: str, quantity: Quantity) -> None:
    for phase in phases(preset):
        found = formula(preset, phase=phase, quantity=quantity, dtype="bf16")
        # a maximum of many letters takes seconds, and intensity is the ratio of two that were compared
        letters = quantity in CHEAP or preset in ("gpt2", "bert-base")
        general = formula(preset, phase=phase, quantity=quantity, keep="all", dtype="bf16") if letters else found
        fixed = load_model(preset).program().sizes
        for point in POINTS:
            expected = counted(preset, phase, quantity, point)
            assert found.substituted(**held(found, point)).value == pytest.approx(float(expected), rel=1e-12, abs=0)
            assert general.substituted(**held(general, {**fixed, **point})).value == pytest.approx(
                float(expected), rel=1e-12, abs=0
            )


def held(found: Formula, point: dict[str, Any]) -> dict[str, Any]:
    """The numbers of ``point`` for the letters that a formula really holds."""
    return {name: point[name] for name in found.symbols}


TIMED = ("llama-3.1-8b", "gpt2", "bert-base")
MACHINES = list(itertools.product(("h100", "mi300x", "xeon"), ("datasheet", "class")))


@pytest.mark.parametrize(
    ("preset", "device", "constants"),
    quick(
        [(preset, *machine) for preset, machine in paired(TIMED, MACHINES)],
        of=[(preset, *machine) for preset, machine in itertools.product(TIMED, MACHINES)],
    ),
)
def test_times_equal_those_of_predict(preset: str, device: str, constants: Any) -> None:
    for phase in phases(preset):
        found = formula(preset, phase=phase, quantity="time", hardware=device, constants=constants)
        bound = formula(preset, phase=phase, quantity="bound", hardware=device, constants=constants)
        for batch, span in ((1, 16), (7, 300), (64, 512)):
            lengths = {"context": span} if phase == Phase.DECODE else {"prompt": span, "generate": 1}
            given = roofline.predict(
                preset,
                device,
                batch=batch,
                phase=phase,
                constants=constants,
                engine="transformers" if device == "xeon" else "torch-compile",
                **lengths,  # type: ignore[arg-type]
            )
            figures = given.phases[phase].figures
            point = {"B": batch, "S": span}
            assert found.substituted(**held(found, point)).value == pytest.approx(figures.time_s, rel=1e-12)
            assert bound.substituted(**held(bound, point)).value == pytest.approx(figures.bound_s, rel=1e-12)


def test_words_take_the_place_of_the_numbers_of_a_device() -> None:
    words = formula("llama-3.1-8b", phase="decode", quantity="time", hardware="h100", keep="all")
    named = {"peak", "vector_peak", "special_peak", "bandwidth", "latency", "latency_attention_decode"}
    assert named <= set(words.symbols)
    one = formula("llama-3.1-8b", phase="decode", quantity="time", hardware="h100", keep="bandwidth")
    assert set(one.symbols) == {"B", "S", "bandwidth"}
    given = {"B": 4, "S": 512, "bandwidth": "6 TB/s"}
    expected = roofline.predict(
        "llama-3.1-8b",
        "h100",
        batch=4,
        context=512,
        constants="class",
        engine="torch-compile",
        set={"hardware.memory.hbm.bandwidth": "6 TB/s"},
    )
    assert one.substituted(**given).value == pytest.approx(expected.phases["decode"].figures.time_s, rel=1e-12)
    assert set(formula("matmul", quantity="time").symbols) == {
        *"BDF", "peak", "bandwidth", "latency", "e_c", "e_m", "p"
    }  # fmt: skip
    assert all(meaning(name) for name in (*words.symbols, *RATES, *SHARES))
    assert not set(LETTERS) & {*RATES, *SHARES}  # no letter means two things


def test_dtypes_that_contract_at_two_peaks_have_a_word_each() -> None:
    from roofline.formulas.machine import machine_for
    from roofline.formulas.subject import find_subject

    subject = find_subject("llama-3.1-8b", None, Conventions())
    costs = subject.costs(Phase.DECODE, {**LETTERS, "T": 1}, Precision("fp8", "fp8", "bf16"))
    machine = machine_for(costs, roofline.load_hardware("h100"), None, "graph")
    peaks = {str(machine.rates.contraction_unit(cost.dtype)[1]) for cost in costs if cost.flops != 0}
    assert peaks == {"peak_fp8", "peak_bf16"}
    assert (machine.numbers["peak_fp8"], machine.numbers["peak_bf16"]) == (1978.9e12, 989.4e12)


# Generated functions


GENERATED = [
    *((preset, quantity, None) for preset in ("llama-3.1-8b", "gpt2", "bert-base") for quantity in COUNTS),
    ("llama-2-7b", "time", "h100"),
    ("qwen3-8b", "bound", "mi300x"),
    ("bert-tutorial", "time", "xeon"),
    ("attention", "time", None),
    ("gated_feed_forward", "intensity", None),
]


@functools.cache
def generated(subject: str, quantity: Any, device: str | None) -> list[tuple[Formula, list[dict[str, Any]]]]:
    """A formula a phase, with random points for its arguments."""
    draw = random.Random(f"{subject} {quantity}")
    whens = (Phase.PREFILL, Phase.DECODE) if subject in LAYERS else phases(subject)
    found = [formula(subject, phase=when, quantity=quantity, hardware=device) for when in whens]
    return [(one, [{name: argument(name, draw) for name in one.symbols} for _ in range(5)]) for one in found]


def argument(name: str, draw: random.Random) -> float:
    if name in LETTERS:
        return draw.randint(1, 9999)
    if name == "p":
        return 2
    return draw.uniform(0.1, 1) if name in SHARES else draw.uniform(1e-6, 1e14)


def direct(found: Formula, point: dict[str, Any]) -> float:
    """The value with all digits: whole numbers exactly, others in sixty places, as fractional powers of long fractions
    would be factored; no generated code.
    """
    numbers = {
        symbol(name): sympy.Integer(number) if isinstance(number, int) else sympy.Float(sympy.Rational(number), 60)
        for name, number in point.items()
    }
    return float(sympy.sympify(found.expression.xreplace(numbers)).evalf(40))


@pytest.mark.parametrize(("subject", "quantity", "device"), GENERATED)
def test_the_python_function_runs_by_itself(subject: str, quantity: Any, device: str | None) -> None:
    cases = generated(subject, quantity, device)
    calls = [f"print(json.dumps([{found.name}(**p) for p in {points!r}]))\n" for found, points in cases]
    script = "\n\n".join([*(found.python() for found, _ in cases), "import json", *calls])
    check_output([sys.executable, "-I", "-S", "-c", script], cases)


def check_output(command: list[str], cases: list[tuple[Formula, list[dict[str, Any]]]]) -> None:
    """A fresh process prints one line a formula: its values at its points."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line, (found, points) in zip(done.stdout.splitlines(), cases, strict=True):
        assert json.loads(line) == pytest.approx([direct(found, p) for p in points], rel=1e-12, abs=0)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed, which runs the JavaScript")
@pytest.mark.parametrize(("subject", "quantity", "device"), GENERATED)
def test_the_javascript_function_runs_by_itself(subject: str, quantity: Any, device: str | None) -> None:
    cases = generated(subject, quantity, device)
    script = ["'use strict';", *(found.javascript() for found, _ in cases)]
    for found, points in cases:
        arguments = json.dumps([[point[name] for name in found.symbols] for point in points])
        script.append(f"console.log(JSON.stringify({arguments}.map(point => {found.name}(...point))))")
    check_output([str(shutil.which("node")), "-e", "\n".join(script)], cases)


def test_latex_and_notebooks() -> None:
    found = formula("attention", phase="decode", quantity="intensity")
    assert found.latex() == "\\frac{G S}{G + S}"
    assert found._repr_latex_() == "$\\displaystyle \\frac{G S}{G + S}$"
    assert "10^{-6}" in formula("llama-2-7b", phase="decode", quantity="time", hardware="h100").latex()


# The mean over decode steps


@pytest.mark.parametrize("quantity", ["flops", "bytes"])
@pytest.mark.parametrize(("prompt", "generate"), [(1, 2), (100, 28), (2048, 257)])
def test_the_mean_over_the_steps_of_a_request(quantity: Quantity, prompt: int, generate: int) -> None:
    found = formula("llama-3.1-8b", phase="decode", quantity=quantity, mean=True)
    request = roofline.predict(
        "llama-3.1-8b", "h100", batch=3, prompt=prompt, generate=generate, engine="torch-compile"
    )
    expected = getattr(request.phases["decode"].figures, quantity)
    value = found.substituted(B=3, prompt=prompt, generate=generate).value
    assert value == pytest.approx(float(expected), rel=1e-12)


def test_a_mean_without_closed_form_is_refused() -> None:
    with pytest.raises(WorkloadError, match="time is no polynomial in S"):
        formula("llama-3.1-8b", phase="decode", quantity="time", hardware="h100", mean=True)
    with pytest.raises(UsageError, match="goes with phase decode"):
        formula("llama-3.1-8b", phase="prefill", mean=True)


# The literature


SQUARE = {"count": "square", "lm_head": "all", "keep": "all"}


def matmul_parameters() -> Any:
    """N: the weights that every token is multiplied with, the head included, the embedding table not."""
    return L * (2 * D * K * G * H + 2 * D * K * H + 3 * D * F) + D * V


def test_two_flops_per_parameter_and_token() -> None:
    """Kaplan et al. 2020 (arXiv 2001.08361), section 2.1: C_forward = 2 N + 2 n_layer n_ctx d_attn per token.

    Their second term counts half of QK^T and PV; the full square is twice that (a multiply-add is 2 FLOPs each).
    """
    per_token = formula("llama-3.1-8b", phase="prefill", **SQUARE).expression / (B * S)  # type: ignore[arg-type]
    assert sympy.expand(per_token - 2 * matmul_parameters() - 4 * L * K * G * H * S) == 0
    decode = formula("llama-3.1-8b", phase="decode", keep="all").expression / B
    assert sympy.expand(decode - 2 * matmul_parameters() - 4 * L * K * G * H * S) == 0


def forward_and_backward(preset: str, recompute: str = "none") -> Any:
    """Contractions of a training step, of which attention computes nothing twice: full square, head everywhere."""
    program = load_model(preset).program(Conventions(attention="materialised", count="square", lm_head="all"))
    step, sizes = training_program(program, recompute=read_policy(recompute)), {**LETTERS, "T": S}
    stated = [(group, op) for phase in step.phases for group, op in step.in_phase(phase)]
    return sum(group.times(sizes) * op.flops(group.sizes(sizes)) for group, op in stated)


def test_palms_training_flops() -> None:
    """Chowdhery et al. 2022, PaLM (arXiv 2204.02311), appendix B: 6 N + 12 L H Q T per token, H heads of Q."""
    heads, width, tokens = K * G, H, S
    per_token = forward_and_backward("llama-2-7b") / (B * S)
    assert sympy.expand(per_token - 6 * matmul_parameters() - 12 * L * heads * width * tokens) == 0


def test_attention_of_a_square() -> None:
    """Attention's two products are 4 B S^2 D with D = heads x head dimension (Korthikanti et al. 2022, appendix A)."""
    found = formula("attention", phase="prefill", count="square").expression
    assert sympy.expand(found - 4 * B * S**2 * (K * G * H)) == 0


def test_megatrons_formula() -> None:
    """Narayanan et al. 2021 (arXiv 2104.04473), section 3: 96 B S L D^2 (1 + S/(6D) + V/(16 L D)) with recomputation.

    Without it, forward and backward are three quarters of the layers and all of the head:
    72 B S L D^2 (1 + S/(6D) + V/(12 L D)).
    """
    for recompute, factor, head in (("none", 72, 12), ("full", 96, 16)):
        found = forward_and_backward("gpt2", recompute).subs({F: 4 * D, G: 1, K: D / H})
        expected = factor * B * S * L * D**2 * (1 + S / (6 * D) + V / (head * L * D))
        assert sympy.expand(sympy.simplify(found - expected)) == 0


def test_the_kv_cache_of_a_token() -> None:
    """2 L K H elements per token (Pope et al. 2022, arXiv 2211.05102, section 3.3)."""
    found = formula("llama-3.1-8b", quantity="kv_cache", keep="all").expression
    assert sympy.expand(found - 2 * 2 * L * K * H * B * S) == 0  # 2 bytes an element


def test_the_intensity_of_attention() -> None:
    """G S/(S + G) FLOP/B in decode for 16-bit tensors; S/2 for multi-head attention over a long full square."""
    assert formula("attention", phase="decode", quantity="intensity").expression == G * S / (S + G)
    square = formula("full_attention", phase="prefill", quantity="intensity").expression
    assert sympy.expand(square.subs(G, 1) - S / 2) == 0


# Layers, names, refusals


QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
NAMED = [*LAYERS, *ALIASES]


@pytest.mark.parametrize(
    ("layer", "quantity"),
    quick(  # the page of formulas has all counts of each layer: here one of them, and a time or a bound
        [*paired(NAMED, QUANTITIES), *paired(NAMED, ("time", "bound"))],
        of=itertools.product(NAMED, QUANTITIES),
    ),
)
def test_every_layer_has_every_formula(layer: str, quantity: Quantity) -> None:
    if quantity in ("memory", "saved"):
        with pytest.raises(WorkloadError, match=f"{quantity} is that of a"):
            formula(layer, quantity=quantity)
        return
    found = formula(layer, quantity=quantity)
    assert set(found.symbols) <= {*LETTERS, *RATES, *SHARES}
    assert str(found).startswith(f"{quantity} of {layer}")
    assert found.name.isidentifier()


def test_parts_of_a_model() -> None:
    assert formula("llama-3.1-8b", op="up", phase="decode").expression == 2 * 4096 * 14336 * B
    layer = formula("llama-3.1-8b", op="layers", phase="decode").expression
    whole = formula("llama-3.1-8b", phase="decode").expression
    assert sympy.expand(whole - 32 * layer - 2 * 4096 * 128256 * B) == 0
    assert formula("llama-3.1-8b", op="up", quantity="parameters").value == 4096 * 14336
    assert formula("llama-3.1-8b", op="attention", quantity="kv_cache").expression == 2 * 2 * 8 * 128 * B * S
    assert formula("feed_forward", op="up").expression == 2 * B * D * F * T


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"op": ""}, "op is empty"),
        ({"op": "upp"}, "op \"upp\": llama-3.1-8b has no such operator or group; did you mean up?"),
        ({"phase": Phase.ENCODE}, "llama-3.1-8b has no encode phase; it has prefill, decode"),
        ({"phase": "warmup"}, "--phase 'warmup': expected encode or listen or prefill or decode"),
        ({}, "llama-3.1-8b runs in prefill and decode: name a phase"),
        ({"quantity": "flop"}, "--quantity 'flop': did you mean flops?"),
        ({"phase": Phase.DECODE, "keep": "?"}, 'keep "?": no such letter or word; known: '),
        ({"phase": Phase.DECODE, "subs": {"V2": 1}}, 'subs "V2": no such letter or word; '),
        ({"phase": Phase.DECODE, "subs": {"E": 1}}, "subs E: not in this formula, which holds B, S"),
        ({"phase": Phase.DECODE, "subs": {"B": 0}}, "subs B: 0, expected a whole number from 1 to 1000000000000"),
        ({"phase": Phase.DECODE, "subs": {"B": True}}, "subs B: true, expected a whole number from 1 to 1000000000000"),
    ],
)  # fmt: skip
def test_refusals_in_one_line(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(RooflineError) as refused:
        formula("llama-3.1-8b", **keywords)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_misspelt_layer_gets_a_near_match() -> None:
    with pytest.raises(RooflineError, match="did you mean attention"):
        formula("atention")
    with pytest.raises(RooflineError, match="llama-2-7b"):
        formula("lama-2-7b", phase="decode")


# What users write is never evaluated


ATTACKS = [
    "__import__('os')", "B=__import__('os').system('touch pwned')", "B=1+1", "B=().__class__", "B=1e400", "B=nan",
    "B=inf", "B=-1", "B=1.5", "B=0x10", "B=1_000", "B=\u0661", "B=S", "S=lambda: 0", "B=", "=1", "B", ",",
    "B=1,B=2", "", "bandwidth=exec('1')", "bandwidth=3 GB", "latency=1e999999999", "peak=9**9**9", "e_c=0", "p=-2",
    "B=" + "9" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS)
def test_substitutions_are_read_by_a_closed_grammar(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        pytest.fail("a user's string reached an evaluator")

    for where in ("builtins.eval", "builtins.exec", "sympy.sympify", "sympy.parsing.sympy_parser.parse_expr"):
        monkeypatch.setattr(where, refuse)
    with pytest.raises(UsageError) as refused:
        read_substitutions(text)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


@settings(max_examples=300)
@given(st.text(max_size=40) | st.from_regex(r"[BSTp]=.{0,20}", fullmatch=True))
def test_any_text_is_numbers_or_one_line(text: str) -> None:
    try:
        found = read_substitutions(text)
    except UsageError as failure:
        refusal = str(failure)
    else:
        assert all(number > 0 and math.isfinite(number) for number in found.values())
        return
    assert refusal.isprintable()


def test_numbers_with_units() -> None:
    assert read_substitutions("bandwidth=3.35 TB/s, latency=3us,e_c=0.5") == {
        "bandwidth": 3_350_000_000_000,
        "latency": pytest.approx(3e-6),
        "e_c": pytest.approx(0.5),
    }
    quick, slow = (
        formula("llama-3.1-8b", op="up", phase="decode", quantity="time", hardware="h100", subs={"latency": latency})
        for latency in ("5 us", "12 us")
    )
    assert slow.substituted(B=1).value == pytest.approx(7e-6 + quick.substituted(B=1).value)
    assert read_number("B", 8) == read_number("B", "8") == 8


# Random networks


@settings(max_examples=15)
@given(config=model_configs(), batch=st.integers(1, 64), span=st.integers(1, 64))
def test_random_networks_agree_with_direct_binding(config: dict[str, Any], batch: int, span: int) -> None:
    model = load_model(config)
    program = model.program()
    for phase in model.phases:
        tokens = 1 if phase == Phase.DECODE else span
        sizes = {"B": exact(batch), "T": exact(tokens), "S": exact(span), "M": exact(span)}
        costs = step_cost(program, phase, sizes, replace(BF16, state=model.checkpoint.state))
        point = {**program.sizes, "B": batch, "S": span, "M": span}
        for quantity in ("flops", "bytes"):
            found = formula(model, phase=phase, quantity=quantity, keep="all")
            expected = sum(cost.count * getattr(cost, quantity) for cost in costs)
            value = found.substituted(**held(found, point)).value
            assert value == (expected if isinstance(value, int) else float(expected))  # expected experts are fractions
            space: dict[str, Any] = {}
            exec(found.python(), space)
            assert space[found.name](**held(found, point)) == pytest.approx(float(expected), rel=1e-12)


def test_functions_have_names_of_their_own() -> None:
    counts = {preset: formula(preset, quantity="parameters") for preset in ARCHITECTURES}
    names = [
        replace(counts[preset], quantity="flops", phase=phase).name
        for preset in ARCHITECTURES
        for phase in phases(preset)
    ]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
