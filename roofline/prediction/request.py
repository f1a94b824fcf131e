"""What is asked: model, device or devices, workload and precision, read once and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack, cast

from roofline.calibration.constants import ConstantSet
from roofline.calibration.provenance import calibration_under, read_constants
from roofline.classes import frozen
from roofline.compression.adapters import Adapters, beside, read_adapters
from roofline.compression.recipes import Recipe, recipe_of
from roofline.compression.transform import NOTHING, Compression, compressed, read_compression
from roofline.engines.engine import Engine
from roofline.errors import UsageError, WorkloadError, near_matches
from roofline.hardware.loading import load_hardware
from roofline.hardware.reservation import read_reserve
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System
from roofline.identity import Same
from roofline.layers.expert_load import check_routed
from roofline.models.model import Model, load_model
from roofline.options.edits import edits_by_room
from roofline.options.groups import Dtypes
from roofline.options.keywords import part, takes
from roofline.options.verbs.predicting import RequestOptions
from roofline.options.verbs.serving import ServingOptions
from roofline.prediction.fleet import Fleet, fleet_of
from roofline.prediction.host_memory import kept_in_host
from roofline.prediction.shown import made_by, shown_by
from roofline.program.conventions import Conventions, check_fusion
from roofline.program.merging import run_by
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import Precision, Workload, read_workload
from roofline.timing.dtype_support import computing_device, recipe_on, sparse_gain
from roofline.timing.engine_choice import Launching, check_loaded, kernels_of, read_engine
from roofline.timing.machine import Machine
from roofline.timing.networks import LinkUse

Hardware = str | Path | HardwareSpec | System


@frozen
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
    engine: Engine
    asked: RequestOptions
    compression: Compression = NOTHING
    adapters: Adapters | None = None
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

    @property
    def unused(self) -> tuple[str, ...]:
        """Formats that were asked for, of what this network does not keep."""
        kept = {tensor.role for group in self.program.groups for op in group.ops for tensor in (*op.reads, *op.writes)}
        named = (
            ("kv_dtype", self.asked["kv_dtype"], "kv_cache", "KV cache"),
            ("state_dtype", self.asked["state_dtype"], "state", "recurrent state"),
        )
        return tuple(
            f"{flag} {asked} changes nothing: {self.model.name} keeps no {words}"
            for flag, asked, role, words in named
            if asked is not None and role not in kept
        )

    def machine(self, devices: int = 1) -> Machine:
        """So many of the devices, with what the runtime leaves of the memory. Raises WorkloadError without links."""
        network = self.fleet.network(self.device, devices, self.constants)
        how = Launching.of(self.engine, self.device, self.constants.provenance)
        link = self.device.host_link
        return how.machine(self.device, self.constants, network, self.room_bytes, link.bandwidth if link else None)


@takes(RequestOptions)
def read_request(
    model: str | Path | Mapping[str, Any] | Model, hardware: Hardware, **options: Unpack[RequestOptions]
) -> Request:
    """The keywords of ``predict`` but the degrees, with their defaults filled in.

    Raises RooflineError, in one line, for whatever the model or the device refuses.
    """
    fleet = fleet_of(hardware)
    network, device = _edited(model, fleet.device, options["set"] or {})
    network = made_by(network, options)
    engine = engine_for(network, device, options)
    fleet = replace(fleet, use=LinkUse.of(engine, device))
    conventions = Conventions.under(engine, device.words, options)
    recipe = recipe_under(engine, device, options, network)
    compression, adapters = read_compression(options), read_adapters(options)
    offload = options["offload"]
    program, storage = _stored(network, conventions, compression, adapters, recipe, device, engine, offload)
    check_fusion(options["fusion"], program, network.name)
    check_routed(program, options["routing"], network.name)
    phases, workload = _work(network, program, engine, options)
    own = fleet.calibration or calibration_under(edits_by_room(options["set"] or {})["hardware"], fleet.device)
    kernels = kernels_of(engine, device)
    used = read_constants(options, device, own).using(kernels).for_dtypes(recipe.timed_dtypes)
    device = computing_device(device, recipe)
    reserved = read_reserve(options, engine).of(device.capacity)
    return Request(
        network, device, fleet, program, phases, workload, recipe, conventions, used, engine, options, compression,
        adapters, storage, reserved,
    )  # fmt: skip


def asked_at(request: Request, **lengths: int) -> Request:
    """The same at another batch, prompt, generate or context. Raises RooflineError as ``read_request`` does."""
    asked = cast("RequestOptions", {**request.asked, **lengths})
    phases, workload = _work(request.model, request.program, request.engine, asked)
    return replace(request, phases=phases, workload=workload, asked=asked)


def _work(model: Model, program: Program, engine: Engine, asked: RequestOptions) -> tuple[tuple[Phase, ...], Workload]:
    """The phases that run, and batch and lengths. Raises RooflineError for what does not go together."""
    shown = shown_by(model, asked)
    phases = _phases(program, asked, model, shown.phases)
    workload = read_workload(asked, model, phases, engine.kv_block, engine.pass_tokens, shown)
    if Phase.DECODE in phases and workload.decode_steps == 0:
        phases = tuple(name for name in phases if not name.one_token)
    return phases, workload


def stored_as(request: Request, word: str) -> Request:
    """The same in another recipe. Raises UsageError or WorkloadError for one that does not go with the rest."""
    r = request
    asked: Dtypes = {**part(Dtypes, r.asked), "dtype": word, "weight_dtype": None, "activation_dtype": None}
    recipe = recipe_under(r.engine, r.device, asked, r.model)
    how = recipe, r.device, r.engine, r.asked["offload"]
    program, storage = _stored(r.model, r.conventions, r.compression, r.adapters, *how)
    return replace(r, program=program, recipe=recipe, storage=storage)


def _stored(
    model: Model,
    conventions: Conventions,
    compression: Compression,
    adapters: Adapters | None,
    recipe: Recipe,
    device: HardwareSpec,
    engine: Engine,
    offload: str | None,
) -> tuple[Program, tuple[str, ...]]:
    """The network as it is stored, where, and as the engine runs it; what a reader should know of how it is stored."""
    gain = sparse_gain(device, recipe, "2:4")
    program, notes = _run_by(Same(engine), Same(model.program(conventions)), compression, adapters, recipe, gain)
    return kept_in_host(program, offload, device, recipe.precision), notes


@lru_cache(maxsize=256)
def _run_by(
    engine: Same[Engine], program: Same[Program], compression: Compression, adapters: Adapters | None,
    recipe: Recipe, gain: float,
) -> tuple[Program, tuple[str, ...]]:  # fmt: skip
    stored, storage = compressed(program.it, compression, recipe, gain)
    return run_by(engine.it, stored, beside(adapters)), (*storage, *([adapters.note] if adapters else ()))


def _edited(
    model: str | Path | Mapping[str, Any] | Model, hardware: str | Path | HardwareSpec, edits: Mapping[str, Any]
) -> tuple[Model, HardwareSpec]:
    """The model and the device, with the fields that ``set`` names edited. Raises UsageError for a path of neither."""
    fields = edits_by_room(edits)
    if not isinstance(hardware, HardwareSpec):
        return edited_model(model, fields["model"]), load_hardware(hardware, overrides=fields["hardware"])
    _refuse_loaded("hardware", fields["hardware"])
    return edited_model(model, fields["model"]), hardware


def engine_for(model: Model, device: HardwareSpec | None, asked: RequestOptions | ServingOptions) -> Engine:
    """The engine that options ask for, or the usual one of those that load what is stored. Raises RooflineError."""
    stored = None
    if asked["engine"] is None:
        dtypes = part(Dtypes, asked)
        stored = recipe_of(dtypes, default="bf16", checkpoint=model.stored(dtypes["dtype"]))
    return read_engine(asked, device, model.phases, asked["set"], stored=stored)


def recipe_under(engine: Engine, device: HardwareSpec, asked: Dtypes, model: Model) -> Recipe:
    """What is stored in which format: as is asked for, then as an engine keeps its cache and states, then as published.

    Raises UsageError or WorkloadError for formats that do not go with the device or the engine.
    """
    formats = part(Dtypes, asked)
    cache, state = formats["kv_dtype"] or engine.kv_dtype, formats["state_dtype"] or engine.state_dtype
    named: Dtypes = {**formats, "kv_dtype": cache, "state_dtype": state}
    recipe = recipe_on(device, named, model.stored(asked["dtype"]))
    check_loaded(engine, recipe)
    return replace(recipe, conv_state=engine.conv_state_dtype or "")


def edited_model(model: str | Path | Mapping[str, Any] | Model, fields: Mapping[str, Any]) -> Model:
    """The model with these fields edited. Raises UsageError for one it has not, or where it is loaded already."""
    if isinstance(model, Model):
        _refuse_loaded("model", fields)
        return model
    network = load_model(model, overrides=fields)
    if lost := [key for key in fields if key in network.unread]:
        msg = f"set model.{lost[0]}: no such field; {near_matches(lost[0], network.config.model_fields_set)}"
        raise UsageError(msg)
    return network


def _refuse_loaded(room: str, fields: Mapping[str, Any]) -> None:
    if fields:
        msg = f"set {room}.{next(iter(fields))}: the {room} is loaded already; give its name to edit it"
        raise UsageError(msg)


def _phases(program: Program, asked: RequestOptions, model: Model, shown: tuple[Phase, ...]) -> tuple[Phase, ...]:
    """The phases to predict: the one asked for, all that the model runs, or decode alone when a context is given.

    A decoder without a head, which embeds, runs no decode unless it is asked to; a tower runs where it is ``shown``
    something.
    """
    phase = None if asked["phase"] is None else Phase(asked["phase"])
    if program.phases == (Phase.DECODE,) and asked["context"] is None:
        msg = f"{model.name} was traced as one decode step, which has a context; give context, such as 4096"
        raise UsageError(msg)
    if asked["context"] is not None:
        if phase not in (None, Phase.DECODE):
            msg = f"context is the attended length of one decode step; it does not go with phase {phase}"
            raise UsageError(msg)
        phase = Phase.DECODE
    there = tuple(each for each in program.phases if each in (*model.phases, *shown))
    if phase is not None and phase not in there:
        gives = {Phase.ENCODE: "; it encodes images: give some", Phase.LISTEN: "; it hears sound: give some"}
        hint = gives[phase] if phase in program.phases and phase.encodes else ""
        msg = f"{model.name} has no {phase} phase; it has {', '.join(there)}{hint}"
        raise WorkloadError(msg)
    if phase is not None:
        return (phase,)
    return tuple(each for each in there if model.generates or not each.one_token)


def most_tokens(model: Model, workload: Workload) -> int:
    """The most tokens that a sequence may grow to: what a decode step attends to, else what the network reads."""
    return model.lengths.positions if workload.context is None else model.lengths.output
