"""The groups of options that several verbs share: each option once, with its help, its default and its unit.

A docstring is the title of its group in ``--help-all``. Annotations are evaluated here and now: no ``annotations``
from the future.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypedDict

from roofline.options.option import Option
from roofline.options.words import Attention, Count, Fusion, LmHead, Phase, PriceKind, Provenance, Router


class Loaded(Protocol):
    """A model or hardware that was loaded already."""

    @property
    def name(self) -> str: ...


class Hardware(TypedDict, total=False):
    """Hardware"""

    hardware: Annotated[
        str | None,
        Option(
            "Device, count, system or YAML file: h100, 8xh100, dgx-h100, my-gpu.yaml.",
            metavar="NAME",
            everyday=True,
        ),
    ]


class SeveralHardware(TypedDict, total=False):
    """Hardware"""

    hardware: Annotated[
        str | None,
        Option(
            "Devices, counts, systems or YAML files, with commas: h100,8xmi300x; all is every device to be had.",
            metavar="NAMES",
            everyday=True,
        ),
    ]


class Lengths(TypedDict, total=False):
    """Batch and lengths"""

    batch: Annotated[int, Option("Sequences at once, over all devices.", default=1, everyday=True)]
    prompt: Annotated[
        int | None,
        Option("Tokens in; what an encoder reads.", usual="2048, encoders 512, or all positions", everyday=True),
    ]
    generate: Annotated[int | None, Option("Tokens out.", usual="256", everyday=True)]
    context: Annotated[
        int | None,
        Option("One decode step that attends to so many tokens, in place of a request.", everyday=True),
    ]


class Shown(TypedDict, total=False):
    """Images and sound"""

    images: Annotated[
        int | None,
        Option("Images of each request, whose tokens come to the prompt.", usual="none", metavar="N"),
    ]
    image_size: Annotated[
        str | None,
        Option("Width and height of an image, or of a frame, read or made.", usual="1024x768", metavar="WxH"),
    ]
    video: Annotated[
        float | str | None,
        Option("A video of each request, in place of images, or made: its length, 30s.", usual="none", metavar="TIME"),
    ]
    fps: Annotated[float | None, Option("Frames of the video per second.", usual="2 read, 16 made", metavar="RATE")]
    audio: Annotated[
        float | str | None,
        Option(
            "Sound of each request, whose tokens come to the prompt: its length, 30s.", usual="none", metavar="TIME"
        ),
    ]
    denoise_steps: Annotated[
        int | None,
        Option("Denoising steps of a generator of images or videos.", usual="as its pipeline", metavar="N"),
    ]


class PhaseOf(TypedDict, total=False):
    """Phase"""

    phase: Annotated[Phase | None, Option("One phase alone.", usual="all that the model has")]


def _format(words: str, *, usual: str, metavar: str = "FORMAT") -> Option:
    return Option(f"Number format or recipe: {words}.", usual=usual, metavar=metavar, everyday=True)


class OpDtype(TypedDict, total=False):
    """Number formats"""

    dtype: Annotated[
        str | None,
        _format("bf16, fp8, w8a8, w4a16", usual="bf16, or fp16 or fp32 where the device has none"),
    ]


class Dtype(TypedDict, total=False):
    """Number formats"""

    dtype: Annotated[
        str | None,
        _format("bf16, fp8, w8a8, w4a16+kv8", usual="as the model is stored, else bf16, fp16 or fp32"),
    ]


class SeveralDtype(TypedDict, total=False):
    """Number formats"""

    dtype: Annotated[
        str | None,
        _format(
            "bf16, fp8, w8a8, w4a16+kv8; several with commas, a row for each",
            usual="as the model is stored, else bf16, fp16 or fp32",
            metavar="FORMATS",
        ),
    ]


class DtypeOfParts(TypedDict, total=False):
    """Number formats"""

    weight_dtype: Annotated[str | None, Option("Of the weights.", usual="as --dtype", metavar="FORMAT")]
    activation_dtype: Annotated[str | None, Option("Of the activations.", usual="as --dtype", metavar="FORMAT")]
    kv_dtype: Annotated[str | None, Option("Of the KV cache.", usual="as --dtype", metavar="FORMAT")]
    state_dtype: Annotated[
        str | None,
        Option("Of recurrent states: fp32, bf16.", usual="as the file says, else as activations", metavar="FORMAT"),
    ]


class Dtypes(Dtype, DtypeOfParts, total=False):
    """Number formats"""


class SeveralDtypes(SeveralDtype, DtypeOfParts, total=False):
    """Number formats"""


class Compression(TypedDict, total=False):
    """Pruning and sparsity"""

    prune: Annotated[
        str | Mapping[str, float | str] | None,
        Option("What to remove, as shares or numbers: heads=0.25,ffn=0.5,layers=6.", usual="nothing", metavar="PARTS"),
    ]
    sparsity: Annotated[
        str | None,
        Option(
            "Zeros in the weights: 2:4, or their share and format such as 0.9:csr, 0.9:bitmap, 0.9:block16.",
            usual="none",
            metavar="FORM",
        ),
    ]


class Adapted(TypedDict, total=False):
    """Adapters"""

    lora: Annotated[
        str | None,
        Option(
            "LoRA adapters in memory, and their rank, on all projections of the layers: 16x64.",
            usual="none",
            metavar="NxRANK",
        ),
    ]


class AttentionForm(TypedDict, total=False):
    """What is counted"""

    attention: Annotated[
        Attention, Option("Scores stay on the chip, or are written to memory and read back.", default="fused")
    ]


class ExpertLoad(TypedDict, total=False):
    """What is counted"""

    routing: Annotated[
        str,
        Option(
            "Expert routing: uniform, balanced, or skewed such as power_law:1.2 (power_law:1.2:eplb: experts placed by "
            "load); the fullest device is timed.",
            default="uniform",
            metavar="FORM",
        ),
    ]


class Fused(TypedDict, total=False):
    """What is counted"""

    fusion: Annotated[
        Fusion | None,
        Option(
            "Of a traced module, what runs as one kernel: each call alone, as torch.compile fuses, or as engines do.",
            usual="inductor; none under an eager engine, engine under those of text alone",
        ),
    ]


class Counting(ExpertLoad, Fused, total=False):
    """What is counted"""

    count: Annotated[
        Count, Option("Causal attention: the attended pairs of tokens, or all, as torch counts.", default="attended")
    ]
    lm_head: Annotated[LmHead, Option("Tokens of a prompt that the head works on.", default="last")]


class Conventions(AttentionForm, Counting, total=False):
    """What is counted"""


class Timing(TypedDict, total=False):
    """How time is predicted"""

    engine: Annotated[
        str | Path | Loaded | None,
        Option(
            "What runs it: vllm, sglang, tensorrt-llm, tensorrt, torch-compile, transformers, or a YAML file.",
            usual="vllm for decoders on discrete GPUs, transformers on CPUs and in validate, else torch-compile",
            metavar="NAME",
            everyday=True,
        ),
    ]
    kernels: Annotated[
        str | None,
        Option(
            "Whose kernels attend, multiply, run experts, where the library has such: fa2, fa3, trtllm, deepgemm ...",
            usual="those of the engine on the device",
            metavar="NAME",
        ),
    ]
    constants: Annotated[
        Provenance | None,
        Option("Which efficiencies and latencies.", usual="the best that the device has; formula: class"),
    ]


class Reserve(TypedDict, total=False):
    """Memory"""

    reserve: Annotated[
        float | str | None,
        Option(
            "Memory that the runtime keeps, a share or a size: 0.1, 2GiB.",
            usual="what the engine leaves; if it does not say, 0, in compare, size and train 0.1",
            metavar="SIZE",
        ),
    ]


class Hosted(TypedDict, total=False):
    """Memory"""

    offload: Annotated[
        str | None,
        Option(
            "Weights in the host's memory, read in every step: weights=20 (layers), weights=experts, weights=30GB. Or "
            "tiers that keep caches: kv=200GB, and whether loading a prompt is faster than computing it.",
            usual="none",
            metavar="WHAT=SIZE",
        ),
    ]


class Edits(TypedDict, total=False):
    """What if"""

    set: Annotated[
        Mapping[str, Any] | None,
        Option(
            "Edit a field of hardware, model or engine: hardware.memory.hbm.bandwidth=6TB/s, engine.chunk=4096.",
            metavar="PATH=VALUE",
            everyday=True,
            many=True,
        ),
    ]


class Tracing(TypedDict, total=False):
    """A traced module"""

    input: Annotated[
        Mapping[str, Any] | None,
        Option(
            "Of a MODEL that is code: the sizes of an input, x=B,S,256; B follows --batch, S --prompt.",
            metavar="NAME=SIZES",
            many=True,
        ),
    ]
    dims: Annotated[
        Mapping[str, Any] | None,
        Option("The number of another letter of its sizes: M=512.", metavar="LETTER=N", many=True),
    ]
    strict: Annotated[bool, Option("Refuse operators without a known cost; they make a lower bound.", default=False)]


_DEGREES = "Degrees of parallelism: tensor, pipeline, data, expert, context, decode context, sequence."


class Degrees(TypedDict, total=False):
    """Parallel degrees"""

    tp: Annotated[
        int | None,
        Option(
            "Tensor parallel degree.",
            usual="the best layout",
            everyday=True,
            line=_DEGREES,
        ),
    ]
    pp: Annotated[
        int | None,
        Option("Pipeline stages.", usual="the best layout", everyday=True, line=_DEGREES),
    ]
    dp: Annotated[
        int | None,
        Option(
            "Data-parallel replicas.",
            usual="the best layout",
            everyday=True,
            line=_DEGREES,
        ),
    ]
    ep: Annotated[
        int | None,
        Option(
            "Expert parallel degree, over the devices of tp and dp.",
            usual="the best layout",
            everyday=True,
            line=_DEGREES,
        ),
    ]
    cp: Annotated[
        int | None,
        Option(
            "Context parallel degree.",
            usual="the best layout",
            everyday=True,
            line=_DEGREES,
        ),
    ]
    dcp: Annotated[
        int | None,
        Option(
            "Decode context parallel degree: the KV cache split by position over devices of tp.",
            usual="the best layout",
            everyday=True,
            line=_DEGREES,
        ),
    ]
    sp: Annotated[
        int | None,
        Option(
            "Sequence parallelism: 1, or as tp.",
            usual="the best layout",
            everyday=True,
            line=_DEGREES,
        ),
    ]


class Traffic(TypedDict, total=False):
    """Traffic"""

    workload: Annotated[
        str | None,
        Option(
            "chat, code-completion, rag, summarise, reasoning, agent, batch, or a trace: FILE.csv, FILE.jsonl.",
            usual="chat",
            metavar="NAME",
            everyday=True,
        ),
    ]
    prompt: Annotated[
        str | int | None,
        Option(
            "Tokens in: 2048, 128/512/2048 or MEDIAN:P90.",
            usual="those of the workload",
            metavar="TOKENS",
            everyday=True,
        ),
    ]
    generate: Annotated[
        str | int | None,
        Option("Tokens out, in the same ways.", usual="those of the workload", metavar="TOKENS", everyday=True),
    ]
    prefix_hits: Annotated[
        float | None,
        Option("Share of a prompt that a prefix cache holds.", usual="that of the workload", metavar="SHARE"),
    ]


class Rate(TypedDict, total=False):
    """Load"""

    load: Annotated[str | float | None, Option("Requests that arrive, such as 50req/s.", metavar="RATE", everyday=True)]


class Clients(TypedDict, total=False):
    """Load"""

    concurrency: Annotated[
        int | None,
        Option("In place of a load: clients, each of which waits for an answer before it asks anew.", everyday=True),
    ]


class Load(Rate, Clients, total=False):
    """Load"""

    users: Annotated[int | None, Option("In place of a load: users, each active independently.", everyday=True)]
    activity: Annotated[
        float | None,
        Option("Part of the time in which a user waits for an answer.", usual="1", metavar="SHARE", everyday=True),
    ]
    headroom: Annotated[
        float | None,
        Option(
            "Share of the capacity kept free, since means know no queues.",
            usual="0.2 of a load; 0 of what is in flight, and of percentiles",
            metavar="SHARE",
        ),
    ]


class Limits(TypedDict, total=False):
    """Limits"""

    budget: Annotated[
        str | float | None,
        Option(
            "Most to pay: 150kUSD for a purchase, or for the rent of --years; 20USD/h for an hour.",
            usual="any sum",
            metavar="PRICE",
            everyday=True,
        ),
    ]
    power: Annotated[
        str | float | None,
        Option(
            "Most power, all in: devices at their TDP times --pue, such as 40kW.",
            usual="any",
            metavar="POWER",
            everyday=True,
        ),
    ]


class Simulated(Rate, Clients, total=False):
    """Load"""

    arrivals: Annotated[
        str,
        Option(
            "How requests arrive: poisson, gamma:SHAPE (below 1 burstier), all at the start, or as in a trace.",
            default="poisson",
            metavar="PROCESS",
            everyday=True,
        ),
    ]
    think: Annotated[
        str | float | None,
        Option(
            "Mean time of a client from an answer, or the last one of a session, to what it asks next; exponential.",
            usual="0, of --concurrency",
            metavar="TIME",
        ),
    ]
    requests: Annotated[int, Option("How many requests are simulated.", default=5000, everyday=True)]
    router: Annotated[Router, Option("Which of several replicas a request goes to.", default="round-robin")]
    seed: Annotated[int, Option("Of arrivals and lengths.", default=0)]


class Offloaded(TypedDict, total=False):
    """Memory"""

    offload: Annotated[
        str | None,
        Option(
            "KV cache offloading, tiers below the devices' memory: kv=200GB of the host's, kv=200GB+ssd:4TB@12GB/s.",
            usual="none",
            metavar="kv=TIERS",
        ),
    ]


class Targets(TypedDict, total=False):
    """Targets"""

    ttft: Annotated[
        str | float | None,
        Option(
            "Longest time to first token: 500ms; size and simulate take percentiles, p95:500ms.",
            usual="any",
            metavar="TIME",
            everyday=True,
        ),
    ]
    tpot: Annotated[
        str | float | None,
        Option(
            "Longest time per output token, in the same ways: 30ms, p99:40ms.",
            usual="any",
            metavar="TIME",
            everyday=True,
        ),
    ]


class PassTargets(TypedDict, total=False):
    """Targets of one pass"""

    latency: Annotated[
        str | float | None,
        Option(
            "Of a network that generates nothing: longest mean wait for its answer, 50ms.",
            usual="any",
            metavar="TIME",
            everyday=True,
        ),
    ]


class Speculating(TypedDict, total=False):
    """Serving"""

    speculate: Annotated[
        str | None,
        Option(
            "Speculative decoding: tokens proposed in a step, and how likely each is accepted, 4:0.7, or the part of "
            "steps in which each position is, 3:0.9,0.7,0.5.",
            usual="none",
            metavar="N:SHARE",
        ),
    ]
    draft: Annotated[
        str | Path | Mapping[str, Any] | Loaded | None,
        Option("Model that proposes them; mtp: its own prediction head.", usual="none, at no cost", metavar="MODEL"),
    ]


class Serving(Speculating, total=False):
    """Serving"""

    pools: Annotated[
        bool, Option("Disaggregated serving too: prefill and decode on devices of their own.", default=False)
    ]


class PrefillPool(TypedDict, total=False):
    """Serving"""

    prefill_on: Annotated[
        str | Loaded | Sequence[str | Loaded] | None,
        Option("Disaggregated serving: what prefills for --hardware.", metavar="NAME"),
    ]


class EncodePool(TypedDict, total=False):
    """Serving"""

    encode_on: Annotated[
        str | Loaded | None,
        Option("What encodes the images and the sound for --hardware.", usual="--hardware itself", metavar="NAME"),
    ]


class Owning(TypedDict, total=False):
    """Money"""

    years: Annotated[float, Option("Years over which a purchase is paid off.", default=4.0, metavar="YEARS")]
    chassis: Annotated[
        str | float,
        Option(
            "Price of chassis, CPUs and network around each 8 devices that are bought by themselves, such as 20kUSD.",
            default=0.0,
            usual="0USD",
            metavar="PRICE",
        ),
    ]
    pue: Annotated[float, Option("Power of the site / power of the devices.", default=1.3, metavar="RATIO")]
    power_price: Annotated[str | float, Option("Price of energy.", default=0.12, usual="0.12USD/kWh", metavar="PRICE")]
    hosting: Annotated[
        str | float,
        Option("Price of hosting a device.", default=0.0, usual="0USD/h", metavar="PRICE"),
    ]


class PriceOf(TypedDict, total=False):
    """Money"""

    price_kind: Annotated[PriceKind, Option("Which prices.", default="on_demand", everyday=True)]
    prices: Annotated[
        str | None,
        Option(
            "Prices of your own: h100=2.71USD/h,l40s=8500USD, or a YAML file.",
            usual="those of the hardware specs",
            metavar="PRICES",
            everyday=True,
        ),
    ]


class Prices(PriceOf, Owning, total=False):
    """Money"""


class Money(Prices, total=False):
    """Money"""

    utilization: Annotated[
        str | float | Sequence[float],
        Option(
            "Parts of the time under load, with commas.",
            default=(0.25, 0.5, 0.75, 1.0),
            usual="0.25,0.5,0.75,1",
            metavar="SHARES",
        ),
    ]
    api: Annotated[
        str | Sequence[float] | None,
        Option(
            "Prices of an API to break even with, USD per million tokens: 0.5/1.5, or with cached input 0.5/0.05/1.5.",
            metavar="IN[/CACHED]/OUT",
            everyday=True,
        ),
    ]


class Launched(TypedDict, total=False):
    """Launch"""

    launched: Annotated[
        str | None,
        Option(
            'In place of a model, engine, degrees and formats: a launch line, "vllm serve ... -tp 8".',
            flag="--from",
            metavar="LINE",
        ),
    ]


class Launch(TypedDict, total=False):
    """Launch"""

    launch: Annotated[
        str | None,
        Option("Print the launch line of the answer too: vllm, sglang or tensorrt-llm.", metavar="ENGINE"),
    ]
    verify: Annotated[
        bool, Option("Print the command that measures the answer: vllm bench serve, AIPerf ...", default=False)
    ]


class TrainLaunch(TypedDict, total=False):
    """Launch"""

    launched: Annotated[
        str | None,
        Option(
            "In place of a model and of what the step is: FILE.toml of torchtitan, or the arguments of Megatron-LM.",
            flag="--from",
            metavar='FILE|"ARGS"',
        ),
    ]
    launch: Annotated[
        str | None,
        Option("Print the configuration of the answer too: torchtitan or megatron.", metavar="ENGINE"),
    ]


class JsonOutput(TypedDict, total=False):
    """Output"""

    json: Annotated[bool, Option("Print JSON, in SI base units.", default=False, everyday=True)]
    json_schema: Annotated[bool, Option("Print the JSON Schema of that JSON.", default=False, hidden=True)]


class FileOutput(JsonOutput, total=False):
    """Output"""

    output: Annotated[
        Path | None,
        Option("Write FILE.json, .csv, .md or .parquet.", flag="--output -o", metavar="FILE", everyday=True),
    ]


class Wide(TypedDict, total=False):
    """Output"""

    wide: Annotated[bool, Option("More columns, and rows that are left out.", default=False)]


class Quiet(TypedDict, total=False):
    """Output"""

    quiet: Annotated[bool, Option("The verdict alone; warnings stay.", default=False)]


class NoColor(TypedDict, total=False):
    """Output"""

    no_color: Annotated[bool, Option("No colour, as with NO_COLOR.", default=False)]


class TorchDevice(TypedDict, total=False):
    """Measuring"""

    device: Annotated[str | None, Option("cuda, cpu or mps.", usual="the best there is", metavar="NAME", everyday=True)]
    threads: Annotated[int | None, Option("CPU threads.", usual="the cores; 1 on two or fewer", everyday=True)]
