"""The KV cache that an engine makes at its start: what its share of the memory leaves after a run of the largest step.

vLLM runs a step of as many tokens, and draws one for as many sequences, as it ever will, and divides the rest into
blocks: what it prints as "GPU KV cache size". With T tokens, R sequences, w bytes of an activation and c copies of the
logits in 32 bits, drawing takes R V (w + 4 c) + (T + 2 R) D w; the step, what is alive in it, and where modules are
eager h T D w that they hold. The larger of both is left out of the cache.
"""

from __future__ import annotations

from roofline.classes import frozen
from roofline.cost.kv_cache import cache_bytes
from roofline.cost.residency import activation_peak
from roofline.number import Number, exact
from roofline.prediction.request import Request
from roofline.prediction.step import Steps
from roofline.program.op import STATES
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import DTYPE_BYTES

_WIDE = 4  # bytes of a logit in 32 bits


@frozen
class CacheAtStart:
    """Tokens of the KV cache of a device or of those of tp, its bytes on each, and what the run at start took. [B]"""

    tokens: int
    bytes: int
    profile_bytes: int
    profiled_tokens: int
    profiled_sequences: int

    def to_dict(self) -> dict[str, int]:
        """As JSON has it."""
        return {
            "tokens": self.tokens, "bytes": self.bytes, "profile_bytes": self.profile_bytes,
            "profiled_tokens": self.profiled_tokens, "profiled_sequences": self.profiled_sequences,
        }  # fmt: skip


def cache_at_start(request: Request, steps: Steps, weights_bytes: int) -> CacheAtStart | None:
    """The cache that the engine makes, at most; None where it runs no such step, or one token is not like another.

    That is: for windows and states, whose blocks are of several kinds, for stages of a pipeline, for caches that are
    split by position, of traced modules, and where the memory is not known.

    >>> from roofline.prediction.predict import predict
    >>> found = predict("llama-3.1-8b", "h100", engine="vllm").cache_at_start
    >>> found.profiled_tokens, found.profiled_sequences
    (8192, 1024)
    """
    engine, layout = request.engine, steps.layout
    if engine.sampling_copies is None or request.room_bytes is None or max(layout.pp, layout.cp, layout.dcp) > 1:
        return None
    each = _token_bytes(request, steps.program)
    if request.program.anonymous or each is None or Phase.PREFILL not in steps.program.phases:
        return None
    work = request.workload
    tokens = int(engine.pass_tokens or (work.prompt + work.generate if work.context is None else work.context))
    sequences = min(engine.most_sequences or 1, tokens)
    profile = max(_step_bytes(request, steps.program, tokens), _drawing_bytes(request, tokens, sequences))
    blocks = max(0, int((request.room_bytes - weights_bytes - profile) // (each * engine.kv_block)))
    held = blocks * engine.kv_block
    return CacheAtStart(held, held * each, profile, tokens, sequences)


def _token_bytes(request: Request, program: Program) -> int | None:
    """What each token leaves on a device; None where that is not the same for all."""
    if any(tensor.role in STATES for _, _, tensor in program.caches()):
        return None
    sizes = {**_exact(program), "B": exact(1), "T": exact(1), "M": exact(1)}
    longest = request.model.lengths.positions
    one, most = (cache_bytes(program, {**sizes, "S": exact(length)}, request.precision) for length in (1, longest))
    return int(one) if one and most == longest * one else None


def _step_bytes(request: Request, program: Program, tokens: int) -> int:
    """Activations alive in a step of one prompt of so many tokens, with what eager modules hold."""
    sizes = {**_exact(program), "B": exact(1), "T": exact(tokens), "S": exact(tokens)}
    alive = int(activation_peak(program, Phase.PREFILL, sizes, request.precision))
    held = 0 if "prefill" in request.engine.graphs else request.engine.eager_held
    return alive + int(held * tokens * _hidden(request))


def _drawing_bytes(request: Request, tokens: int, sequences: int) -> int:
    """Logits of so many sequences and their copies, beside the hidden states of the step."""
    each = _width(request) + _WIDE * (request.engine.sampling_copies or 0)
    logits = sequences * int(request.program.sizes["V"]) * each
    return int(logits + (tokens + 2 * sequences) * _hidden(request))


def _exact(program: Program) -> dict[str, Number]:
    return {name: exact(size) for name, size in program.sizes.items()}


def _hidden(request: Request) -> float:
    """Bytes of the hidden state of a token."""
    return float(request.program.sizes["D"]) * _width(request)


def _width(request: Request) -> float:
    return float(DTYPE_BYTES[request.precision.activations])
