"""What is served and how: the same question to all hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from roofline.compression.recipes import Recipe
from roofline.errors import UsageError, WorkloadError
from roofline.hardware.reservation import Reserve, read_reserve
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model
from roofline.options.keywords import takes
from roofline.options.verbs import ServingOptions
from roofline.prediction.request import edited_model, edits_by_room
from roofline.program.conventions import Conventions
from roofline.program.op import STATES
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.traffic import Traffic, read_traffic
from roofline.serving.speculation import Speculation, read_speculation
from roofline.timing.dtype_support import recipe_on

KEPT = 0.1
"""The part of the memory that an engine leaves to the runtime by default (vLLM's gpu_memory_utilization is 0.9)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is served and how: the same for all hardware.

    ``asked`` are the options, which each room reads that interprets some. ``reserve``: the part of the memory that is
    the runtime's. ``only``: the phase that a replica of a pool does, None for both.
    """

    model: Model
    traffic: Traffic
    asked: ServingOptions
    conventions: Conventions
    reserve: Reserve
    speculation: Speculation | None = None
    only: Phase | None = None

    def __post_init__(self) -> None:
        if self.asked["chunk"] < 0:
            hint = "expected the tokens of a mixed step such as 2048, or 0 for prompts by themselves"
            msg = f"chunk {self.asked['chunk']}: {hint}"
            raise UsageError(msg)

    @property
    def chunk(self) -> int | None:
        """The tokens of a mixed step, None for prompts by themselves."""
        return self.asked["chunk"] or None

    @property
    def overrides(self) -> tuple[tuple[str, Any], ...]:
        """The fields of the model and of the hardware that were edited."""
        return tuple((self.asked["set"] or {}).items())

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
        if self.speculation and any(tensor.role in STATES for op in ops for tensor in op.writes):
            notes.append("the states that rejected tokens have changed are taken to be restored at no cost")
        return tuple(notes)

    def recipe(self, device: HardwareSpec) -> Recipe:
        """What is stored in which format on a device. Raises UsageError for an unknown word."""
        return recipe_on(device, self.asked, self.model.checkpoint)

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


@takes(ServingOptions)
def read_question(model: str | Path | Mapping[str, Any] | Model, **options: Unpack[ServingOptions]) -> Question:
    """What the keywords that ``compare`` and ``size`` share ask for. Raises RooflineError, in one line.

    >>> question = read_question("llama-3.1-8b", workload="chat", chunk=0)
    >>> question.chunk, question.reserve.share, question.traffic.name
    (None, 0.1, 'chat')
    """
    return Question(
        edited_model(model, edits_by_room(options["set"] or {})["model"]),
        read_traffic(options),
        options,
        Conventions(),
        read_reserve(options, default=KEPT),
        read_speculation(options),
    )
