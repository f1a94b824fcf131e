"""What a transformer costs on hardware you do not own yet, why, and how sure that is.

>>> import roofline
>>> roofline.predict("llama-2-7b", "a100", context=2048, dtype="fp16").phases["decode"].figures.bound_by
'memory'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roofline.architectures.model import Model, load_model
    from roofline.buying import compare, size
    from roofline.ceilings import Ceiling, Roofline
    from roofline.errors import RooflineError
    from roofline.formulas.building import formula
    from roofline.formulas.expressions import Formula
    from roofline.hardware import HardwareSpec, load_hardware
    from roofline.operators import OperatorPrediction, predict_op
    from roofline.prediction import Prediction, predict
    from roofline.ranking import Comparison
    from roofline.sizing import Sizing

__all__ = [
    "Ceiling",
    "Comparison",
    "Formula",
    "HardwareSpec",
    "Model",
    "OperatorPrediction",
    "Prediction",
    "Roofline",
    "RooflineError",
    "Sizing",
    "compare",
    "formula",
    "load_hardware",
    "load_model",
    "predict",
    "predict_op",
    "size",
]

_HOMES = {
    "Ceiling": "ceilings",
    "Comparison": "ranking",
    "Formula": "formulas.expressions",
    "HardwareSpec": "hardware",
    "Model": "architectures.model",
    "OperatorPrediction": "operators",
    "Prediction": "prediction",
    "Roofline": "ceilings",
    "RooflineError": "errors",
    "Sizing": "sizing",
    "compare": "buying",
    "formula": "formulas.building",
    "load_hardware": "hardware",
    "load_model": "architectures.model",
    "predict": "prediction",
    "predict_op": "operators",
    "size": "buying",
}


def __getattr__(name: str) -> Any:
    """A public name, from the room that it lives in: `roofline --help` should not load the whole house."""
    if name not in _HOMES:
        msg = f"module 'roofline' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"roofline.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
