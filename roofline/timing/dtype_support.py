"""What a recipe asks of a device: a rate in each dtype that it computes in, and accumulators."""

from __future__ import annotations

from dataclasses import replace

from roofline.compression.recipes import NARROWER, Checkpoint, Recipe, names_recipe, read_recipe, recipe_of
from roofline.errors import WorkloadError
from roofline.hardware.spec import HardwareSpec
from roofline.options.groups import Dtype, Dtypes
from roofline.program.workload import DTYPE_BYTES


def recipe_on(device: HardwareSpec, asked: Dtype | Dtypes, checkpoint: Checkpoint) -> Recipe:
    """What a network is stored in and computed in on ``device``: what is asked for, else what its file says.

    Where the units lack the dtype that a file was made for, its weights are stored so and multiplied in 16 bits.
    Raises UsageError for an unknown word.

    >>> from roofline.hardware.loading import load_hardware
    >>> published = Checkpoint("fp8-block")
    >>> [recipe_on(load_hardware(name), {}, published).name for name in ("h100", "a100")]
    ['fp8-block', 'fp8-block:16']
    """
    recipe = scaled_by(device, recipe_of(asked, default=device.default_dtype(), checkpoint=checkpoint))
    if names_recipe(asked.get("dtype")) or asked.get("activation_dtype"):
        return recipe
    return recipe.widened(lambda dtype: _computes(device, dtype))


def scaled_by(device: HardwareSpec, recipe: Recipe) -> Recipe:
    """The recipe, knowing in which dtypes the device's matrix unit applies scales by block itself.

    >>> from roofline.hardware.loading import load_hardware
    >>> published = read_recipe("fp8-block", default="bf16")
    >>> [scaled_by(load_hardware(name), published).unit_scaled for name in ("h100", "b200")]
    [(), ('fp8',)]
    """
    unit_scaled = tuple(name for name, peak in device.peak.matrix.items() if peak.block_scaled)
    return replace(recipe, unit_scaled=unit_scaled) if unit_scaled and recipe.weights.depth else recipe


def _computes(device: HardwareSpec, dtype: str) -> bool:
    try:
        device.contraction_unit(dtype)
    except WorkloadError:
        return False
    return True


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
            stored = f"--activation-dtype {recipe.base} reads {recipe.name} weights and computes in {recipe.base}"
            msg = f"{failure}; {recipe.name} computes in {dtype}; {stored}"
            raise WorkloadError(msg) from None
    return device


def narrower_recipes(recipe: Recipe, device: HardwareSpec) -> list[str]:
    """The common recipes whose weights are narrower, and which the device's units compute in; the widest first.

    >>> from roofline.hardware.loading import load_hardware
    >>> [narrower_recipes(read_recipe("bf16", default="bf16"), load_hardware(name)) for name in ("h100", "a100")]
    [['fp8', 'w8a16', 'w4a16'], ['w8a16', 'w4a16']]
    """
    found = ((word, read_recipe(word, default=recipe.base)) for word in NARROWER)
    least = DTYPE_BYTES[recipe.weights.dtype]
    return [
        word
        for word, other in found
        if DTYPE_BYTES[other.weights.dtype] < least and other.compute_dtype in device.dtypes()
    ]


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
