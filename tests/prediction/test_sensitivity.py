"""What more of a resource buys equals a prediction with more of it; elasticities equal shares and differences."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import sympy
from grids import quick
from shell import answer

import roofline
from roofline.calibration.constants import ConstantSet
from roofline.calibration.provenance import class_of
from roofline.errors import UsageError
from roofline.formulas.building import formula
from roofline.formulas.derivatives import derivative, elasticity, sensitivity_text
from roofline.formulas.symbols import RATES, symbol
from roofline.prediction.sensitivity import gains
from roofline.program.phases import Phase

CASES = [
    ("llama-3.1-8b", "h100", {"batch": 8, "context": 2048, "constants": "class"}),
    ("llama-3.1-8b", "h100", {"batch": 8, "prompt": 300, "generate": 20, "constants": "class"}),
    ("gpt2", "a100", {"prompt": 64, "generate": 3, "constants": "datasheet"}),
    ("bert-base", "xeon", {"prompt": 100}),
]


def saved(model: str, device: str, keywords: dict[str, Any]) -> dict[Any, dict[str, float]]:
    result = roofline.predict(model, device, **keywords)
    return {phase: {gain.resource.name: gain.better_s for gain in found} for phase, found in gains(result).items()}


@pytest.mark.parametrize(("model", "device", "keywords"), CASES)
def test_more_bandwidth_and_more_flops_as_another_device(model: str, device: str, keywords: dict[str, Any]) -> None:
    """The same answer as from a spec whose numbers are 10 % larger."""
    spec = roofline.load_hardware(device)
    memory = next(iter(spec.memory))
    wider = {f"hardware.memory.{memory}.bandwidth": f"{spec.bandwidth * 1.1 / 1e9} GB/s"}
    faster = {
        f"hardware.peak.{unit}.{dtype}": {
            "value": f"{peak.value * 1.1 / 1e9} GFLOP/s",
            **({"clock": f"{peak.clock / 1e6} MHz"} if peak.clock else {}),
        }
        for unit in ("matrix", "vector", "special")
        for dtype, peak in getattr(spec.peak, unit).items()
    }
    found = saved(model, device, keywords)
    for edits, resource in ((wider, "bandwidth"), (faster, "FLOP/s")):
        expected = roofline.predict(model, device, set=edits, **keywords)
        for phase, given in expected.phases.items():
            assert found[phase][resource] == pytest.approx(given.figures.time_s, rel=1e-9)


@pytest.mark.parametrize(("model", "device", "keywords"), CASES)
def test_less_latency_saves_its_share(model: str, device: str, keywords: dict[str, Any]) -> None:
    result = roofline.predict(model, device, **keywords)
    for phase, found in gains(result).items():
        latency = next(gain for gain in found if gain.resource.name == "latency")
        share = result.phases[phase].figures.shares.latency  # what blocks cost stands in a corner with their traffic
        assert latency.saved == pytest.approx(0.1 * share, rel=1e-3, abs=1e-12)
        assert next(gain for gain in found if gain.resource.name == "link").saved == 0
        assert all(0 <= gain.saved <= 0.1 / 1.1 + 1e-12 or gain.resource.name == "latency" for gain in found)


DEVICES = ("h100", "mi300x", "xeon")
UNMERGED = {"h100": "torch-compile", "mi300x": "torch-compile", "xeon": "transformers"}
STEPS = [("llama-3.1-8b", 16, 512), ("gpt2", 1, 1000), ("bert-base", 4, 128)]


@pytest.mark.parametrize(
    ("device", "step"), quick(zip(DEVICES, STEPS, strict=True), of=itertools.product(DEVICES, STEPS))
)
def test_elasticities_are_the_shares(device: str, step: tuple[str, int, int]) -> None:
    model, batch, span = step
    for phase in roofline.load_model(model).phases:
        lengths = {"context": span} if phase == Phase.DECODE else {"prompt": span, "generate": 1}
        result = roofline.predict(
            model, device, batch=batch, phase=phase, constants="class", engine=UNMERGED[device],
            **lengths,  # type: ignore[arg-type]
        )  # fmt: skip
        shares = result.phases[phase].figures.shares
        point = {"B": batch, "S": span}
        words = formula(model, phase=phase, quantity="time", hardware=device, keep="all")
        sizes = {name: size for name, size in {**fixed(model), **point}.items() if name in words.symbols}
        words = words.substituted(**sizes)
        numbers = machine_numbers(device, words.symbols)
        found = {name: value(elasticity(words, name), numbers) for name in words.symbols}
        latency = sum(part for name, part in found.items() if name.startswith("latency"))
        compute = sum(found.get(name, 0.0) for name in ("peak", "vector_peak", "special_peak"))
        assert found["bandwidth"] == pytest.approx(-shares.memory, rel=1e-9)
        assert compute == pytest.approx(-shares.compute, rel=1e-9)
        blocks = device == "h100"  # what its attention's tiles and blocks cost has no word
        assert latency < shares.latency if blocks else latency == pytest.approx(shares.latency, rel=1e-9)


def fixed(model: str) -> dict[str, int]:
    return dict(roofline.load_model(model).program().sizes)


def machine_numbers(device: str, names: tuple[str, ...]) -> dict[str, float]:
    spec = roofline.load_hardware(device)
    execution: Any = "eager" if spec.kind == "cpu" else "graph"
    constants = ConstantSet.from_calibration(class_of(spec))
    vector = spec.peak_rate("vector", "fp32") or max(peak.value for peak in spec.peak.vector.values())
    known = {
        "peak": spec.contraction_unit(spec.default_dtype())[1],
        "bandwidth": spec.bandwidth,
        "vector_peak": vector,
        "special_peak": spec.peak_rate("special", "exp") or vector,
        "latency": constants.of("matmul", execution).latency_s,
    }
    kinds = "attention_prefill attention_decode attention_encoder elementwise norm softmax embedding".split()
    known |= {f"latency_{kind}": constants.of(kind, execution).latency_s for kind in kinds}
    return {name: known[name] for name in names}


def value(expression: Any, numbers: dict[str, float]) -> float:
    put = {symbol(name): sympy.Float(number, 40) for name, number in numbers.items()}
    return float(expression.subs(put).evalf(30))


@pytest.mark.parametrize("name", ["B", "S", "bandwidth", "peak", "latency"])
def test_derivatives_against_differences(name: str) -> None:
    words = formula("llama-3.1-8b", phase="decode", quantity="time", hardware="h100", keep=[*RATES])
    numbers = {**machine_numbers("h100", tuple(n for n in words.symbols if n not in "BS")), "B": 30.0, "S": 900.0}
    step = numbers[name] * 1e-6
    ends = [value(words.expression, {**numbers, name: numbers[name] + sign * step}) for sign in (1, -1)]
    slope = (ends[0] - ends[1]) / (2 * step)
    assert value(derivative(words, name), numbers) == pytest.approx(slope, rel=1e-6)
    time = value(words.expression, numbers)
    assert value(elasticity(words, name), numbers) == pytest.approx(slope * numbers[name] / time, rel=1e-6)


def test_elasticities_as_people_read_them() -> None:
    text = sensitivity_text(formula("attention", phase="decode", quantity="intensity"), "S")
    assert "d intensity / d S = G**2/(G + S)**2" in text
    assert "elasticity = G/(G + S)" in text
    with pytest.raises(UsageError, match='derivative "E": not in this formula, which holds G, S'):
        elasticity(formula("attention", phase="decode", quantity="intensity"), "E")


def test_the_flag_prints_and_adds_to_the_json() -> None:
    command = ("predict", "llama-3.1-8b", "--hardware", "h100", "--sensitivity")
    assert "10% more bandwidth" in answer(*command, "--quiet")
    result = json.loads(answer(*command, "--json"))
    found = result["sensitivity"][Phase.DECODE]
    assert set(found) == {"bandwidth", "FLOP/s", "link", "latency"}
    assert found["bandwidth"]["time_s"] < result["phases"][Phase.DECODE]["time_s"]


def test_an_edited_rate_keeps_the_constants_of_its_device() -> None:
    """Twice the bandwidth hastens what was fitted to the device by its share, and no class takes its place."""
    asked: dict[str, Any] = {"batch": 8, "context": 2048}
    plain = roofline.predict("llama-3.1-8b", "a100-sxm-80gb", **asked)
    twice = roofline.predict(
        "llama-3.1-8b", "a100-sxm-80gb", set={"hardware.memory.hbm.bandwidth": "4078 GB/s"}, **asked
    )
    assert plain.constants.calibration is not None
    assert plain.constants.calibration.name == "a100-sxm-80gb"
    assert twice.constants.calibration == plain.constants.calibration
    faster = plain.phases["decode"].figures.time_s / twice.phases["decode"].figures.time_s
    assert 1 < faster < 2
    assert twice.phases["decode"].figures.bound_s == pytest.approx(plain.phases["decode"].figures.bound_s / 2, rel=0.02)
