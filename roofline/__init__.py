"""What a transformer costs on hardware you do not own yet, why, and how sure that is.

>>> import roofline
>>> roofline.predict("llama-2-7b", "a100", context=2048, dtype="fp16").phases["decode"].figures.bound_by
'memory'
"""

from roofline.architectures.model import Model, load_model
from roofline.ceilings import Ceiling, Roofline
from roofline.errors import RooflineError
from roofline.hardware import HardwareSpec, load_hardware
from roofline.operators import OperatorPrediction, predict_op
from roofline.prediction import Prediction, predict

__all__ = [
    "Ceiling",
    "HardwareSpec",
    "Model",
    "OperatorPrediction",
    "Prediction",
    "Roofline",
    "RooflineError",
    "load_hardware",
    "load_model",
    "predict",
    "predict_op",
]
