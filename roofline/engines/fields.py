"""The parts of an engine's file: what it folds, kernel libraries by device, batches captured in graphs, sources."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal, TypeAlias

from roofline.errors import UnitError, shown
from roofline.files.door import Door
from roofline.files.fields import BeforeValidator, Field
from roofline.schema import Says
from roofline.units import Dimension, parse_quantity

Text = Annotated[str, Field(min_length=1, max_length=300)]

Fold: TypeAlias = Literal["norm_quantize", "activation_quantize", "matmul_activation"]
"""Neighbours that are one kernel: what quantises an activation in the norm, or the activation function, that wrote it;
the activation function in the epilogue of its matmul."""

AttentionLibrary: TypeAlias = Literal[
    "fa1",
    "fa1-triton",
    "flash-attn-triton",
    "fa2",
    "fa3",
    "fa4",
    "flashinfer",
    "trtllm",
    "cudnn",
    "triton",
    "sdpa",
    "aiter",
    "llama-cpp",
    "llama-cpp-b6000",
    "fused",
    "materialised",
]
"""Whose kernels attend: FlashAttention 1, its copies in Triton (Triton's own, and flash-attention's), FlashAttention 2
to 4, FlashInfer, TensorRT-LLM, cuDNN, Triton, torch's scaled dot product, AMD's AITER, llama.cpp's; ``fused`` is one
kernel of no library in particular, ``materialised`` stores the scores."""

MatmulLibrary: TypeAlias = Literal["vendor", "trtllm", "vllm", "llama-cpp", "llama-cpp-b6000"]
"""Whose kernels multiply: the vendor's (cuBLAS and its like), TensorRT-LLM's, which quantise activations too, or
llama.cpp's, which unpack blocks; ``llama-cpp-b6000`` as it was on AMD before December 2025, without kernels of its own
for matrix units."""

ExpertLibrary: TypeAlias = Literal[
    "vendor", "triton", "trtllm", "trtllm-gen", "flashinfer-cutlass", "deepgemm", "llama-cpp", "llama-cpp-b6000"
]
"""Whose grouped matmuls run experts: ``trtllm`` is TensorRT-LLM's of CUTLASS, ``trtllm-gen`` those that it and
FlashInfer have compiled for Blackwell; ``vendor`` of no library in particular."""

ScanLibrary: TypeAlias = Literal["vendor", "vllm", "sglang", "trtllm"]
"""Whose kernels run scans (gated delta rules, Mamba-2) and the short convolutions before them; ``vendor`` of no library
in particular."""

CollectiveLibrary: TypeAlias = Literal["nccl", "vllm", "vllm-eager", "trtllm"]
"""Whose kernels reduce: NCCL's (on other vendors its like), or an engine's own, which read their peers' memory; vLLM's
from a graph, or launched by the host."""

Graph: TypeAlias = Literal["whole", "piecewise"]
"""How a step is replayed from a graph: whole, or in the pieces between its attention kernels."""

File: TypeAlias = Literal["safetensors", "gguf"]
"""Files that hold quantised weights: with their scales beside them, or in the blocks of llama.cpp."""

ANY = "default"
"""The entry of a table that serves every device that no other entry names."""

_RANGE = re.compile(r"([0-9]{1,5})\.\.([0-9]{1,5})/([0-9]{1,5})")


class Record(Door):
    """A block of an engine's file."""


def _quantity(dimension: Dimension) -> BeforeValidator:
    def parse(text: object) -> float:
        try:
            return parse_quantity(text, dimension)
        except UnitError as failure:
            raise ValueError(str(failure)) from None

    return BeforeValidator(parse)


Seconds = Annotated[float, _quantity("time_s")]
Bytes = Annotated[float, _quantity("bytes")]


def _for_all(given: Any) -> Any:
    """A word alone is the entry of every device."""
    return {ANY: given} if isinstance(given, str) else given


AttentionLibraries = Annotated[dict[Text, AttentionLibrary], BeforeValidator(_for_all)]
MatmulLibraries = Annotated[dict[Text, MatmulLibrary], BeforeValidator(_for_all)]
ScanLibraries = Annotated[dict[Text, ScanLibrary], BeforeValidator(_for_all)]
CollectiveLibraries = Annotated[dict[Text, CollectiveLibrary], BeforeValidator(_for_all)]


def _for_all_dtypes(given: Any) -> Any:
    """As ``_for_all``; a word of a device is that of every dtype."""
    found = _for_all(given)
    return {device: _for_all(each) for device, each in found.items()} if isinstance(found, dict) else found


def _below(given: Any) -> Any:
    """Tokens by device with sizes of memory checked; a number alone is that of every device."""
    for key in given if isinstance(given, dict) else ():
        if str(key)[:1].isdigit():
            _quantity_of(str(key))
    if given is not None and not isinstance(given, (int, dict)):
        msg = f"given {shown(given)}, expected whole tokens such as 8192, or {{device or memory: tokens}}"
        raise ValueError(msg)
    return {ANY: given} if isinstance(given, int) else given


