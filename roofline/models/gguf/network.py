"""A network from a GGUF file: its configuration, and how each of its tensors is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from roofline.compression.by_tensor import stored_by_tensor
from roofline.compression.quantization import quantized
from roofline.compression.recipes import Checkpoint, read_recipe
from roofline.compression.weighed import Weighed
from roofline.models.checkpoints.weighing import bytes_of
from roofline.models.gguf.header import GgufTensor
from roofline.models.gguf.names import types_of, weights_in
from roofline.program.program import Program

_TOLERATED = Fraction(1, 100)
"""Frequencies of rotations and padded vocabularies stay below this share of a network."""


def stored_in(program: Program, tensors: Mapping[str, GgufTensor], file: str) -> tuple[Checkpoint, Fraction, str]:
    """How the file stores the network, the parameters in it for each that is stated, and what differs, in words."""
    types = types_of(tensors)
    own = {(tensor.name, layer) for group, _, tensor in program.weights() for layer in group.numbers or (0,)}
    stated = {place: kind for place, kind in types.items() if place in own}
    vectors = dict.fromkeys(own - set(stated), "fp32")
    most = Counter[str]()
    for name, tensor in tensors.items():
        if tensor.axes > 1 and any(place in own for place in weights_in(name)):
            most[tensor.kind] += tensor.elements
    base = most.most_common(1)[0][0] if most else "fp16"
    checkpoint = stored_by_tensor(stated | vectors, base, "gguf")
    recipe = read_recipe(None, default="fp16", checkpoint=checkpoint)
    counted = bytes_of(quantized(program, recipe), recipe)
    held, elements = (sum(getattr(each, of) for each in tensors.values()) for of in ("bytes", "elements"))
    whole, number = held / counted, Fraction(elements, int(program.parameters()))
    told = max(abs(whole - 1), abs(number - 1)) > _TOLERATED
    words = (
        f"{file}: {held:,} bytes and {elements:,} parameters in the file, {int(counted):,} and "
        f"{int(program.parameters()):,} in the network that is counted; memory is that of the file"
        if told
        else ""
    )
    return replace(checkpoint, weighed=Weighed(whole=whole)), number, words
