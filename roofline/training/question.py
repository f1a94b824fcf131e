"""What is asked of a training step: model, devices, sequences, batch, formats, and what of the layout is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil, floor
from pathlib import Path
from typing import Any

from roofline.calibration.sustained import under_load
from roofline.classes import frozen
from roofline.engines.engine import Engine
from roofline.engines.library import load_every_engine
from roofline.errors import UsageError, WorkloadError
from roofline.hardware.loading import load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model
from roofline.options.edits import edits_by_room
from roofline.options.keywords import part
from roofline.options.values import read_tokens, read_value
from roofline.options.verbs.predicting import RequestOptions
from roofline.options.verbs.training import TrainOptions
from roofline.parallelism.dimensions import given_degrees
from roofline.parallelism.layout import Layout
from roofline.prediction.fleet import fleet_of
from roofline.prediction.request import Request, asked_at, edited_model, read_request
from roofline.program.dropout import with_dropout
from roofline.program.packing import packed, read_lengths
from roofline.program.program import Program
from roofline.program.recompute import SELECTIVE_OP, Recompute, read_policy
from roofline.program.workload import DTYPE_BYTES, MAX_LENGTH
from roofline.program.written_out import loss_written_out, written_out
from roofline.training.kept.losses import read_loss
from roofline.training.kept.offload import HostMemory, read_offload
from roofline.training.kept.optimizers import Optimizer, read_optimizer
from roofline.training.kept.recipes import RECIPES, TrainingRecipe, read_training_recipe
from roofline.training.learning import EVERYTHING, Learning, read_learning
from roofline.training.network import Network, check_traced, traced_network
from roofline.training.resting import ZERO
from roofline.training.schedules import Schedule, read_schedule

SEQUENCE = 4096
"""Tokens of a sequence, where the model takes as many."""

BATCH_TOKENS = "4M"
"""Tokens of a batch."""

RESERVE = 0.1
"""Share of the memory that the runtime keeps, where no engine says."""

_NEAR = 0.05
"""How far a number of sequences may be from the tokens asked for."""


@frozen
class Startable:
    """What of a search an engine can be started with: stages of ZeRO, recompute policies by name. ``grouped``: stages
    that can split within groups of replicas. ``uneven``: whether the first and the last stage of a pipeline may have
    other numbers of layers than those between.

    ``check`` raises UsageError for a network that it has not. ``holds`` says which layouts of a network, in arrays, it
    can be started in, beside that stages have equally many layers.
    """

    zero: tuple[int, ...]
    policies: tuple[str, ...]
    check: Callable[[Model], object]
    holds: Callable[[Model, Layout], Any]
    grouped: tuple[int, ...] = ()
    uneven: bool = False


@frozen
class TrainingQuestion:
    """What a training step depends on, but what is searched.

    ``batch`` sequences of ``sequence`` tokens make a step. ``given`` are degrees that are fixed; ``microbatch``,
    ``zero``, ``replicate`` and ``recompute`` are None where they are searched. ``hidden`` is the part of data
    parallelism's exchanges that runs behind the passes for free. ``learning``: what of the network learns.
    ``documents``: tokens of those that are packed into a sequence, none where it is one. ``gradients``: the format that
    they were asked to add up in. ``startable``: what a search is bound to. ``host``: where optimizer states are, if not
    on the devices. ``target``: tokens of a target, of an encoder-decoder, whose input the sequence is.
    ``text_alone``: whether the network has towers of images or sound that are left out.
    """

    request: Request
    network: Network
    sequence: int
    batch: int
    recipe: TrainingRecipe
    optimizer: Optimizer
    schedule: Schedule
    given: Mapping[str, int]
    microbatch: int | None
    zero: int | None
    recompute: Recompute | None
    dropout: bool
    hidden: float
    learning: Learning = EVERYTHING
    documents: tuple[int, ...] = ()
    overrides: tuple[tuple[str, Any], ...] = ()
    gradients: str | None = None
    startable: Startable | None = None
    replicate: int | None = None
    host: HostMemory | None = None
    target: int | None = None
    text_alone: bool = False

    @property
    def grouped(self) -> tuple[int, ...]:
        """The stages of ZeRO that are tried within groups of replicas."""
        return ZERO[1:] if self.startable is None else self.startable.grouped

    @property
    def tokens(self) -> int:
        """Tokens of a step."""
        return self.batch * (self.sequence + (self.target or 0))

    @property
    def lengths(self) -> dict[str, Any]:
        """T, S and M: of a sequence; behind an encoder, M of its input, the others of the target."""
        sizes: dict[str, Any] = dict.fromkeys("TSM", self.sequence)
        return sizes if self.target is None else {**sizes, "T": self.target, "S": self.target}


def read_training(
    model: str | Path | Mapping[str, Any] | Model, hardware: Any, asked: TrainOptions
) -> TrainingQuestion:
    """What options ask for. Raises RooflineError for whatever the model or the device refuses."""
    _check(asked)
    fields = edits_by_room(asked["set"] or {})
    network = edited_model(model, fields["model"])
    traced = network.program().anonymous
    if traced:
        check_traced(network, asked)
    network, whole = network.of_text_alone(), network
    known = fleet_of(hardware).device
    device = known if isinstance(known, HardwareSpec) else load_hardware(known, overrides=fields["hardware"])
    sequence, batch = _lengths(network, asked)
    target = _target(network, asked, sequence)
    recipe = read_training_recipe(asked["dtype"] or usual_recipe(device), asked["gradients"])
    documents = _documents(asked)
    longest = max(documents, default=sequence)
    what = {"sequence": sequence, "longest": longest, "batch": batch, "dtype": recipe.computes}
    request = _request(network, hardware, device, asked, what)
    host = read_offload(asked["offload"], device, request.fleet.links)
    policy = None if asked["recompute"] is None else _policy(asked["recompute"])
    if recipe.narrow is not None:
        _check_narrow(recipe, asked, traced=traced)
    if traced:
        own = traced_network(network, request.conventions)
        return TrainingQuestion(
            request, own, sequence, batch, recipe, read_optimizer(asked["optimizer"]), read_schedule(asked["schedule"]),
            given_degrees(asked), asked["microbatch"], asked["zero"], policy, False, asked["hidden"],
            overrides=tuple((asked["set"] or {}).items()), replicate=asked["replicate"], host=host, target=target,
        )  # fmt: skip
    learning = read_learning(asked)
    program = learning.apply(packed(request.program, documents) if documents else request.program)
    trained = learning.trained(program)
    program = with_dropout(program) if asked["dropout"] else program
    loss = read_loss(asked["loss"], usual_loss(request.engine), scored=_scored(program))
    program = written_out(program) if request.engine.kernels == "single" else program
    if loss.written_out:
        program = loss_written_out(program, narrow=recipe.computed_bytes < DTYPE_BYTES["fp32"])
    own = Network(program, trained, narrow=recipe.narrow, loss=loss)
    return TrainingQuestion(
        request, own, sequence, batch, recipe, read_optimizer(asked["optimizer"]), read_schedule(asked["schedule"]),
        given_degrees(asked), asked["microbatch"], asked["zero"], policy,
        asked["dropout"], asked["hidden"], learning, documents, tuple((asked["set"] or {}).items()),
        asked["gradients"], replicate=asked["replicate"], host=host, target=target, text_alone=network is not whole,
    )  # fmt: skip


def read_at(question: TrainingQuestion, batch: int, sequence: int, microbatch: int | None) -> TrainingQuestion:
    """The same question at another batch, in sequences, sequence and microbatch, which None leaves open.

    Raises UsageError or WorkloadError as ``read_training`` does.
    """
    longest = max(question.documents, default=sequence)
    _check_sequence(question.request.model, sequence, longest)
    for name, value in (("batch", batch), *(() if microbatch is None else (("microbatch", microbatch),))):
        _whole(name, value)
    request = _as_long_as(asked_at(question.request, batch=batch, prompt=longest), sequence)
    return replace(question, request=request, batch=batch, sequence=sequence, microbatch=microbatch)


def usual_loss(engine: Engine) -> str:
    """How cross-entropy runs under an engine, where nothing else is asked for."""
    return "eager" if engine.kernels == "single" else "fused"


def _scored(program: Program) -> bool:
    """Whether a network gives scores over a vocabulary."""
    return any(op.function == "sampling" for group in program.groups for op in group.ops)


def usual_recipe(device: HardwareSpec) -> str:
    """Mixed precision in bf16, else in fp16, where a device has either, else fp32."""
    found = f"{device.default_dtype()}-mixed"
    return found if found in RECIPES else "fp32"


def _request(
    network: Model, hardware: Any, device: HardwareSpec, asked: TrainOptions, what: Mapping[str, Any]
) -> Request:
    """The model's forward pass over whole sequences on these devices."""
    edits = {path: value for path, value in (asked["set"] or {}).items() if not path.startswith("model.")}
    usual = "transformers" if device.kind == "cpu" else "torch-compile"
    options: dict[str, Any] = {**part(RequestOptions, asked), "lora": None, "weight_dtype": None, "offload": None}
    options |= {"batch": what["batch"], "prompt": what["longest"], "generate": 1, "dtype": what["dtype"]}
    options |= {"phase": str(network.program().phases[0]), "lm_head": "all", "set": edits or None}
    options |= {"engine": asked["engine"] or usual}
    if asked["reserve"] is None and device.capacity is not None:
        options |= {"reserve": RESERVE}
    request = read_request(network, hardware, **options)
    if "training" not in request.engine.serves:
        able = " or ".join(each.name for each in load_every_engine() if "training" in each.serves)
        own = " and ".join(request.engine.serves)
        msg = f"engine {request.engine.name}: it serves {own}, and runs no training; expected {able}"
        raise UsageError(msg)
    request = replace(request, constants=under_load(request.constants, device.name))
    return _as_long_as(request, what["sequence"])


