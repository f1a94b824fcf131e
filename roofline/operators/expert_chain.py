"""Experts as an engine runs them: the chain of kernels between the router and the sum of what experts said."""

from __future__ import annotations

from roofline.classes import frozen
from roofline.compression.quantization import quantized_groups
from roofline.compression.recipes import Recipe, read_recipe
from roofline.engines.engine import Engine
from roofline.hardware.spec import HardwareSpec
from roofline.layers.mixture_of_experts import experts, router
from roofline.layers.normalization import norm
from roofline.operators.sizes import Columns
from roofline.program.axes import Sizes
from roofline.program.merging import merged
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

_BEFORE = ("norm", "router", "routing")


@frozen
class ExpertChain:
    """The operators of experts with a gate, the axes that their sizes bind, and the device with its accumulators."""

    ops: tuple[Op, ...]
    sizes: Sizes
    recipe: Recipe
    device: HardwareSpec

    @classmethod
    def of(cls, columns: Columns, dtype: str, device: HardwareSpec, engine: Engine) -> ExpertChain:
        """That of an engine on a device: what narrows the activations is folded where the engine folds it.

        Raises UsageError for a dtype that is no recipe, WorkloadError for one that the device cannot run.
        """
        recipe = read_recipe(dtype, default=device.default_dtype())
        device = device.accumulating(recipe.accumulator)
        device.contraction_unit(recipe.compute_dtype)
        before = norm("norm", Tensor("x", "B T D", "input"), Tensor("h", "B T D"), kind="rms")
        ops = (before, *router(), *experts(function="silu"))
        groups = quantized_groups((Group("experts", ops, phases=(Phase.DECODE,)),), recipe)
        (group,) = merged(Program(groups, {}), {}, engine.folds).groups
        chain = tuple(op for op in group.ops if op.name not in _BEFORE)
        letters = {"B": "tokens", "E": "experts", "A": "topk", "D": "hidden", "F": "width"}
        return cls(chain, {letter: columns[name] for letter, name in letters.items()} | {"T": 1}, recipe, device)
