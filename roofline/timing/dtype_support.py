"""What a recipe asks of a device: a rate in each dtype that it computes in, and accumulators."""

from __future__ import annotations

from roofline.compression.recipes import Recipe
from roofline.errors import WorkloadError
from roofline.hardware.spec import HardwareSpec


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


def sparse_gain(device: HardwareSpec, recipe: Recipe, pattern: str) -> float:
    """How much faster than dense the device's matrix unit multiplies weights of ``pattern``; 1 where it does not.

    >>> from roofline.hardware.loading import load_hardware
    >>> from roofline.compression.recipes import read_recipe
    >>> [sparse_gain(load_hardware(name), read_recipe("fp16", default="fp16"), "2:4") for name in ("a100", "v100")]
    [2.0, 1.0]
    """
    rule = device.sparsity
    if rule is None or rule.pattern != pattern:
        return 1.0
    own = (factor for dtype, factor in rule.by_dtype.items() if dtype == recipe.compute_dtype)
    return next(own, rule.factor)
