"""Recipes: what weights, activations and KV cache are stored in, and what the matrix unit then runs.

A recipe is one word or several joined by ``+``: a dtype (``bf16``), a named recipe (``fp8``, ``w8a8``, ``w4a16``,
``nvfp4``) or the formats of weights and activations (``int4:fp8``, ``fp8:16`` with activations of 16 bits), and what
changes it: ``kv8``, ``kv4``, ``g64`` (weights in groups of 64), ``channel`` (a scale for each output), ``zp`` (with
zero points, ``zp16`` of 16 bits), ``acc16`` (fp16 accumulators), ``experts`` (experts alone are quantised). A mix of
llama.cpp's (``q4_k_m``) gives every tensor of a network a type of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from roofline.classes import frozen
from roofline.compression.formats import FORMATS, KV_FORMATS, PLAIN, Format
from roofline.compression.mixes import MIXES
from roofline.compression.modules import Modules
from roofline.compression.weighed import AS_STATED, Weighed
from roofline.compression.weights import Weights
from roofline.errors import UsageError, near_matches, shown
from roofline.options.groups import Dtype, Dtypes
from roofline.options.keywords import given
from roofline.program.workload import DTYPE_BYTES, Precision

_RECIPES: dict[str, tuple[str, str]] = {  # weights, activations; empty: the dtype of everything else
    "fp8": ("fp8", "fp8"),
    "fp8-tensor": ("fp8-tensor", "fp8-tensor"),
    "fp8-block": ("fp8-block", "fp8-group"),
    "w8a8": ("int8", "int8"),
    "int8": ("int8", "int8"),
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
    "w3a16": ("int3", ""),
    "w2a16": ("int2", ""),
    "mxfp4a4": ("mxfp4", "mxfp4"),
    "nvfp4a16": ("nvfp4", ""),
}
_KV = {"kv16": "", "kv8": "fp8", "kv4": "int4"}
_KEEPING = (*_KV, "acc16", "acc32")
"""Words that leave weights as they are stored."""

_SAY = {"int4": "w4a16 (weights alone) or w4a4", "fp4": "mxfp4 or nvfp4"}
_WORDS = [*PLAIN, *_RECIPES, *MIXES, *_KV, "g64", "channel", "zp", "zp16", "acc16", "experts"]
STATES = ("fp32", "bf16", "fp16")
"""Dtypes of recurrent states."""


def head_of(weights: str, activations: str) -> str:
    """The word for formats of weights and activations, the latter empty for those of everything else.

    >>> head_of("fp8-block", "fp8-group"), head_of("int4", ""), head_of("int4", "fp8"), head_of("fp8", "")
    ('fp8-block', 'w4a16', 'int4:fp8', 'fp8:16')
    """
    named = (head for head, pair in _RECIPES.items() if pair == (weights, activations))
    return next(named, f"{weights}:{activations or 16}")


@frozen
class Checkpoint:
    """How a published file stores its network: a recipe, empty for none, and ``rules`` for modules of their own recipe.

    The first rule that means a module holds; its recipe is empty for one that is left in 16 bits. ``state``: the dtype
    of recurrent states, empty for that of the activations. ``weighed``: what the tensors themselves weigh.
    ``by_tensor``: the rules and the recipe hold for every weight, embeddings, heads and norms too; ``name`` is then
    the mix that this is.
    """

    recipe: str = ""
    rules: tuple[tuple[Modules | Weights, str], ...] = ()
    state: str = ""
    weighed: Weighed = AS_STATED
    name: str = ""
    by_tensor: bool = False


AS_ASKED = Checkpoint()
"""A network whose file says nothing of dtypes."""


@frozen
class Rule:
    """Modules whose weights and activations have formats of their own."""

    modules: Modules | Weights
    weights: Format
    activations: Format


@frozen
class Recipe:
    """What is stored in which format. ``base`` is the dtype of all that a recipe leaves alone.

    ``weights`` and ``activations`` are those of the layers' matmuls, but for modules that ``rules`` mean;
    ``accumulator`` is empty for the device's usual, ``state`` and ``conv_state``, what recurrences and convolutions
    keep, for the dtype of the activations. ``lacking``: what the
    file was made to be computed in, where the device does not. ``weighed``: what its tensors weigh. ``by_tensor``:
    weights and rules are those of all tensors, embeddings, heads and norms too. ``unit_scaled``: dtypes whose scales
    by block the device's matrix unit applies itself.
    """

    base: str
    weights: Format
    activations: Format
    kv_cache: Format
    accumulator: str = ""
    experts_only: bool = False
    name: str = ""
    rules: tuple[Rule, ...] = ()
    state: str = ""
    conv_state: str = ""
    lacking: str = ""
    weighed: Weighed = AS_STATED
    by_tensor: bool = False
    unit_scaled: tuple[str, ...] = ()

    def formats(self, weight: str, layer: int, *, routed: bool) -> tuple[Format, Format]:
        """How a matrix is stored, and what it is multiplied with; ``routed``: it belongs to an expert."""
        rule = self.rule_of(weight, layer)
        if rule is not None:
            return self.rules[rule].weights, self.rules[rule].activations
        if self.experts_only and not routed:
            return FORMATS[self.base], FORMATS[self.base]
        return self.weights, self.activations

    def rule_of(self, weight: str, layer: int) -> int | None:
        """Which rule holds for a weight of a layer; None for none."""
        return next((at for at, rule in enumerate(self.rules) if rule.modules.hold(weight, layer)), None)

    @property
    def pairs(self) -> tuple[tuple[Format, Format], ...]:
        """The formats of weights and activations that the layers' matmuls have, those of most modules first."""
        ruled = ((r.weights, r.activations) for r in self.rules if r.weights.is_narrow or not self.by_tensor)
        return tuple(dict.fromkeys([(self.weights, self.activations), *ruled]))

    def widened(self, computes: Callable[[str], bool]) -> Recipe:
        """The recipe with activations of 16 bits wherever the device does not compute in what it says.

        Its name says so: ``fp8-block:16`` in place of ``fp8-block``.
        """
        wide = FORMATS[self.base]
        narrow = [computes_in(*pair) for pair in self.pairs if pair[1].scale]
        lacking = ", ".join(dict.fromkeys(dtype for dtype in narrow if not computes(dtype)))
        if not lacking:
            return self

        def own(weights: Format, activations: Format) -> Format:
            return wide if computes_in(weights, activations) in lacking.split(", ") else activations

        rules = tuple(replace(rule, activations=own(rule.weights, rule.activations)) for rule in self.rules)
        kept = own(self.weights, self.activations)
        name = self.name if kept == self.activations else _storage_of(self.name)
        return replace(self, activations=kept, rules=rules, name=name, lacking=lacking)

    @property
    def precision(self) -> Precision:
        """The dtypes by role of what is not quantised."""
        weights, activations, cache = (
            self.base if form.is_narrow else form.dtype for form in (self.weights, self.activations, self.kv_cache)
        )
        return Precision(weights, activations, cache, self.state, self.conv_state)

    @property
    def compute_dtype(self) -> str:
        """What the matrix unit runs in the layers' matmuls: the wider of weights and activations."""
        return computes_in(self.weights, self.activations)

    @property
    def timed_dtype(self) -> str:
        """Whose constants the layers' matmuls take: in fp8 those with scales by block are of kernels of their own."""
        return "fp8_block" if self.compute_dtype == "fp8" and self.weights.depth else self.compute_dtype

    @property
    def computed(self) -> tuple[str, ...]:
        """The dtypes that contractions run in: the layers' matmuls, then all others."""
        rest = self.precision
        widest = max((rest.weights, rest.activations, rest.kv_cache), key=list(DTYPE_BYTES).index)
        return tuple(dict.fromkeys((*(computes_in(*pair) for pair in self.pairs), widest)))

    @property
    def unpacked(self) -> tuple[str, ...]:
        """The dtypes of weights that matmuls widen before they multiply."""
        return tuple(dict.fromkeys(pair[0].dtype for pair in self.pairs if pair[0].dtype != computes_in(*pair)))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that operators run in: the layers' matmuls, then those of all roles."""
        rest = self.precision
        own = (computes_in(*pair) for pair in self.pairs)
        return tuple(dict.fromkeys((*own, rest.weights, rest.activations, rest.kv_cache)))

    @property
    def timed_dtypes(self) -> tuple[str, ...]:
        """The same, the layers' matmuls as their constants are named: fp8 with scales by block apart."""
        return tuple(dict.fromkeys(self.timed_dtype if each == self.compute_dtype else each for each in self.dtypes))

    @property
    def quantizes(self) -> bool:
        """Whether anything is stored with scales."""
        return any(form.is_narrow for form in (*(form for pair in self.pairs for form in pair), self.kv_cache))

    @property
    def cache_advice(self) -> str:
        """What to type for a narrower cache, where weights and activations are fp8 and it is not; empty elsewhere.

        >>> read_recipe("fp8", default="bf16").cache_advice
        'the KV cache stays bf16; what is deployed in fp8 mostly keeps it in fp8 too: --kv-dtype fp8'
        """
        if {self.weights.dtype, self.activations.dtype} != {"fp8"} or self.kv_cache.name not in ("bf16", "fp16"):
            return ""
        kept = f"the KV cache stays {self.kv_cache.name}"
        return f"{kept}; what is deployed in fp8 mostly keeps it in fp8 too: --kv-dtype fp8"

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
        text += f", states {self.state}" if self.state else ""
        return text + (f", {self.accumulator} accumulators" if self.accumulator else "")


