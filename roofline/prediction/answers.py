"""The JSON of ``predict``, field by field."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, NotRequired, TypeVar, cast, get_type_hints

from typing_extensions import TypedDict

from roofline.options.groups import Degrees
from roofline.options.option import fields_of
from roofline.options.verbs.predicting import RequestOptions
from roofline.parallelism.dimensions import DEGREES
from roofline.program.phases import Phase
from roofline.schema import Answer, Says

Bound = Literal["latency", "compute", "memory", "link"]

Seconds = Annotated[float, Says("a time", "s")]

Record = TypeVar("Record", bound=type)


def _with_options(group: type, *, kind: Any = None, but: Collection[str] = ()) -> Callable[[Record], Record]:
    """A record that has each option of ``group`` too, as given, or as a ``kind``: those that it declares stay."""

    def declared(record: Record) -> Record:
        own = get_type_hints(record, include_extras=True)
        given = {
            field.name: Annotated[kind or field.kind, Says(field.option.help[0].lower() + field.option.help[1:-1])]
            for field in fields_of(group)
            if field.name not in own and field.name not in but
        }
        whole: Any = TypedDict(record.__name__, {**own, **given})  # type: ignore[misc]
        whole.__doc__ = record.__doc__
        return cast(Record, whole)

    return declared


class SharesAnswer(TypedDict):
    """What the expected time is made of; the shares sum to 1."""

    latency: Annotated[float, Says("share of launches, and of waiting for links")]
    compute: Annotated[float, Says("share of the matrix, vector and exponential units")]
    memory: Annotated[float, Says("share of device memory")]
    link: Annotated[float, Says("share of what is sent between devices")]


class FiguresAnswer(TypedDict):
    """Times, counts and rates; those of decode are means over its steps.

    Counts are of one device's part of the work, whatever the layout. A step passes through all stages of a pipeline, so
    there they are of one device of each stage, added up.
    """

    time_s: Annotated[float, Says("expected time", "s")]
    bound_s: Annotated[float, Says("time at best: max(FLOPs / peak, bytes / bandwidth) of each operator, by data "
                                   "sheet rates", "s")]  # fmt: skip
    low_s: Annotated[float, Says("low end of the band of the time", "s")]
    high_s: Annotated[float, Says("high end of the band of the time", "s")]
    shares: Annotated[SharesAnswer, Says("what the time is made of")]
    flops: Annotated[float, Says("operations of contractions, a multiplication and an addition being 2", "FLOP")]
    vector_flops: Annotated[float, Says("elementwise operations, which are not part of flops", "FLOP")]
    bytes: Annotated[float, Says("compulsory traffic of device memory: each tensor is read once and written once", "B")]
    mfu: Annotated[float, Says("model FLOPs utilisation: time of flops at the peak / time_s, the mean over stages")]
    mbu: Annotated[float, Says("model bandwidth utilisation: time of bytes at the bandwidth / time_s, the mean over "
                               "stages")]  # fmt: skip
    link_bytes: Annotated[float, Says("what a device sends to others in a ring", "B")]
    bound_by: Annotated[Bound, Says("the largest share")]
    intensity: Annotated[float | None, Says("arithmetic intensity: flops / bytes; null where no bytes move", "FLOP/B")]


class OperatorAnswer(FiguresAnswer):
    """An operator of a phase: figures of all its repeats in a step; in a pipeline, of one microbatch."""

    name: Annotated[str, Says("name, with its group where two have the same")]
    kind: Annotated[str, Says("kind, which has constants of its own: matmul, attention, norm ...")]
    count: Annotated[int, Says("repeats in a step: layers, mostly")]
    form: NotRequired[Annotated[str, Says("algorithm of a collective: ring, tree, in-switch ...")]]


class PhaseAnswer(FiguresAnswer):
    """One step of a phase: the sum over its operators."""

    steps: Annotated[int, Says("steps of this phase in a request")]
    chunks: NotRequired[Annotated[int, Says("chunked prefill: forward passes that read the prompts, where several do")]]
    microbatches: NotRequired[Annotated[int, Says("pipeline: microbatches of a step")]]
    stages_s: NotRequired[Annotated[list[Seconds], Says("pipeline: time of a microbatch on the first, the fullest "
                                                        "inner and the last stage", "s")]]  # fmt: skip
    total_flops: Annotated[float, Says("flops of all devices together", "FLOP")]
    total_bytes: Annotated[float, Says("bytes of all devices together", "B")]
    operators: Annotated[list[OperatorAnswer], Says("operators in the order in which they run")]


class ComponentAnswer(TypedDict):
    """A network of a generator."""

    name: Annotated[str, Says("what its pipeline calls it")]
    passes: Annotated[int, Says("forward passes: denoising steps of a transformer, mostly")]
    time_s: Annotated[float, Says("time of all passes", "s")]
    weights_bytes: Annotated[int, Says("its weights on a device, resident from the first pass to the last", "B")]


class MemoryAnswer(TypedDict):
    """What is resident on a device of the fullest stage while the workload is at its longest, and what would fit."""

    weights_bytes: Annotated[int, Says("weights and their scales, tied ones once", "B")]
    kv_cache_bytes: Annotated[int, Says("keys and values of all tokens", "B")]
    activation_bytes: Annotated[int, Says("the most activations that are alive at once", "B")]
    state_bytes: Annotated[int, Says("states of recurrences", "B")]
    overhead_bytes: Annotated[int, Says("what the runtime keeps for itself, as asked", "B")]
    total_bytes: Annotated[int, Says("all of these", "B")]
    capacity_bytes: Annotated[int | None, Says("memory of the device; null where it is what one installs", "B")]
    max_batch: Annotated[int | None, Says("most sequences at once that fit", "sequences")]
    max_context: Annotated[int | None, Says("longest sequence that fits, prompt and answer together", "tokens")]


class CacheAtStartAnswer(TypedDict):
    """The KV cache that an engine makes at its start, whatever is asked of it, and prints."""

    tokens: Annotated[int, Says("tokens that it has room for", "tokens")]
    bytes: Annotated[int, Says("its bytes on a device", "B")]
    profile_bytes: Annotated[int, Says("what the run at start took that tells what is left", "B")]
    profiled_tokens: Annotated[int, Says("tokens of that run", "tokens")]
    profiled_sequences: Annotated[int, Says("sequences that it drew a token for", "sequences")]


class CacheTierAnswer(TypedDict):
    """A tier below the devices' memory in which the cache of a replica's prompts lies."""

    name: Annotated[str, Says("host, ssd or remote, which all replicas share")]
    bytes: Annotated[float, Says("its size", "B")]
    read_bytes_per_s: Annotated[float, Says("rate at which a replica reads it", "B/s")]
    write_bytes_per_s: Annotated[float, Says("rate at which a replica writes it", "B/s")]
    sequences: Annotated[int, Says("sequences of such prompts that it holds", "sequences")]
    load_s: Annotated[float, Says("time to load the prompts of a batch", "s")]
    loads: Annotated[bool | None, Says("whether that is faster than computing them; null where none is read")]


class LoadingBreakEvenAnswer(TypedDict):
    """The rate at which loading a prompt's cache takes as long as computing it."""

    prompt: Annotated[int, Says("tokens of a prompt", "tokens")]
    cache_bytes: Annotated[float, Says("its cache on all devices of a replica", "B")]
    computed_s: Annotated[float, Says("its part of the time to compute a batch", "s")]
    bandwidth_bytes_per_s: Annotated[float, Says("the rate, of all devices of a replica", "B/s")]


