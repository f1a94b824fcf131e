"""Mixed precision: what weights are kept and computed in, whether there is a master copy, what gradients add up in."""

from __future__ import annotations

from dataclasses import replace

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches
from roofline.program.workload import DTYPE_BYTES, Precision
from roofline.training.kept.narrow import Narrow


@frozen
class TrainingRecipe:
    """The formats of a training step.

    ``computes``: what weights and activations are while they are worked with. ``weights``: how weights are kept.
    ``master``: a further copy that the optimizer updates, empty where it updates the weights themselves; its states are
    as wide, or in the format of ``states``. ``gradients``: what microbatches' gradients add up in. ``copies`` of each
    weight are kept besides in the format that is computed in: casts. ``gathers``: weights are cast as they are
    gathered, which ZeRO 3 alone does. ``narrow``: how matmuls are fed in fp8, where they are.
    """

    name: str
    computes: str
    weights: str
    master: str
    gradients: str
    source: str
    copies: int = 0
    gathers: bool = False
    narrow: Narrow | None = None
    states: str = ""

    @property
    def zero(self) -> tuple[int, ...]:
        """The stages of ZeRO that have it: casts that rest from update to update have weights that do."""
        if self.gathers:
            return (3,)
        return (0, 1, 2) if self.narrow is not None and self.narrow.rests else (0, 1, 2, 3)

    @property
    def precision(self) -> Precision:
        """The formats of the operators of a step."""
        return Precision(self.computes, self.computes, self.computes)

    @property
    def updated(self) -> str:
        """The format of what the optimizer updates, and of its states."""
        return self.master or self.weights

    @property
    def weight_bytes(self) -> int:
        """Bytes of each weight as it is kept, with its casts and without its master copy."""
        return int(DTYPE_BYTES[self.weights] + self.copies * DTYPE_BYTES[self.computes])

    @property
    def computed_bytes(self) -> int:
        """Bytes of each weight while it is worked with."""
        return int(DTYPE_BYTES[self.computes])

    @property
    def gradient_bytes(self) -> int:
        """Bytes of the gradient of each weight."""
        return int(DTYPE_BYTES[self.gradients])

    @property
    def master_bytes(self) -> int:
        """Bytes of the master copy of each weight."""
        return int(DTYPE_BYTES[self.master]) if self.master else 0

    @property
    def holds_gradients(self) -> bool:
        """Whether gradients have a buffer that is there throughout, as in Megatron and DeepSpeed.

        Elsewhere a backward pass makes them, and an update frees them: torch's ``zero_grad(set_to_none=True)``.
        """
        return bool(self.master) or self.gradients != self.weights

    @property
    def updated_width(self) -> int:
        """Bytes of each weight as the optimizer updates it."""
        return int(DTYPE_BYTES[self.updated])

    @property
    def state_width(self) -> int:
        """Bytes of an element of an optimizer's state."""
        return int(DTYPE_BYTES[self.states or self.updated])


_MEGATRON = "Megatron-LM, theoretical_memory_usage.py: 18 bytes a parameter with AdamW"

_FSDP = "torch FSDP2, MixedPrecisionPolicy: weights in fp32, cast to bf16 as they are gathered, gradients in fp32"

RECIPES = {
    recipe.name: recipe
    for recipe in (
        TrainingRecipe("bf16-mixed", "bf16", "bf16", "fp32", "fp32", _MEGATRON),
        TrainingRecipe(
            "fp16-mixed", "fp16", "fp16", "fp32", "fp16", "ZeRO, Rajbhandari et al. 2020 (arXiv 1910.02054), 3.1"
        ),
        TrainingRecipe(
            "bf16-autocast", "bf16", "fp32", "", "fp32", "torch.autocast: weights in fp32, cast once a step", copies=1
        ),
        TrainingRecipe(
            "bf16-fsdp",
            "bf16",
            "fp32",
            "",
            "fp32",
            _FSDP,
            gathers=True,
        ),
        TrainingRecipe(
            "fp8-mixed",
            "bf16",
            "bf16",
            "fp32",
            "fp32",
            f"{_MEGATRON}; --fp8-format hybrid --fp8-recipe delayed, Transformer Engine's copies of weights in fp8",
            narrow=Narrow(dynamic=False, saves=True, rests=True),
        ),
        TrainingRecipe(
            "fp8-block",
            "bf16",
            "bf16",
            "fp32",
            "fp32",
            "DeepSeek-V3 (arXiv 2412.19437), section 3.3: moments in bf16, tokens sent to experts in fp8",
            narrow=Narrow(dynamic=False, saves=True, rests=True, dispatches=True),
            states="bf16",
        ),
        TrainingRecipe(
            "fp8-fsdp",
            "bf16",
            "fp32",
            "",
            "fp32",
            f"{_FSDP}; torchao float8 training, tensorwise, weights cast behind their gathering",
            gathers=True,
            narrow=Narrow(dynamic=True, saves=False, rests=False),
        ),
        TrainingRecipe(
            "fp8-fsdp-gather",
            "bf16",
            "fp32",
            "",
            "fp32",
            f"{_FSDP}; torchao float8 training, tensorwise, enable_fsdp_float8_all_gather",
            gathers=True,
            narrow=Narrow(dynamic=True, saves=False, rests=False, gathers=True),
        ),
        TrainingRecipe("bf16", "bf16", "bf16", "", "bf16", "weights, gradients and states in bf16"),
        TrainingRecipe("fp32", "fp32", "fp32", "", "fp32", "all in fp32, matrix units without tf32"),
    )
}
"""By name."""


_SUMS = ("bf16", "fp16", "fp32")
"""Formats that gradients may add up in."""


def read_training_recipe(name: str, gradients: str | None = None) -> TrainingRecipe:
    """A recipe by its name, with gradients that add up in another format. Raises UsageError for what is not known.

    >>> read_training_recipe("bf16-mixed", "bf16").gradient_bytes
    2
    """
    if name not in RECIPES:
        msg = f"dtype {name!r}: {near_matches(name, RECIPES)}"
        raise UsageError(msg)
    recipe = RECIPES[name]
    if gradients is None:
        return recipe
    if gradients not in _SUMS:
        msg = f"gradients {gradients!r}: {near_matches(gradients, _SUMS)}"
        raise UsageError(msg)
    return replace(recipe, gradients=gradients)
