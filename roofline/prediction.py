"""Where the wings meet: a model, a device and a workload become a :class:`Prediction`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from roofline.architectures.model import Model, load_model
from roofline.arithmetic import computing_device
from roofline.calibration import ConstantSet, Execution, Provenance
from roofline.conventions import Conventions
from roofline.cost import step_cost
from roofline.errors import UsageError, WorkloadError, near_matches
from roofline.figures import Operator, PhasePrediction, figures_of
from roofline.hardware import HardwareSpec, load_hardware
from roofline.memory import MemoryFit, fit_memory
from roofline.number import settled
from roofline.precision import Recipe, read_recipe
from roofline.program import PHASES, Phase, Program
from roofline.provenance import calibration_in, constants_of
from roofline.quantization import quantized, storage_notes
from roofline.timing import time_step
from roofline.workload import (
    DEFAULT_ENCODER_PROMPT,
    DEFAULT_GENERATE,
    DEFAULT_PROMPT,
    Precision,
    Workload,
)

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model costs on a device: memory, time, what binds, how sure, phase by phase."""

    model: Model
    hardware: HardwareSpec
    workload: Workload
    recipe: Recipe
    conventions: Conventions
    program: Program
    execution: Execution
    constants: ConstantSet
    parameters: int
    memory: MemoryFit
    by_phase: tuple[tuple[Phase, PhasePrediction], ...]
    overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def precision(self) -> Precision:
        """The dtypes by role, of all tensors that are not quantised."""
        return self.recipe.precision

    @property
    def phases(self) -> Mapping[Phase, PhasePrediction]:
        """Phase -> its prediction, in the order in which they run; cannot be changed."""
        return MappingProxyType(dict(self.by_phase))

    @property
    def request_s(self) -> float:
        """Encode + prefill + all decode steps. [s]"""
        return sum(phase.steps * phase.figures.time_s for phase in self.phases.values())

    @property
    def ttft_s(self) -> float | None:
        """Time to first token, head and sampling included; None for encoders and lone decode steps. [s]"""
        return self.phases["prefill"].figures.time_s if "prefill" in self.phases else None

    @property
    def tpot_s(self) -> float | None:
        """Time per output token: the mean over the decode steps. [s]"""
        return self.phases["decode"].figures.time_s if "decode" in self.phases else None

    @property
    def tokens_per_s(self) -> float:
        """Generated tokens per second over the batch; input tokens for encoders and for prefill alone."""
        decode = self.phases.get("decode")
        tokens = self.workload.prompt if decode is None else decode.steps + ("prefill" in self.phases)
        return self.workload.batch * tokens / self.request_s

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know about this prediction."""
        notes = list(self.model.warnings)
        strange = [dtype for dtype in self.recipe.dtypes if not self.constants.covers(dtype)]
        if strange:
            class_name = self.hardware.calibration_class
            notes.append(f"{self.constants.name} was not measured in {', '.join(strange)}: it takes class {class_name}")
        notes += storage_notes(self.program, self.recipe)
        if self.memory.capacity_bytes is None:
            notes.append(f"{self.hardware.name} states no memory capacity (it is what one installs): fit unknown")
        return (*notes, *self.hardware.cautions)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``predict``: SI base units, names with their units."""
        return {
            "schema_version": SCHEMA_VERSION,
            "version": tool_version(),
            "model": self.model.name,
            "hardware": {"name": self.hardware.name, "count": 1, "overrides": dict(self.overrides)},
            "inputs": self._inputs(),
            "parameters": self.parameters,
            "fits": self.memory.fits,
            "memory": self.memory.to_dict(),
            "phases": {name: phase.to_dict() for name, phase in self.phases.items()},
            "request_s": self.request_s,
            **{k: v for k, v in (("ttft_s", self.ttft_s), ("tpot_s", self.tpot_s)) if v is not None},
            "tokens_per_s": self.tokens_per_s,
            "provenance": self.constants.provenance,
            "band": {"low": self.constants.low, "high": self.constants.high, "evidence": self.constants.evidence},
            "notes": list(self.notes),
        }

    def _inputs(self) -> dict[str, Any]:
        kept = self.recipe
        stored = {"weight": kept.weights, "activation": kept.activations, "kv": kept.kv_cache}
        precision = {"dtype": kept.name, **{f"{role}_dtype": form.name for role, form in stored.items()}}
        constants = {"execution": self.execution, "constants": self.constants.name}
        asked = asdict(self.workload)
        if self.workload.context is not None:
            asked |= {"prompt": None, "generate": None}
        return {**asked, **precision, **asdict(self.conventions), **constants}

    def _repr_html_(self) -> str:
        from roofline.report import html  # noqa: PLC0415  (a floor up: only a notebook asks for it)

        return html(self)


