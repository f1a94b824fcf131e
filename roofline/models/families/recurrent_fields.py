"""What the fields of networks with recurrences mean: which layer is of which kind, how wide a mixer is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roofline.errors import shown
from roofline.models.families.patterns import FULL, SLIDING, layers, numbers, whole

Fields = Mapping[str, Any]

LINEAR = "linear_attention"
_LEGACY = {"mamba": LINEAR, "attention": FULL, "conv": LINEAR}
_PATTERN = {"M": LINEAR, "*": FULL, "E": "moe", "-": "mlp"}


def listed(fields: Fields, *names: str) -> list[Any] | None:
    """The kinds of layers that one of ``names`` lists, under the shape's names; None if all are absent."""
    for name in names:
        given = fields.get(name)
        if given is None:
            continue
        if not isinstance(given, list):
            msg = f"{name}: given {shown(given)}, expected a list of kinds of layers"
            raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
        return [_LEGACY.get(kind, kind) if isinstance(kind, str) else kind for kind in given]
    return None


def attending_each(period: str, offset: str, first: int, at: int) -> Callable[[Fields], list[str]]:
    """Jamba: each ``period``-th layer attends, from number ``offset`` on; the others scan.

    >>> attending_each("p", "o", 8, 4)({"num_hidden_layers": 4, "p": 2, "o": 1})
    ['linear_attention', 'full_attention', 'linear_attention', 'full_attention']
    """

    def rule(fields: Fields) -> list[str]:
        step, start = max(whole(fields, period, first), 1), whole(fields, offset, at)
        return [FULL if layer % step == start else LINEAR for layer in layers(fields)]

    return rule


def attending_at(name: str, *, otherwise: str = LINEAR, usual: str = "") -> Callable[[Fields], list[Any]]:
    """Bamba: field ``name`` lists the layers that attend; ``usual`` is what its absence means for all of them."""

    def rule(fields: Fields) -> list[Any]:
        kinds = listed(fields, "layer_types")
        if kinds is not None:
            return kinds
        if usual and fields.get(name) is None:
            return [usual for _ in layers(fields)]
        chosen = numbers(fields, name)
        return [FULL if layer in chosen else otherwise for layer in layers(fields)]

    return rule


def attending_every(period: int) -> Callable[[Fields], list[Any]]:
    """Qwen3-Next: each ``full_attention_interval``-th layer attends, unless the layers are listed."""

    def rule(fields: Fields) -> list[Any]:
        step = max(whole(fields, "full_attention_interval", period), 1)
        kinds = [LINEAR if (layer + 1) % step else FULL for layer in layers(fields)]
        return listed(fields, "layer_types") or kinds

    return rule


def repeated_blocks(fields: Fields) -> list[str]:
    """RecurrentGemma: ``block_types`` over and over; its attention has a window."""
    given = fields.get("block_types") or ["recurrent", "recurrent", "attention"]
    names = {"recurrent": LINEAR, "attention": SLIDING}
    if not isinstance(given, list) or any(not isinstance(kind, str) or kind not in names for kind in given):
        msg = f"block_types: given {shown(given)}, expected a list of recurrent and attention"
        raise ValueError(msg)
    return [names[given[layer % len(given)]] for layer in layers(fields)]


def spelled_out(fields: Fields) -> list[Any]:
    """Nemotron-H: a list, or a word with a letter for each layer: M scans, * attends, - and E feed forward."""
    kinds = listed(fields, "layers_block_type", "layer_types")
    if kinds is not None:
        return kinds
    word = fields.get("hybrid_override_pattern")
    if not isinstance(word, str) or not word or set(word) - set(_PATTERN):
        msg = f"hybrid_override_pattern: given {shown(word)}, expected a word of {' '.join(_PATTERN)}"
        raise ValueError(msg)
    return [_PATTERN[letter] for letter in word]


def number_spelled_out(fields: Fields) -> int:
    """Nemotron-H: as many layers as are spelled out. Raises ValueError where another number stands beside them."""
    count = len(spelled_out(fields))
    if whole(fields, "num_hidden_layers", count) != count:
        given = shown(fields["num_hidden_layers"])
        msg = f"num_hidden_layers: given {given}, expected {count}, the number of kinds of layers"
        raise ValueError(msg)
    return count


def expanded(expand: str, factor: int = 2) -> Callable[[Fields], int]:
    """Channels of a mixer: so many times the hidden size."""
    return lambda fields: whole(fields, expand, factor) * whole(fields, "hidden_size", 0)


def rank_of_time_steps(name: str) -> Callable[[Fields], int]:
    """The rank of the time steps, a sixteenth of the hidden size, rounded up, where field ``name`` says auto."""

    def rule(fields: Fields) -> int:
        automatic = -(-whole(fields, "hidden_size", 0) // 16)
        return automatic if fields.get(name) == "auto" else whole(fields, name, automatic)

    return rule


def width_of_heads(fields: Fields) -> int:
    """Bamba: ``mamba_d_head``, or the mixer's width shared among its heads.

    Raises ValueError where heads do not fill the width, without which transformers does not build the network.
    """
    width = fields.get("mamba_d_ssm", 1024) if fields["model_type"] == "falcon_h1" else None
    total = expanded("mamba_expand")(fields) if width is None else whole(fields, "mamba_d_ssm", 1024)
    heads = max(whole(fields, "mamba_n_heads", 128), 1)
    given = fields.get("mamba_d_head", "auto")
    each = total // heads if given in ("auto", None) else whole(fields, "mamba_d_head", 0)
    if heads * each != total:
        msg = f"mamba_n_heads {heads} x mamba_d_head {shown(given)} is not the width of the mixer, {total}"
        raise ValueError(msg)
    return each


def adjusted_width(fields: Fields) -> int:
    """LFM2: two thirds of the stated feed-forward width, times a factor, rounded up to a multiple, if it says so."""
    width = whole(fields, "block_ff_dim", whole(fields, "intermediate_size", 12288))
    if not fields.get("block_auto_adjust_ff_dim", True):
        return width
    factor, multiple = fields.get("block_ffn_dim_multiplier", 1.0), whole(fields, "block_multiple_of", 256)
    width = int(2 * width / 3)
    if factor is None:
        return width
    if not isinstance(factor, int | float) or not 0 < factor < 1000 or not multiple:
        msg = f"block_ffn_dim_multiplier: given {shown(factor)}, expected a number above 0"
        raise ValueError(msg)
    return -(-int(factor * width) // multiple) * multiple


def experts_beyond_one(name: str, default: int) -> Callable[[Fields], int | None]:
    """How many experts there are; none where the field says none or one, which is a plain feed-forward layer."""
    return lambda fields: whole(fields, name, default) if whole(fields, name, default) > 1 else None
