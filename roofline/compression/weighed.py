"""The tensors of a file as they weigh: what lies in memory and is read where that is not what a recipe states."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from roofline.classes import frozen
from roofline.compression.weight_matmuls import mapped
from roofline.program.op import Tensor
from roofline.program.program import Group, Program


@frozen
class Part:
    """A weight and its scales in some layers, all where none are named: bytes in the file for each that is stated."""

    weight: str
    layers: tuple[int, ...]
    weighs: Fraction


@frozen
class Weighed:
    """What the tensors of a file weigh for each byte that a recipe states.

    ``parts`` are weights whose tensors are known by name: they are read so. ``whole``: all that stays in memory, once
    the parts weigh what they do.
    """

    parts: tuple[Part, ...] = ()
    whole: Fraction = Fraction(1)

    @property
    def words(self) -> str:
        """What differs, in words; empty for nothing.

        >>> Weighed(whole=Fraction(51, 50)).words
        'weights: +2.00 % in memory to what the network states, as the file has it'
        """
        read = ", ".join(dict.fromkeys(f"{each.weight} x {float(each.weighs):.4g}" for each in self.parts))
        kept = "" if self.whole == 1 else f"{float(self.whole) - 1:+.2%} in memory".replace("%", " %")
        told = " and ".join(each for each in (read, kept) if each)
        return f"weights: {told} to what the network states, as the file has it" if told else ""


AS_STATED = Weighed()
"""What weighs what its recipe states."""


def as_weighed(program: Program, file: Weighed) -> Program:
    """A stored program whose weights weigh what they do in the file."""
    if file == AS_STATED:
        return program
    groups = tuple(_group(group, file.parts) for group in program.groups) if file.parts else program.groups
    return replace(program, groups=groups, weighs=file.whole)


def _group(group: Group, parts: tuple[Part, ...]) -> Group:
    layer = group.numbers[0] if group.numbers else None
    own = {each.weight: each.weighs for each in parts if not each.layers or layer in each.layers}
    if not own:
        return group

    def swap(tensor: Tensor) -> Tensor:
        weighs = own.get(weight_of(tensor)) if tensor.role in ("weight", "scale") else None
        return tensor if weighs is None else replace(tensor, weighs=weighs)

    return replace(group, ops=tuple(mapped(op, swap) for op in group.ops))


def weight_of(tensor: Tensor) -> str:
    """The weight that a tensor is, or whose scales it holds."""
    return tensor.name.partition(".")[0]
