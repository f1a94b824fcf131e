"""What is served and how: the same question to all hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack

from roofline.calibration.kernels import Kernels
from roofline.classes import frozen
from roofline.compression.adapters import Adapters, read_adapters
from roofline.compression.recipes import Recipe
from roofline.cost.cost import step_cost
from roofline.cost.kernel_shapes import is_latent
from roofline.engines.engine import Engine
from roofline.engines.fields import ANY
from roofline.errors import UsageError, WorkloadError
from roofline.hardware.reservation import Reserve, read_reserve
from roofline.hardware.spec import HardwareSpec
from roofline.identity import Same
from roofline.layers.expert_load import check_routed, note_of
from roofline.models.model import Model
from roofline.options.edits import edits_by_room
from roofline.options.keywords import given, takes
from roofline.options.verbs.serving import ServingOptions
from roofline.options.words import Attention, Fusion
from roofline.prediction.predict import engine_in_json
from roofline.prediction.request import edited_model, engine_for, recipe_under
from roofline.prediction.shown import made_by, shown_by
from roofline.program.conventions import Conventions, check_fusion
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.traffic.asked import read_passes, read_traffic
from roofline.program.traffic.traffic import Traffic
from roofline.program.workload import Precision, Workload
from roofline.serving.speculation import RESTORED, Speculation, keeps_states, read_speculation
from roofline.timing.engine_choice import Launching, kernels_of
from roofline.timing.machine import kind_of

_BATCHES = (1, 2, 3, 8, 64, 4096)
"""At which a traced module is asked whether it does the same."""

KEPT = 0.1
"""The part of the memory that an engine leaves to the runtime by default (vLLM's gpu_memory_utilization is 0.9)."""


@frozen
class Running:
    """An engine on a device: how it launches, its chunked prefill, what it keeps, what it does with scores.

    ``chunk`` None: prompts by themselves. ``encodes``: an encoder, whose passes are whole. ``usual``: the chunk that
    the engine has by itself, where another was chosen; ``cut``: two-batch overlap was. ``sequences``: as many at once
    at most as are stated; what the engine takes by itself is no limit, since a launch line may raise it. ``fusion``: of
    a traced module, what runs as one kernel.
    """

    engine: Engine
    launching: Launching
    chunk: int | None
    reserve: Reserve
    kernels: Kernels
    encodes: bool = False
    usual: int | None = None
    sequences: int | None = None
    cut: bool = False
    fusion: Fusion | None = None

    def more_than_usual(self, sequences: int) -> str:
        """What to know of so many sequences at once of a scheduler; empty where the engine takes them by itself."""
        usual = self.engine.most_sequences
        if usual is None or self.sequences is not None or sequences <= usual:
            return ""
        return (
            f"{sequences:,} sequences at once are more than the {usual:,} that {self.engine.title} takes by itself: "
            f"--launch states them, --set engine.max_sequences={usual} keeps to its own"
        )

    def with_chunk(self, tokens: int) -> Running:
        """The same with another chunk."""
        engine = self.engine.model_copy(update={"chunk": {ANY: tokens}})
        return replace(self, engine=engine, chunk=tokens, usual=self.chunk)

    def with_halves(self) -> Running:
        """The same with two-batch overlap."""
        return replace(self, engine=_with_halves(Same(self.engine)), cut=True)

    @property
    def attention(self) -> Attention:
        """Whether scores are stored."""
        return "materialised" if self.kernels.attention == "materialised" else "fused"

    @property
    def key(self) -> tuple[str, int | None, Attention, bool]:
        """What of it the steps depend on: its fields are edited alike for all hardware."""
        return self.engine.name, self.chunk, self.attention, self.engine.two_batches

    @property
    def words(self) -> str:
        """The engine, and what of it serving depends on."""
        prompts = "prompts by themselves" if self.chunk is None else f"chunked prefill of {self.chunk} tokens"
        if self.usual is not None:
            prompts += f" (searched; its own is {self.usual})"
        halves = ("two-batch overlap" + " (searched)" * self.cut,) if self.engine.two_batches else ()
        fused = (f"fusion {self.fusion}",) if self.fusion else ()
        told = (self.engine.words, *fused, *(() if self.encodes else (prompts,)), *halves, self.reserve.words)
        return ", ".join(told)

    def to_dict(self) -> dict[str, Any]:
        """The engine as JSON has it, with what of it serving depends on."""
        kept = {"memory_share": 1 - self.reserve.share, "reserve_bytes": self.reserve.size}
        return {**engine_in_json(self.engine), "kernels": self.kernels.attention, "chunk": self.chunk or 0,
                "chunk_searched": self.usual is not None, "two_batches": self.engine.two_batches,
                "two_batches_searched": self.cut, **kept}  # fmt: skip


@lru_cache(maxsize=64)
def _with_halves(engine: Same[Engine]) -> Engine:
    """The engine with two-batch overlap: one object each, since memos key on it."""
    return engine.it.model_copy(update={"two_batches": True})


@frozen
class Question:
    """What is served and how: the same for all hardware.

    ``asked`` are the options, which each room reads that interprets some. ``only``: the phase that a replica of a pool
    does, None for both. ``staged``: whether a replica may be a pipeline.
    """

    model: Model
    traffic: Traffic
    asked: ServingOptions
    conventions: Conventions
    speculation: Speculation | None = None
    adapters: Adapters | None = None
    only: Phase | None = None
    staged: bool = True

    def running_on(self, device: HardwareSpec) -> Running:
        """What runs the model on a device. Raises WorkloadError where the engine asked for does not."""
        engine = engine_for(self.model, device, self.asked)
        reserve = read_reserve(self.asked, engine, otherwise=KEPT)
        launching = Launching.of(engine, device, self.asked["constants"])
        encodes = self.model.phases[0].encodes
        chunk = None if encodes else engine.mixed_tokens
        sequences = engine.most_sequences if self.states("max_sequences") else None
        kernels = kernels_of(engine, device)
        fusion = Conventions.run_by(engine, "fused", self.asked).fusion if self.program.anonymous else None
        return Running(engine, launching, chunk, reserve, kernels, encodes, sequences=sequences, fusion=fusion)

    def states(self, field: str) -> bool:
        """Whether a field of the engine was edited, or a part of it."""
        edited = edits_by_room(self.asked["set"] or {})["engine"]
        return any(path.partition(".")[0] == field for path in edited)

    @property
    def overrides(self) -> tuple[tuple[str, Any], ...]:
        """The fields of the model and of the hardware that were edited."""
        return tuple((self.asked["set"] or {}).items())

    @property
    def program(self) -> Program:
        """The program of the model, in the dtype of nothing yet."""
        return self.model.program(self.conventions)

    @property
    def attention(self) -> list[str]:
        """The kinds of fused attention, by whose constants it is timed."""
        program = self.program
        if self.traffic.reads:
            read = Workload(1, max(self.traffic.prompt.tokens), 1)
            phase, fp32 = self.model.phases[0], Precision("fp32", "fp32", "fp32")
            costs = step_cost(program, phase, read.sizes(phase), fp32)
            return [kind_of(cost) for cost in costs if cost.kind == "attention"]
        ops = [(phase, op) for phase in program.phases for _, op in program.in_phase(phase)]
        fused = [(phase, op) for phase, op in ops if op.kind == "attention" and op.parts]
        return [f"{'latent_' if is_latent(op) else ''}attention_{phase}" for phase, op in fused]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know about serving this model."""
        ops = [op for _, op in self.program.in_phase(self.model.phases[0] if self.traffic.reads else Phase.DECODE)]
        notes = [note] if (note := note_of(self.conventions.routing)) else []
        if self.adapters:
            notes.append(self.adapters.note)
        if any(op.kind == "scan" for op in ops):
            notes.append("no scan was ever timed: scans take the constants of all kinds")
        if self.speculation and keeps_states(self.program):
            notes.append(RESTORED)
        return tuple(notes)

    def recipe(self, device: HardwareSpec) -> Recipe:
        """What is stored in which format on a device. Raises UsageError for an unknown word."""
        engine = engine_for(self.model, device, self.asked)
        return recipe_under(engine, device, self.asked, self.model)

    def check(self) -> None:
        """Raises WorkloadError for a model that is served in no such way, an engine for others, too long a request."""
        reads = self.traffic.reads
        if not reads and (self.model.phases != (Phase.PREFILL, Phase.DECODE) or not self.model.generates):
            what = "serving is modelled for decoders, and for networks that answer with one pass"
            msg = f"{self.model.name} generates no text from prompts alone; {what}"
            raise WorkloadError(msg)
        check_routed(self.program, self.conventions.routing, self.model.name)
        engine_for(self.model, None, self.asked)  # one that serves no such network
        if reads:
            self._check_one_pass()
            return
        draft = self.speculation.draft if self.speculation else None
        positions = min(each.lengths.positions for each in (self.model, draft) if each)
        longest = self.traffic.longest
        if longest > positions:
            msg = (
                f"{self.traffic.name} traffic: its longest request has {longest} tokens, which exceeds the model's "
                f"max_position_embeddings {positions}; shorten --prompt or --generate"
            )
            raise WorkloadError(msg)

    def _check_one_pass(self) -> None:
        """Raises UsageError for what only answers have: drafts, pools, a price of them.

        WorkloadError where traced code does something else with some of the batches.
        """
        for tokens in self.traffic.prompt.tokens:
            for batch in _BATCHES:
                Workload(batch, tokens, 1).check_positions(self.model.phases[0], self.model.lengths)
        given = {"speculate": self.asked["speculate"], "draft": self.asked["draft"], "pools": self.asked["pools"]}
        for name, value in given.items():
            if value:
                msg = f"{name}: {self.model.name} generates nothing; leave it out"
                raise UsageError(msg)
        if self.asked["api"] is not None and self.traffic.reads != "documents":
            msg = f"api: its prices are of tokens, and {self.model.name} reads {self.traffic.reads}; leave it out"
            raise UsageError(msg)


@takes(ServingOptions)
def read_question(model: str | Path | Mapping[str, Any] | Model, **options: Unpack[ServingOptions]) -> Question:
    """What the keywords that ``compare`` and ``size`` share ask for. Raises RooflineError, in one line.

    >>> from roofline.hardware.loading import load_hardware
    >>> question = read_question("llama-3.1-8b", workload="chat", set={"engine.chunk": 0})
    >>> running = question.running_on(load_hardware("h100"))
    >>> running.engine.name, running.chunk, running.reserve.share, question.traffic.name
    ('vllm', None, 0.1, 'chat')
    """
    found = made_by(edited_model(model, edits_by_room(options["set"] or {})["model"]), options)
    if found.phases == (Phase.DECODE,):
        msg = (
            f"{found.name} was traced as one decode step, without the pass that reads a prompt; predict takes it; give "
            "a module that takes past_key_values and returns them"
        )
        raise WorkloadError(msg)
    check_fusion(options["fusion"], found.program(), found.name)
    shown = shown_by(found, options)
    traffic = read_passes(options, found) if found.reads else read_traffic(options, found.lengths.output)
    return Question(
        found,
        traffic.showing(shown) if shown.phases else traffic,
        options,
        Conventions(**given({"routing": options["routing"], "fusion": options["fusion"]})),
        read_speculation(options, found),
        read_adapters(options),
    )
