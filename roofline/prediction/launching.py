"""From an answer to the launch line of an engine, and from a launch line to what is predicted."""

from __future__ import annotations

from typing import Any, Unpack, cast

from roofline.compression.recipes import AS_ASKED
from roofline.engines.launch_flags import launch_flags
from roofline.engines.launch_line import LaunchLine, Said, read_launch_line
from roofline.engines.library import load_engine
from roofline.errors import UsageError
from roofline.models.sources import hub_id
from roofline.options.keywords import takes
from roofline.options.verbs import PredictOptions
from roofline.parallelism.dimensions import DEGREES
from roofline.prediction.predict import Prediction, predict
from roofline.prediction.request import Hardware
from roofline.program.workload import Workload

_STATED = ("engine", "dtype", "weight_dtype", "activation_dtype", "kv_dtype", *DEGREES)
"""What a launch line states, in its own flags or by the defaults of its engine."""


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


def launch_in_json(line: LaunchLine) -> dict[str, str]:
    """What JSON says of a launch line."""
    return {"engine": line.engine, "version": launch_flags(line.engine).version, "line": str(line)}


def launch_line(prediction: Prediction, engine: str) -> LaunchLine:
    """The launch line of what was predicted: degrees, sequences, chunk, longest sequence, share of memory, formats.

    Raises UsageError for what the engine's flags cannot say, and for a prediction under another engine.

    >>> from roofline.prediction.predict import predict
    >>> print(launch_line(predict("llama-3.1-8b", "2xh100", batch=16, tp=2), "vllm"))
    vllm serve meta-llama/Llama-3.1-8B --tensor-parallel-size 2 --max-num-seqs 16 --max-num-batched-tokens 8192 \
--max-model-len 2304 --gpu-memory-utilization 0.9 --dtype bfloat16
    """
    known = launch_flags(engine)
    used, request, work = prediction.engine, prediction.request, prediction.workload
    if used.name != known.name:
        msg = f"launch {engine}: the prediction is that of {used.name}; ask with engine {known.name}"
        raise UsageError(msg)
    if request.compression.pruning or request.compression.sparsity:
        msg = f"launch {engine}: no flag prunes; store the pruned checkpoint and name its folder"
        raise UsageError(msg)
    said: dict[str, Said] = _degrees_said(prediction, engine)
    replicas = prediction.layout.dp
    each = -(-work.batch // replicas)
    said["sequences"] = int(each * replicas if engine == "sglang" and "dp_attention" in said else each)
    said |= _chunk_said(prediction, engine, said)
    said["length"] = _sequence(work)
    if used.memory_share is not None:
        said["share"] = used.memory_share
    usual = load_engine(engine)
    if used.kv_block != usual.kv_block:
        said["block"] = used.kv_block
    if usual.graphs and not used.graphs:
        said["eager"] = True
    return LaunchLine(engine, hub_id(prediction.model.name), _ordered(engine, said | _formats_said(prediction, engine)))


def _sequence(work: Workload) -> int:
    """The tokens of a sequence as engines count them: a prompt with all of its answer, or the context of a step."""
    return int(work.context if work.context is not None else work.prompt + work.generate)


def _ordered(engine: str, said: dict[str, Said]) -> tuple[tuple[str, Said], ...]:
    means = [flag.means for flag in launch_flags(engine).flags.values()]
    if strange := next((each for each in said if each not in means), None):
        msg = f"launch {engine}: no flag of {launch_flags(engine).version} says {strange}"
        raise UsageError(msg)
    return tuple((each, said[each]) for each in means if each in said)


def _degrees_said(prediction: Prediction, engine: str) -> dict[str, Said]:
    """The degrees in the engine's own terms. Raises UsageError for those that it does not have."""
    layout = prediction.layout
    tp, pp, dp, ep, cp, dcp, sp = (int(getattr(layout, name)) for name in DEGREES)
    if cp > 1 or sp > 1:
        msg = f"launch {engine}: no flag that is written here says {'cp' if cp > 1 else 'sp'}; ask with cp 1, sp 1"
        raise UsageError(msg)
    experts = _has_experts(prediction)
    if experts and ep == 1 and dp > 1 and engine == "vllm":
        msg = "launch vllm: replicas of experts; data parallel ranks share them. Ask with ep, or start each by itself"
        raise UsageError(msg)
    said: dict[str, Said] = {"pp": pp, "dcp": dcp}
    if engine == "vllm":
        if ep not in (1, tp * dp):
            msg = f"launch vllm: ep {ep}: expert parallelism is over all {tp * dp} devices of tp and dp"
            raise UsageError(msg)
        said |= {"tp": tp, "dp": dp} | ({"expert_parallel": True} if ep > 1 else {})
    elif experts and dp > 1 and ep > 1:
        if ep != tp * dp:
            msg = f"launch {engine}: ep {ep}: with attention data-parallel, experts are over all {tp * dp} devices"
            raise UsageError(msg)
        said |= {"tp": tp * dp, "dp": dp, "dp_attention": True, "ep": ep}
    else:
        said |= {"tp": tp, "dp": dp, "ep": ep}
    return {name: degree for name, degree in said.items() if degree != 1 or degree is True}


def _has_experts(prediction: Prediction) -> bool:
    return "E" in prediction.request.program.sizes


def _chunk_said(prediction: Prediction, engine: str, said: dict[str, Said]) -> dict[str, Said]:
    """Chunked prefill in the engine's own terms."""
    tokens, dp = prediction.engine.pass_tokens, int(prediction.layout.dp)
    found: dict[str, Said] = {}
    if engine == "vllm":
        found = {"chunk": tokens} if tokens else {"chunked": False}
    else:
        found["chunk"] = (tokens * dp if "dp_attention" in said else tokens) if tokens else -1
        if prediction.engine.mixed:
            found["mixed"] = True
    return found


def _formats_said(prediction: Prediction, engine: str) -> dict[str, Said]:
    """Formats of weights, activations and cache; those of a quantised checkpoint are read from it by the engine."""
    asked, recipe = prediction.request.asked, prediction.recipe
    if asked["weight_dtype"] or asked["activation_dtype"] or asked["state_dtype"]:
        msg = f"launch {engine}: no flag says the dtype of weights, activations or states alone; give --dtype"
        raise UsageError(msg)
    said: dict[str, Said] = {}
    stored = prediction.model.checkpoint != AS_ASKED and not asked["dtype"]
    plain = str(recipe.name.partition("+")[0])
    if not stored:
        if plain in ("bf16", "fp16", "fp32"):
            said["dtype"] = plain
        elif plain == "fp8":
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
    found: dict[str, Any] = {"engine": line.engine, "set": edits, **_degrees_of(line)}
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


def _degrees_of(line: LaunchLine) -> dict[str, int]:
    """The degrees of a line, in our terms. Raises UsageError for those that contradict each other."""
    said = line.by_meaning
    tp, pp, dp, dcp = (int(said.get(name, 1)) for name in ("tp", "pp", "dp", "dcp"))
    ep = tp * dp if said.get("expert_parallel") else int(said.get("ep", 1))
    if said.get("dp_attention"):
        if tp % dp:
            msg = f"from: attention data-parallel by {dp} does not divide {tp} devices of tp"
            raise UsageError(msg)
        if dp > 1 and ep != tp:
            msg = f"from: attention data-parallel with ep {ep} on {tp} devices is not modelled; expected --ep-size {tp}"
            raise UsageError(msg)
        tp //= dp
    return {"tp": tp, "pp": pp, "dp": dp, "ep": ep, "cp": 1, "dcp": dcp, "sp": 1}


def check_launched(line: LaunchLine, prediction: Prediction) -> None:
    """Raises UsageError where the work is more than the line admits, or its layout is not one that is modelled."""
    said, work = line.by_meaning, prediction.workload
    replicas = prediction.layout.dp if not said.get("dp_attention") else 1
    most = int(said.get("sequences", work.batch)) * replicas
    if work.batch > most:
        msg = f"batch {work.batch}: the launch line admits {most} sequences at once; give a smaller batch"
        raise UsageError(msg)
    longest = _sequence(work)
    if longest > int(said.get("length", longest)):
        msg = f"prompt and answer of {longest} tokens: the launch line admits {said['length']}; give shorter ones"
        raise UsageError(msg)
    ranks = prediction.layout
    if line.engine == "vllm" and ranks.dp > 1 and ranks.ep == 1 and _has_experts(prediction):
        msg = (
            "from: experts split by tensor over data parallel ranks are not modelled; expected --enable-expert-parallel"
        )
        raise UsageError(msg)
