"""torchtitan: FSDP2, weights in fp32 that are cast as they are gathered; tensor parallelism splits sequences too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.engines.launch_flags import training_flags
from roofline.engines.said import Said
from roofline.errors import UsageError
from roofline.models.model import Model, load_model
from roofline.models.sources import is_named
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import layer_count
from roofline.program.recompute import SELECTIVE_OP
from roofline.training.launching.said import degrees_of, degrees_said, experts_hold, refuse, refuse_unsaid, whole_number
from roofline.training.question import Startable
from roofline.training.step import TrainingStep

_FORMATS = {"bf16-fsdp": ("fp32", "bf16"), "bf16-autocast": ("fp32", "bf16"), "bf16": ("bf16", "bf16"),
            "fp32": ("fp32", "fp32"), "fp8-fsdp": ("fp32", "bf16"), "fp8-fsdp-gather": ("fp32", "bf16")}  # fmt: skip
"""Recipe -> what weights are kept in, and computed in."""

_USUAL = {"local_batch": 8, "length": 2048}
"""What its defaults are, where a file leaves them out."""


USUAL = {"engine": "torch-compile", "dtype": "bf16-fsdp"}
"""What it runs where nothing is asked for."""


def said_of(step: TrainingStep) -> dict[str, Said]:
    """What a file says of a step. Raises UsageError for what it cannot say."""
    q, choice = step.question, step.choice
    layout = choice.layout
    refuse_unsaid(step, "torchtitan")
    _check(step)
    family, flavor = _flavor(q.request.model)
    stored, computed = _FORMATS[q.recipe.name]
    own = q.batch // int(layout.dp)
    replicas, shards = _replicas(step)
    said: dict[str, Said] = {
        "family": family, "flavor": flavor, "optimizer": "adamw", "update": "fused", "length": q.sequence,
        "local_batch": own if layout.pp > 1 else choice.microbatch, "batch": q.batch, "stored": stored,
        "computed": computed, "replicas": replicas, "shards": shards, **degrees_said(step),
        "recompute": choice.policy.name, "compiled": q.request.engine.name == "torch-compile",
    }  # fmt: skip
    if choice.policy.name == SELECTIVE_OP:
        said["ac_option"] = "op"
    if q.recipe.narrow is not None:
        said |= {"converters": "fp8", "fp8_filter": "head"}
        said |= {"fp8_gather": True} if q.recipe.narrow.gathers else {}
    if choice.policy.name == "full" and not said["compiled"]:
        said["stops"] = True  # as torch does, and this engine only where it is asked
    if layout.pp > 1:
        said |= {"reshard": "always", "schedule": q.schedule.name, "microbatch": choice.microbatch,
                 "first_less": 0, "last_less": 0}  # fmt: skip
        if q.schedule.chunks > 1:
            said["stage_layers"] = step.steps.memory.layers // (int(layout.pp) * q.schedule.chunks)
    return said


def _replicas(step: TrainingStep) -> tuple[int, int]:
    """How many hold the same weights, and how many split them."""
    replicas, sharding = int(step.choice.layout.dp), step.choice.sharding
    return (sharding.replicate, replicas // sharding.replicate) if sharding.zero == 3 else (replicas, 1)


def _check(step: TrainingStep) -> None:
    q, choice = step.question, step.choice
    layout = choice.layout
    if q.recipe.name not in _FORMATS:
        refuse("torchtitan", f"no field says {q.recipe.name}; give --dtype {', '.join(_FORMATS)}")
    if q.optimizer.name != "adamw":
        refuse("torchtitan", f"no field says {q.optimizer.name}; give --optimizer adamw")
    if q.request.engine.name not in ("torch-compile", "transformers"):
        refuse("torchtitan", f"it does not run as {q.request.engine.name} does; give --engine torch-compile")
    if q.request.asked["kernels"] is not None:
        refuse("torchtitan", f"no field says kernels {q.request.asked['kernels']}; leave them out")
    if q.dropout:
        refuse("torchtitan", "no field says dropout; leave it out")
    if q.recipe.narrow is not None and _mixes(q.request.model):
        refuse("torchtitan", f"no field that is modelled narrows experts, of {q.request.model.name}; give bf16-fsdp")
    several = int(layout.dp * layout.cp) > 1
    if several and choice.sharding.zero not in STARTABLE.zero:
        refuse("torchtitan", f"no field says ZeRO {choice.sharding.zero}; give --zero 3, or 0")
    if choice.sharding.zero != 3 and int(layout.devices) > int(layout.dp):
        refuse("torchtitan", "replicas that split nothing go with no other degree; give --zero 3")
    if choice.policy.words not in STARTABLE.policies:
        refuse("torchtitan", f"no field says recompute {choice.policy.words}; give none, full or selective-op")
    if layout.cp > 1 and _latent(q.request.model):
        refuse("torchtitan", f"{q.request.model.name} has no context parallelism there; give --cp 1")
    if layout.sp != layout.tp:
        refuse("torchtitan", f"tensor parallelism splits sequences too; give --sp {layout.tp}")


def _flavor(model: Model) -> tuple[str, str]:
    """The family and the flavor of a model. Raises UsageError for one that it has not."""
    by_preset = {preset: words for words, preset in training_flags("torchtitan").presets.items()}
    preset = next((name for name in by_preset if is_named(name, model.name)), None)
    if preset is None:
        refuse("torchtitan", f"{model.name} is none of its models; expected {', '.join(by_preset)}")
    family, flavor = by_preset[preset].split()
    return family, flavor


def _mixes(model: Model) -> bool:
    """Whether it is a mixture of experts."""
    return "E" in model.program().sizes


def _latent(model: Model) -> bool:
    """Whether its attention is one that torchtitan has no context parallelism for: flex attention of deepseek_v3."""
    return _flavor(model)[0] == "deepseek_v3"


def _holds(model: Model, layouts: Layout) -> Any:
    """Which layouts it can be started in: tensor parallelism splits sequences too."""
    context = (layouts.cp == 1) | (not _latent(model))
    return (layouts.sp == layouts.tp) & context & experts_hold(layouts)


STARTABLE = Startable(zero=(0, 3), policies=("none", "full", SELECTIVE_OP), check=_flavor, holds=_holds, grouped=(3,))


def options_of(said: Mapping[str, Said], devices: int) -> tuple[str, dict[str, Any]]:
    """The model of a file and the keywords of ``train`` that it states, on so many devices. Raises UsageError."""
    family, flavor = said.get("family", "llama3"), said.get("flavor", "debugmodel")
    model = training_flags("torchtitan").presets.get(f"{family} {flavor}")
    if model is None:
        msg = f"from: model.flavor {flavor} of {family} is not modelled"
        raise UsageError(msg)
    degrees = degrees_of(said, devices)
    batch, microbatch = _batches(said, degrees)
    if "recompute" not in said:
        msg = "from: activation_checkpoint.mode is missing; expected none, full or selective"
        raise UsageError(msg)
    if said["recompute"] == SELECTIVE_OP and said.get("ac_option") != "op":
        msg = "from: activation_checkpoint.selective_ac_option: layers chosen one by one are not modelled; expected op"
        raise UsageError(msg)
    if said.get("converters") and _mixes(load_model(model)):
        msg = f"from: model.converters: experts, of {model}, stay wide under it, which is not modelled; leave it out"
        raise UsageError(msg)
    if said["recompute"] == "full" and not (said.get("compiled") or said.get("stops")):
        msg = "from: activation_checkpoint.early_stop is false where it is left out, which is not modelled; set it true"
        raise UsageError(msg)
    return model, {
        **degrees, "sp": degrees["tp"], "sequence": whole_number(said, "length", _USUAL["length"]), "batch": batch,
        "microbatch": microbatch, "recompute": said["recompute"], "schedule": _schedule(said, model, degrees["pp"]),
        "optimizer": "adamw", "engine": "torch-compile" if said.get("compiled") else "transformers",
        **_sharding(said, degrees),
    }  # fmt: skip


def _batches(said: Mapping[str, Said], degrees: Mapping[str, int]) -> tuple[int, int]:
    """Sequences of a step and of a microbatch."""
    own = whole_number(said, "local_batch", _USUAL["local_batch"])
    batch = whole_number(said, "batch", -1)
    batch = own * degrees["dp"] if batch < 0 else batch
    if degrees["pp"] == 1:
        return batch, own
    if batch != own * degrees["dp"]:
        msg = "from: several passes through the pipeline a step are not modelled; expected local_batch_size x replicas"
        raise UsageError(msg)
    if "first_less" not in said or "last_less" not in said:
        msg = "from: pipeline_parallel_first_stage_less_layers and last_stage_less_layers: expected 0"
        raise UsageError(msg)
    if said.get("reshard") != "always":
        msg = 'from: fsdp_reshard_after_forward: weights that stay gathered are not modelled; expected "always"'
        raise UsageError(msg)
    return batch, whole_number(said, "microbatch", 1)


def _schedule(said: Mapping[str, Said], model: str, stages: int) -> str:
    name = str(said.get("schedule", "1f1b"))
    if name != "interleaved" or stages == 1:
        return "1f1b" if name == "interleaved" else name
    layers = layer_count(load_model(model).program())
    each = whole_number(said, "stage_layers", layers // (2 * stages))
    return f"interleaved:{layers // (stages * each)}"


def _sharding(said: Mapping[str, Said], degrees: Mapping[str, int]) -> dict[str, Any]:
    """What replicas split, and the recipe, which depends on it."""
    replicas, shards = whole_number(said, "replicas", 1), whole_number(said, "shards", -1)
    shards = degrees["dp"] // replicas if shards < 0 else shards
    if replicas * shards != degrees["dp"]:
        msg = f"from: {replicas} x {shards} replicas; the devices make {degrees['dp']}"
        raise UsageError(msg)
    whole = shards == 1 and (replicas > 1 or degrees["cp"] == 1)
    if whole and replicas > 1 and max(degrees[name] for name in ("tp", "pp", "cp")) > 1:
        msg = "from: data_parallel_replicate_degree: replicas that split nothing go with no other degree"
        raise UsageError(msg)
    stored, computed = said.get("stored", "fp32"), said.get("computed", "bf16")
    if stored == "bf16" and computed == "fp32":
        msg = "from: training.mixed_precision_param float32 beside training.dtype bfloat16 is not modelled"
        raise UsageError(msg)
    recipe = str(stored) if stored == computed else "bf16-autocast" if whole else "bf16-fsdp"
    if said.get("converters"):
        recipe = _narrow(said, recipe)
    return {"zero": 0 if whole else 3, "replicate": 1 if whole else replicas, "dtype": recipe}


def _narrow(said: Mapping[str, Said], wide: str) -> str:
    """The recipe in fp8 where ``wide`` is the one without. Raises UsageError for what is not modelled."""
    if wide != "bf16-fsdp":
        msg = f"from: quantize.linear.float8 beside {wide} is not modelled; expected float32 weights that are sharded"
        raise UsageError(msg)
    if "fp8_filter" not in said:
        msg = "from: quantize.linear.float8.filter_fqns: without output the head is narrow too, not modelled; add it"
        raise UsageError(msg)
    if said.get("fp8_gather") and "fp8_scaling" in said:
        msg = "from: quantize.linear.float8.recipe_name does not go with enable_fsdp_float8_all_gather; leave one out"
        raise UsageError(msg)
    return "fp8-fsdp-gather" if said.get("fp8_gather") else "fp8-fsdp"
