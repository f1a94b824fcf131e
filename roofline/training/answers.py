"""The JSON of a training step, field by field."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from typing_extensions import TypedDict

from roofline.schema import Says


class ChoiceAnswer(TypedDict):
    """What of a step is chosen."""

    layout: Annotated[dict[str, int], Says("parallel degrees by flag")]
    microbatch: Annotated[int, Says("sequences of a microbatch of a replica", "sequences")]
    recompute: Annotated[str, Says("policy of what is made again")]
    zero: Annotated[int, Says("stage of ZeRO: what replicas split")]
    replicate: Annotated[int, Says("groups of replicas that each hold all of it; 1: they split it as one", "groups")]


class TrainingMemoryAnswer(TypedDict):
    """Bytes on a device of a pipeline stage at its fullest."""

    weights_bytes: Annotated[float, Says("weights as they are kept", "B")]
    gradients_bytes: Annotated[float, Says("gradients", "B")]
    optimizer_bytes: Annotated[float, Says("states of the optimizer and master copies", "B")]
    saved_bytes: Annotated[float, Says("saved activations of all microbatches in flight", "B")]
    working_bytes: Annotated[float, Says("what the backward pass works on", "B")]
    gathered_bytes: Annotated[float, Says("weights brought together, with gradients not split yet", "B")]
    total_bytes: Annotated[float, Says("all of it", "B")]


class StairAnswer(TypedDict):
    """A choice of saved tensors to drop that no other beats, for one microbatch over all layers."""

    recompute: Annotated[str, Says("what is dropped")]
    saved_bytes: Annotated[float, Says("saved activations of all layers", "B")]
    again_s: Annotated[float, Says("time to make the rest again", "s")]


class StaircaseAnswer(TypedDict):
    """With recompute optimal: the choices that no other beats."""

    stairs: Annotated[list[StairAnswer], Says("from the fastest to the smallest")]
    tensors: Annotated[int, Says("tensors of a layer of which all subsets were compared")]
    share: Annotated[float, Says("what these hold of all that a layer saves")]


class RemedyAnswer(TypedDict):
    """A change by itself that makes it fit."""

    change: Annotated[str, Says("what changes")]
    flags: Annotated[str, Says("flags that make the change")]


class TrainingInputs(TypedDict):
    """The inputs as they were taken, defaults filled in."""

    sequence: Annotated[int, Says("tokens of a sequence", "tokens")]
    target_sequence: Annotated[int | None, Says("tokens of a target; null: no encoder-decoder", "tokens")]
    text_alone: Annotated[bool, Says("whether towers of images and sound are left out")]
    sequence_lengths: Annotated[list[int] | None, Says("tokens of documents in a sequence; null: one", "tokens")]
    batch: Annotated[int, Says("sequences of a step over all devices", "sequences")]
    batch_tokens: Annotated[int, Says("tokens of a step", "tokens")]
    dtype: Annotated[str, Says("recipe of mixed precision")]
    weight_dtype: Annotated[str | None, Says("format of frozen matrices of layers; null: what is computed in")]
    lora: Annotated[int | None, Says("rank of adapters; null: none")]
    trained: Annotated[str, Says("what learns, or has adapters beside it")]
    trained_parameters: Annotated[int, Says("parameters that learn", "parameters")]
    gradients: Annotated[str, Says("format that gradients add up in")]
    optimizer: Annotated[str, Says("optimizer")]
    schedule: Annotated[str, Says("schedule of the pipeline")]
    loss: Annotated[str, Says("how cross-entropy runs: eager, fused, inplace, chunked:TOKENS; as traced")]
    dropout: Annotated[bool, Says("whether there is dropout")]
    hidden: Annotated[float, Says("share of data parallelism's exchanges that runs behind the passes for free")]
    engine: Annotated[str, Says("whose kernels and launches")]
    fusion: NotRequired[Annotated[str, Says("of a traced module: what runs as one kernel, none or inductor")]]
    constants: Annotated[str, Says("whose constants")]
    overrides: Annotated[dict[str, Any], Says("fields that --set edits, by path, in the spelling given")]


class TrainingStepAnswer(TypedDict):
    """A training step on devices. What does not fit has no times."""

    devices: Annotated[int, Says("devices that train")]
    fits: Annotated[bool | None, Says("whether it fits; null where the memory is not known")]
    inputs: Annotated[TrainingInputs, Says("the inputs as they were taken")]
    choice: Annotated[ChoiceAnswer, Says("layout, microbatch, policy and stage of ZeRO")]
    tried: Annotated[int, Says("choices that were compared")]
    fitting: Annotated[int, Says("those that fit")]
    runner_up: Annotated[ChoiceAnswer | None, Says("the next best with another layout or policy")]
    runner_up_ratio: Annotated[float, Says("its time, or memory where nothing fits, as a multiple")]
    memory: Annotated[dict[str, TrainingMemoryAnswer], Says("by stage: first, inner, last; those that differ")]
    fullest: Annotated[str, Says("the stage that holds most")]
    staircase: NotRequired[Annotated[StaircaseAnswer, Says("with recompute optimal")]]
    peak: Annotated[str, Says("when its memory is fullest")]
    room_bytes: Annotated[float | None, Says("memory of a device that the runtime leaves; null: not known", "B")]
    host_bytes: Annotated[float, Says("optimizer states of a device in the host's memory; 0: none", "B")]
    remedies: Annotated[list[RemedyAnswer], Says("what would make it fit, each change by itself")]
    microbatches: NotRequired[Annotated[int, Says("microbatches of a step of a replica")]]
    time_s: NotRequired[Annotated[float, Says("expected time of a step", "s")]]
    bound_s: NotRequired[Annotated[float, Says("time at best, by data sheet rates", "s")]]
    low_s: NotRequired[Annotated[float, Says("low end of the band", "s")]]
    high_s: NotRequired[Annotated[float, Says("high end of the band", "s")]]
    causes: NotRequired[Annotated[dict[str, float], Says("seconds by cause, which add up to the step")]]
    tokens_per_s: NotRequired[Annotated[float, Says("tokens trained on, all devices", "tokens/s")]]
    flops: NotRequired[Annotated[float, Says("the model's operations of contractions in a step", "FLOP")]]
    six_nd: NotRequired[Annotated[float, Says("6 x parameters x tokens of a step", "FLOP")]]
    mfu: NotRequired[Annotated[float, Says("model FLOPs utilisation, of the peak in bf16 under fp8 recipes")]]
    hfu: NotRequired[Annotated[float, Says("hardware FLOPs utilisation: with what is made again")]]