NARROWER = ("fp8", "w8a16", "w4a16")
"""Recipes that weights are commonly stored in where they are too large, the widest first."""

NARROWER_BLOCKS = ("q8_0", "q4_k_m")
"""The same of GGUF files."""


def _storage_of(name: str) -> str:
    """The words of a recipe whose weights alone are quantised.

    >>> _storage_of("nvfp4+kv8"), _storage_of("fp8-block"), _storage_of("w8a8")
    ('nvfp4a16+kv8', 'fp8-block:16', 'w8a16')
    """
    head, *changes = name.split("+")
    weights, _ = _RECIPES[head] if head in _RECIPES else _pair(head)
    return "+".join([head_of(weights, ""), *changes])


def computes_in(weights: Format, activations: Format) -> str:
    """The dtype that the matrix unit multiplies them in: the wider one."""
    return max((weights.dtype, activations.dtype), key=list(DTYPE_BYTES).index)


_FLAGS = {"weights": "weight_dtype", "activations": "activation_dtype", "kv_cache": "kv_dtype"}
"""The option that names the format of each role."""


def recipe_of(asked: Dtype | Dtypes, *, default: str, checkpoint: Checkpoint = AS_ASKED) -> Recipe:
    """The recipe that options ask for: that of a text, with formats of their own for the roles that name one.

    ``default`` and ``checkpoint`` are as for :func:`read_recipe`, and so is what is raised.

    >>> recipe_of({"dtype": "w4a16", "kv_dtype": "int8"}, default="bf16").words
    'weights int4, activations bf16, KV cache int8, the rest bf16'
    """
    recipe = read_recipe(asked.get("dtype"), default=default, checkpoint=checkpoint)
    named = given(asked)
    overrides: dict[str, Any] = {role: _format(role, named[flag]) for role, flag in _FLAGS.items() if flag in named}
    if "weights" in overrides:
        overrides |= {"rules": (), "weighed": AS_STATED, "by_tensor": False}
    elif "activations" in overrides:
        overrides["rules"] = tuple(replace(rule, activations=overrides["activations"]) for rule in recipe.rules)
    if "state_dtype" in named:
        overrides["state"] = _state(named["state_dtype"])
    return _checked(replace(recipe, **overrides))