class CachesBelowAnswer(TypedDict):
    """KV cache offloading: prompts whose cache lies in tiers below the devices' memory."""

    tiers: Annotated[list[CacheTierAnswer], Says("each tier")]
    break_even: Annotated[LoadingBreakEvenAnswer | None, Says("where loading is as fast; null where none is read")]


class HardwareAnswer(TypedDict):
    """The devices."""

    name: Annotated[str, Says("device")]
    count: Annotated[int, Says("how many of it")]
    overrides: Annotated[dict[str, Any], Says("fields that --set edits, by path, in the spelling given")]


@_with_options(Degrees, kind=int, but={field.name for field in fields_of(Degrees)} - {*DEGREES})
class LayoutAnswer(TypedDict):
    """Degrees of parallelism."""


class ChosenAnswer(TypedDict):
    """How the layout was chosen."""

    tried: Annotated[int, Says("layouts tried")]
    fitting: Annotated[int, Says("layouts that fit")]
    runner_up: Annotated[LayoutAnswer | None, Says("the next best layout")]
    runner_up_time: Annotated[float, Says("its time / that of the layout; its memory where none fits")]


@_with_options(RequestOptions, but=("set",))
class InputsAnswer(TypedDict):
    """The inputs as they were taken, defaults filled in."""

    batch: Annotated[int, Says("sequences at once, over all devices", "sequences")]
    prompt: Annotated[int | None, Says("tokens in, those of images and sound too; null for a lone step", "tokens")]
    generate: Annotated[int | None, Says("tokens out; null for a lone step", "tokens")]
    context: Annotated[int | None, Says("a lone decode step: tokens it attends to", "tokens")]
    decoder_start: NotRequired[Annotated[int, Says("tokens that a decoder starts from, behind an encoder", "tokens")]]
    image_tokens: NotRequired[Annotated[int, Says("tokens of the prompt that are images'", "tokens")]]
    image_sequences: NotRequired[Annotated[int, Says("what the tower reads one by one: images, tiles, instants")]]
    image_patches: NotRequired[Annotated[int, Says("patches of each, a class token included")]]
    sound_tokens: NotRequired[Annotated[int, Says("tokens of the prompt that are sound's", "tokens")]]
    sound_sequences: NotRequired[Annotated[int, Says("what the tower of sound reads one by one")]]
    sound_places: NotRequired[Annotated[int, Says("places of each, behind the convolutions")]]
    kv_block: Annotated[int, Says("tokens in a block of a paged KV cache, as the engine has it", "tokens")]
    chunk: Annotated[int | None, Says("chunked prefill: tokens of prompts that a forward pass reads, as the engine has "
                                      "it; null: prompts whole", "tokens")]  # fmt: skip
    phase: Annotated[Phase | None, Says("the phase asked for; null is all")]
    dtype: Annotated[str, Says("number format or recipe")]
    weight_dtype: Annotated[str, Says("format of the weights")]
    activation_dtype: Annotated[str, Says("format of the activations")]
    kv_dtype: Annotated[str, Says("format of the KV cache")]
    state_dtype: Annotated[str, Says("dtype of recurrent states")]
    prune: Annotated[dict[str, float] | None, Says("what is removed, by part: a share, or a number of them")]
    sparsity: Annotated[str | None, Says("zeros in the weights")]
    attention: Annotated[str, Says("fused: scores stay on the chip; materialised: they go to memory and back")]
    count: Annotated[str, Says("causal attention counts the attended pairs of tokens, or the square, as torch does")]
    lm_head: Annotated[str, Says("tokens of a prompt that the head works on: last or all")]
    fusion: NotRequired[Annotated[str, Says("of a traced module: what runs as one kernel, none, inductor or engine")]]
    latent: Annotated[str, Says("how latent attention runs: usual, absorbed or expanded")]
    engine: Annotated[str, Says("what runs it")]
    kernels: Annotated[str, Says("library whose kernels attend")]
    constants: Annotated[str, Says("whose constants")]


