"""Fields of towers that several files state alike: sides of squares, usual sizes, what a patch holds."""

from __future__ import annotations

from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Fields, Rule, rule
from roofline.models.families.rules import whole
from roofline.models.towers.two_matmuls import two_matmuls


def side(name: str, default: int) -> Rule[int]:
    """A length that a file states as a number or as two equal ones."""

    return Rule(name, lambda fields: whole({name: side_of(fields.get(name))}, name, default))


def side_of(given: Any) -> Any:
    """The side of a square that is stated as two equal ones; anything else as it is."""
    return given[0] if isinstance(given, list) and len(given) == 2 and given[0] == given[1] else given


@rule("num_channels")
def patch_elements(fields: Fields) -> int:
    """The elements of a patch: all channels."""
    return int(whole(fields, "num_channels", 3) * fields["patch_size"] ** 2)


def positions(fields: Fields) -> int:
    """Patches of a square image, and its class token."""
    return int((fields["image_size"] // fields["patch_size"]) ** 2 + bool(fields.get("class_token")))


def square(image: int, patch: int) -> dict[str, Any]:
    """What follows from the size of a square image and of its patches, and LLaVA's projector."""
    return {
        "image_size": side("image_size", image),
        "patch_size": side("patch_size", patch),
        "patch_elements": patch_elements,
        "max_position_embeddings": positions,
        "projector": two_matmuls,
    }


SIZES = "hidden_size intermediate_size num_hidden_layers num_attention_heads".split()


def sizes(hidden: int, inner: int, layers: int, heads: int, function: str) -> Fields:
    """What a tower's class takes where its file is silent."""
    return {**dict(zip(SIZES, (hidden, inner, layers, heads), strict=True)), "hidden_act": function}


def shuffled(name: str) -> Rule[int]:
    """The side of the squares of patches that a ratio below 1 makes one."""

    def merge(fields: Fields) -> int:
        ratio = fields.get(name, 0.5)
        if not isinstance(ratio, int | float) or not 0 < ratio <= 1 or (1 / ratio) % 1:
            msg = f"{name}: given {shown(ratio)}, expected 1 / a whole number"
            raise ValueError(msg)
        return int(1 / ratio)

    return Rule(name, merge)
