"""One evaluator: what is asked in several ways has one answer, and a search says of memory what the answer says."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from grids import examples
from hypothesis import strategies as st

from roofline.calibration.constants import class_names
from roofline.calibration.provenance import constants_of
from roofline.cost.cost import step_cost
from roofline.engines.library import load_engine
from roofline.errors import RooflineError
from roofline.formulas.building import formula
from roofline.hardware.loading import load_every_hardware, load_hardware
from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.operators.predict_op import predict_op
from roofline.parallelism.sharding import shard
from roofline.prediction.layouts.search import choose_layout, evaluate
from roofline.prediction.overflow import fit_request, resident_bytes
from roofline.prediction.predict import predict, predict_request
from roofline.prediction.request import read_request
from roofline.prediction.sensitivity import RATES, RESOURCES, sensitivities
from roofline.program.phases import Phase
from roofline.program.workload import Precision
from roofline.serving.batched_steps import StepTimer
from roofline.timing.engine_choice import Launching

DEVICES = {}
for _spec in load_every_hardware():
    DEVICES.setdefault(_spec.calibration_class, _spec.name)
FAMILIES = {}
for _name in preset_names():
    FAMILIES.setdefault(load_model(_name).model_type, _name)


# Memory


@examples(
    st.sampled_from(["qwen3-30b-a3b", "llama-3.1-8b", "mixtral-8x7b", "gemma-2-9b"]),
    st.sampled_from([2, 4]),
    st.sampled_from([1, 4, 8]),
    st.floats(0.0, 0.97),
    st.sampled_from([1, 16]),
    few=5,
    many=50,
)
def test_the_layout_that_is_chosen_fits_whenever_any_fits(
    model: str, devices: int, batch: int, reserve: float, kv_block: int
) -> None:
    blocks = {"engine.kv_block": kv_block}
    request = read_request(model, f"{devices}xh100", batch=batch, prompt=512, generate=32, reserve=reserve, set=blocks)
    chosen = choose_layout(request, {})
    answer = predict_request(request, chosen.layout, chosen).memory
    table = evaluate(request, {}, [batch])
    layouts = [table.layout(row) for row in range(len(table))]
    fits = [fit_request(request, layout, shard(request.program, layout)).fits for layout in layouts]
    assert table.fits.tolist() == fits
    assert chosen.fitting == sum(bool(each) for each in fits)
    assert answer.fits == any(fits)


@pytest.mark.parametrize("reserve", [None, 0.5, "70 GiB"])
def test_what_the_machine_has_room_for_is_what_fits(reserve: float | str | None) -> None:
    request = read_request("qwen3-30b-a3b", "4xh100", batch=8, reserve=reserve)
    for row in range(len(table := evaluate(request, {}, [8]))):
        layout = table.layout(row)
        program = shard(request.program, layout)
        resident = resident_bytes(request, layout, program)
        assert request.machine(4).fits(resident) == fit_request(request, layout, program).fits


_OFTEN = ("llama", "gemma2", "mistral", "t5", "deberta-v2", "deepseek_v3", "gpt_oss", "bamba")


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=[] if f in _OFTEN else [pytest.mark.slow]) for f in sorted(FAMILIES)]
)
def test_every_family_answers_on_several_devices(family: str) -> None:
    prediction = predict(FAMILIES[family], "8xh100", batch=8)
    assert prediction.count == 8
    assert np.isfinite(prediction.request_s)


# What more would buy


@pytest.mark.parametrize(("model", "device"), [("llama-3.1-8b", "h100"), ("llama-3.1-8b", "t4"), ("bert-base", "xeon")])
def test_more_of_a_rate_is_the_device_with_that_rate_edited(model: str, device: str) -> None:
    """--sensitivity, plot sensitivity and --set give one answer."""
    asked = {"prompt": 256, "constants": "class"}
    prediction, spec = predict(model, device, **asked), load_hardware(device)
    memory = next(iter(spec.memory))

    def peaks(*units: str) -> dict[str, str]:
        every = ((unit, dtype, peak) for unit in units for dtype, peak in getattr(spec.peak, unit).items())
        return {
            f"hardware.peak.{u}.{dtype}": f"{peak.value * 1.1 / 1e9!r} G{'OP' if u == 'special' else 'FLOP'}/s"
            for u, dtype, peak in every
        }

    edits = {
        "memory bandwidth": {f"hardware.memory.{memory}.bandwidth": f"{spec.bandwidth * 1.1 / 1e9!r} GB/s"},
        "matrix peak": peaks("matrix"),
        "vector peak": peaks("vector"),
        "exponential unit": peaks("special"),
        "FLOP/s": peaks("matrix", "vector", "special"),
    }
    edits["bandwidth"] = edits["memory bandwidth"]
    for phase in map(Phase, prediction.phases):
        for found in sensitivities(prediction, phase, (*RATES, *RESOURCES)):
            if changes := edits.get(found.resource.name):
                edited = predict(model, device, set=changes, **asked).phases[phase].figures.time_s
                assert found.better_s == pytest.approx(edited, rel=1e-9), found.resource.name


# One operator


@pytest.mark.parametrize("name", class_names())
def test_predict_op_formula_and_compare_agree_on_one_operator(name: str) -> None:
    """A matmul of a decode step: inside a model, by itself, as a formula, in a step that serves; on every class."""
    if name not in DEVICES:
        pytest.skip(f"no shipped device has the class {name}")
    device, batch, span = load_hardware(DEVICES[name]), 16, 700
    dtype = device.default_dtype()
    asked = {"dtype": dtype, "constants": "class", "engine": unmerged(device)}
    model = load_model("llama-3.2-1b")
    inside = predict(model, device, batch=batch, context=span, **asked).phases["decode"]
    up = next(op for op in inside.operators if op.name == "up")
    sizes = model.program().sizes
    alone = predict_op("matmul", device, m=batch, k=sizes["D"], n=sizes["F"], **asked)
    written = formula(model, op="up", phase="decode", quantity="time", hardware=device, subs={"B": batch}, **asked)
    (cost,) = [
        cost
        for cost in step_cost(
            model.program(), Phase.DECODE, {"B": Fraction(batch), "T": Fraction(1), "S": Fraction(span)},
            Precision(dtype, dtype, dtype),
        )
        if cost.name == "up"
    ]  # fmt: skip
    launching = Launching.of(load_engine(unmerged(device)), device)
    served = StepTimer.of([device], [constants_of(device, "class")], launching).times([cost])
    each = up.figures.time_s / up.count
    assert alone.time_s == pytest.approx(each, rel=1e-9)
    assert float(written.expression) == pytest.approx(each, rel=1e-9)
    assert served.time_s[0, 0] / float(cost.count) == pytest.approx(each, rel=1e-9)
    assert served.timing.low_s[0, 0] == pytest.approx(up.figures.low_s, rel=1e-9)


def unmerged(device) -> str:
    return "transformers" if device.kind == "cpu" else "torch-compile"


def test_a_refusal_is_one_line() -> None:
    with pytest.raises(RooflineError, match=r"^pp 2 cannot be: layers read x, which no layer hands on"):
        predict("bart-large", "2xh100", pp=2)