def read_recipe(text: str | None = None, *, default: str, checkpoint: Checkpoint = AS_ASKED) -> Recipe:
    """The recipe of ``text``.

    ``default`` is the dtype of the rest; ``checkpoint`` holds where ``text`` names no recipe.
    Raises UsageError, in one line, for an unknown word and for formats that no matrix unit multiplies.

    >>> recipe = read_recipe("w4a16+g64", default="bf16")
    >>> float(recipe.weights.bits), recipe.compute_dtype
    (4.25, 'bf16')
    """
    words = text.split("+") if text else []
    if words and words[0] in MIXES:
        if checkpoint.name != words[0]:
            one = f"{MIXES[words[0]].base}:16"
            msg = f"dtype {words[0]} gives each tensor of a network a type of its own; for one matrix: {one}"
            raise UsageError(msg)
        words = words[1:]
    elif names_recipe(text):
        return replace(_of_words(words, default), state=checkpoint.state)
    stored = [*checkpoint.recipe.split("+"), *words] if checkpoint.recipe else words
    own = ((modules, _of_words(recipe.split("+") if recipe else [], default)) for modules, recipe in checkpoint.rules)
    rules = tuple(Rule(modules, recipe.weights, recipe.activations) for modules, recipe in own)
    weighed = checkpoint.weighed if all(word in _KEEPING for word in words) else AS_STATED
    recipe = replace(_of_words(stored, default), rules=rules, state=checkpoint.state, weighed=weighed)
    if checkpoint.by_tensor:
        recipe = replace(recipe, by_tensor=True, name="+".join([checkpoint.name, *words]))
    return _checked(recipe)


