"""Megatron-LM: the distributed optimizer is ZeRO 1, gradients add up in fp32, arguments state the network's sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.engines.said import Said
from roofline.errors import UsageError
from roofline.models.model import Model
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import layers_of
from roofline.training.launching.megatron_models import network_of, sizes_of
from roofline.training.launching.said import degrees_of, degrees_said, experts_hold, refuse, refuse_unsaid, whole_number
from roofline.training.question import Startable
from roofline.training.schedules import read_schedule
from roofline.training.step import TrainingStep

_FORMATS = {"bf16-mixed": "bf16", "fp16-mixed": "fp16", "fp8-mixed": "bf16"}
_KERNELS = ("fa2", "materialised")


def _holds(model: Model, layouts: Layout) -> Any:
    """Which layouts it can be started in: sequences are split as tensors are, or not."""
    return ((layouts.sp == 1) | (layouts.sp == layouts.tp)) & experts_hold(layouts)


_COUNTED = ("loss_counts", "embedding_counts")
"""What counts as a layer where stages lack one, and what else where they lack two."""

STARTABLE = Startable(
    zero=(0, 1), policies=("none", "full", "selective"), check=sizes_of, holds=_holds, grouped=(1,), uneven=True
)

USUAL = {"engine": "megatron", "dtype": "bf16-mixed", "kernels": "fa2"}
"""What it runs where nothing is asked for."""


def said_of(step: TrainingStep) -> dict[str, Said]:
    """What arguments say of a step. Raises UsageError for what they cannot say."""
    q, choice = step.question, step.choice
    layout, policy = choice.layout, choice.policy.name
    refuse_unsaid(step, "megatron", uneven=True)
    _check(step)
    drops = "some" if q.dropout else "none"
    said: dict[str, Said] = {
        **sizes_of(q.request.model), "length": q.sequence, "microbatch": choice.microbatch, "batch": q.batch,
        **degrees_said(step), "attention": q.request.asked["kernels"] or "materialised", "optimizer": q.optimizer.name,
        "attention_dropout": drops, "dropout": drops,
    }  # fmt: skip
    if layout.ep > 1:
        said["etp"] = 1
    if layout.sp > 1:
        said["sp"] = True
    said |= _ends(step.steps.memory.layers, int(layout.pp), q.schedule.chunks)
    if choice.sharding.zero == 1:
        said["zero"] = True
    if not choice.sharding.plain:
        said["replicas"] = choice.sharding.replicate
    if policy == "full":
        said |= {"recompute": "full", "method": "uniform", "every": choice.policy.every}
    elif policy == "selective":
        said["recompute"] = "selective"
    if q.recipe.name in _FORMATS:
        said[_FORMATS[q.recipe.name]] = True
    if q.recipe.narrow is not None:
        said |= {"fp8": "hybrid", "fp8_scaling": "delayed"}
    return said


def _ends(layers: int, stages: int, chunks: int) -> dict[str, Said]:
    """Parts of the layers on a stage, and what the first and the last stage have less; layers of parts are counted
    with the embedding and the loss as one each.
    """
    if chunks > 1:
        said: dict[str, Said] = {"chunks": chunks}
        return said | dict.fromkeys(_COUNTED[: -layers % (stages * chunks)], True)
    if layers % stages == 0:
        return {}
    first, _, last = layers_of(layers, stages)
    return {"first_layers": int(first), "last_layers": int(last)}


def _check(step: TrainingStep) -> None:
    q, choice = step.question, step.choice
    if q.recipe.name not in (*_FORMATS, "fp32"):
        refuse("megatron", f"no flag says {q.recipe.name}; give --dtype bf16-mixed, fp8-mixed, fp16-mixed or fp32")
    if q.request.engine.name != "megatron":
        refuse("megatron", f"it does not run as {q.request.engine.name} does; give --engine megatron")
    if q.request.asked["kernels"] not in (None, *_KERNELS):
        refuse("megatron", f"no flag says kernels {q.request.asked['kernels']}; give fa2 or materialised")
    if q.optimizer.name not in ("adamw", "sgd-momentum", "muon"):
        refuse("megatron", f"no flag says {q.optimizer.name}; give --optimizer adamw, sgd-momentum or muon")
    if choice.sharding.zero not in STARTABLE.zero:
        refuse(
            "megatron",
            f"of ZeRO {choice.sharding.zero} no flag is modelled; give --zero 1, the distributed optimizer, or 0",
        )
    if q.schedule.name not in ("1f1b", "interleaved"):
        refuse("megatron", f"no flag says schedule {q.schedule.words}; give 1f1b or interleaved:V")
    if choice.policy.name not in STARTABLE.policies:
        refuse("megatron", f"no flag says recompute {choice.policy.words}; give none, selective, full or every:K")


def options_of(said: Mapping[str, Said], devices: int) -> tuple[Model, dict[str, Any]]:
    """The network of arguments, and the keywords of ``train`` that they state.

    Raises UsageError for what is missing or does not go together.
    """
    degrees = degrees_of(said, devices)
    for meaning, flag in (("length", "--seq-length"), ("microbatch", "--micro-batch-size")):
        if meaning not in said:
            msg = f"from: {flag} is missing"
            raise UsageError(msg)
    microbatch = whole_number(said, "microbatch", 1)
    _check_ends(said, degrees["pp"])
    return network_of(said, degrees["tp"]), {
        **degrees, "sp": degrees["tp"] if said.get("sp") else 1, "sequence": whole_number(said, "length", 1),
        "microbatch": microbatch, "batch": whole_number(said, "batch", microbatch * degrees["dp"]),
        **_sharding(said), "recompute": _policy(said), "dtype": _recipe(said),
        "gradients": "fp32" if said.get("fp16") and said.get("wide_sums") else None,
        "schedule": _schedule(said, degrees["pp"]), "optimizer": str(said.get("optimizer", "adamw")),
        "dropout": _drops(said), "engine": "megatron", "kernels": _kernels(said),
    }  # fmt: skip


def _sharding(said: Mapping[str, Said]) -> dict[str, Any]:
    replicate = whole_number(said, "replicas", 1)
    if replicate > 1 and not said.get("zero"):
        msg = "from: --num-distributed-optimizer-instances goes with --use-distributed-optimizer"
        raise UsageError(msg)
    return {"zero": 1 if said.get("zero") else 0, "replicate": replicate}


def _check_ends(said: Mapping[str, Said], stages: int) -> None:
    """Raises UsageError for another number of layers of the first or the last stage than is modelled."""
    layers, parts = whole_number(said, "layers", 1), stages * read_schedule(_schedule(said, stages)).chunks
    counted = [name for name in _COUNTED if said.get(name)]
    if counted or parts > stages:
        if counted != list(_COUNTED[: -layers % parts]):
            msg = (
                f"from: {layers} layers in {parts} parts: --account-for-loss-in-pipeline-split stands where one is "
                "missing, --account-for-embedding-in-pipeline-split beside it where two"
            )
            raise UsageError(msg)
        return
    first, _, last = layers_of(layers, stages)
    for meaning, flag, number in (("first_layers", "first", first), ("last_layers", "last", last)):
        if whole_number(said, meaning, layers // stages) != number:
            given = said.get(meaning, "left out")
            msg = f"from: --decoder-{flag}-pipeline-num-layers {given} of {layers} layers: expected {number}"
            raise UsageError(msg)


def _policy(said: Mapping[str, Said]) -> str:
    if said.get("selective"):
        return "selective"
    found = str(said.get("recompute", "none"))
    if found != "full":
        return found
    if "method" not in said:
        msg = "from: --recompute-granularity full: expected --recompute-method uniform and --recompute-num-layers"
        raise UsageError(msg)
    each = whole_number(said, "every", 1)
    return found if each == 1 else f"every:{each}"


def _recipe(said: Mapping[str, Said]) -> str:
    if said.get("bf16") and said.get("fp16"):
        msg = "from: --bf16 and --fp16 stand side by side; expected one of them"
        raise UsageError(msg)
    if said.get("fp8"):
        if not said.get("bf16"):
            msg = "from: --fp8-format stands beside --bf16; add it"
            raise UsageError(msg)
        return "fp8-mixed"
    return "bf16-mixed" if said.get("bf16") else "fp16-mixed" if said.get("fp16") else "fp32"


def _schedule(said: Mapping[str, Said], stages: int) -> str:
    chunks = whole_number(said, "chunks", 1)
    if "stage_layers" in said:
        slots = whole_number(said, "layers", 1) + sum(bool(said.get(name)) for name in _COUNTED)
        chunks = slots // (stages * whole_number(said, "stage_layers", 1))
    return f"interleaved:{chunks}" if chunks > 1 else "1f1b"


def _drops(said: Mapping[str, Said]) -> bool:
    """Whether there is dropout, which Megatron-LM has where nothing says otherwise."""
    both = {str(said.get(each, "some")) for each in ("attention_dropout", "dropout")}
    if len(both) > 1:
        msg = "from: --attention-dropout and --hidden-dropout: one of them alone is not modelled; expected both as 0.0"
        raise UsageError(msg)
    return both == {"some"}


def _kernels(said: Mapping[str, Said]) -> str:
    return str(said.get("attention", "fa2"))
