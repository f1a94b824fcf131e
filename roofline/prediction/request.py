"""What is asked: model, device or devices, workload and precision, read once and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from roofline.calibration.constants import ConstantSet, Execution
from roofline.calibration.provenance import constants_of
from roofline.compression.recipes import Recipe, read_recipe
from roofline.compression.transform import NOTHING, Compression, compressed, read_compression
from roofline.errors import UsageError, WorkloadError, near_matches
from roofline.hardware.loading import load_hardware
from roofline.hardware.reservation import read_reserve
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System
from roofline.models.model import Model, load_model
from roofline.options.keywords import takes
from roofline.options.verbs import RequestOptions
from roofline.prediction.fleet import Fleet, fleet_of
from roofline.program.conventions import Conventions
from roofline.program.lengths import Lengths
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import (
    DEFAULT_ENCODER_PROMPT,
    DEFAULT_GENERATE,
    DEFAULT_PROMPT,
    Precision,
    Workload,
)
from roofline.timing.dtype_support import computing_device, sparse_gain
from roofline.timing.machine import Machine

Hardware = str | Path | HardwareSpec | System


@dataclass(frozen=True, slots=True)
class Request:
    """All that a prediction depends on but the layout."""

    model: Model
    device: HardwareSpec
    fleet: Fleet
    program: Program
    phases: tuple[Phase, ...]
    workload: Workload
    recipe: Recipe
    conventions: Conventions
    constants: ConstantSet
    execution: Execution
    asked: RequestOptions
    compression: Compression = NOTHING
    storage: tuple[str, ...] = ()
    reserved: int = 0

    @property
    def overrides(self) -> tuple[tuple[str, Any], ...]:
        """The fields of the model and of the hardware that were edited."""
        return tuple((self.asked["set"] or {}).items())

    @property
    def precision(self) -> Precision:
        """The dtypes by role, of all tensors that are not quantised."""
        return self.recipe.precision

    @property
    def room_bytes(self) -> float | None:
        """The memory of a device that the runtime leaves; None where it is not known. [B]"""
        capacity = self.device.capacity
        return None if capacity is None else max(0.0, capacity - self.reserved)

    def machine(self, devices: int = 1) -> Machine:
        """So many of the devices, with what the runtime leaves of the memory. Raises WorkloadError without links."""
        network = self.fleet.network(self.device, devices, self.constants)
        return Machine(self.device, self.constants, self.execution, network, self.room_bytes)


@takes(RequestOptions)
def read_request(
    model: str | Path | Mapping[str, Any] | Model, hardware: Hardware, **options: Unpack[RequestOptions]
) -> Request:
    """The keywords of ``predict`` but the degrees, with their defaults filled in.

    Raises RooflineError, in one line, for whatever the model or the device refuses.
    """
    o, edits = options, options["set"] or {}
    if not 0 <= o["overlap"] <= 1:
        msg = f"overlap {o['overlap']}: expected a part from 0 to 1 of the time of collectives"
        raise UsageError(msg)
    fleet = replace(fleet_of(hardware), overlap=o["overlap"])
    network, device = _edited(model, fleet.device, edits)
    conventions = Conventions(o["attention"], o["count"], o["lm_head"])
    recipe = read_recipe(
        o["dtype"], weights=o["weight_dtype"], activations=o["activation_dtype"], kv_cache=o["kv_dtype"],
        default=device.default_dtype(), checkpoint=network.recipe,
    )  # fmt: skip
    compression = read_compression(o["prune"], o["sparsity"])
    program, storage = compressed(network.program(conventions), compression, recipe, sparse_gain(device, recipe, "2:4"))
    phases = _phases(program, o["phase"], o["context"], network.name)
    workload = workload_of(network, phases, o["batch"], o["prompt"], o["generate"], o["context"])
    workload = replace(workload, kv_block=o["kv_block"])
    if Phase.DECODE in phases and workload.decode_steps == 0:
        phases = tuple(name for name in phases if not name.one_token)
    used = constants_of(device, o["constants"], fleet.calibration).for_dtypes(recipe.dtypes)
    device = computing_device(device, recipe)
    how = o["execution"] or ("graph" if device.kind != "cpu" else "eager")
    reserved = read_reserve(o).of(device.capacity)
    return Request(
        network, device, fleet, program, phases, workload, recipe, conventions, used, how, options, compression,
        storage, reserved,
    )  # fmt: skip


def _edited(
    model: str | Path | Mapping[str, Any] | Model, hardware: str | Path | HardwareSpec, edits: Mapping[str, Any]
) -> tuple[Model, HardwareSpec]:
    """The model and the device, with the fields that ``set`` names edited. Raises UsageError for a path of neither."""
    fields = edits_by_room(edits)
    if not isinstance(hardware, HardwareSpec):
        return edited_model(model, fields["model"]), load_hardware(hardware, overrides=fields["hardware"])
    _refuse_loaded("hardware", fields["hardware"])
    return edited_model(model, fields["model"]), hardware


def edits_by_room(edits: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The paths that begin with ``hardware`` and with ``model``. Raises UsageError for any other."""
    fields: dict[str, dict[str, Any]] = {"hardware": {}, "model": {}}
    for path, value in edits.items():
        room, _, field = path.partition(".")
        if room not in fields or not field:
            msg = f"set {path}: expected a path such as hardware.memory.hbm.bandwidth or model.num_hidden_layers"
            raise UsageError(msg)
        fields[room][field] = value
    return fields