def _as_long_as(request: Request, sequence: int) -> Request:
    """A request for the longest document of a sequence, which positions bound, as one for the sequence."""
    return replace(request, workload=replace(request.workload, prompt=sequence))


def _lengths(network: Model, asked: TrainOptions) -> tuple[int, int]:
    """Tokens of a sequence, and sequences of a step. Raises UsageError or WorkloadError for what is none."""
    positions, documents = network.lengths.positions, _documents(asked)
    sequence = min(SEQUENCE, positions) if asked["sequence"] is None else asked["sequence"]
    sequence = sum(documents) or sequence
    _check_sequence(network, sequence, max(documents, default=sequence))
    if asked["batch"] is not None:
        if asked["batch_tokens"] is not None:
            msg = "batch and batch-tokens are both given; expected one of them"
            raise UsageError(msg)
        _whole("batch", asked["batch"])
        return sequence, asked["batch"]
    tokens = sequence + (_target(network, asked, sequence) or 0)
    return sequence, sequences_in(read_tokens("batch-tokens", asked["batch_tokens"] or BATCH_TOKENS), tokens)


def _target(network: Model, asked: TrainOptions, sequence: int) -> int | None:
    """Tokens of a target behind an encoder's input; None without one. Raises UsageError or WorkloadError."""
    given, lengths = asked["target_sequence"], network.lengths
    if lengths.decoder_start is None:
        if given is not None:
            msg = f"target-sequence: {network.name} is no encoder-decoder; leave it out"
            raise UsageError(msg)
        return None
    if asked["sequence_lengths"] is not None:
        msg = f"sequence-lengths: packed documents of an encoder-decoder ({network.name}) are not modelled"
        raise WorkloadError(msg)
    target = min(sequence, lengths.output) if given is None else given
    _whole("target-sequence", target)
    if target > lengths.output:
        msg = f"target-sequence {target} exceeds the model's {lengths.decoder_field} {lengths.output}"
        raise WorkloadError(msg)
    return target