def predict(
    model: str | Path | Mapping[str, Any] | Model,
    hardware: str | Path | HardwareSpec,
    *,
    batch: int = 1,
    prompt: int | None = None,
    generate: int | None = None,
    context: int | None = None,
    phase: Phase | None = None,
    dtype: str | None = None,
    weight_dtype: str | None = None,
    activation_dtype: str | None = None,
    kv_dtype: str | None = None,
    attention: Literal["fused", "materialised"] = "fused",
    count: Literal["attended", "square"] = "attended",
    lm_head: Literal["last", "all"] = "last",
    execution: Execution | None = None,
    constants: Provenance | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002  (the keywords are the flags)
) -> Prediction:
    """Predict what ``model`` costs on ``hardware``.

    Lengths are in tokens. What is left out takes the defaults of the command line: a prompt of 2,048 tokens (512 for
    encoders), 256 generated tokens, the first of bf16, fp16, fp32 that the device has, graph execution on GPUs.
    ``set`` edits single fields by path, ``{"hardware.memory.hbm.bandwidth": "6 TB/s", "model.num_hidden_layers": 16}``;
    the result carries these edits.
    Raises RooflineError, in one line, for whatever the model or the device refuses.

    >>> predict("bert-base", "h100").phases["encode"].steps
    1
    """
    hardware, own = calibration_in(hardware)
    network, device = _edited(model, hardware, set or {})
    conventions = Conventions(attention, count, lm_head)
    recipe = read_recipe(
        dtype, weights=weight_dtype, activations=activation_dtype, kv_cache=kv_dtype,
        default=device.default_dtype(), checkpoint=network.recipe,
    )  # fmt: skip
    program = quantized(network.program(conventions), recipe)
    phases = _phases(program, phase, context, network.name)
    workload = _workload(network, phases, batch, prompt, generate, context)
    if "decode" in phases and workload.decode_steps == 0:
        phases = tuple(name for name in phases if name != "decode")
    constant_set = constants_of(device, constants, own).for_dtypes(recipe.dtypes)
    device = computing_device(device, recipe)
    how = execution or ("graph" if device.kind != "cpu" else "eager")
    return Prediction(
        network,
        device,
        workload,
        recipe,
        conventions,
        program,
        how,
        constant_set,
        parameters=int(settled(program.parameters())),
        memory=fit_memory(program, workload, phases, recipe.precision, device.capacity, network.lengths.positions),
        by_phase=tuple(
            (name, _phase(program, name, workload, recipe.precision, device, constant_set, how)) for name in phases
        ),
        overrides=tuple((set or {}).items()),
    )