def edited_model(model: str | Path | Mapping[str, Any] | Model, fields: Mapping[str, Any]) -> Model:
    """The model with these fields edited. Raises UsageError for one it has not, or where it is loaded already."""
    if isinstance(model, Model):
        _refuse_loaded("model", fields)
        return model
    network = load_model(model, overrides=fields)
    if lost := [key for key in fields if any(f"field {key} " in warning for warning in network.warnings)]:
        msg = f"set model.{lost[0]}: no such field; {near_matches(lost[0], network.config.model_fields_set)}"
        raise UsageError(msg)
    return network


def _refuse_loaded(room: str, fields: Mapping[str, Any]) -> None:
    if fields:
        msg = f"set {room}.{next(iter(fields))}: the {room} is loaded already; give its name to edit it"
        raise UsageError(msg)


def _phases(program: Program, asked: str | None, context: int | None, name: str) -> tuple[Phase, ...]:
    """The phases to predict: the one asked for, all that the model has, or decode alone when a context is given."""
    phase = None if asked is None else Phase(asked)
    if context is not None:
        if phase not in (None, Phase.DECODE):
            msg = f"context is the attended length of one decode step; it does not go with phase {phase}"
            raise UsageError(msg)
        phase = Phase.DECODE
    if phase is not None and phase not in program.phases:
        msg = f"{name} has no {phase} phase; it has {', '.join(program.phases)}"
        raise WorkloadError(msg)
    return program.phases if phase is None else (phase,)


def workload_of(
    model: Model,
    phases: tuple[Phase, ...],
    batch: int,
    prompt: int | None,
    generate: int | None,
    context: int | None,
) -> Workload:
    """The workload for ``phases`` of ``model``. The prompt of an encoder-decoder is what its encoder reads.

    Raises UsageError for flags that do not go together, WorkloadError for what the network refuses.
    """
    lengths = model.lengths
    behind_encoder = lengths.decoder_start is not None
    if context is not None and (generate is not None or (prompt is not None and not behind_encoder)):
        others = "not with generate" if behind_encoder else "with neither prompt nor generate"
        msg = f"context is the attended length of one decode step; it goes {others}"
        raise UsageError(msg)
    if lengths.whole and prompt not in (None, lengths.positions):
        msg = f"prompt {prompt}: {model.name} reads whole images, {lengths.positions} tokens each; leave prompt out"
        raise WorkloadError(msg)
    if generate is not None and generate > 1 and Phase.DECODE not in model.phases:
        msg = f"generate {generate}: {model.name} generates nothing; leave it out"
        raise UsageError(msg)
    default_generate = min(DEFAULT_GENERATE, max(1, lengths.output // 2)) if Phase.DECODE in phases else 1
    generated = default_generate if generate is None else generate
    given = _default_prompt(lengths, phases, generated) if prompt is None else prompt
    workload = Workload(batch, given, generated, context, decoder_start=lengths.decoder_start)
    if all(each.one_token for each in phases) and context is None and generated == 1:
        msg = "generate 1 has no decode step: the first token comes from prefill; generate 2 or more, or give a context"
        raise UsageError(msg)
    for phase in phases:
        workload.check_positions(phase, lengths)
    return workload


def _default_prompt(lengths: Lengths, phases: tuple[Phase, ...], generated: int) -> int:
    if lengths.whole:
        return lengths.positions
    if lengths.usual is not None:
        return lengths.usual
    if all(phase.encodes for phase in phases) or lengths.decoder_start is not None:
        return min(DEFAULT_ENCODER_PROMPT, lengths.positions)
    return min(DEFAULT_PROMPT, max(1, lengths.positions - generated))


def most_tokens(model: Model, workload: Workload) -> int:
    """The most tokens that a sequence may grow to: what a decode step attends to, else what the network reads."""
    return model.lengths.positions if workload.context is None else model.lengths.output
