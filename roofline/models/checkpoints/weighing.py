"""A network beside the tensors that lie in its folder: what these weigh, and how that differs from what it states.

What is quantised lies in memory as it does in the file, and so does what has 16 bits there; tensors of the 32 bits that
a configuration names are loaded in the dtype of the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from roofline.classes import frozen
from roofline.compression.modules import Modules
from roofline.compression.quantization import quantized
from roofline.compression.recipes import Checkpoint, Recipe, read_recipe
from roofline.compression.weighed import Part, Weighed, as_weighed
from roofline.cost.residency import weights_bytes
from roofline.models.checkpoints.apart import parts_beside
from roofline.models.checkpoints.by_module import (
    Joined,
    is_scale,
    joined_weights,
    module_of,
    modules_of,
    wide_modules,
)
from roofline.models.checkpoints.tensors import Held, Stored
from roofline.number import as_fraction, exact
from roofline.program.program import Program
from roofline.program.workload import DTYPE_BYTES
from roofline.units import format_quantity

_TOLERATED = Fraction(1, 100)
"""Scales that are kept twice and padded vocabularies stay below this share of a network."""

_NUMBERS = ("I64", "I32", "I16", "U8", "BOOL")
_CAST = "; what has 32 bits is loaded in the dtype of the run, --dtype fp32 keeps it"


@frozen
class Comparison:
    """What a file's tensors say of a network: how it is stored, its parameters for each that it states, in words."""

    checkpoint: Checkpoint
    counted: Fraction = Fraction(1)
    words: str = ""


