"""What a recipe asks of a device: a rate in each dtype that it computes in, and accumulators."""

from __future__ import annotations

from roofline.errors import WorkloadError
from roofline.hardware import HardwareSpec
from roofline.precision import Recipe


def computing_device(device: HardwareSpec, recipe: Recipe) -> HardwareSpec:
    """The device, with the accumulators that ``recipe`` asks for.

    Raises WorkloadError for a dtype that its units lack, and says how to store in it alone.
    """
    device = device.accumulating(recipe.accumulator)
    for dtype in recipe.computed:
        try:
            device.contraction_unit(dtype)
        except WorkloadError as failure:
            if not recipe.activations.scale or dtype != recipe.compute_dtype:
                raise
            msg = f"{failure}; {recipe.name} computes in {dtype}, activation_dtype {recipe.base} keeps it to storage"
            raise WorkloadError(msg) from None
    return device
