"""What runs beside a kernel, and costs a launch of its own."""

from __future__ import annotations

from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import AttentionShape, MatmulShape
from roofline.number import Number, as_float


def launch_s(cost: Cost, corrections: Corrections) -> Number:
    """The latency of the further kernels of an operator. [s]"""
    shape = cost.shape
    if corrections.quantize and isinstance(shape, MatmulShape):
        return corrections.quantize.latency
    if corrections.regroup and isinstance(shape, AttentionShape):
        counts = (as_float(count) for count in (shape.batch, shape.kv_heads, shape.groups))
        return corrections.regroup.latency_s(*counts)
    return 0.0