def _check_sequence(network: Model, sequence: int, longest: int) -> None:
    """Raises UsageError or WorkloadError for a sequence, or the longest document in it, that cannot be."""
    _whole("sequence", sequence)
    if longest > network.lengths.positions:
        what = f"sequence {sequence}" if longest == sequence else f"a document of {longest} tokens"
        msg = f"{what} exceeds the model's {network.lengths.field} {network.lengths.positions}"
        raise WorkloadError(msg)


def sequences_in(tokens: float, sequence: int) -> int:
    """Whole sequences of a batch of so many tokens. Raises UsageError for fewer than one sequence has."""
    if not sequence <= tokens <= MAX_LENGTH * sequence:
        msg = f"batch-tokens {tokens:g}: expected {sequence} tokens, which is one sequence, to {MAX_LENGTH:,} sequences"
        raise UsageError(msg)
    return sequences_of(tokens / sequence)


def _policy(word: str) -> Recompute:
    """A policy by its word; or that it follows from the network: by operator, or tensor by tensor within so many bytes
    (optimal, optimal:20GB).
    """
    name, _, limit = word.partition(":")
    if word == SELECTIVE_OP:
        return Recompute(word)
    if name != "optimal":
        return read_policy(word)
    return Recompute(name, limit_bytes=read_value("recompute optimal", limit, "bytes") if limit else None)


