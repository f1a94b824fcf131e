"""From an answer to the launch line of an engine, and from a launch line to what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack, cast

from roofline.classes import frozen
from roofline.compression.adapters import Adapters
from roofline.compression.recipes import AS_ASKED, Recipe
from roofline.engines.engine import Engine
from roofline.engines.launch_flags import LaunchFlags, launch_flags
from roofline.engines.launch_line import LaunchLine, read_launch_line
from roofline.engines.library import load_engine
from roofline.engines.said import Said
from roofline.errors import UsageError
from roofline.hardware.reservation import read_reserve
from roofline.models.model import Model
from roofline.models.sources import hub_id
from roofline.options import groups
from roofline.options.keywords import part, takes
from roofline.options.verbs.predicting import PredictOptions, RequestOptions
from roofline.parallelism.dimensions import DEGREES
from roofline.parallelism.layout import Layout
from roofline.parallelism.split_axes import towers_apart
from roofline.prediction.launch_degrees import can_launch, degrees_of, degrees_said
from roofline.prediction.predict import Prediction, predict, predict_read
from roofline.prediction.request import Hardware, read_request
from roofline.program.workload import Workload

_STATED = ("engine", "dtype", "weight_dtype", "activation_dtype", "kv_dtype", "lora", *DEGREES)
"""What a launch line states, in its own flags or by the defaults of its engine."""


class Asked(groups.Dtypes, groups.Reserve, total=False):
    """What of the options a launch line has to say."""


@takes(PredictOptions)
def predict_launched(line: str, hardware: Hardware, **options: Unpack[PredictOptions]) -> Prediction:
    """Predict what a server costs that a launch line starts: its model, engine, degrees, formats, chunk and memory.

    ``options`` are batch, lengths and what else ``predict`` takes that the line does not state. Raises UsageError for a
    flag that the line has and nothing models, and for work that it does not admit.

    >>> predict_launched("vllm serve meta-llama/Llama-3.1-8B -tp 2", "2xh100", batch=16).layout.tp
    2
    """
    found = read_launch_line(line)
    stated = options_of(found)
    if doubled := next((name for name in _STATED if options.get(name) is not None), None):
        msg = f"{doubled} does not go with a launch line, which states it; edit the line"
        raise UsageError(msg)
    edits = {**(stated["set"] or {}), **(options["set"] or {})}
    asked = cast("PredictOptions", {**options, **stated, "set": edits})
    result = predict(found.model, hardware, **asked)
    check_launched(found, result)
    return result


@takes(PredictOptions)
def predict_to_launch(
    model: str | Path | Mapping[str, Any] | Model, hardware: Hardware, program: str, **options: Unpack[PredictOptions]
) -> Prediction:
    """The prediction of a model in the best layout that a launch line of ``program`` can say, where one is searched.

    >>> options = {"batch": 8, "prompt": 4096, "generate": 2}
    >>> predict_to_launch("llama-3.1-8b", "4xh100", "vllm", **options).layout.sp
    1
    """
    asked = cast("PredictOptions", options if options["engine"] is not None else {**options, "engine": program})
    request = read_request(model, hardware, **part(RequestOptions, asked))
    experts = "E" in request.program.sizes
    return predict_read(request, asked, lambda layout: can_launch(layout, program, experts=experts))


def launch_in_json(line: LaunchLine) -> dict[str, str]:
    """What JSON says of a launch line."""
    return {"engine": line.engine, "version": launch_flags(line.engine).version, "line": str(line)}


@frozen
class Launched:
    """What a launch line starts: a model under an engine in a layout, for so many sequences of so many tokens.

    ``sequences`` are in flight at once, over all replicas of the layout; ``asked`` has the formats that were asked for.
    """

    model: Model
    engine: Engine
    layout: Layout
    recipe: Recipe
    sequences: int
    length: int
    asked: Asked
    adapters: Adapters | None = None

    @classmethod
    def of(cls, prediction: Prediction) -> Launched:
        """What was predicted. Raises UsageError for a pruned network."""
        request, work = prediction.request, prediction.workload
        if request.compression.pruning or request.compression.sparsity:
            msg = "launch: no flag prunes; store the pruned checkpoint and name its folder"
            raise UsageError(msg)
        asked = cast("Asked", request.asked)
        return cls(prediction.model, prediction.engine, prediction.layout, prediction.recipe, int(work.batch),
                   _sequence(work), asked, request.adapters)  # fmt: skip

    @property
    def experts(self) -> bool:
        """Whether the model is a mixture of experts."""
        return "E" in self.model.program().sizes

    @property
    def share(self) -> float | None:
        """The share of the memory that is asked for, else the engine's. Raises UsageError for a size."""
        if self.asked["reserve"] is None:
            return self.engine.memory_share
        kept = read_reserve(self.asked, self.engine)
        if kept.size:
            msg = f"launch: no flag keeps {kept.size:,} bytes; give reserve as a share such as 0.1"
            raise UsageError(msg)
        return round(1 - kept.share, 12)


