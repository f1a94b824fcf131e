"""What is served and how: the same question to all hardware."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from roofline.calibration.constants import Execution, Provenance
from roofline.compression.recipes import Recipe, read_recipe
from roofline.errors import UsageError, WorkloadError
from roofline.hardware.reservation import Reserve
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.traffic import Traffic
from roofline.serving.continuous_batching import CHUNK
from roofline.serving.speculation import Speculation

KEPT = 0.1
"""The part of the memory that an engine leaves to the runtime by default (vLLM's gpu_memory_utilization is 0.9)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is served and how: the same for all hardware.

    ``dtypes`` are those of all, weights, activations and cache, None for what the device has. ``chunk`` are the tokens
    of a mixed step, None for prompts by themselves. ``reserve``: the part of the memory that is the runtime's.
    ``only``: the phase that a replica of a pool does, None for both. ``overrides``: the fields of the
    model and of the hardware that were edited.
    """

    model: Model
    traffic: Traffic
    dtypes: tuple[str | None, str | None, str | None, str | None] = (None, None, None, None)
    conventions: Conventions = field(default_factory=Conventions)
    constants: Provenance | None = None
    execution: Execution | None = None
    chunk: int | None = CHUNK
    reserve: Reserve = field(default_factory=lambda: Reserve(KEPT))
    speculation: Speculation | None = None
    only: Phase | None = None
    overrides: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.chunk is not None and self.chunk < 1:
            msg = (
                f"chunk {self.chunk}: expected the tokens of a mixed step such as 2048, or 0 for prompts by themselves"
            )
            raise UsageError(msg)

    @property
    def program(self) -> Program:
        """The program of the model, in the dtype of nothing yet."""
        return self.model.program(self.conventions)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know about serving this model."""
        ops = [op for _, op in self.program.in_phase(Phase.DECODE)]
        notes = []
        if any(op.kind == "scan" for op in ops):
            notes.append("no scan was ever timed: scans take the constants of all kinds")
        if self.speculation and any(tensor.role == "state" for op in ops for tensor in op.writes):
            notes.append("the states that rejected tokens have changed are taken to be restored at no cost")
        return tuple(notes)

    def recipe(self, device: HardwareSpec) -> Recipe:
        """What is stored in which format on a device. Raises UsageError for an unknown word."""
        name, weights, activations, cache = self.dtypes
        return read_recipe(
            name, weights=weights, activations=activations, kv_cache=cache, default=device.default_dtype(),
            checkpoint=self.model.recipe,
        )  # fmt: skip

    def check(self) -> None:
        """Raises WorkloadError for a model that generates nothing, and for requests beyond its positions."""
        if self.program.phases != (Phase.PREFILL, Phase.DECODE):
            msg = f"{self.model.name} generates no text from prompts alone; serving is modelled for decoders"
            raise WorkloadError(msg)
        draft = self.speculation.draft if self.speculation else None
        positions = min(each.lengths.positions for each in (self.model, draft) if each)
        longest = self.traffic.longest
        if longest > positions:
            msg = (
                f"{self.traffic.name} traffic: its longest request has {longest} tokens, which exceeds the model's "
                f"max_position_embeddings {positions}; shorten --prompt or --generate"
            )
            raise WorkloadError(msg)