def _documents(asked: TrainOptions) -> tuple[int, ...]:
    """Tokens of the documents of a sequence, none where it is one. Raises UsageError for another length of all."""
    if asked["sequence_lengths"] is None:
        return ()
    documents = read_lengths(asked["sequence_lengths"])
    if asked["sequence"] not in (None, sum(documents)):
        msg = f"sequence {asked['sequence']}: documents of {sum(documents)} tokens are packed; leave it out"
        raise UsageError(msg)
    return documents


def sequences_of(wanted: float) -> int:
    """Whole sequences of a batch: as many as wanted, else the number within 5 % with most factors of two.

    Layouts divide a batch; 4M tokens are spoken of where 4 Mi are meant.

    >>> sequences_of(4e6 / 4096), sequences_of(60)
    (1024, 60)
    """
    if wanted == int(wanted):
        return int(wanted)
    near = range(max(1, ceil(wanted * (1 - _NEAR))), max(1, floor(wanted * (1 + _NEAR))) + 1)
    return max(near, key=lambda count: (count & -count, -abs(count - wanted)), default=max(1, round(wanted)))


def _check(asked: TrainOptions) -> None:
    recipe = RECIPES.get(asked["dtype"] or "")
    if recipe is not None and recipe.gathers and asked["zero"] not in (None, 3):
        msg = f"zero {asked['zero']}: {recipe.name} casts weights as they are gathered, which is --zero 3"
        raise UsageError(msg)
    if recipe is not None and asked["zero"] == 3 and 3 not in recipe.zero:
        msg = f"zero 3: {recipe.name} keeps casts of whole weights; give --zero 0, 1 or 2, or --dtype fp8-fsdp"
        raise UsageError(msg)
    for name, value in (("microbatch", asked["microbatch"]), ("replicate", asked["replicate"])):
        if value is not None:
            _whole(name, value)
    if asked["zero"] is not None and asked["zero"] not in ZERO:
        msg = f"zero {asked['zero']!r}: expected 0, 1, 2 or 3"
        raise UsageError(msg)
    if asked["zero"] == 0 and (asked["replicate"] or 1) > 1:
        msg = f"replicate {asked['replicate']}: ZeRO 0 splits nothing within groups; give --zero 1, 2 or 3"
        raise UsageError(msg)
    if not isinstance(asked["hidden"], int | float) or not 0 <= asked["hidden"] <= 1:
        msg = f"hidden {asked['hidden']!r}: expected a share from 0 to 1"
        raise UsageError(msg)


def _check_narrow(recipe: TrainingRecipe, asked: TrainOptions, *, traced: bool) -> None:
    """Raises WorkloadError for what is not trained in fp8."""
    if traced or asked["lora"] or asked["trained"] or asked["weight_dtype"]:
        what = "a traced module" if traced else "frozen weights and adapters"
        msg = f"dtype {recipe.name}: {what} in fp8 is not modelled; give --dtype bf16-mixed"
        raise WorkloadError(msg)


def _whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_LENGTH:
        msg = f"{name} {value!r}: expected a whole number from 1 to {MAX_LENGTH}"
        raise UsageError(msg)
