"""Recipes: what weights, activations and KV cache are stored in, and what the matrix unit then runs.

A recipe is one word or several joined by ``+``: a dtype (``bf16``), a named recipe (``fp8``, ``w8a8``, ``w4a16``,
``nvfp4``), and what changes it: ``kv8``, ``kv4``, ``g64`` (weights in groups of 64), ``zp`` (with zero points),
``acc16`` (fp16 accumulators), ``experts`` (experts alone are quantised).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from roofline.errors import UsageError, near_matches, shown
from roofline.options.groups import Dtype, Dtypes
from roofline.options.keywords import given
from roofline.program.workload import DTYPE_BYTES, SCALE_BYTES, Precision


@dataclass(frozen=True, slots=True)
class Format:
    """How elements are stored: their dtype, and the scales and zero points that turn them into numbers.

    ``depth`` contracted elements of ``breadth`` outputs share a scale; 0 stands for all of them. ``outer`` is the dtype
    of one more scale for the whole matrix. ``native``: the matrix unit applies the scales itself.
    """

    name: str
    dtype: str
    scale: str = ""
    depth: int = 0
    breadth: int = 1
    zero: str = ""
    outer: str = ""
    native: bool = False

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

    @property
    def words(self) -> str:
        """The format as people say it.

        >>> FORMATS["int4-zp"].words
        'int4, an fp16 scale and an int4 zero point for 128: 4 + (16 + 4)/128 = 4.15625 bits'
        """
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
    "mxfp8": Format("mxfp8", "fp8", "e8m0", depth=32, native=True),
    "mxfp4": Format("mxfp4", "fp4", "e8m0", depth=32, native=True),
    "nvfp4": Format("nvfp4", "fp4", "fp8", depth=16, outer="fp32", native=True),
    "nf4": Format("nf4", "nf4", "fp32", depth=64),
    "nf4-dq": Format("nf4-dq", "nf4", "fp8+fp32/256", depth=64),
}
"""Every format. Sources, in order: dtypes; SmoothQuant (arXiv 2211.10438), a scale per row of weights and activations;
FP8 formats (2209.05433); DeepSeek-V3 (2412.19437, section 3.3: blocks of 128 x 128, activations in groups of 128);
GPTQ (2210.17323) and AWQ (2306.00978), groups of 128, with zero
points or, as Marlin's kernels (2408.11743) read them, without; OCP Microscaling (2310.10537); NVFP4 (2509.25149); NF4
and double quantisation (QLoRA, 2305.14314)."""

_PLAIN = ("fp32", "tf32", "bf16", "fp16")
_RECIPES: dict[str, tuple[str, str]] = {  # weights, activations; empty: the dtype of everything else
    "fp8": ("fp8", "fp8"),
    "fp8-tensor": ("fp8-tensor", "fp8-tensor"),
    "fp8-block": ("fp8-block", "fp8-group"),
    "int8": ("int8", "int8"),
    "w8a8": ("int8", "int8"),
    "w8a16": ("int8", ""),
    "w4a16": ("int4", ""),
    "awq": ("int4-zp", ""),
    "gptq": ("int4-zp", ""),
    "w4a8": ("int4", "int8"),
    "w4a4": ("int4", "int4-row"),
    "mxfp8": ("mxfp8", "mxfp8"),
    "mxfp4": ("mxfp4", ""),
    "nvfp4": ("nvfp4", "nvfp4"),
    "nf4": ("nf4", ""),
    "nf4-dq": ("nf4-dq", ""),
}
KV_FORMATS: dict[str, Format] = {
    **{dtype: FORMATS[dtype] for dtype in _PLAIN},
    "fp8": Format("fp8", "fp8", "fp32", breadth=0),
    "int8": Format("int8", "int8", "fp16", zero="fp16"),
    "int4": Format("int4", "int4", "fp16", zero="fp16"),
}
"""Formats of a KV cache: one scale for the keys and one for the values of a layer (vLLM's fp8), or a scale and a zero
point for each token and head (LMDeploy's int8 and int4)."""

_KV = {"kv16": "", "kv8": "fp8", "kv4": "int4"}
_SAY = {"int4": "w4a16 (weights alone) or w4a4", "fp4": "mxfp4 or nvfp4"}
_WORDS = [*_PLAIN, *_RECIPES, *_KV, "g64", "zp", "acc16", "experts"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is stored in which format. ``base`` is the dtype of all that a recipe leaves alone.

    ``weights`` and ``activations`` are those of the layers' matmuls; ``accumulator`` is empty for the device's usual.
    """

    base: str
    weights: Format
    activations: Format
    kv_cache: Format
    accumulator: str = ""
    experts_only: bool = False
    name: str = ""

    @property
    def precision(self) -> Precision:
        """The dtypes by role of what is not quantised."""
        weights, activations, cache = (
            self.base if form.scale else form.dtype for form in (self.weights, self.activations, self.kv_cache)
        )
        return Precision(weights, activations, cache)

    @property
    def compute_dtype(self) -> str:
        """What the matrix unit runs in the layers' matmuls: the wider of weights and activations."""
        return max((self.weights.dtype, self.activations.dtype), key=list(DTYPE_BYTES).index)

    @property
    def computed(self) -> tuple[str, ...]:
        """The dtypes that contractions run in: the layers' matmuls, then all others."""
        rest = self.precision
        widest = max((rest.weights, rest.activations, rest.kv_cache), key=list(DTYPE_BYTES).index)
        return tuple(dict.fromkeys((self.compute_dtype, widest)))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that operators run in: the layers' matmuls, then those of all roles."""
        rest = self.precision
        return tuple(dict.fromkeys((self.compute_dtype, rest.weights, rest.activations, rest.kv_cache)))

    @property
    def quantizes(self) -> bool:
        """Whether anything is stored with scales."""
        return any(form.scale for form in (self.weights, self.activations, self.kv_cache))

    @property
    def words(self) -> str:
        """The recipe in a few words.

        >>> read_recipe("w4a16+kv8", default="bf16").words
        'weights int4, activations bf16, KV cache fp8, the rest bf16'
        """
        named = (("weights", self.weights), ("activations", self.activations), ("KV cache", self.kv_cache))
        plain = {form.name for _, form in named} == {self.base}
        scope = "experts' " if self.experts_only else ""
        text = self.base if plain else f"{scope}{', '.join(f'{name} {form.name}' for name, form in named)}"
        text += "" if plain or not self.quantizes else f", the rest {self.base}"
        return text + (f", {self.accumulator} accumulators" if self.accumulator else "")


_FLAGS = {"weights": "weight_dtype", "activations": "activation_dtype", "kv_cache": "kv_dtype"}
"""The option that names the format of each role."""


def recipe_of(asked: Dtype | Dtypes, *, default: str, checkpoint: str = "") -> Recipe:
    """The recipe that options ask for: that of a text, with formats of their own for the roles that name one.

    ``default`` and ``checkpoint`` are as for :func:`read_recipe`, and so is what is raised.

    >>> recipe_of({"dtype": "w4a16", "kv_dtype": "int8"}, default="bf16").words
    'weights int4, activations bf16, KV cache int8, the rest bf16'
    """
    recipe = read_recipe(asked.get("dtype"), default=default, checkpoint=checkpoint)
    named = given(asked)
    overrides: dict[str, Any] = {role: _format(role, named[flag]) for role, flag in _FLAGS.items() if flag in named}
    return _checked(replace(recipe, **overrides))


def read_recipe(text: str | None = None, *, default: str, checkpoint: str = "") -> Recipe:
    """The recipe of ``text``.

    ``default`` is the dtype of the rest; ``checkpoint`` is the recipe that holds where ``text`` names none.
    Raises UsageError, in one line, for an unknown word and for formats that no matrix unit multiplies.

    >>> recipe = read_recipe("w4a16+g64", default="bf16")
    >>> float(recipe.weights.bits), recipe.compute_dtype
    (4.25, 'bf16')
    """
    words = (text or checkpoint or default).split("+")
    if words[0] not in _PLAIN and words[0] not in _RECIPES:
        words = [*(checkpoint or default).split("+"), *words]
    head, *changes = words
    base = head if head in _PLAIN else default
    stored = [FORMATS[name or base] for name in _RECIPES.get(head, ("", ""))]
    recipe = Recipe(base, stored[0], stored[1], FORMATS[base], name="+".join(words))
    for word in changes:
        recipe = _changed(recipe, word)
    return recipe


def _changed(recipe: Recipe, word: str) -> Recipe:
    """The recipe with one word more."""
    weights = recipe.weights
    if word in _KV:
        return replace(recipe, kv_cache=KV_FORMATS[_KV[word] or recipe.base])
    if word in ("acc16", "acc32"):
        return replace(recipe, accumulator=f"fp{word[3:]}")
    if word in ("zp", "experts") or re.fullmatch("g[1-9][0-9]{0,5}", word):
        if not weights.scale or (word != "experts" and (weights.native or weights.breadth != 1)):
            msg = f"dtype: {word} changes how weights are quantised, and {weights.name} has it fixed"
            raise UsageError(msg)
        if word == "experts":
            return replace(recipe, experts_only=True)
        if word == "zp":
            return replace(recipe, weights=replace(weights, name=f"{weights.name}-zp", zero=weights.dtype))
        return replace(recipe, weights=replace(weights, name=f"{weights.name}-{word}", depth=int(word[1:])))
    hint = f"expected {_SAY[word]}" if word in _SAY else near_matches(shown(word), _WORDS)
    msg = f"dtype {shown(word)} is not known; {hint}"
    raise UsageError(msg)


def _format(role: str, name: str) -> Format:
    """The format of that name, as ``role`` has it."""
    known = KV_FORMATS if role == "kv_cache" else FORMATS
    if name not in known:
        hint = "expected mxfp4 or nvfp4" if name == "fp4" and known is FORMATS else near_matches(shown(name), known)
        msg = f"{_FLAGS[role]} {shown(name)} is not known; {hint}"
        raise UsageError(msg)
    return FORMATS["int4-row"] if (role, name) == ("activations", "int4") else known[name]


def _checked(recipe: Recipe) -> Recipe:
    """Raises UsageError where weights and activations do not go together."""
    w, a = recipe.weights.dtype, recipe.activations.dtype
    if recipe.activations.scale and not recipe.weights.scale:
        msg = f"activations in {a} are multiplied by weights as narrow; give weight_dtype {a} too"
        raise UsageError(msg)
    if {w, a} in ({"int8", "fp8"}, {"int4", "fp4"}, {"int8", "fp4"}):
        msg = f"{w} weights and {a} activations: no matrix unit multiplies these; give both in one of them"
        raise UsageError(msg)
    if recipe.activations.scale and list(DTYPE_BYTES).index(a) < list(DTYPE_BYTES).index(w):
        msg = f"activations in {a} are narrower than weights in {w}; give weight_dtype {a} too"
        raise UsageError(msg)
    return recipe