def launch_line(starts: Prediction | Launched, engine: str) -> LaunchLine:
    """The launch line of what was predicted: degrees, sequences, chunk, longest sequence, share of memory, formats.

    Raises UsageError for what the engine's flags cannot say, and for a prediction under another engine.

    >>> from roofline.prediction.predict import predict
    >>> print(launch_line(predict("llama-3.1-8b", "2xh100", batch=16, tp=2), "vllm"))
    vllm serve meta-llama/Llama-3.1-8B --tensor-parallel-size 2 --max-num-seqs 16 --max-num-batched-tokens 8192 \
--max-model-len 2304 --gpu-memory-utilization 0.9 --dtype bfloat16
    """
    known, asked = launch_flags(engine), starts if isinstance(starts, Launched) else Launched.of(starts)
    used = asked.engine
    if used.name != known.name:
        msg = f"launch {engine}: the prediction is that of {used.name}; ask with engine {known.name}"
        raise UsageError(msg)
    said: dict[str, Said] = degrees_said(asked.layout, engine, experts=asked.experts)
    replicas = int(asked.layout.dp)
    each = -(-asked.sequences // replicas)
    said["sequences"] = each * replicas if engine == "sglang" and "dp_attention" in said else each
    said |= _chunk_said(asked, said)
    said |= _adapters_said(asked.adapters, known)
    said |= _halves_said(asked, known)
    if "towers" in known.by_meaning and whole_towers(asked.model, asked.layout):
        said["towers"] = known.by_meaning["towers"].switch or "apart"
    said["length"] = asked.length
    if asked.share is not None:
        said["share"] = asked.share
    usual = load_engine(engine)
    if used.kv_block != usual.kv_block:
        said["block"] = used.kv_block
    if usual.graphs and not used.graphs:
        said["eager"] = True
    elif used.captured and "padded" in known.by_meaning:
        said["padded"] = True
    return LaunchLine(engine, hub_id(asked.model.name), _ordered(engine, said | _formats_said(asked, engine)))


def whole_towers(model: Model, layout: Layout) -> bool:
    """Whether each device of tensor parallelism has the towers whole, since it does not divide them."""
    program = model.program()
    return any(bool(towers_apart(program, phase, layout)) for phase in program.phases if phase.encodes)


def _sequence(work: Workload) -> int:
    """The tokens of a sequence as engines count them: a prompt with all of its answer, or the context of a step."""
    return int(work.context if work.context is not None else work.prompt + work.generate)


def _ordered(engine: str, said: dict[str, Said]) -> tuple[tuple[str, Said], ...]:
    means = launch_flags(engine).meanings
    if strange := next((each for each in said if each not in means), None):
        msg = f"launch {engine}: no flag of {launch_flags(engine).version} says {strange}"
        raise UsageError(msg)
    return tuple((each, said[each]) for each in means if each in said)


def _chunk_said(asked: Launched, said: dict[str, Said]) -> dict[str, Said]:
    """Chunked prefill in the engine's own terms. Raises UsageError for prompts by themselves where none says so."""
    engine, tokens = asked.engine.name, asked.engine.pass_tokens
    if engine == "vllm":
        return {"chunk": tokens} if tokens else {"chunked": False}
    if engine == "tensorrt-llm":
        if not tokens or not asked.engine.mixed:
            msg = f"launch {engine}: no flag has prompts by themselves; ask with engine.chunk, and engine.mixed true"
            raise UsageError(msg)
        return {"chunk": tokens, "chunked": True}
    found: dict[str, Said] = {"chunk": tokens * int(asked.layout.dp if "dp_attention" in said else 1) if tokens else -1}
    return {**found, "mixed": True} if asked.engine.mixed else found


def _adapters_said(adapters: Adapters | None, known: LaunchFlags) -> dict[str, Said]:
    """LoRA adapters, on all projections."""
    if adapters is None:
        return {}
    said: dict[str, Said] = {"lora": True, "adapters": adapters.count, "rank": adapters.rank}
    return {**said, "modules": "all"} if "modules" in known.by_meaning else said


_CUTS = {"prefill": "cut_prefill", "decode": "cut_decode"}
"""What says from how many tokens on a step is run in halves."""


def _halves_said(asked: Launched, known: LaunchFlags) -> dict[str, Said]:
    """Two-batch overlap, with the kernels that it needs. Raises UsageError where no flag says so."""
    used, usual = asked.engine, load_engine(known.name).two_batch_tokens
    if not used.two_batches or not (asked.experts and asked.layout.dp > 1 and asked.layout.ep > 1):
        return {}
    said: dict[str, Said] = {"two_batches": True, "dispatch": "deepep"}
    own = used.two_batch_tokens.items()
    return said | {_CUTS[phase]: tokens for phase, tokens in own if usual.get(phase) != tokens}


def _halves_of(line: LaunchLine) -> dict[str, Any]:
    """The same of a line, as edits. Raises UsageError for kernels without which the engine does not start so."""
    said = line.by_meaning
    if not said.get("two_batches"):
        return {}
    if said.get("dispatch") is None:
        known = launch_flags(line.engine)
        flag = known.flag_of("dispatch")
        words = " or ".join(known.by_meaning["dispatch"].words)
        msg = f"from: {known.flag_of('two_batches')} needs {flag} {words}; add it"
        raise UsageError(msg)
    usual = load_engine(line.engine).two_batch_tokens
    tokens = {phase: said.get(_CUTS[phase], least) for phase, least in usual.items()}
    return {"engine.two_batches": True, **({} if tokens == usual else {"engine.two_batch_tokens": tokens})}


def _adapters_of(line: LaunchLine) -> str | None:
    """The adapters that a line has memory for, as ``lora`` has them. Raises UsageError where it leaves one open."""
    known, said = launch_flags(line.engine), line.by_meaning
    if not said.get("lora"):
        return None
    numbers = []
    for meaning in ("adapters", "rank"):
        number = said.get(meaning, known.by_meaning[meaning].usual)
        if number is None:
            msg = f"from: {known.flag_of('lora')} without {known.flag_of(meaning)}, which the adapters decide; give it"
            raise UsageError(msg)
        numbers.append(str(number))
    return "x".join(numbers)


def _formats_said(starts: Launched, engine: str) -> dict[str, Said]:
    """Formats of weights, activations and cache; those of a quantised checkpoint are read from it by the engine."""
    asked, recipe = starts.asked, starts.recipe
    if asked["weight_dtype"] or asked["activation_dtype"] or asked["state_dtype"]:
        msg = f"launch {engine}: no flag says the dtype of weights, activations or states alone; give --dtype"
        raise UsageError(msg)
    said: dict[str, Said] = {}
    stored = starts.model.checkpoint != AS_ASKED and not asked["dtype"]
    plain = str(recipe.name.partition("+")[0])
    if not stored:
        if plain in ("bf16", "fp16", "fp32"):
            said["dtype"] = plain
        elif plain == "fp8" and "weights" in launch_flags(engine).by_meaning:
            said["weights"] = "fp8"
        else:
            msg = f"launch {engine}: {recipe.name} wants a checkpoint that is stored so; give its folder as the model"
            raise UsageError(msg)
    cache, usual = recipe.kv_cache.name, recipe.precision.activations
    if cache != usual:
        said["cache"] = cache
    return said


def options_of(line: LaunchLine) -> PredictOptions:
    """What a launch line says, as keywords of ``predict``; the engine's own defaults for what it leaves open.

    >>> found = options_of(read_launch_line("vllm serve m -tp 8 --enforce-eager"))
    >>> found["tp"], found["ep"], found["set"]
    (8, 1, {'engine.graphs': {}, 'engine.captured': []})
    """
    said = line.by_meaning
    edits: dict[str, Any] = {}
    chunk = _chunk_of(line)
    if chunk is not None:
        edits["engine.chunk"] = chunk
    for meaning, field in (("share", "memory_share"), ("block", "kv_block"), ("mixed", "mixed")):
        if meaning in said:
            edits[f"engine.{field}"] = said[meaning]
    if said.get("eager"):
        edits |= {"engine.graphs": {}, "engine.captured": []}
    edits |= _halves_of(line)
    found: dict[str, Any] = {"engine": line.engine, "set": edits, **degrees_of(line)}
    if (lora := _adapters_of(line)) is not None:
        found["lora"] = lora
    dtype = said.get("weights", said.get("dtype", "auto"))
    if dtype != "auto":
        found["dtype"] = dtype
    if said.get("cache", "auto") != "auto":
        found["kv_dtype"] = said["cache"]
    return cast("PredictOptions", found)


def _chunk_of(line: LaunchLine) -> int | None:
    """Tokens of a step of chunked prefill, 0 for prompts read whole, None where the line leaves it to the engine."""
    said = line.by_meaning
    if said.get("chunked") is False or said.get("chunk") == -1:
        return 0
    if "chunk" not in said:
        return None
    return int(said["chunk"]) // (int(said.get("dp", 1)) if said.get("dp_attention") else 1)


def check_launched(line: LaunchLine, prediction: Prediction) -> None:
    """Raises UsageError where the work is more than the line admits, or its layout is not one that is modelled."""
    said, work = line.by_meaning, prediction.workload
    whole = line.engine == "sglang" and said.get("dp_attention")  # it counts the requests of all ranks together
    replicas = 1 if whole else prediction.layout.dp
    most = int(said.get("sequences", work.batch)) * replicas
    if work.batch > most:
        msg = f"batch {work.batch}: the launch line admits {most} sequences at once; give a smaller batch"
        raise UsageError(msg)
    longest = _sequence(work)
    if longest > int(said.get("length", longest)):
        msg = f"prompt and answer of {longest} tokens: the launch line admits {said['length']}; give shorter ones"
        raise UsageError(msg)
    ranks = prediction.layout
    if line.engine == "vllm" and ranks.dp > 1 and ranks.ep == 1 and Launched.of(prediction).experts:
        msg = (
            "from: experts split by tensor over data parallel ranks are not modelled; expected --enable-expert-parallel"
        )
        raise UsageError(msg)
    _check_towers(line, prediction)
    if line.engine == "tensorrt-llm":
        _check_steps(line, prediction)


def _check_towers(line: LaunchLine, prediction: Prediction) -> None:
    """Raises UsageError where a line has towers whole on each device that tp divides, or split where it does not."""
    said, model, layout = line.by_meaning.get("towers"), prediction.model, prediction.layout
    if said is None or layout.tp == 1 or not any(phase.encodes for phase in model.program().phases):
        return
    whole = whole_towers(model, layout)
    if whole != (said in (True, "apart")):
        flag = launch_flags(line.engine).flag_of("towers")
        how = "does not divide the towers, which are whole on each device" if whole else "divides the towers"
        how += "" if whole else ", which are modelled as split over it"
        msg = f"from: {flag}: tp {layout.tp} {how}; {'give' if whole else 'leave out'} {_data_of(line.engine)}"
        raise UsageError(msg)


def _data_of(engine: str) -> str:
    """The words that have towers whole on each device."""
    known = launch_flags(engine)
    flag = known.by_meaning["towers"]
    word = next((word for word, meant in flag.words.items() if meant == "apart"), "")
    return f"{known.flag_of('towers')} {word}".rstrip()


def _check_steps(line: LaunchLine, prediction: Prediction) -> None:
    """Raises UsageError where TensorRT-LLM, as a line starts it, takes no such prompt or replays no such batch."""
    said, work, engine = line.by_meaning, prediction.workload, prediction.engine
    tokens = engine.pass_tokens or 0
    if not said.get("chunked") and work.context is None and work.prompt > tokens:
        msg = f"prompt {work.prompt}: without --enable_chunked_prefill a step takes prompts of {tokens} tokens at most"
        raise UsageError(msg)
    batch = -(-int(work.batch) // int(prediction.layout.dp))
    if engine.graphs and not said.get("padded") and batch not in engine.captured:
        msg = (
            f"batch {batch}: no graph of it is captured, and without cuda_graph_config.enable_padding it is not padded "
            "to the next; which steps then run without a graph is not modelled"
        )
        raise UsageError(msg)
