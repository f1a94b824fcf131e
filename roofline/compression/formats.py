"""Formats: in which dtype elements are stored, and which scales and zero points turn them into numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from roofline.classes import frozen
from roofline.program.workload import BLOCKS, DTYPE_BYTES, SCALE_BYTES


@frozen
class Format:
    """How elements are stored: their dtype, and the scales and zero points that turn them into numbers.

    ``depth`` contracted elements of ``breadth`` outputs share a scale; 0 stands for all of them. ``outer`` is the dtype
    of one more scale for the whole matrix. ``native``: the matrix unit applies the scales itself.
    ``block``: elements that lie in one block with their scales, whose bytes the dtype counts; 0 for none.
    """

    name: str
    dtype: str
    scale: str = ""
    depth: int = 0
    breadth: int = 1
    zero: str = ""
    outer: str = ""
    native: bool = False
    block: int = 0

    @property
    def is_narrow(self) -> bool:
        """Whether scales turn what is stored into numbers."""
        return bool(self.scale or self.block)

    @property
    def bits(self) -> Fraction:
        """Bits of an element, and its part of the scale and zero point of its group where groups have a fixed size.

        >>> FORMATS["int4"].bits, FORMATS["int4-zp"].bits, FORMATS["nvfp4"].bits
        (Fraction(33, 8), Fraction(133, 32), Fraction(9, 2))
        """
        own = 8 * DTYPE_BYTES[self.dtype]
        if not (self.scale and self.depth and self.breadth):
            return own
        group = _bytes(self.scale) + (_bytes(self.zero) if self.zero else 0)
        return own + 8 * group / (self.depth * self.breadth)

    def but(self, word: str) -> Format:
        """The same with groups of another size (``g64``), a scale for each output (``channel``), zero points.

        >>> FORMATS["int8"].but("g128").bits, FORMATS["int4"].but("zp16").bits
        (Fraction(65, 8), Fraction(17, 4))
        """
        name = f"{self.name}-{word}"
        if word == "zp":
            return replace(self, name=name, zero=self.dtype)
        if word == "zp16":
            return replace(self, name=name, zero="fp16")
        if word == "channel":
            return replace(self, name=name, depth=0)
        grouped = "fp16" if self.dtype.startswith("int") and not self.depth else self.scale
        return replace(self, name=name, depth=int(word[1:]), scale=grouped)

    @property
    def words(self) -> str:
        """The format as people say it.

        >>> FORMATS["int4-zp"].words
        'int4, an fp16 scale and an int4 zero point for 128: 4 + (16 + 4)/128 = 4.15625 bits'
        """
        if self.block:
            return f"{self.dtype}, blocks of {self.block} with their scales: {float(self.bits):.7g} bits"
        if not self.scale:
            return self.dtype
        parts = [_a(f"{self.scale} scale"), *([_a(f"{self.zero} zero point")] if self.zero else [])]
        text = f"{self.dtype}, {' and '.join(parts)} for {_sharers(self.depth, self.breadth)}"
        if self.depth and self.breadth:
            stored = [f"{float(8 * _bytes(dtype)):g}" for dtype in (self.scale, self.zero) if dtype]
            inner = f"({' + '.join(stored)})" if len(stored) > 1 else stored[0]
            group = f"{self.depth}" if self.breadth == 1 else f"({self.depth} x {self.breadth})"
            text += f": {float(8 * DTYPE_BYTES[self.dtype]):g} + {inner}/{group} = {float(self.bits):.7g} bits"
        return text + (f", and {_a(self.outer)} for the matrix" if self.outer else "")


def _bytes(dtype: str) -> Fraction:
    return (DTYPE_BYTES | SCALE_BYTES)[dtype]


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiof' else 'a'} {words}"


def _sharers(depth: int, breadth: int) -> str:
    if depth and breadth:
        return f"{depth}" if breadth == 1 else f"{depth} x {breadth}"
    return "each row" if breadth else "all"


FORMATS: dict[str, Format] = {
    **{dtype: Format(dtype, dtype) for dtype in ("fp32", "tf32", "bf16", "fp16")},
    "int8": Format("int8", "int8", "fp32"),
    "fp8": Format("fp8", "fp8", "fp32"),
    "fp8-tensor": Format("fp8-tensor", "fp8", "fp32", breadth=0),
    "fp8-block": Format("fp8-block", "fp8", "fp32", depth=128, breadth=128),
    "fp8-group": Format("fp8-group", "fp8", "fp32", depth=128),
    "int4": Format("int4", "int4", "fp16", depth=128),
    "int4-zp": Format("int4-zp", "int4", "fp16", depth=128, zero="int4"),
    "int4-row": Format("int4-row", "int4", "fp32"),
    "int3": Format("int3", "int3", "fp16", depth=128),
    "int2": Format("int2", "int2", "fp16", depth=128),
    "int2-tensor": Format("int2-tensor", "int2", "fp16", breadth=0),
    "mxfp8": Format("mxfp8", "fp8", "e8m0", depth=32, native=True),
    "mxfp4": Format("mxfp4", "fp4", "e8m0", depth=32, native=True),
    "nvfp4": Format("nvfp4", "fp4", "fp8", depth=16, outer="fp32", native=True),
    "nf4": Format("nf4", "nf4", "fp32", depth=64),
    "nf4-dq": Format("nf4-dq", "nf4", "fp8+fp32/256", depth=64),
    "fp4-64": Format("fp4-64", "fp4", "fp32", depth=64),
    "fp4-64-dq": Format("fp4-64-dq", "fp4", "fp8+fp32/256", depth=64),
    **{name: Format(name, name, block=elements) for name, (elements, _) in BLOCKS.items()},
}
"""Every format. Sources, in order: dtypes; SmoothQuant (arXiv 2211.10438), a scale per row of weights and activations;
FP8 formats (2209.05433); DeepSeek-V3 (2412.19437, section 3.3: blocks of 128 x 128, activations in groups of 128);
GPTQ (2210.17323) and AWQ (2306.00978), groups of 128, with zero
points or, as Marlin's kernels (2408.11743) read them, without; BitNet (2402.17764), ternary weights, four to a byte;
OCP Microscaling (2310.10537); NVFP4 (2509.25149); NF4
and double quantisation (QLoRA, 2305.14314), and bitsandbytes' 4-bit floats, stored alike; the block types of GGUF."""

PLAIN = ("fp32", "tf32", "bf16", "fp16")
"""Formats without scales."""

KV_FORMATS: dict[str, Format] = {
    **{dtype: FORMATS[dtype] for dtype in PLAIN},
    "fp8": Format("fp8", "fp8", "fp32", breadth=0),
    "int8": Format("int8", "int8", "fp16", zero="fp16"),
    "int4": Format("int4", "int4", "fp16", zero="fp16"),
}
"""Formats of a KV cache: one scale for the keys and one for the values of a layer (vLLM's fp8), or a scale and a zero
point for each token and head (LMDeploy's int8 and int4)."""
