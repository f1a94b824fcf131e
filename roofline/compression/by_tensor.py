"""A GGUF file, in which every tensor has a type of its own: what a mix makes of a network, a program stored so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from roofline.compression.mixes import MIXES, Mix, Subject, fitting_type
from roofline.compression.recipes import Checkpoint, Recipe
from roofline.compression.weight_matmuls import mapped, matrices_of
from roofline.compression.weights import Weights
from roofline.errors import WorkloadError
from roofline.number import as_fraction, exact, product
from roofline.program.axes import rebind
from roofline.program.op import TOKEN_TABLE, Op, Tensor, Work
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.workload import DTYPE_BYTES

_UNPACK = 2  # vector FLOPs to turn an element of a block into a number: convert, times the scale

_PARTS = {
    "w_q": "attn_q",
    "w_k": "attn_k",
    "w_v": "values",
    "w_out": "attn_output",
    **{f"w_{kind}{part}": f"ffn_{part}" for kind in ("", "expert_", "shared_") for part in ("gate", "up", "down")},
}
"""The weights that mixes tell apart -> what GGUF calls them."""

_TABLES = (TOKEN_TABLE, "per_layer_table")
"""Tables of tokens' embeddings; where the head is tied, all have the head's type."""

_AS_READ = ("w_router", "w_shared_router")
"""Matrices that stay in 32 bits, as do vectors, convolutions and tables of positions."""

_AS_CONVERTED = (
    *("w_per_layer_projection", "w_laurel_left", "w_laurel_right", "w_router_streams"),
    *("w_predict", "w_correct", "w_stream_projection", "w_stream_unprojection"),
)
"""Matrices of Gemma 3n and Gemma 4 that no mix quantizes: they stay in the 16 bits of the file that is quantized."""

_ROWS = {"w_k_up": "H"}
"""The rows of weights that a file has for each head, where they are not what this program contracts."""

_ONE_TENSOR = ("bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neox", "mpt", "phi", "phi3")
"""Families whose files hold queries, keys and values in one tensor."""


def mixed(program: Program, family: str, mix: str) -> Checkpoint:
    """How a file of ``mix``, such as ``q4_k_m``, stores a network of ``family``: a type for each of its tensors.

    Towers of images and sound are in a file of their own, whose matrices stay in 16 bits: no type is stated for them.

    Raises WorkloadError for what no file of a mix holds: an encoder, alone or with a decoder, a traced module.
    """
    program = replace(program, groups=tuple(group for group in program.groups if not group.in_tower))
    if program.anonymous or Phase.ENCODE in program.phases:
        encoder = "an encoder with a decoder" if Phase.DECODE in program.phases else "an encoder"
        what = "a traced module" if program.anonymous else encoder
        msg = f"dtype {mix}: which tensors of {what} have which type is not known; take w8a16 or w4a16"
        raise WorkloadError(msg)
    subject = _subject(program, family)
    attending = _layers_with(program, "w_v")
    tied = any(tensor.tied for _, _, tensor in program.weights() if tensor.name == TOKEN_TABLE)
    types: dict[tuple[str, int], str] = {}
    for group, op, tensor in program.weights():
        row = _row(group, op, tensor, program)
        for layer in group.numbers or (0,):
            name = _type(MIXES[mix], tensor.name, layer, subject, attending, one=family in _ONE_TENSOR, tied=tied)
            types[tensor.name, layer] = name if name in ("fp32", "fp16") else fitting_type(name, row)
    return stored_by_tensor(types, MIXES[mix].base, mix)


def stored_by_tensor(types: Mapping[tuple[str, int], str], base: str, name: str) -> Checkpoint:
    """The checkpoint in which each weight of each layer has this type; ``base`` is that of most of them."""
    layers: dict[str, dict[str, list[int]]] = {}
    for (weight, layer), kind in types.items():
        layers.setdefault(weight, {}).setdefault(kind, []).append(layer)
    whole: dict[str, list[str]] = {}
    rules = []
    for weight, kinds in layers.items():
        for kind, own in kinds.items():
            if len(kinds) == 1:
                whole.setdefault(kind, []).append(weight)
            elif kind != base:
                rules.append((Weights((weight,), tuple(own)), _word(kind)))
    rules += [(Weights(tuple(names)), _word(kind)) for kind, names in whole.items() if kind != base]
    return Checkpoint(_word(base), tuple(rules), name=name, by_tensor=True)


def _word(kind: str) -> str:
    return kind if kind in ("fp32", "fp16", "bf16") else f"{kind}:16"


def _type(mix: Mix, name: str, layer: int, subject: Subject, attending: list[int], *, one: bool, tied: bool) -> str:
    """The type that a mix gives to a weight of a layer, whatever its rows."""
    if name == "w_head" or name in _TABLES:
        return mix.head if tied or name == "w_head" else mix.table or mix.base
    if not name.startswith("w_") or name in _AS_READ + _AS_CONVERTED:
        return "fp16" if name in _AS_CONVERTED else "fp32"
    if mix.experts and name.startswith("w_expert_"):
        return mix.experts
    part = _PARTS.get(name, name)
    part = "values" if one and part in ("attn_q", "attn_k") else part
    if part == "values":
        return mix.type_of(part, attending.index(layer), replace(subject, layers=len(attending)))
    return mix.type_of(part, layer, subject)


def _subject(program: Program, family: str) -> Subject:
    sizes, layers = program.sizes, 1 + max((n for group in program.groups for n in group.numbers), default=0)
    group = int(sizes.get("G", 1))
    llama = family == "llama" and layers == 80 and group > 1
    return Subject(layers, group, int(sizes.get("E", 0)), is_70b=llama or (family == "qwen2" and layers == 80))


def _layers_with(program: Program, weight: str) -> list[int]:
    """The layers that have a weight."""
    return sorted({layer for group, _, tensor in program.weights() if tensor.name == weight for layer in group.numbers})


def _row(group: Group, op: Op, tensor: Tensor, program: Program) -> int:
    """The elements of a row of a matrix: what is contracted, or what a table holds for a token."""
    depth = next((m.depth for m in matrices_of(op) if m.weight.name == tensor.name), ())
    letters = (_ROWS[tensor.name],) if tensor.name in _ROWS else depth or (tensor.stored or tensor.axes).split()[-1:]
    sizes = rebind(group.sizes({letter: exact(size) for letter, size in program.sizes.items()}), op.local)
    return int(as_fraction(product(sizes[letter] for letter in letters)))


def in_types(group: Group, recipe: Recipe, layer: int) -> Group:
    """A group whose weights have the types of their own that a recipe gives them, in one of its layers."""
    return replace(group, ops=tuple(_in_types(op, recipe, layer) for op in group.ops))


def _in_types(op: Op, recipe: Recipe, layer: int) -> Op:
    forms = {t.name: recipe.formats(t.name, layer, routed=False)[0] for t in op.reads if t.role == "weight"}
    if not forms:
        return op
    changed = mapped(
        op, lambda tensor: replace(tensor, dtype=forms[tensor.name].dtype) if tensor.name in forms else tensor
    )
    unpacked = [m.weight for m in matrices_of(op) if forms[m.weight.name].block]
    work = tuple(Work("vector", _UNPACK, weight.letters) for weight in unpacked)
    return replace(changed, work=(*changed.work, *work))


def types_in_words(program: Program, name: str) -> str:
    """Which share of the parameters has which type, and the bits of one on average; of a tower, that it is apart.

    ``q4_k_m: q4_k 77.6 %, q6_k 22.4 %, fp32 0.003 %: 4.94 bits a parameter``
    """
    counts: dict[str, int] = {}
    for group, op, tensor in program.weights():
        if group.in_tower:
            continue
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + int(program.resident(group, op, tensor, program.sizes))
    whole = sum(counts.values())
    bits = sum(8 * DTYPE_BYTES[dtype] * number for dtype, number in counts.items()) / whole
    parts = ", ".join(f"{dtype} {number / whole:.3g}" for dtype, number in sorted(counts.items(), key=lambda e: -e[1]))
    apart = "; towers in 16 bits, from a file of their own" if any(group.in_tower for group in program.groups) else ""
    return f"{name}: {parts} of the parameters, {float(bits):.4g} bits each{apart}"
