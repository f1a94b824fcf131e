"""Operators whose operands are stored as a recipe says: one matmul, or the chain of kernels that runs experts."""

from __future__ import annotations

from roofline.classes import frozen
from roofline.compression.quantization import quantized_groups
from roofline.compression.recipes import Recipe, read_recipe
from roofline.engines.engine import Engine
from roofline.hardware.spec import HardwareSpec
from roofline.layers.mixture_of_experts import experts, router
from roofline.layers.normalization import norm
from roofline.operators.sizes import Columns
from roofline.operators.statements import statement_of
from roofline.program.axes import Sizes
from roofline.program.merging import merged
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.timing.dtype_support import scaled_by

STORED = ("matmul", "grouped_matmul")
"""Kinds of one operator that reads weights."""

_BEFORE = ("norm", "router", "routing")


@frozen
class StoredOps:
    """Operators that run one after the other, the axes that their sizes bind, and the device with its accumulators."""

    ops: tuple[Op, ...]
    sizes: Sizes
    recipe: Recipe
    device: HardwareSpec

    @classmethod
    def matmul(cls, kind: str, columns: Columns, dtype: str, device: HardwareSpec) -> StoredOps:
        """A matmul, or one of experts, that reads what is stored so; the kernel that narrows its input is another.

        Raises UsageError for a dtype that is no recipe, WorkloadError for one that the device cannot run.
        """
        op, sizes = statement_of(kind, columns)
        recipe, device = _runnable(dtype, device)
        (group,) = quantized_groups((Group(kind, (op,), phases=(Phase.DECODE,)),), recipe)
        return cls((group.ops[-1],), sizes, recipe, device)

    @classmethod
    def experts(cls, columns: Columns, dtype: str, device: HardwareSpec, engine: Engine) -> StoredOps:
        """Experts with a gate, all between the router and the sum of what they said, as an engine runs them.

        What narrows the activations is folded where the engine folds it. Raises what :meth:`matmul` does.
        """
        recipe, device = _runnable(dtype, device)
        before = norm("norm", Tensor("x", "B T D", "input"), Tensor("h", "B T D"), kind="rms")
        ops = (before, *router(), *experts(function="silu"))
        groups = quantized_groups((Group("experts", ops, phases=(Phase.DECODE,)),), recipe)
        (group,) = merged(Program(groups, {}), {}, engine.folds).groups
        chain = tuple(op for op in group.ops if op.name not in _BEFORE)
        letters = {"B": "tokens", "E": "experts", "A": "topk", "D": "hidden", "F": "width"}
        return cls(chain, {letter: columns[name] for letter, name in letters.items()} | {"T": 1}, recipe, device)


def _runnable(dtype: str, device: HardwareSpec) -> tuple[Recipe, HardwareSpec]:
    """The recipe, and the device with the sums that it asks for."""
    recipe = scaled_by(device, read_recipe(dtype, default=device.default_dtype()))
    device = device.accumulating(recipe.accumulator)
    device.contraction_unit(recipe.compute_dtype)
    return recipe, device