def _quantity_of(text: str) -> float:
    try:
        return parse_quantity(text, "bytes")
    except UnitError as failure:
        raise ValueError(str(failure)) from None


TokensByDevice = Annotated[dict[Text, Annotated[int, Field(ge=0)]], BeforeValidator(_below)]
"""Tokens by words of devices, and by memory for devices that have less, ``70 GiB``."""


def tokens_on(given: dict[str, int], device: Collection[str], memory_bytes: float | None) -> int | None:
    """The tokens of the first entry that a device fits: it is known by that word, or has less memory.

    >>> table = {"sm_80": 2048, "70 GiB": 2048, "default": 8192}
    >>> [tokens_on(table, words, 80e9) for words in ({"sm_80"}, {"sm_90"})], tokens_on(table, set(), 48e9)
    ([2048, 8192], 2048)
    """
    fits = (
        tokens
        for word, tokens in given.items()
        if word in device or (word[0].isdigit() and memory_bytes is not None and memory_bytes < _quantity_of(word))
    )
    return next(fits, given.get(ANY))


class MemoryRule(Record):
    """What an engine leaves of the memory for activations and graphs, where a rule of its own says how much."""

    fixed: Annotated[Bytes, Says("whatever it runs")] = 0.0
    token: Annotated[Bytes, Says("for each token of a pass over prompts")] = 0.0
    tokens: Annotated[int, Field(ge=0), Says("of which so many count at least")] = 0
    graph: Annotated[Bytes, Says("for each sequence of the largest graph")] = 0.0
    graphs: Annotated[TokensByDevice, Says("the largest graph, by device")] = {}
    least: Annotated[Bytes, Says("no less than this on devices of more memory than ``above``")] = 0.0
    above: Annotated[Bytes, Says("memory from which ``least`` counts")] = 0.0

    def share(self, device: Collection[str], memory_bytes: float, tokens: int) -> float:
        """The share that is left for weights and cache on a device with such a memory [B], for passes of ``tokens``.

        >>> rule = MemoryRule(fixed="512 MiB", token="1.5 MiB", least="10 GiB", above="60 GiB")
        >>> rule.share(set(), 80 * 2**30, 8192), rule.share(set(), 80 * 2**30, 512)
        (0.844, 0.875)
        """
        largest = tokens_on(self.graphs, device, memory_bytes) or 0
        kept = self.fixed + max(tokens, self.tokens) * self.token + largest * self.graph
        kept = max(kept, self.least) if memory_bytes > self.above else kept
        return max(0.001, round((memory_bytes - kept) / memory_bytes, 3))


ExpertLibraries = Annotated[dict[Text, dict[Text, ExpertLibrary]], BeforeValidator(_for_all_dtypes)]
"""By device, then by dtype of the constants (``roofline.timing.machine.dtype_of``)."""


def _sizes(given: Any) -> Any:
    """Batches with ranges written out: ``8..32/8`` is 8, 16, 24, 32."""
    if not isinstance(given, list):
        return given
    found: list[Any] = []
    for each in given:
        span = _RANGE.fullmatch(each) if isinstance(each, str) else None
        if span is None:
            found.append(each)
            continue
        first, last, step = map(int, span.groups())
        if not step or last < first:
            msg = f'"{each}": expected FIRST..LAST/STEP such as 8..256/8'
            raise ValueError(msg)
        found += range(first, last + 1, step)
    return found


Batches = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_sizes)]


class Source(Record):
    """Where facts were read: a file of a named version, a page of its documentation."""

    title: Annotated[Text, Says("file, page or release")]
    ref: Annotated[Text, Says("where it is")]


Sources = Annotated[dict[Text, Text], BeforeValidator(_for_all)]
"""The key of the source of all fields, or keys by field."""


def wrong_source(source: dict[str, str], sources: dict[str, Source], fields: Collection[str]) -> str:
    """What is wrong with where ``fields`` were read; empty where nothing is."""
    for field, key in source.items():
        if field != ANY and field not in fields:
            return f"source.{field}: no such field"
        if key not in sources:
            return f"source.{field}: {key} is not among sources, which are {', '.join(sources)}"
    return "" if ANY in source else f"source: expected an entry {ANY} for the fields that name none"


def entry(table: dict[str, Any], device: Collection[str]) -> Any:
    """What a table says of a device that is known by words such as nvidia, hopper, sm_90: the first entry that names
    one of them, else that of ``default``, else None.

    >>> entry({"hopper": "fa3", "default": "fa2"}, {"nvidia", "hopper"}), entry({"hopper": "fa3"}, {"ampere"})
    ('fa3', None)
    """
    return next((value for word, value in table.items() if word in device), table.get(ANY))
