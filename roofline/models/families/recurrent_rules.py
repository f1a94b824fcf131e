"""How fields of networks with recurrences follow from others: which layer is of which kind, how wide a mixer is."""

from __future__ import annotations

from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Fields, Rule, rule
from roofline.models.families.rules import FULL, SLIDING, layers, numbers, whole

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


def attending_each(period: str, offset: str, first: int, at: int) -> Rule[list[str]]:
    """Jamba: each ``period``-th layer attends, from number ``offset`` on; the others scan.

    >>> attending_each("p", "o", 8, 4)({"num_hidden_layers": 4, "p": 2, "o": 1})
    ['linear_attention', 'full_attention', 'linear_attention', 'full_attention']
    """

    @rule(f"{period} {offset}")
    def kinds(fields: Fields) -> list[str]:
        step, start = max(whole(fields, period, first), 1), whole(fields, offset, at)
        return [FULL if layer % step == start else LINEAR for layer in layers(fields)]

    return kinds


def attending_at(name: str, *, usual: str = "") -> Rule[list[Any]]:
    """Bamba: field ``name`` lists the layers that attend; ``usual`` is what its absence means for all of them."""

    @rule(f"layer_types {name}")
    def kinds(fields: Fields) -> list[Any]:
        stated = listed(fields, "layer_types")
        if stated is not None:
            return stated
        if usual and fields.get(name) is None:
            return [usual for _ in layers(fields)]
        chosen = numbers(fields, name)
        return [FULL if layer in chosen else LINEAR for layer in layers(fields)]

    return kinds


def attending_every(period: int) -> Rule[list[Any]]:
    """Qwen3-Next: each ``full_attention_interval``-th layer attends, unless the layers are listed."""

    @rule("layer_types full_attention_interval")
    def kinds(fields: Fields) -> list[Any]:
        step = max(whole(fields, "full_attention_interval", period), 1)
        usual = [LINEAR if (layer + 1) % step else FULL for layer in layers(fields)]
        return listed(fields, "layer_types") or usual

    return kinds


@rule("block_types")
def repeated_blocks(fields: Fields) -> list[str]:
    """RecurrentGemma: ``block_types`` over and over; its attention has a window."""
    given = fields.get("block_types") or ["recurrent", "recurrent", "attention"]
    names = {"recurrent": LINEAR, "attention": SLIDING}
    if not isinstance(given, list) or any(not isinstance(kind, str) or kind not in names for kind in given):
        msg = f"block_types: given {shown(given)}, expected a list of recurrent and attention"
        raise ValueError(msg)
    return [names[given[layer % len(given)]] for layer in layers(fields)]


@rule("hybrid_override_pattern layers_block_type layer_types")
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


@rule("num_hidden_layers")
def number_spelled_out(fields: Fields) -> int:
    """Nemotron-H: as many layers as are spelled out. Raises ValueError where another number stands beside them."""
    count = len(spelled_out(fields))
    if whole(fields, "num_hidden_layers", count) != count:
        given = shown(fields["num_hidden_layers"])
        msg = f"num_hidden_layers: given {given}, expected {count}, the number of kinds of layers"
        raise ValueError(msg)
    return count


def expanded(expand: str, factor: int = 2) -> Rule[int]:
    """Channels of a mixer: so many times the hidden size."""
    return Rule(expand, lambda fields: whole(fields, expand, factor) * whole(fields, "hidden_size", 0))


def rank_of_time_steps(name: str) -> Rule[int]:
    """The rank of the time steps, a sixteenth of the hidden size, rounded up, where field ``name`` says auto."""

    @rule(name)
    def rank(fields: Fields) -> int:
        automatic = -(-whole(fields, "hidden_size", 0) // 16)
        return automatic if fields.get(name) == "auto" else whole(fields, name, automatic)

    return rank


def width_of_heads(inner: str = "", usual: int = 0) -> Rule[int]:
    """Mamba-2: ``mamba_d_head``, or the mixer's width shared among its heads.

    The width is field ``inner``, ``usual`` where that is absent; where there is no such field, or it is null,
    ``mamba_expand`` hidden sizes. Raises ValueError where heads do not fill the width, without which transformers does
    not build the network.
    """
    by_hidden_size = expanded("mamba_expand")

    @rule(f"{inner} mamba_expand mamba_d_head")
    def width(fields: Fields) -> int:
        null = not inner or fields.get(inner, usual) is None
        total = by_hidden_size(fields) if null else whole(fields, inner, usual)
        heads = max(whole(fields, "mamba_n_heads", 128), 1)
        given = fields.get("mamba_d_head", "auto")
        each = total // heads if given in ("auto", None) else whole(fields, "mamba_d_head", 0)
        if heads * each != total:
            msg = f"mamba_n_heads {heads} x mamba_d_head {shown(given)} is not the width of the mixer, {total}"
            raise ValueError(msg)
        return each

    return width


@rule("intermediate_size block_ff_dim block_auto_adjust_ff_dim block_ffn_dim_multiplier block_multiple_of")
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


def experts_beyond_one(name: str, default: int) -> Rule[int | None]:
    """How many experts there are; none where the field says none or one, which is a plain feed-forward layer."""
    return Rule(name, lambda fields: number if (number := whole(fields, name, default)) > 1 else None)
