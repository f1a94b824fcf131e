"""The tensors of a file by the module that they belong to, beside the weights of a program that the module holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from roofline.classes import frozen
from roofline.compression.modules import MODULES, Modules, bare_name
from roofline.compression.recipes import Recipe
from roofline.compression.weighed import Part, weight_of
from roofline.models.checkpoints.tensors import Stored
from roofline.number import as_fraction, exact
from roofline.program.program import Group, Program

_BESIDE = {
    "w_router": ("mlp.gate", "block_sparse_moe.gate", "mlp.router", "feed_forward.router"),
    "w_k_up": ("self_attn.kv_b_proj",),
    "w_v_up": ("self_attn.kv_b_proj",),
}
"""Modules of weights that recipes leave alone, as ``MODULES`` has those of others."""

_OUTSIDE = {"token_table": ("embed_tokens",), "w_head": ("lm_head",)}
_PLAIN = ("F64", "F32", "BF16", "F16")
_SCALE = re.compile(r"scale|zero|absmax|quant_|g_idx|weight_shape|weight_format|SCB|amax|perm")
_SUFFIX = re.compile(r"_(?:blocks|scales?|scale_inv)$")


@dataclass
class FileModule:
    """The tensors of a module but for its bias: their bytes, those of them that are no scales, how these are stored."""

    bytes: int = 0
    elements: int = 0
    dtypes: set[str] = field(default_factory=set)

    @property
    def is_plain(self) -> bool:
        """Whether nothing of it is quantised."""
        return bool(self.dtypes) and self.dtypes <= set(_PLAIN)

    def add(self, name: str, tensor: Stored) -> None:
        """One tensor more."""
        self.bytes += tensor.bytes
        if not is_scale(name):
            self.elements += tensor.elements
            self.dtypes.add(tensor.dtype)


def is_scale(name: str) -> bool:
    """Whether a tensor turns stored numbers into others, and is no parameter.

    >>> is_scale("layers.0.mlp.up_proj.weight_scale_inv"), is_scale("layers.0.mlp.up_proj.qweight")
    (True, False)
    """
    return bool(_SCALE.search(name.rpartition(".")[2]) or ".quant_" in name)


def modules_of(tensors: Mapping[str, Stored], program: Program) -> dict[str, FileModule]:
    """The modules that weights of a program may lie in, by bare name, with what the file has of them."""
    wanted = {_at(layer, module) for _, layer, module in _wanted(program)}
    found: dict[str, FileModule] = {}
    for name, tensor in tensors.items():
        if module := module_of(name, wanted):
            found.setdefault(module, FileModule()).add(name, tensor)
    return found


def module_of(name: str, wanted: set[str]) -> str:
    """Which of the modules a tensor belongs to; empty for none, and for a bias, which is a weight of its own."""
    if name.endswith("bias"):
        return ""
    at = _SUFFIX.sub("", bare_name(name))
    while at and at not in wanted:
        at = at.rpartition(".")[0]
    return at


def _wanted(program: Program) -> Iterator[tuple[str, int | None, str]]:
    """Each weight, layer and module that may hold it, where one group alone has that weight in that layer."""
    stated = {(group.name, tensor.name): group for group, _, tensor in program.weights() if not group.shared}
    owners = Counter((weight, layer) for (_, weight), group in stated.items() for layer in group.numbers)
    for (_, weight), group in stated.items():
        for module in _OUTSIDE.get(weight, ()):
            yield weight, None, module
        for layer in group.numbers:
            if owners[weight, layer] == 1:
                for module in _candidates(weight):
                    yield weight, layer, module


def _candidates(weight: str) -> tuple[str, ...]:
    return MODULES.get(weight, ()) + _BESIDE.get(weight, ())


def _at(layer: int | None, module: str) -> str:
    return module if layer is None else f"layers.{layer}.{module}"


def wide_modules(program: Program, recipe: Recipe, modules: Mapping[str, FileModule]) -> Modules:
    """The modules that the file has in 16 bits, though its recipe quantises them."""
    if not recipe.quantizes:
        return Modules(())
    plain = (
        _at(layer, module)
        for weight, layer, module in _wanted(program)
        if layer is not None and weight in MODULES and _at(layer, module) in modules
        if modules[_at(layer, module)].is_plain
        if recipe.formats(weight, layer, routed=weight.startswith("w_expert_"))[0].scale
    )
    return Modules(tuple(dict.fromkeys(plain)))


@frozen
class Joined:
    """Weights of a group that the same modules hold, with what a program states of them and what the file has."""

    weights: tuple[str, ...]
    layers: tuple[int, ...]
    parameters: int
    bytes: Fraction
    held: FileModule
    modules: tuple[str, ...]

    @property
    def weighs(self) -> Fraction:
        """Bytes in the file for each that is stated."""
        return self.held.bytes / self.bytes

    @property
    def parts(self) -> tuple[Part, ...]:
        """The same of each weight."""
        return tuple(Part(weight, self.layers, self.weighs) for weight in self.weights)

    @property
    def elements(self) -> int:
        """The parameters in the file: packed ones are as many as are stated."""
        return self.held.elements if self.held.is_plain else self.parameters


def joined_weights(program: Program, recipe: Recipe, modules: Mapping[str, FileModule]) -> list[Joined]:
    """The weights of a stored program whose modules lie in the file, in every layer of their group."""
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    stated: dict[tuple[str, str], tuple[Group, int, Fraction]] = {}
    wanted = {(weight, layer) for weight, layer, _ in _wanted(program)}
    for group, op, tensor in (*program.weights(), *program.scales()):
        key = (group.name, weight_of(tensor))
        count = as_fraction(program.resident(group, op, tensor, sizes))
        _, parameters, size = stated.get(key, (group, 0, Fraction(0)))
        of = int(count) if tensor.role == "weight" else 0
        stated[key] = (group, parameters + of, size + count * recipe.precision.width(tensor))
    held = {key: _present(key[1], group.numbers, modules, wanted) for key, (group, *_) in stated.items()}
    return [_joined(keys, stated, held[keys[0]], modules) for keys in _sharing(held)]


def _present(
    weight: str, numbers: tuple[int, ...], modules: Mapping[str, FileModule], wanted: set[tuple[str, int | None]]
) -> tuple[str, ...]:
    """The modules that hold a weight in every one of these layers; none where the file has them in some alone."""
    layers: tuple[int | None, ...] = numbers if weight not in _OUTSIDE else (None,)
    if not layers or any((weight, layer) not in wanted for layer in layers):
        return ()
    named = _OUTSIDE.get(weight) or _candidates(weight)
    return tuple(each for each in named if all(_at(layer, each) in modules for layer in layers))


def _sharing(held: Mapping[tuple[str, str], tuple[str, ...]]) -> list[list[tuple[str, str]]]:
    """The weights of a group that the same modules hold, together."""
    found: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}
    for key, named in held.items():
        if named:
            found.setdefault((key[0], named), []).append(key)
    return list(found.values())


def _joined(
    keys: list[tuple[str, str]],
    stated: Mapping[tuple[str, str], tuple[Group, int, Fraction]],
    named: tuple[str, ...],
    modules: Mapping[str, FileModule],
) -> Joined:
    group = stated[keys[0]][0]
    layers: tuple[int | None, ...] = (None,) if keys[0][1] in _OUTSIDE else group.numbers
    every = [modules[_at(layer, each)] for layer in layers for each in named]
    dtypes = {dtype for each in every for dtype in each.dtypes}
    held = FileModule(sum(each.bytes for each in every), sum(each.elements for each in every), dtypes)
    counts, sizes = [stated[key][1] for key in keys], [stated[key][2] for key in keys]
    return Joined(
        tuple(key[1] for key in keys), group.numbers, sum(counts), sum(sizes, Fraction(0)), held,
        tuple(_at(layer, each) for layer in layers for each in named),
    )  # fmt: skip
