"""What a transformer costs on hardware you do not own yet, why, and how sure that is.

>>> import roofline
>>> roofline.predict("llama-2-7b", "a100", context=2048, dtype="fp16").phases["decode"].figures.bound_by
'memory'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roofline import charts as charts
    from roofline.buying.api import compare, simulate, size
    from roofline.buying.ranking import Comparison
    from roofline.buying.recording import record, record_training
    from roofline.buying.sizing import Sizing
    from roofline.buying.training_costs import Training, train
    from roofline.errors import RooflineError
    from roofline.formulas.building import formula
    from roofline.formulas.expressions import Formula
    from roofline.hardware.loading import load_hardware
    from roofline.hardware.roofs import Ceiling, Roofline
    from roofline.hardware.spec import HardwareSpec
    from roofline.models.model import Model, load_model
    from roofline.operators.predict_op import OperatorPrediction, predict_op
    from roofline.prediction.predict import Prediction
    from roofline.serving.step_clock import StepClock
    from roofline.simulation.simulate import Simulation
    from roofline.sweeps.several import Predictions, predict
    from roofline.sweeps.sweep import Sweep, sweep
    from roofline.tape.tape import Tape
    from roofline.tracing.trace import trace

__all__ = [
    "Ceiling",
    "Comparison",
    "Formula",
    "HardwareSpec",
    "Model",
    "OperatorPrediction",
    "Prediction",
    "Predictions",
    "Roofline",
    "RooflineError",
    "Simulation",
    "Sizing",
    "StepClock",
    "Sweep",
    "Tape",
    "Training",
    "compare",
    "formula",
    "load_hardware",
    "load_model",
    "predict",
    "predict_op",
    "record",
    "record_training",
    "simulate",
    "size",
    "sweep",
    "trace",
    "train",
]

_HOMES = {
    "Ceiling": "hardware.roofs",
    "Comparison": "buying.ranking",
    "Formula": "formulas.expressions",
    "HardwareSpec": "hardware.spec",
    "Model": "models.model",
    "OperatorPrediction": "operators.predict_op",
    "Prediction": "prediction.predict",
    "Predictions": "sweeps.several",
    "Roofline": "hardware.roofs",
    "RooflineError": "errors",
    "Simulation": "simulation.simulate",
    "Sizing": "buying.sizing",
    "StepClock": "serving.step_clock",
    "Sweep": "sweeps.sweep",
    "Tape": "tape.tape",
    "Training": "buying.training_costs",
    "compare": "buying.api",
    "formula": "formulas.building",
    "load_hardware": "hardware.loading",
    "load_model": "models.model",
    "predict": "sweeps.several",
    "predict_op": "operators.predict_op",
    "record": "buying.recording",
    "record_training": "buying.recording",
    "simulate": "buying.api",
    "size": "buying.api",
    "sweep": "sweeps.sweep",
    "trace": "tracing.trace",
    "train": "buying.training_costs",
}


def __getattr__(name: str) -> Any:
    """A public name, from the room that it lives in: `roofline --help` should not load the whole house."""
    if name == "charts":  # a folder of its own, which needs matplotlib
        return import_module("roofline.charts")
    if name not in _HOMES:
        msg = f"module 'roofline' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"roofline.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
