"""Compiled formulas equal direct binding on random points, for every architecture; chunks, broadcasting, the cache."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
import sympy
from grids import paired
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ARCHITECTURES, SPANNING, model_configs

import roofline
from roofline.cost.cost import step_cost
from roofline.cost.residency import footprint
from roofline.errors import UsageError
from roofline.formulas import compiling
from roofline.formulas.compiling import CHUNK, compile_expression
from roofline.formulas.expressions import Quantity
from roofline.formulas.flattening import flattened
from roofline.formulas.symbols import LETTERS
from roofline.models.model import load_model
from roofline.number import exact
from roofline.program.phases import Phase
from roofline.program.workload import Precision, Workload

BF16 = Precision("bf16", "bf16", "bf16")
B, S = LETTERS["B"], LETTERS["S"]


def points(seed: str, count: int, longest: int) -> tuple[Any, Any]:
    random = np.random.default_rng(list(seed.encode()))
    return random.integers(1, 300, count), random.integers(1, longest + 1, count)


QUANTITIES: tuple[Quantity, ...] = ("flops", "bytes", "intensity", "memory")


@pytest.mark.parametrize(
    ("preset", "quantity"),
    [
        *itertools.product(ARCHITECTURES[1::2], ("flops", "bytes")),
        *itertools.product(SPANNING, ("intensity", "memory")),
    ],
)
def test_counts_equal_direct_binding(preset: str, quantity: Quantity) -> None:
    check_counts(preset, quantity)


@pytest.mark.slow
@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("preset", ARCHITECTURES)
def test_counts_of_all_equal_direct_binding(preset: str, quantity: Quantity) -> None:
    check_counts(preset, quantity)


def check_counts(preset: str, quantity: Quantity) -> None:
    """Each phase at random points."""
    program = load_model(preset).program()
    for phase in program.phases:
        fast = compiling.compile(program, quantity, phase=phase)
        batches, spans = points(preset, 20, 10**6)
        found = fast(**{name: {"B": batches, "S": spans, "M": spans}[name] for name in fast.arguments})
        for value, batch, span in zip(np.broadcast_to(found, 20), batches, spans, strict=True):
            assert value == pytest.approx(direct(program, quantity, phase, int(batch), int(span)), rel=1e-12, abs=0)


def is_behind_encoder(program: Any) -> bool:
    """Whether a decoder attends to what an encoder has read, in these tests as many tokens as S."""
    return Phase.ENCODE in program.phases and len(program.phases) > 1


def direct(program: Any, quantity: str, phase: Any, batch: int, span: int) -> float:
    if quantity == "memory":
        start = span if is_behind_encoder(program) else None
        workload = Workload(batch, span, 1, span if phase == Phase.DECODE else None, decoder_start=start)
        return footprint(program, workload, (phase,), BF16).total_bytes
    sizes = {"B": exact(batch), "T": exact(1 if phase == Phase.DECODE else span), "S": exact(span), "M": exact(span)}
    costs = step_cost(program, phase, sizes, BF16)
    flops, moved = (sum(cost.count * getattr(cost, name) for cost in costs) for name in ("flops", "bytes"))
    return float({"flops": flops, "bytes": moved, "intensity": flops / moved}[quantity])


@pytest.mark.parametrize(("preset", "device"), paired(SPANNING, ("h100", "xeon")))
def test_times_equal_predictions(preset: str, device: str) -> None:
    check_times(preset, device)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["h100", "xeon"])
@pytest.mark.parametrize("preset", ARCHITECTURES)
def test_times_equal_predictions_of_all_on_both(preset: str, device: str) -> None:
    check_times(preset, device)


def check_times(preset: str, device: str) -> None:
    """Time and bound of each phase at random points."""
    model = load_model(preset)
    longest = min(model.lengths.positions, model.lengths.output)
    dtype = roofline.load_hardware(device).default_dtype()  # a quantised checkpoint has a program of its own
    for phase in model.phases:
        time, bound = (
            compiling.compile(model.program(), quantity, phase=phase, hardware=device) for quantity in ("time", "bound")
        )
        batches, spans = points(preset + device, 4, longest - 1)
        spans = np.full_like(spans, longest) if model.lengths.whole else spans
        behind = model.lengths.decoder_start if phase == Phase.PREFILL else None
        given = {"B": batches, "S": spans if behind is None else np.full_like(spans, behind), "M": spans}
        times, bounds = (found(**{name: given[name] for name in found.arguments}) for found in (time, bound))
        for index, (batch, span) in enumerate(zip(batches.tolist(), spans.tolist(), strict=True)):
            lengths = {"context": span} if phase == Phase.DECODE else {"prompt": span, "generate": 1}
            lengths |= {"prompt": span} if is_behind_encoder(model.program()) else {}
            run = roofline.predict(model, device, batch=batch, phase=phase, dtype=dtype, constants="class", **lengths)
            figures = run.phases[phase].figures
            assert times[index] == pytest.approx(figures.time_s, rel=1e-12, abs=0)
            assert bounds[index] == pytest.approx(figures.bound_s, rel=1e-12, abs=0)


@settings(max_examples=15)
@given(config=model_configs(), batch=st.integers(1, 64), span=st.integers(1, 64))
def test_random_networks(config: dict[str, Any], batch: int, span: int) -> None:
    program = load_model(config).program()
    for phase in program.phases:
        for quantity in ("flops", "bytes"):
            fast = compiling.compile(program, quantity, phase=phase)
            given = {name: {"B": batch, "S": span, "M": span}[name] for name in fast.arguments}
            assert fast(**given) == pytest.approx(direct(program, quantity, phase, batch, span), rel=1e-12, abs=0)


def test_all_phases_together() -> None:
    program = load_model("llama-2-7b").program()
    both = compiling.compile(program, "time", hardware="h100")
    parts = [compiling.compile(program, "time", hardware="h100", phase=phase) for phase in program.phases]
    assert both(B=7, S=300) == pytest.approx(sum(part(B=7, S=300) for part in parts), rel=1e-14)
    with pytest.raises(UsageError, match="memory is that of one phase"):
        compiling.compile(program, "memory")


def test_any_symbol_may_be_an_array() -> None:
    program = load_model("llama-3.1-8b").program()
    fast = compiling.compile(program, "time", phase="decode", hardware="h100", keep=["bandwidth", "D"])
    assert fast.arguments == ("B", "D", "S", "bandwidth")
    found = fast(B=np.array([[1], [8]]), D=4096, S=np.array([100, 200, 300]), bandwidth=3.35e12)
    assert found.shape == (2, 3)
    assert found.dtype == np.float64
    for row, batch in enumerate((1, 8)):
        for column, span in enumerate((100, 200, 300)):
            expected = roofline.predict("llama-3.1-8b", "h100", batch=batch, context=span, constants="class")
            assert found[row, column] == pytest.approx(expected.phases["decode"].figures.time_s, rel=1e-12)
    assert isinstance(fast(B=1, D=4096, S=100, bandwidth=3.35e12), float)
    wide = fast(B=1, D=4096, S=100, bandwidth=np.array([3.35e12, 6e12]))
    edited = {"hardware.memory.hbm.bandwidth": "6 TB/s"}
    faster = roofline.predict("llama-3.1-8b", "h100", context=100, constants="class", set=edited)
    assert wide[1] == pytest.approx(faster.phases["decode"].figures.time_s, rel=1e-12)


def test_chunks_join_without_a_seam() -> None:
    fast = compiling.compile(load_model("gpt2").program(), "time", phase="prefill", hardware="h100")
    batches, spans = points("seam", 3 * CHUNK + 5, 1000)
    found = fast(B=batches, S=spans)
    for index in (0, CHUNK - 1, CHUNK, 2 * CHUNK, 3 * CHUNK + 4):
        assert found[index] == pytest.approx(fast(B=batches[index], S=spans[index]), rel=1e-15)
    strided = fast(B=batches[::-2], S=spans[::-2])
    assert np.array_equal(strided, found[::-2])
    assert fast(B=np.ones((0, 3)), S=1).shape == (0, 3)


def test_memory_is_bounded_by_the_chunk() -> None:
    fast = compiling.compile(load_model("llama-2-7b").program(), "time", hardware="h100")
    peaks = []
    for count in (10 * CHUNK, 100 * CHUNK):
        batches, spans = (values.astype(np.float64) for values in points("memory", count, 4096))
        tracemalloc.start()
        held = fast(B=batches, S=spans)
        peaks.append(tracemalloc.get_traced_memory()[1] - held.nbytes)
        tracemalloc.stop()
    assert max(peaks) < 40 * CHUNK * 8
    assert peaks[1] < peaks[0] + CHUNK * 8


def test_the_cache_answers_the_same_question() -> None:
    first = compiling.compile(load_model("gpt2").program(), "time", phase="decode", hardware="h100")
    assert compiling.compile(load_model("gpt2").program(), "time", phase="decode", hardware="h100") is first
    assert compiling.compile(load_model("gpt2").program(), "time", phase="decode", hardware="a100") is not first
    assert (
        compiling.compile(load_model("gpt2").program(), "time", phase="decode", hardware="h100", keep="D") is not first
    )
    edited = roofline.load_hardware("h100", overrides={"memory.hbm.bandwidth": "6 TB/s"})
    faster = compiling.compile(load_model("gpt2").program(), "time", phase="decode", hardware=edited)
    assert faster(B=1, S=100) < first(B=1, S=100)
    deeper = load_model("gpt2", overrides={"n_layer": 24}).program()
    assert compiling.compile(deeper, "time", phase="decode", hardware="h100")(B=1, S=100) > first(B=1, S=100)


def test_common_subexpressions_are_shared_and_layers_cost_nothing() -> None:
    shallow, deep = (load_model("llama-2-7b", overrides={"num_hidden_layers": layers}) for layers in (2, 200))
    sources = [compiling.compile(model.program(), "time", hardware="h100").source for model in (shallow, deep)]
    assert sources[0].count("sqrt") == sources[1].count("sqrt")
    assert sources[0].count("B*S") == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"B": 1}, '"S" is missing; it takes B, S'),
        ({"B": 1, "S": 1, "T": 1}, '"T" is not an argument; it takes B, S'),
        ({"B": "1", "S": "many"}, 'S: "many", expected a number or an array of numbers'),
        ({"B": 0, "S": 1}, "B: expected finite numbers above 0, given one of 0 to 0"),
        ({"B": np.array([1, np.nan]), "S": 1}, "B: expected finite numbers above 0"),
        ({"B": np.ones(3), "S": np.ones(4)}, "shapes do not match: (3,), (4,)"),
    ],
)
def test_refusals(values: dict[str, Any], message: str) -> None:
    fast = compiling.compile(load_model("gpt2").program(), "time", phase="decode", hardware="h100")
    with pytest.raises(UsageError) as refused:
        fast(**values)
    assert str(refused.value).startswith(message)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5))
def test_flattening_keeps_the_value(terms: list[tuple[int, int, int]]) -> None:
    """A polynomial and its square root, rewritten, against exact evaluation."""
    polynomial = sum(factor * B**i * S**j for factor, i, j in terms)
    for expression in (sympy.sympify(polynomial), 3 * sympy.sqrt(polynomial), sympy.sqrt(polynomial) + polynomial):
        fast = compile_expression(expression)
        point = {name: value for name, value in (("B", 17), ("S", 4099)) if name in fast.arguments}
        exact_value = sympy.sympify(expression).xreplace({B: sympy.Integer(17), S: sympy.Integer(4099)})
        assert fast(**point) == pytest.approx(float(exact_value.evalf(30)), rel=1e-13)


def test_what_could_cancel_is_left_alone() -> None:
    expression = sympy.expand((S - 1) ** 3)
    assert flattened(expression) == expression