def names_recipe(text: str | None) -> bool:
    """Whether a text names a recipe, in place of what a file stores, and does not only change that."""
    head = str(text).split("+")[0]
    return bool(text) and (_is_head(head) or head in MIXES)


def _state(asked: str) -> str:
    if asked not in STATES:
        msg = f"state_dtype {shown(asked)} is not known; {near_matches(shown(asked), STATES)}"
        raise UsageError(msg)
    return asked


def _is_head(word: str) -> bool:
    return word in PLAIN or word in _RECIPES or ":" in word


def _of_words(words: list[str], default: str) -> Recipe:
    """The recipe of these words; a dtype alone where the first one only changes a recipe."""
    head, *changes = words if words and _is_head(words[0]) else [default, *words]
    base = head if head in PLAIN else default
    pair = _RECIPES.get(head, ("", "")) if ":" not in head else _pair(head)
    stored = [FORMATS[name or base] for name in pair]
    recipe = Recipe(base, stored[0], stored[1], FORMATS[base], name="+".join([head, *changes]))
    for word in changes:
        recipe = _changed(recipe, word)
    return recipe


def _pair(head: str) -> tuple[str, str]:
    """The names of two formats, ``int4:fp8``; 16 for activations that are not quantised."""
    weights, _, activations = head.partition(":")
    wanted = "" if activations == "16" else _format("activations", activations).name
    return _format("weights", weights).name, wanted


def _changed(recipe: Recipe, word: str) -> Recipe:
    """The recipe with one word more."""
    weights = recipe.weights
    if word in _KV:
        return replace(recipe, kv_cache=KV_FORMATS[_KV[word] or recipe.base])
    if word in ("acc16", "acc32"):
        return replace(recipe, accumulator=f"fp{word[3:]}")
    if word in ("zp", "zp16", "channel", "experts") or re.fullmatch("g[1-9][0-9]{0,5}", word):
        if not weights.scale or (word != "experts" and (weights.native or weights.breadth != 1)):
            msg = f"dtype: {word} changes how weights are quantised, and {weights.name} has it fixed"
            raise UsageError(msg)
        return replace(recipe, experts_only=True) if word == "experts" else replace(recipe, weights=weights.but(word))
    hint = f"expected {_SAY[word]}" if word in _SAY else near_matches(shown(word), _WORDS)
    hint = "give one; compare, size and sweep take several" if "," in word else hint
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
    for weights, activations in recipe.pairs:
        _check_pair(weights, activations)
    return recipe


def _check_pair(weights: Format, activations: Format) -> None:
    w, a = weights.dtype, activations.dtype
    if activations.is_narrow and not weights.is_narrow:
        msg = f"activations in {a} are multiplied by weights as narrow; give weight_dtype {a} too"
        raise UsageError(msg)
    if {w, a} in ({"int8", "fp8"}, {"int4", "fp4"}, {"int8", "fp4"}):
        msg = f"{w} weights and {a} activations: no matrix unit multiplies these; give both in one of them"
        raise UsageError(msg)
    if activations.scale and list(DTYPE_BYTES).index(a) < list(DTYPE_BYTES).index(w):
        msg = f"activations in {a} are narrower than weights in {w}; give weight_dtype {a} too"
        raise UsageError(msg)