@dataclass(frozen=True)
class Network:
    """What a configuration states: the program, how it is stored, in which dtype the rest, how many layers it has."""

    program: Program
    checkpoint: Checkpoint
    dtype: str
    layers: int

    @cached_property
    def is_tied(self) -> bool:
        """Whether the head is the table of tokens."""
        stated = {tensor.name: tensor.tied for _, _, tensor in self.program.weights()}
        return stated.get("token_table", False) and "w_head" not in stated

    @cached_property
    def parameters(self) -> int:
        """Those that it states."""
        return int(self.program.parameters())

    def stored(self, checkpoint: Checkpoint, base: str = "bf16") -> tuple[Program, Recipe]:
        """The program as ``checkpoint`` says, and the recipe."""
        recipe = read_recipe(None, default=base, checkpoint=checkpoint)
        return quantized(self.program, recipe), recipe

    def loaded(self, name: str, tensor: Stored) -> Stored:
        """A tensor as it lies in memory: of the 32 bits that are stated, or that silence means, 16."""
        cast = tensor.dtype == "F32" and self.dtype in ("float32", "") and not is_scale(name)
        return replace(tensor, bytes=tensor.bytes // 2) if cast else tensor


def compared(network: Network, found: Held) -> Comparison:
    """What the tensors of a folder say of a network: each by its header, or all together by an index."""
    return _by_headers(network, found) if found.tensors else _by_total(network, found)


def bytes_of(program: Program, recipe: Recipe) -> Fraction:
    """The bytes of the weights of a stored program."""
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    return as_fraction(weights_bytes(program, sizes, recipe.precision))


def _by_total(network: Network, found: Held) -> Comparison:
    """By an index, which knows no sizes of single tensors: what is left out is taken to be all that is more."""
    stated = bytes_of(*network.stored(network.checkpoint, "fp32" if network.dtype == "float32" else "bf16"))
    apart = parts_beside(found.names, network.layers)
    left = found.bytes > stated and bool(apart.left) and not apart.towers
    whole = Fraction(1) if left else found.bytes / stated
    plain = found.elements and not network.checkpoint.recipe and not left
    counted = Fraction(found.elements or 0, network.parameters) if plain else Fraction(1)
    told = (
        _told(network, found, found.bytes - stated, found.elements) + apart.words
        if _differs(found.bytes / stated)
        else ""
    )
    checkpoint = replace(network.checkpoint, weighed=Weighed(whole=whole))
    return Comparison(checkpoint, counted, _ended(found, told, taken=not left, cast=network.dtype == "float32"))


def _by_headers(network: Network, found: Held) -> Comparison:
    """By each tensor: modules left in 16 bits, bytes of those that are known by name, and of all that is loaded."""
    stated = bytes_of(*network.stored(network.checkpoint))
    apart = parts_beside(found.tensors, network.layers, tied=network.is_tied)
    kept = {name: network.loaded(name, each) for name, each in found.tensors.items() if name not in apart.names}
    modules = modules_of(kept, network.program)
    wide = wide_modules(network.program, network.stored(network.checkpoint)[1], modules)
    rules = ((wide, ""), *network.checkpoint.rules) if wide.names else network.checkpoint.rules
    program, recipe = network.stored(replace(network.checkpoint, rules=rules))
    joined = joined_weights(program, recipe, modules)
    parts = tuple(part for each in joined if each.weighs != 1 for part in each.parts)
    held = sum(each.bytes for each in kept.values())
    whole = held / bytes_of(as_weighed(program, Weighed(parts)), recipe)
    checkpoint = replace(network.checkpoint, rules=rules, weighed=Weighed(parts, whole))
    count = _elements(kept, joined, recipe)
    counted = Fraction(count, network.parameters)
    said = _in_words(wide, parts)
    told = _differs(held / stated) or _differs(counted) or said
    words = _told(network, found, held - stated, count) + apart.words + said if told else ""
    cast = any(each != found.tensors[name] for name, each in kept.items())
    return Comparison(checkpoint, counted, _ended(found, words, taken=True, cast=cast))


def _differs(ratio: Fraction) -> bool:
    return abs(ratio - 1) > _TOLERATED


def _in_words(wide: Modules, parts: Iterable[Part]) -> str:
    """What is stored otherwise than it is stated, module by module; empty for nothing."""
    left = dict.fromkeys(re.sub(r"^layers\.\d+\.", "", name) for name in wide.names)
    other = dict.fromkeys(f"{each.weight} x {float(each.weighs):.3g}" for each in parts if _differs(each.weighs))
    ways = {"in 16 bits there": left, "of other bytes there": other}
    return "".join(f"; {way}: {', '.join(names)}" for way, names in ways.items() if names)


def _elements(kept: dict[str, Stored], joined: list[Joined], recipe: Recipe) -> int:
    """Parameters: those of modules that are known, elements of what else is stored, packed ones by the bits of each."""
    known = {module for each in joined for module in each.modules}
    bits = 8 * DTYPE_BYTES[recipe.weights.dtype]
    rest = (each for name, each in kept.items() if not is_scale(name) and not module_of(name, known))
    return sum(each.elements for each in joined) + sum(_numbers(each, bits) for each in rest)


def _numbers(tensor: Stored, bits: Fraction) -> int:
    """The parameters in a tensor; whole numbers are packed where what is stored has fewer bits."""
    if tensor.dtype in ("U8", "I32") and bits < 8:
        return int(8 * tensor.bytes / bits)
    return 0 if tensor.dtype in _NUMBERS else tensor.elements


def _told(network: Network, found: Held, excess: Fraction, count: int | None) -> str:
    """The difference in words; ``count``: the parameters in the file, where it says them."""
    less = "more" if excess > 0 else "fewer"
    counts = f" ({count:,} parameters, the network has {network.parameters:,})" if count else ""
    whole, told = (format_quantity(size, "bytes") for size in (found.bytes, int(abs(excess))))
    return f"{found.file.name} has {whole} of tensors{counts}, {told} {less} than the network that is counted"


def _ended(found: Held, told: str, *, taken: bool, cast: bool) -> str:
    """The whole sentence: whose bytes are taken, and what is loaded in fewer bits."""
    kept = "; memory is that of the file" if told and taken else ""
    begun = told or (f"{found.file.name} has {format_quantity(found.bytes, 'bytes')} of tensors" if cast else "")
    return begun + kept + (_CAST if cast else "")