class EngineUsed(TypedDict):
    """What runs the model."""

    name: Annotated[str, Says("engine")]
    title: Annotated[str, Says("its name for people")]
    version: Annotated[str, Says("version whose sources were read")]
    date: Annotated[str, Says("date of that version")]


class BandAnswer(TypedDict):
    """How far off such predictions were: the 5th and 95th percentile of measured / expected."""

    low: Annotated[float, Says("low end, a factor of the expected time")]
    high: Annotated[float, Says("high end, a factor of the expected time")]
    evidence: Annotated[str, Says("what it comes from")]


class NeededAnswer(TypedDict):
    """The fewest devices that hold it."""

    count: Annotated[int, Says("devices")]
    layout: Annotated[str, Says("their layout")]
    bytes: Annotated[int, Says("resident on each", "B")]


class OffloadAnswer(TypedDict):
    """Weights in the host's memory, read in every step."""

    bytes: Annotated[int, Says("weights that are moved", "B")]
    link: Annotated[str, Says("link to the host")]
    bandwidth_bytes_per_s: Annotated[float, Says("its rate per direction", "B/s")]
    steps_s: Annotated[dict[Phase, list[Seconds]], Says("time of a step of each phase, at least and at most", "s")]


class NarrowerAnswer(TypedDict):
    """A recipe whose weights are narrower."""

    name: Annotated[str, Says("recipe, as --dtype takes it")]
    bytes: Annotated[int, Says("resident on each device then", "B")]


class OverflowAnswer(TypedDict):
    """What holds a model that is too large."""

    devices: Annotated[NeededAnswer | None, Says("more devices; null where no number of them does")]
    dtype: Annotated[NarrowerAnswer | None, Says("the widest of fp8, w8a16, w4a16 that fits where it is; null: none")]
    chunked_prefill_bytes: Annotated[int | None, Says("resident on each device under the engine's chunked "
                                                      "prefill; null where no more are read at once", "B")]  # fmt: skip
    offload: Annotated[OffloadAnswer | None, Says("the host's memory; null where that does not help")]


class ChangeAnswer(TypedDict):
    """A figure without and with pruning, sparsity and quantisation."""

    name: Annotated[str, Says("figure, with its phase and its unit: decode.time_s")]
    before: Annotated[float | str | None, Says("without, in the unit that the name ends in")]
    after: Annotated[float | str | None, Says("with, in the unit that the name ends in")]
    ratio: Annotated[float | None, Says("after / before; null for words and where nothing was")]


class GainAnswer(TypedDict):
    """What 10 % more of a resource buys, or 10 % less latency."""

    time_s: Annotated[float, Says("time of a step with it", "s")]
    saved: Annotated[float, Says("part of the time that it saves")]