def _edited(
    model: str | Path | Mapping[str, Any] | Model, hardware: str | Path | HardwareSpec, edits: Mapping[str, Any]
) -> tuple[Model, HardwareSpec]:
    """The model and the device, with the fields that ``set`` names edited. Raises UsageError for a path of neither."""
    fields: dict[str, dict[str, Any]] = {"hardware": {}, "model": {}}
    for path, value in edits.items():
        room, _, field = path.partition(".")
        if room not in fields or not field:
            msg = f"set {path}: expected a path such as hardware.memory.hbm.bandwidth or model.num_hidden_layers"
            raise UsageError(msg)
        fields[room][field] = value
    for room, given in (("hardware", hardware), ("model", model)):
        if fields[room] and isinstance(given, (Model, HardwareSpec)):
            msg = f"set {room}.{next(iter(fields[room]))}: the {room} is loaded already; give its name to edit it"
            raise UsageError(msg)
    network = model if isinstance(model, Model) else load_model(model, overrides=fields["model"])
    device = hardware if isinstance(hardware, HardwareSpec) else load_hardware(hardware, overrides=fields["hardware"])
    if lost := [key for key in fields["model"] if any(f"field {key} " in warning for warning in network.warnings)]:
        msg = f"set model.{lost[0]}: no such field; {near_matches(lost[0], network.config.model_fields_set)}"
        raise UsageError(msg)
    return network, device


def _phases(program: Program, phase: Phase | None, context: int | None, name: str) -> tuple[Phase, ...]:
    """The phases to predict: the one asked for, all that the model has, or decode alone when a context is given."""
    if phase is not None and phase not in PHASES:
        msg = f"phase {phase!r}: expected one of {', '.join(PHASES)}"
        raise UsageError(msg)
    if context is not None:
        if phase not in (None, "decode"):
            msg = f"context is the attended length of one decode step; it does not go with phase {phase}"
            raise UsageError(msg)
        phase = "decode"
    if phase is not None and phase not in program.phases:
        msg = f"{name} has no {phase} phase; it has {', '.join(program.phases)}"
        raise WorkloadError(msg)
    return program.phases if phase is None else (phase,)


def _workload(
    model: Model,
    phases: tuple[Phase, ...],
    batch: int,
    prompt: int | None,
    generate: int | None,
    context: int | None,
) -> Workload:
    if context is not None and (prompt is not None or generate is not None):
        msg = "context is the attended length of one decode step; it goes with neither prompt nor generate"
        raise UsageError(msg)
    positions = model.lengths.positions
    encodes = phases == ("encode",)
    default_generate = min(DEFAULT_GENERATE, max(1, positions // 2)) if "decode" in phases else 1
    generated = default_generate if generate is None else generate
    longest = positions if encodes else max(1, positions - generated)
    default = min(DEFAULT_ENCODER_PROMPT if encodes else DEFAULT_PROMPT, longest)
    workload = Workload(batch, default if prompt is None else prompt, generated, context)
    if phases == ("decode",) and context is None and generated == 1:
        msg = "generate 1 has no decode step: the first token comes from prefill; generate 2 or more, or give a context"
        raise UsageError(msg)
    for phase in phases:
        workload.check_positions(phase, positions)
    return workload


def _phase(
    program: Program,
    phase: Phase,
    workload: Workload,
    precision: Precision,
    device: HardwareSpec,
    constants: ConstantSet,
    execution: Execution,
) -> PhasePrediction:
    steps = workload.decode_steps if phase == "decode" else 1
    costs = step_cost(program, phase, workload.sizes(phase), precision)
    timings = time_step(costs, device, constants, execution, decoding=phase == "decode")
    twice = {name for name, times in Counter(cost.name for cost in costs).items() if times > 1}
    operators = tuple(
        Operator(
            f"{cost.group}.{cost.name}" if cost.name in twice else cost.name,
            cost.kind,
            int(cost.count),
            figures_of([(cost, timing)], device),
        )
        for cost, timing in zip(costs, timings, strict=True)
    )
    return PhasePrediction(steps, figures_of(list(zip(costs, timings, strict=True)), device), operators)


def tool_version() -> str:
    """The version of this package, as results carry it."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  (costs start-up only where asked)

    try:
        return version("roofline")
    except PackageNotFoundError:
        return "0+source"
