"""What is asked of a model: batch, lengths, precision; and the sizes that each phase binds."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from typing import Protocol

from roofline.classes import frozen
from roofline.errors import UsageError, WorkloadError, near_matches
from roofline.number import Number, ceil_div, counting, exact, is_remembering, minimum
from roofline.options.verbs.predicting import RequestOptions
from roofline.program.axes import Sizes
from roofline.program.op import Op, Role, Tensor
from roofline.program.phases import Phase
from roofline.program.traffic.lengths import NOTHING, Lengths, Shown

BLOCKS: dict[str, tuple[int, int]] = {
    "iq1_s": (256, 50),
    "tq1_0": (256, 54),
    "iq1_m": (256, 56),
    "iq2_xxs": (256, 66),
    "tq2_0": (256, 66),
    "iq2_xs": (256, 74),
    "iq2_s": (256, 82),
    "q2_k": (256, 84),
    "iq3_xxs": (256, 98),
    "iq3_s": (256, 110),
    "q3_k": (256, 110),
    "iq4_xs": (256, 136),
    "gguf_mxfp4": (32, 17),
    "iq4_nl": (32, 18),
    "q4_0": (32, 18),
    "q4_k": (256, 144),
    "gguf_nvfp4": (64, 36),
    "q4_1": (32, 20),
    "q5_0": (32, 22),
    "q5_k": (256, 176),
    "q5_1": (32, 24),
    "q6_k": (256, 210),
    "q8_0": (32, 34),
}
"""Types of tensors in a GGUF file: elements and bytes of a block, which holds its own scales. Source: the table
GGML_QUANT_SIZES of the package gguf 0.19.0."""

DTYPE_BYTES: dict[str, Fraction] = {
    "int2": Fraction(1, 4),
    "int3": Fraction(3, 8),
    "int4": Fraction(1, 2),
    "nf4": Fraction(1, 2),
    "fp4": Fraction(1, 2),
    "fp6": Fraction(3, 4),
    **{name: Fraction(size, elements) for name, (elements, size) in BLOCKS.items()},
    "int8": Fraction(1),
    "fp8": Fraction(1),
    "fp16": Fraction(2),
    "bf16": Fraction(2),
    "tf32": Fraction(4),
    "fp32": Fraction(4),
}
"""Bytes per element, numbers from the narrowest to the widest; a contraction computes in the widest dtype that it
reads, and no unit computes in blocks."""

_WIDTH_ORDER = {dtype: place for place, dtype in enumerate(DTYPE_BYTES)}

SCALE_BYTES: dict[str, Fraction] = {
    "e8m0": Fraction(1),
    "fp8+fp32/256": 1 + Fraction(4, 256),
    "1 bit": Fraction(1, 8),
    "2 bits": Fraction(1, 4),
    "int32": Fraction(4),
}
"""Bytes of what is stored beside weights alone: powers of two; 8 bits, with an fp32 for each 256 of them; places."""

STORED_BYTES = DTYPE_BYTES | SCALE_BYTES
"""Bytes of an element of whatever is stored."""

INDEX_BYTES = 8
"""Token, position and segment numbers are 64-bit, as torch keeps them."""

_INDEX_BYTES = Fraction(INDEX_BYTES)

DEFAULT_PROMPT, DEFAULT_ENCODER_PROMPT, DEFAULT_GENERATE = 2048, 512, 256

MAX_LENGTH = 10**7
"""The longest sequence and the largest batch that are taken: a decode phase holds an array over its steps."""


@frozen
class Precision:
    """The dtypes of weights, activations, KV cache and recurrent states, but for tensors that state their own.

    ``state`` is empty for the dtype of the activations. It is what a state is kept in: the work on it is counted in
    the dtype of the activations, as kernels widen one and not the other. ``conv_state``: likewise of what convolutions
    keep of the tokens before.
    """

    weights: str
    activations: str
    kv_cache: str
    state: str = ""
    conv_state: str = ""

    def __post_init__(self) -> None:
        for dtype in (self.weights, self.activations, self.kv_cache, self.state, self.conv_state):
            if dtype and dtype not in DTYPE_BYTES:
                msg = f"dtype {dtype!r} is not known; {near_matches(dtype, DTYPE_BYTES)}"
                raise UsageError(msg)

    def dtype(self, role: Role) -> str:
        """The dtype of a tensor of this role."""
        if role == "weight":
            return self.weights
        return self.kv_cache if role == "kv_cache" else self.activations

    def width(self, tensor: Tensor) -> Fraction:
        """Bytes per element of a tensor."""
        if tensor.role == "index":
            return _INDEX_BYTES
        kept = {"state": self.state, "conv_state": self.conv_state}.get(tensor.role, "")
        stated = STORED_BYTES[tensor.dtype or kept or self.dtype(tensor.role)]
        return stated if tensor.weighs is None else stated * tensor.weighs

    def compute_dtype(self, op: Op) -> str:
        """The dtype that an operator computes in: the widest that it contracts, or reads where it contracts nothing."""
        tensors = op.contracted or tuple(tensor for tensor in op.reads if tensor.role not in ("index", "scale"))
        stated = (tensor.dtype or self.dtype(tensor.role) for tensor in tensors)
        dtypes = [dtype for dtype in stated if dtype in _WIDTH_ORDER]  # nothing computes in a format of scales alone
        return max(dtypes, key=_WIDTH_ORDER.__getitem__, default=self.activations)


@frozen
class Workload:
    """Sequences at once, tokens in, tokens out, and, if given, the attended length of the one decode step asked for.

    The cache is kept in blocks of ``kv_block`` tokens. ``chunk``: the most tokens of prompts that a forward pass reads,
    None where it reads all of them whole.
    ``decoder_start``: with how many tokens the decoder behind an encoder begins; ``prompt`` is then what the encoder
    reads. None where there is one stack.
    ``shown``: images and sound of a request, to a network that sees or hears; their tokens are a part of the
    ``prompt``.
    """

    batch: int
    prompt: int
    generate: int
    context: int | None = None
    kv_block: int = 1
    decoder_start: int | None = None
    chunk: int | None = None
    shown: Shown = NOTHING

    def __post_init__(self) -> None:
        for name in ("batch", "prompt", "generate", "context", "kv_block", "chunk"):
            value = getattr(self, name)
            if value is None or is_remembering(value):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_LENGTH:
                msg = f"{name} {value!r}: expected a whole number from 1 to {MAX_LENGTH}"
                raise UsageError(msg)

    @property
    def decode_steps(self) -> int:
        """Decode steps of a request: the first token comes from prefill."""
        return self.generate - 1 if self.context is None else 1

    def steps(self, phase: Phase) -> int:
        """How many steps of a phase a request takes."""
        return self.decode_steps if phase.one_token else 1

    @property
    def pieces(self) -> int:
        """In how many equal pieces a prompt is read."""
        return 1 if self.chunk is None else int(ceil_div(self.first, self.chunk))

    def passes(self, phase: Phase, batch: Number) -> Number:
        """The forward passes of one step for ``batch`` sequences: one, or as many as hold all prompts in chunks.

        >>> int(Workload(1, 3000, 2, chunk=8192).passes(Phase.PREFILL, 8))  # 24,000 tokens
        3
        """
        return 1 if self.chunk is None or phase is not Phase.PREFILL else ceil_div(batch * self.first, self.chunk)

    @property
    def first(self) -> int:
        """The tokens that prefill reads: the prompt, or what the decoder behind an encoder begins with."""
        return self.prompt if self.decoder_start is None else self.decoder_start

    @property
    def text(self) -> int:
        """The tokens of the prompt that are no images' and no sound's."""
        return self.prompt - self.shown.tokens

    def read(self, phases: Collection[Phase]) -> int:
        """The tokens of a request that ``phases`` read, all but those that it generates.

        >>> from roofline.program.traffic.lengths import Pictures
        >>> Workload(1, 700, 1, shown=Shown(Pictures(1, 1024, 256, 64))).read((Phase.ENCODE,))
        256
        """
        if not any(phase.encodes for phase in phases):
            return self.first
        if not self.shown.phases or Phase.PREFILL in phases:
            return self.prompt
        return self.shown.only(phases).tokens

    @property
    def longest(self) -> int:
        """The most tokens that are ever attended to: the last generated one is not fed back."""
        return self.first + self.generate - 1 if self.context is None else self.context

    @property
    def held(self) -> int:
        """Tokens that the cache of a sequence has room for at its longest: whole blocks of ``kv_block``.

        >>> Workload(1, 100, 1, kv_block=16).held
        112
        """
        return -(-self.longest // self.kv_block) * self.kv_block

    def check_positions(self, phase: Phase, lengths: Lengths) -> None:
        """Raises WorkloadError if this phase needs more positions than the model has."""
        if phase in self.shown.phases:
            return  # images are resized, and a sound's length is known to be read
        needed, limit = (self.prompt, lengths.positions) if phase.encodes else (self.longest, lengths.output)
        if needed <= limit:
            self._check_asked(lengths, self.longest if phase.one_token else self.prompt)
            return
        what = f"context {needed}" if self.context is not None and not phase.encodes else f"prompt {self.prompt}"
        if not phase.encodes and self.context is None:
            start = f"decoder start {self.decoder_start}" if self.decoder_start is not None else what
            what = f"{start} + generate {self.generate}"
        field = lengths.field if phase.encodes else lengths.decoder_field
        msg = f"{what} exceeds the model's {field} {limit}; shorten it"
        raise WorkloadError(msg)

    def _check_asked(self, lengths: Lengths, length: int) -> None:
        """Raises WorkloadError for sizes with which traced code may do something else."""
        for each in lengths.asks:
            if not each.holds({"B": self.batch, "S": length}):
                given = f"batch {self.batch}, {'prompt' if self.context is None else 'context'} {length}"
                msg = f"{given}: its code was traced where {each}; trace it at these sizes"
                raise WorkloadError(msg)

    def sizes(self, phase: Phase) -> Sizes:
        """B, T and S of one step of ``phase``; S is an array over the decode steps when there are several.

        >>> {k: str(v) for k, v in Workload(2, 8, 4).sizes(Phase.PREFILL).items()}
        {'B': '2', 'T': '8', 'S': '8'}
        >>> Workload(2, 8, 4).sizes(Phase.DECODE)["S"]
        array([ 9., 10., 11.])
        """
        if phase is Phase.PREFILL and self.chunk is not None:
            return self.forward_pass(self.batch)
        if not phase.one_token:
            return self.step(phase, self.batch, self.prompt)
        if self.context is not None:
            return self.step(phase, self.batch, self.context)
        return self.step(phase, self.batch, self.first + counting(self.decode_steps))

    def forward_pass(self, batch: Number) -> Sizes:
        """B, T and S of one forward pass of chunked prefill, of equal pieces; S is an array over those of a prompt.

        Of a prompt that remembers it is that of the last piece.

        >>> Workload(1, 10_000, 2, chunk=4096).forward_pass(2)["S"].round()
        array([ 3333.,  6667., 10000.])
        """
        pieces = self.pieces
        new = exact(self.first) / pieces
        sequences = exact(batch) * pieces / self.passes(Phase.PREFILL, batch)
        if pieces == 1 or is_remembering(new):
            return {"B": sequences, "T": new, "S": new * pieces}
        return {"B": sequences, "T": float(new), "S": float(new) * counting(pieces)}

    def largest_pass(self, phase: Phase, batch: Number, length: Number) -> Sizes:
        """B, T and S of the forward pass that holds most: all of a step, or a whole chunk of its last tokens.

        >>> {k: str(v) for k, v in Workload(1, 3000, 2, chunk=8192).largest_pass(Phase.PREFILL, 8, 3000).items()}
        {'B': '1024/375', 'T': '3000', 'S': '3000'}
        """
        sizes = self.step(phase, batch, length)
        if self.chunk is None or phase is not Phase.PREFILL:
            return sizes
        new = minimum(sizes["T"], exact(self.chunk))
        return {**sizes, "T": new, "B": minimum(sizes["B"], exact(self.chunk) / new)}

    def step(self, phase: Phase, batch: Number, length: Number) -> Sizes:
        """B, T and S of one step, and M behind an encoder: ``length`` is attended to in decode, else it is the prompt.

        >>> {k: str(v) for k, v in Workload(2, 8, 4, decoder_start=1).step(Phase.DECODE, 2, 3).items()}
        {'B': '2', 'T': '1', 'S': '3', 'M': '8'}
        """
        if (shown := self.shown.sizes(phase)) is not None:
            return _exact({**shown, "B": batch * shown["B"]})
        behind = self.decoder_start is not None
        new, attended, encoded = length, length, length
        if phase.one_token:
            new, encoded = 1, self.prompt
        elif phase is Phase.PREFILL and self.decoder_start is not None:
            new = attended = self.decoder_start
        sizes = {"B": batch, "T": new, "S": attended} | ({"M": encoded} if behind else {})
        return _exact(sizes)

    def words(self, phases: Collection[Phase], form: str = "") -> str:
        """The lengths that these phases depend on, in words; ``form`` is how numbers are written.

        >>> Workload(2, 8, 4, decoder_start=1).words(tuple(Phase))
        'prompt 8, decoder start 1, generate 4'
        """
        told = [("prompt", self.prompt)]
        told += [(f"{name} tokens", one.tokens) for name, one in self.shown.each]
        if self.context is not None:
            told = [*(told if self.decoder_start is not None else []), ("context", self.context)]
        elif not all(phase.encodes for phase in phases):
            told += [] if self.decoder_start is None else [("decoder start", self.decoder_start)]
            told.append(("generate", self.generate))
        return ", ".join(f"{name} {number:{form}}" for name, number in told)


def _exact(sizes: Sizes) -> Sizes:
    return {letter: exact(size) if isinstance(size, int) else size for letter, size in sizes.items()}


class Described(Protocol):
    """What is known of a model before anything is asked of it: its phases, and how long its sequences may be."""

    @property
    def name(self) -> str: ...

    @property
    def phases(self) -> tuple[Phase, ...]: ...

    @property
    def lengths(self) -> Lengths: ...

    @property
    def generates(self) -> bool: ...


def read_workload(
    asked: RequestOptions,
    model: Described,
    phases: tuple[Phase, ...],
    kv_block: int = 1,
    chunk: int | None = None,
    shown: Shown = NOTHING,
) -> Workload:
    """The workload that options ask ``phases`` of ``model`` for. An encoder-decoder's prompt is what its encoder reads.

    ``kv_block`` and ``chunk`` are its engine's; a few tokens that a decoder starts from are no prompt to be cut. What
    is asked as the prompt is text, to which the tokens of what is ``shown`` come.
    Raises UsageError for flags that do not go together, WorkloadError for what the network refuses.
    """
    lengths, prompt, generate, context = model.lengths, asked["prompt"], asked["generate"], asked["context"]
    _check_lengths(asked, model)
    default_generate = min(DEFAULT_GENERATE, max(1, lengths.output // 2)) if Phase.DECODE in phases else 1
    generated = default_generate if generate is None else generate
    given = default_prompt(lengths, phases, generated) if prompt is None else prompt
    given += shown.tokens
    start = lengths.decoder_start
    cut = chunk if start is None else None
    workload = Workload(asked["batch"], given, generated, context, kv_block, start, cut, shown)
    if all(each.one_token for each in phases) and context is None and generated == 1:
        msg = "generate 1 has no decode step: the first token comes from prefill; generate 2 or more, or give a context"
        raise UsageError(msg)
    for phase in phases:
        workload.check_positions(phase, lengths)
    return workload


def _check_lengths(asked: RequestOptions, model: Described) -> None:
    """Raises UsageError for lengths that do not go together, WorkloadError for those that the network refuses."""
    lengths, prompt, generate = model.lengths, asked["prompt"], asked["generate"]
    behind_encoder = lengths.decoder_start is not None
    if asked["context"] is not None and (generate is not None or (prompt is not None and not behind_encoder)):
        others = "not with generate" if behind_encoder else "with neither prompt nor generate"
        msg = f"context is the attended length of one decode step; it goes {others}"
        raise UsageError(msg)
    if lengths.whole and prompt not in (None, lengths.positions):
        raise WorkloadError(not_whole(prompt, lengths, model.name))
    if generate is not None and generate > 1 and not model.generates:
        msg = f"generate {generate}: {model.name} generates nothing; leave it out"
        raise UsageError(msg)


def not_whole(prompt: object, lengths: Lengths, name: str) -> str:
    """What to say of a length that is asked of a network which reads whole images."""
    each = f", {lengths.positions} tokens each" if lengths.positions > 1 else ""
    return f"prompt {prompt}: {name} reads whole {lengths.unit}{each}; leave prompt out"


def default_prompt(lengths: Lengths, phases: tuple[Phase, ...], generated: int) -> int:
    """The tokens in where none are asked for, before so many are generated."""
    if lengths.whole:
        return lengths.positions
    if lengths.usual is not None:
        return lengths.usual
    if all(phase.encodes for phase in phases) or lengths.decoder_start is not None:
        return min(DEFAULT_ENCODER_PROMPT, lengths.positions)
    return min(DEFAULT_PROMPT, max(1, lengths.positions - generated))