class LaunchAnswer(TypedDict):
    """The command that starts what was predicted."""

    engine: Annotated[str, Says("engine")]
    version: Annotated[str, Says("version whose argument list was read")]
    line: Annotated[str, Says("launch line, as a shell takes it")]


class VerifyAnswer(TypedDict):
    """The command that measures what was predicted."""

    tool: Annotated[str, Says("tool")]
    command: Annotated[str, Says("command, as a shell takes it")]
    measures: Annotated[str, Says("what it measures")]


class DocumentsAnswer(TypedDict):
    """What a network that reads documents, and generates nothing, does in a second and for a dollar."""

    documents_per_s: Annotated[float, Says("sequences of the prompt's length that are read, by all devices", "1/s")]
    documents_per_usd: NotRequired[Annotated[float, Says("the same for a US dollar, where a price by the hour is known",
                                                         "1/USD")]]  # fmt: skip
    price: NotRequired[Annotated[str, Says("the cheapest price on demand, with its date and source")]]


class PredictAnswer(Answer):
    """What a model costs on hardware: memory, time, what binds, how sure, phase by phase."""

    model: Annotated[str, Says("model")]
    engine: Annotated[EngineUsed, Says("what runs it")]
    hardware: Annotated[HardwareAnswer, Says("the devices")]
    system: NotRequired[Annotated[str, Says("several devices: the system they are")]]
    layout: NotRequired[Annotated[LayoutAnswer, Says("several devices: how the work is spread over them")]]
    overlap: NotRequired[Annotated[float, Says("several devices: part of each collective's time that is hidden")]]
    dispatch_hidden: NotRequired[Annotated[dict[Phase, float], Says(
        "two-batch overlap: part of dispatch and combine that is hidden behind the other half")]]  # fmt: skip
    replicated_parameters: NotRequired[Annotated[dict[str, int], Says(
        "several devices: elements of each weight that are held beyond one copy", "elements")]]  # fmt: skip
    redundant_experts: NotRequired[Annotated[int, Says(
        "copies of experts, where the devices of ep hold as many each and do not divide them", "experts")]]  # fmt: skip
    chosen: NotRequired[Annotated[ChosenAnswer, Says("how the layout was chosen, where it was")]]
    idle: NotRequired[Annotated[str, Says("which devices idle and why, where the batch is too small for all of them")]]
    inputs: Annotated[InputsAnswer, Says("inputs as they were taken")]
    parameters: Annotated[int, Says("parameters of the model, tied ones once", "elements")]
    fits: Annotated[bool | None, Says("whether it fits; null where the capacity is not known")]
    memory: Annotated[MemoryAnswer, Says("memory of one device")]
    cache_at_start: NotRequired[Annotated[CacheAtStartAnswer, Says("the engine's cache, where it is known")]]
    caches_below: NotRequired[Annotated[CachesBelowAnswer, Says("KV cache offloading: what tiers hold, and loading")]]
    phases: Annotated[dict[Phase, PhaseAnswer], Says("each phase that runs, one step of it")]
    components: NotRequired[Annotated[list[ComponentAnswer], Says(
        "of a generator of images or videos: its networks, in the order in which they run")]]  # fmt: skip
    request_s: Annotated[float, Says("time of a whole request: encode + prefill + all decode steps", "s")]
    ttft_s: NotRequired[Annotated[float, Says("time to first token", "s")]]
    tpot_s: NotRequired[Annotated[float, Says("time per output token: the mean over the decode steps", "s")]]
    tokens_per_s: Annotated[float, Says("generated tokens per second of the whole batch; input tokens without decode",
                                        "tokens/s")]  # fmt: skip
    provenance: Annotated[str, Says("where the constants come from: datasheet, class, published or calibrated")]
    band: Annotated[BandAnswer, Says("how sure the times are")]
    notes: Annotated[list[str], Says("what to know about this prediction")]
    overflow: NotRequired[Annotated[OverflowAnswer, Says("what holds it, where it does not fit")]]
    hosted_weights_bytes: NotRequired[Annotated[int, Says("weights in the host's memory, for each device", "B")]]
    before_after: NotRequired[Annotated[list[ChangeAnswer], Says("what compression changes, where there is any")]]
    sensitivity: NotRequired[Annotated[dict[Phase, dict[str, GainAnswer]], Says(
        "with --sensitivity: what more of each resource buys, phase by phase")]]  # fmt: skip
    launch: NotRequired[Annotated[LaunchAnswer, Says("with --launch: the launch line")]]
    documents: NotRequired[Annotated[DocumentsAnswer, Says("of a network that reads text and generates nothing")]]
    verify: NotRequired[Annotated[VerifyAnswer, Says("with --verify: the command that measures it")]]
