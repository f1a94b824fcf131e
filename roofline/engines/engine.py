"""What an engine states: :class:`Engine`, which ``library.py`` reads from one YAML file.

A plain record of facts. Software applies its merges to programs by name (``program/merging.py``), timing its launches.
What a file leaves out, an engine does not do, or leaves to the runtime: no merges, no graphs, any batch as it comes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np

from roofline.engines.fields import (
    ANY,
    AttentionLibraries,
    AttentionLibrary,
    Batches,
    Bytes,
    CollectiveLibraries,
    CollectiveLibrary,
    ExpertLibraries,
    ExpertLibrary,
    File,
    Fold,
    Graph,
    MatmulLibraries,
    MatmulLibrary,
    MemoryRule,
    Record,
    ScanLibraries,
    ScanLibrary,
    Seconds,
    Source,
    Sources,
    Text,
    TokensByDevice,
    entry,
    tokens_on,
    wrong_source,
)
from roofline.errors import UsageError, near_matches, shown
from roofline.files.fields import Field, model_validator
from roofline.kept import padded
from roofline.number import Number, Truth, exact, is_symbolic, where
from roofline.schema import Says

A_NAME = "lower-case letters, digits and hyphens such as tensorrt-llm"

Served = Literal["decoders", "encoders", "training"]

_CHUNK = 2048
"""Tokens of a mixed step where an engine states none."""


_LIBRARIES = {"attention": AttentionLibrary, "matmul": MatmulLibrary, "experts": ExpertLibrary, "scan": ScanLibrary}
"""Fields that say whose kernels run, and the libraries that each takes."""


def fields_of(library: str) -> tuple[str, ...]:
    """The fields of an engine that a library has kernels for, none for one that is not known.

    >>> fields_of("fa3"), fields_of("deepgemm"), fields_of("fa9")
    (('attention',), ('experts',), ())
    """
    return tuple(field for field, kind in _LIBRARIES.items() if library in get_args(kind))


class Engine(Record):
    """One engine at one version."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60, description=A_NAME)]
    title: Annotated[Text, Says("for people")]
    aliases: Annotated[list[Text], Says("other names that it is found by")] = []
    version: Annotated[Text, Field(description='the version whose sources were read, in quotes: "0.18.0"')]
    date: Annotated[str, Field(pattern=r"^20[0-9]{2}-[01][0-9](-[0-3][0-9])?$", description="its date: 2026-03-20")]
    serves: Annotated[list[Served], Field(description="decoders, encoders, and training where it runs steps of it")]
    devices: Annotated[list[Text], Says("words of the devices that it runs on: nvidia, or amd gpu; none: any")] = []
    loads: Annotated[
        list[File],
        Says("files whose quantised weights it computes with as they lie there; what is not quantised goes with any"),
    ] = ["safetensors"]
    note: Annotated[Text | None, Says("what a reader would get wrong otherwise")] = None
    kernels: Annotated[
        Literal["fused", "single"],
        Says("operators run as they are stated, or as the single kernels of eager torch"),
    ] = "fused"
    merges: Annotated[
        dict[Text, list[Text]],
        Says("matmuls of one input that are one: the name of the whole and its parts, by operator"),
    ] = {}
    folds: Annotated[list[Fold], Says("neighbours that are one kernel")] = []
    attention: Annotated[AttentionLibraries, Says("whose kernels attend, by device; the first entry that fits")] = {
        "default": "fused"
    }
    matmul: Annotated[MatmulLibraries, Says("whose kernels multiply, by device")] = {"default": "vendor"}
    experts: Annotated[ExpertLibraries, Says("whose kernels run experts, by device, and by dtype where that tells")] = {
        ANY: {ANY: "vendor"}
    }
    scan: Annotated[
        ScanLibraries, Says("whose kernels run scans and the convolutions before them, by device; none: as matmuls")
    ] = {}
    all_reduce: Annotated[CollectiveLibraries, Says("whose kernels reduce over devices, by device")] = {
        "default": "nccl"
    }
    reduce_norm: Annotated[
        list[Text],
        Says("devices on which the kernel of an all-reduce adds the residual, norms and quantises what it wrote too"),
    ] = []
    reduce_norm_of: Annotated[
        Literal["all", "mixtures"], Says("models for which it does so: all, or mixtures of experts alone")
    ] = "all"
    beside: Annotated[
        list[Text],
        Says(
            "operators that a decode step replayed from a graph runs beside others, on a second stream or in the "
            "kernel of one: their FLOPs and bytes count, their latency is hidden"
        ),
    ] = []
    beside_on: Annotated[list[Text], Says("devices on which it does so")] = []
    recompute_stops: Annotated[
        bool, Says("what it makes again of a layer in training stops as soon as all that is needed is there")
    ] = False
    overlap: Annotated[
        float, Field(ge=0, le=1, strict=False), Says("part of each collective's time that other work hides")
    ] = 0.0
    two_batches: Annotated[
        bool, Says("two-batch overlap: steps in two halves, one of which computes while tokens of the other are sent")
    ] = False
    dispatches: Annotated[
        list[Text],
        Says("dtypes of values and of scales by group, fp8:fp32, that are sent to experts as they are; others wide"),
    ] = []
    two_batch_tokens: Annotated[
        dict[Literal["prefill", "decode"], Annotated[int, Field(ge=2)]],
        Says("tokens of a step on a rank from which it is cut so: of one that reads prompts, of one that only decodes"),
    ] = {"prefill": 2, "decode": 2}
    graphs: Annotated[
        dict[Literal["encode", "prefill", "decode"], Graph], Says("which steps are replayed from graphs, and how")
    ] = {}
    captured: Annotated[
        Batches, Says("tokens of a step that graphs are captured for, to which smaller ones are padded; none: any")
    ] = []
    captured_most: Annotated[
        TokensByDevice, Says("the most tokens of a step that a graph is captured for, by device; none: all of captured")
    ] = {}
    kv_block: Annotated[int, Field(ge=1), Says("tokens in a block of the KV cache")] = 1
    state_dtype: Annotated[
        Text | None, Says("dtype of recurrent states where none is asked for; none: the model's")
    ] = None
    conv_state_dtype: Annotated[Text | None, Says("dtype of what convolutions keep; none: that of activations")] = None
    kv_dtype: Annotated[Text | None, Says("format of the KV cache where none is asked for; none: the model's")] = None
    memory_share: Annotated[
        float | None, Field(gt=0, le=1, strict=False), Says("share of the memory that it takes; none: as asked")
    ] = None
    memory_rule: Annotated[
        MemoryRule | None, Says("what it leaves of the memory for all else, where no share is stated")
    ] = None
    graph_memory: Annotated[Bytes, Says("memory of graphs beside that share")] = 0.0
    workspace: Annotated[Bytes, Says("memory of its libraries beside that share")] = 0.0
    chunk: Annotated[
        TokensByDevice | None,
        Says(
            "chunked prefill: tokens of a forward pass, by device; 0: prompts whole, by themselves; none: no scheduler"
        ),
    ] = None
    mixed: Annotated[bool, Says("whether a forward pass that reads prompts decodes too")] = True
    max_sequences: Annotated[
        TokensByDevice | None, Says("sequences in flight at most, by device; none: as many as the cache holds")
    ] = None
    reserves: Annotated[
        bool, Says("whether a request waits until the cache of its whole length is free, so that none is preempted")
    ] = False
    sampling_copies: Annotated[
        int | None,
        Field(
            ge=0,
            description="32-bit copies of the logits of its most sequences, in a run at start that tells what is left "
            "for the cache; none: no such run",
        ),
    ] = None
    eager_held: Annotated[
        int, Field(ge=0), Says("activations of the hidden size that modules hold in that run, where they are eager")
    ] = 0
    front_end: Annotated[
        Seconds,
        Says("time of a request through the server's front end and of its first token back, beside those of others"),
    ] = 0.0
    poll_steps: Annotated[
        int, Field(ge=1), Says("decode steps between two looks at what has arrived; after prompts it looks at once")
    ] = 1
    wait_steps: Annotated[
        int, Field(ge=0), Says("steps that prompts wait beside decoding to be read together; 0: none")
    ] = 0
    wait_share: Annotated[
        float, Field(ge=0, le=1, strict=False), Says("share of chunk which, once filled, prompts wait no longer")
    ] = 1.0
    host_step: Annotated[Seconds, Says("host time of a step")] = 0.0
    host_request: Annotated[Seconds, Says("host time of a step for each of its requests")] = 0.0
    host_ahead: Annotated[
        bool, Says("whether it schedules the next step while the device runs this one, which hides the host's time")
    ] = False
    host_launch: Annotated[Seconds, Says("host time of each operator of a training pass, which takes no less")] = 0.0
    host_launch_low: Annotated[
        float,
        Field(gt=0, le=1, strict=False),
        Says("90 % of those timed take no less than this part, assumed: 0.5"),
    ] = 0.5
    host_launch_high: Annotated[
        float, Field(ge=1, strict=False), Says("and no more than so many times it, assumed: 1.5")
    ] = 1.5
    mature: Annotated[
        dict[Text, Text], Says("devices whose kernels were timed under it, and on what; others have a wider band")
    ] = {}

    source: Annotated[Sources, Field(description="a key of sources, or field: key")]
    sources: Annotated[dict[Text, Source], Field(min_length=1, description="a mapping of key: {title, ref}")]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if wrong := wrong_source(self.source, self.sources, self.stated):
            raise ValueError(wrong)
        if not self.serves:
            msg = "serves: expected decoders, encoders or both, and training where it runs steps of it"
            raise ValueError(msg)
        for whole, parts in self.merges.items():
            if len(parts) < 2:
                msg = f"merges.{whole}: expected two operators at least"
                raise ValueError(msg)
            if len(set(parts)) < len(parts):
                msg = f"merges.{whole}: an operator stands twice among {', '.join(parts)}"
                raise ValueError(msg)
        if self.captured != sorted(set(self.captured)):
            msg = "captured: expected each batch once, in ascending order"
            raise ValueError(msg)
        if self.wait_steps and not self.chunk:
            msg = "wait_steps: prompts wait for a chunk to fill, and there is none; expected chunk, such as 8192"
            raise ValueError(msg)
        if self.captured and not self.graphs:
            msg = "captured: without graphs nothing is captured; expected graphs, such as {decode: whole}"
            raise ValueError(msg)
        return self

    def source_of(self, field: str) -> Source:
        """Where ``field`` was read."""
        return self.sources[self.source.get(field, self.source[ANY])]

    @property
    def words(self) -> str:
        """Title, version and month: ``vLLM 0.18.0 (2026-03)``."""
        return f"{self.title} {self.version} ({self.date[:7]})"

    def on(self, device: Collection[str], memory_bytes: float | None) -> Engine:
        """The same with what it takes by itself on a device that is known by these words and has such a memory. [B]

        The chunk, the sequences, the graphs, and the share of the memory where a rule says it.

        >>> from roofline.engines.library import load_engine
        >>> [load_engine("vllm").on({"sm_89"}, memory).pass_tokens for memory in (48e9, 96e9)]
        [2048, 8192]
        """
        tables = {"chunk": self.chunk, "max_sequences": self.max_sequences}
        found = {name: tokens_on(table, device, memory_bytes) for name, table in tables.items() if table}
        update: dict[str, Any] = {name: {ANY: number} for name, number in found.items() if number is not None}
        if (most := tokens_on(self.captured_most, device, memory_bytes)) is not None:
            update["captured"] = [tokens for tokens in self.captured if tokens <= most]
        if self.memory_rule and self.memory_share is None and memory_bytes:
            update["memory_share"] = self.memory_rule.share(device, memory_bytes, found.get("chunk") or 0)
        return self.model_copy(update=update) if update else self

    def host_s(self, requests: Number) -> Number:
        """What the host does in a step of so many requests, hidden or not. [s]"""
        return self.host_step + self.host_request * requests

    @property
    def pass_tokens(self) -> int | None:
        """Tokens of a forward pass of chunked prefill, None where prompts are read whole."""
        return (self.chunk or {}).get(ANY) or None

    @property
    def most_sequences(self) -> int | None:
        """Sequences in flight at most, None for as many as the cache holds."""
        return (self.max_sequences or {}).get(ANY)

    @property
    def mixed_tokens(self) -> int | None:
        """Tokens of a mixed step of chunked prefill, None where prompts run by themselves."""
        if not self.mixed:
            return None
        return _CHUNK if self.chunk is None else self.pass_tokens

    def attention_on(self, device: Collection[str]) -> AttentionLibrary:
        """Whose kernels attend on a device that is known by these words."""
        found: AttentionLibrary | None = entry(self.attention, device)
        return found or "fused"

    def matmul_on(self, device: Collection[str]) -> MatmulLibrary:
        """Whose kernels multiply on devices that are known by these words."""
        found: MatmulLibrary | None = entry(self.matmul, device)
        return found or "vendor"

    def scan_on(self, device: Collection[str]) -> ScanLibrary | MatmulLibrary:
        """Whose kernels run scans on devices that are known by these words: those of matmuls where none is stated.

        >>> from roofline.engines.library import load_engine
        >>> [load_engine(name).scan_on({"nvidia", "hopper"}) for name in ("sglang", "vllm")]
        ['sglang', 'vllm']
        """
        found: ScanLibrary | None = entry(self.scan, device)
        return found or self.matmul_on(device)

    def experts_on(self, device: Collection[str]) -> dict[str, ExpertLibrary]:
        """Whose kernels run experts on devices that are known by these words, by dtype.

        >>> from roofline.engines.library import load_engine
        >>> load_engine("tensorrt-llm").experts_on({"nvidia", "hopper"})["default"]
        'trtllm'
        """
        found: dict[str, ExpertLibrary] | None = entry(self.experts, device)
        return found or {ANY: "vendor"}

    def all_reduce_on(self, device: Collection[str]) -> CollectiveLibrary:
        """Whose kernels reduce over devices that are known by these words."""
        found: CollectiveLibrary | None = entry(self.all_reduce, device)
        return found or "nccl"

    def with_kernels(self, library: str) -> Engine:
        """The same with the kernels of a library, for all that it has kernels of: attention, matmuls, experts, scans.

        Raises UsageError for a library that is not known.

        >>> from roofline.engines.library import load_engine
        >>> load_engine("vllm").with_kernels("trtllm").matmul_on({"nvidia"})
        'trtllm'
        """
        fields = fields_of(library)
        if not fields:
            known = dict.fromkeys(word for each in _LIBRARIES.values() for word in get_args(each))
            msg = f"kernels {shown(library)}: {near_matches(str(library), known)}"
            raise UsageError(msg)
        given = {field: {ANY: {ANY: library} if field == "experts" else library} for field in fields}
        return self.model_copy(update=given)

    def reduces_norm_on(self, device: Collection[str]) -> bool:
        """Whether the kernel of an all-reduce computes the norm behind it too, on such devices."""
        return not set(self.reduce_norm).isdisjoint(device)

    def runs_beside_on(self, device: Collection[str]) -> bool:
        """Whether operators of ``beside`` run beside others, on such devices."""
        return not set(self.beside_on).isdisjoint(device)

    def is_mature_on(self, device: Collection[str]) -> bool:
        """Whether kernels were timed under it on such devices."""
        return entry(self.mature, device) is not None

    def replays(self, phase: str, tokens: Number) -> Number:
        """1 where a step of ``phase`` with so many tokens is replayed from a graph, 0 where the host launches it."""
        if phase not in self.graphs:
            return 0
        return 1 if not self.captured or is_symbolic(tokens) else _where(tokens <= self.captured[-1])

    def halves(self, phase: str, tokens: Number) -> Number:
        """2 where layers that send tokens to experts run a step of ``phase`` in two halves, 1 where at once.

        ``tokens`` are those of a step on a rank.

        >>> from roofline.engines.library import load_engine
        >>> cut = load_engine("vllm").model_copy(update={"two_batches": True})
        >>> [cut.halves("decode", tokens) for tokens in (31, 32)]
        [1, 2]
        """
        known: dict[str, int] = {str(name): tokens for name, tokens in self.two_batch_tokens.items()}
        least = known.get(phase) if self.two_batches else None
        return 1 if least is None or is_symbolic(tokens) else 1 + _where(tokens >= least)

    def padded(self, phase: str, tokens: Number) -> Number:
        """The tokens that kernels see where a replayed graph holds more than a step has; attention sees the step's.

        >>> from roofline.engines.library import load_engine
        >>> [int(load_engine("vllm").padded("decode", batch)) for batch in (1, 3, 9, 600)]
        [1, 4, 16, 600]
        """
        if phase not in self.graphs or not self.captured or is_symbolic(tokens):
            return tokens
        larger = padded(tokens, tuple(self.captured))
        return larger if larger is tokens or not isinstance(larger, int) else exact(larger)


def _where(found: Truth) -> Number:
    return found * 1.0 if isinstance(found, np.ndarray) else where(found, 1, 0)
