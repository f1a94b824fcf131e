"""How fields of a shape follow from others: which layer is of which kind, which bias goes with which.

Each raises ValueError, in one line, for a field that it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Fields, Rule, rule
from roofline.models.shapes.config import MAX_LAYERS

FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"


def whole(fields: Fields, name: str, default: int) -> int:
    """A field that is a whole number from 0 on; ``default`` where it is absent."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        msg = f"{name}: given {shown(value)}, expected a whole number from 0 on"
        raise ValueError(msg)
    return value


def stated(name: str, default: int) -> Rule[int]:
    """A whole number of the file."""
    return Rule(name, lambda fields: whole(fields, name, default))


def flag(fields: Fields, name: str, default: bool) -> bool:
    """A field that is true or false; ``default`` where it is absent."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        msg = f"{name}: given {shown(value)}, expected true or false"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return value


def by_flag(name: str, default: bool, *, yes: Any = True, no: Any = False) -> Rule[Any]:
    """``yes`` where field ``name`` is true, ``no`` where it is false; ``default`` is what its absence means.

    >>> by_flag("alibi", False, yes="alibi", no="rotary")({"alibi": True})
    'alibi'
    """
    return Rule(name, lambda fields: yes if flag(fields, name, default) else no)


def as_attention_bias(fields: Fields) -> Any:
    """The bias of the output projection where ``attention_bias`` speaks of all four; none where it is no option."""
    return fields.get("attention_bias") or False


def layers(fields: Fields) -> range:
    """The numbers of the layers, from 0 on; none where their count is not a sane one, which the shape will say."""
    count = fields.get("num_hidden_layers")
    sane = isinstance(count, int) and not isinstance(count, bool) and 0 < count <= MAX_LAYERS
    return range(count if sane and count is not None else 0)


def every_layer_windowed(fields: Fields) -> list[str]:
    """Mistral: all layers have the window, if there is one."""
    return [SLIDING for _ in layers(fields)] if fields.get("sliding_window") is not None else []


def full_every(period: int, name: str = "sliding_window_pattern") -> Rule[list[str]]:
    """Gemma: each ``period``-th layer attends in full, the others in the window; field ``name`` may state the period.

    >>> full_every(3)({"num_hidden_layers": 4})
    ['sliding_attention', 'sliding_attention', 'full_attention', 'sliding_attention']
    """

    @rule(name)
    def kinds(fields: Fields) -> list[str]:
        stated = max(whole(fields, name, period), 1)
        return [SLIDING if (layer + 1) % stated else FULL for layer in layers(fields)]

    return kinds


def full_first_and_every(period: int) -> Rule[list[str]]:
    """Granite: the first layer and each ``period``-th after it attend in full, the others in the window."""
    return Rule("", lambda fields: [SLIDING if layer % period else FULL for layer in layers(fields)])


@rule("layer_rope_theta")
def rotated_unless_zero(fields: Fields) -> list[int]:
    """Granite: a base of 0 in ``layer_rope_theta`` means a layer without rotation."""
    bases = fields.get("layer_rope_theta")
    if bases is None:
        return []
    if not isinstance(bases, list) or not all(isinstance(base, int | float) for base in bases):
        msg = f"layer_rope_theta: given {shown(bases)}, expected a list of numbers, one a layer"
        raise ValueError(msg)
    return [int(base != 0) for base in bases]


def windowed_but_every(name: str, period: int) -> Rule[list[str]]:
    """EXAONE 4: each ``period``-th layer attends in full, the others in the window, where there is one.

    Field ``name`` states the period as a number, or as letters, one a layer: ``LLLG`` is 4.
    """

    @rule(name)
    def kinds(fields: Fields) -> list[str]:
        stated = fields.get(name)
        number = len(stated) if isinstance(stated, str) else max(whole(fields, name, period), 1)
        return [] if fields.get("sliding_window") is None else full_every(number, "")(fields)

    return kinds


def rotated_in_windows(fields: Fields) -> list[int]:
    """EXAONE 4: where there are windows, the layers that have them rotate, and those that attend in full do not."""
    if fields.get("sliding_window") is None:
        return []
    return [int(kind == SLIDING) for kind in fields["layer_types"]]


def rotated_where_windowed(fields: Fields) -> list[int]:
    """Command R7B: the layers with a window rotate, and those that attend in full do not."""
    windowed = fields.get("sliding_window") is not None
    return [int(windowed and kind == SLIDING) for kind in fields["layer_types"]]


@rule("use_sliding_window max_window_layers")
def windowed_from(fields: Fields) -> list[str]:
    """Qwen2: the layers from ``max_window_layers`` on have the window, where ``use_sliding_window`` says so."""
    first = whole(fields, "max_window_layers", 28)
    if not flag(fields, "use_sliding_window", False) or fields.get("sliding_window") is None:
        return []
    return [SLIDING if layer >= first else FULL for layer in layers(fields)]


def windowed_from_layer(name: str, default: int) -> Rule[list[str]]:
    """dots.llm1: the layers from ``name`` on have the window, where there is one."""

    @rule(name)
    def kinds(fields: Fields) -> list[str]:
        first = whole(fields, name, default)
        if fields.get("sliding_window") is None:
            return []
        return [SLIDING if layer >= first else FULL for layer in layers(fields)]

    return kinds


def attending_in_full(name: str) -> Rule[list[str]]:
    """MiniMax-M2: ``name`` lists the kind of each layer, 1 for attention in full, and it is 1 everywhere."""

    @rule(name)
    def kinds(fields: Fields) -> list[str]:
        if any(kind != 1 for kind in fields.get(name) or ()):
            msg = f"{name}: given {shown(fields[name])}, expected 1 for each layer"
            raise ValueError(msg)
        return []

    return kinds


def alike(name: str, default: int) -> Rule[int]:
    """Hunyuan: a number, or a list with the number of each layer, which are all the same.

    >>> alike("topk", 1)({"topk": [8, 8]})
    8
    """

    @rule(name)
    def number(fields: Fields) -> int:
        given = fields.get(name)
        if not isinstance(given, list) or not given:
            return whole(fields, name, default)
        if any(entry != given[0] for entry in given):
            msg = f"{name}: given {shown(given)}, expected the same number for each layer"
            raise ValueError(msg)
        return whole({name: given[0]}, name, default)

    return number


def rotated_but_every(period: int) -> Rule[list[int]]:
    """SmolLM3: each ``no_rope_layer_interval``-th layer has no rotation."""

    @rule("no_rope_layer_interval")
    def rotations(fields: Fields) -> list[int]:
        stated = max(whole(fields, "no_rope_layer_interval", period), 1)
        return [int((layer + 1) % stated != 0) for layer in layers(fields)]

    return rotations


def routed_every(step: str, *, but: str) -> Rule[list[int]]:
    """Qwen2-MoE: each ``step``-th layer has experts, except those that ``but`` lists.

    >>> routed_every("s", but="b")({"num_hidden_layers": 4, "s": 2, "b": [3]})
    [0, 1, 0, 0]
    """

    @rule(f"{step} {but}")
    def routes(fields: Fields) -> list[int]:
        period, dense = max(whole(fields, step, 1), 1), numbers(fields, but)
        return [int((layer + 1) % period == 0 and layer not in dense) for layer in layers(fields)]

    return routes


def routed_from(name: str, default: int) -> Rule[list[int]]:
    """DeepSeek: the first layers are dense, field ``name`` says how many.

    >>> routed_from("n", 0)({"num_hidden_layers": 3, "n": 1})
    [0, 1, 1]
    """
    return Rule(name, lambda fields: [int(layer >= whole(fields, name, default)) for layer in layers(fields)])


def _named(fields: Fields, name: str, yes: str, no: str) -> list[int]:
    """1 for each layer that ``name`` calls ``yes``, 0 for each that it calls ``no``."""
    given = fields[name]
    if not isinstance(given, list) or any(entry not in (yes, no) for entry in given):
        msg = f"{name}: given {shown(given)}, expected a list of {no} and {yes}"
        raise ValueError(msg)
    return [int(kind == yes) for kind in given]


def routed_as_named(dense: int) -> Rule[list[int]]:
    """GLM-4.7-Flash: ``mlp_layer_types`` says of each layer whether it is sparse, else all are but the first ones.

    >>> routed_as_named(1)({"num_hidden_layers": 3, "mlp_layer_types": ["sparse", "dense", "sparse"]})
    [1, 0, 1]
    """

    @rule("mlp_layer_types first_k_dense_replace")
    def routes(fields: Fields) -> list[int]:
        if fields.get("mlp_layer_types") is None:
            return routed_from("first_k_dense_replace", dense)(fields)
        return _named(fields, "mlp_layer_types", "sparse", "dense")

    return routes


def routed_by_pattern(dense: int) -> Rule[list[int]]:
    """MiMo: 1 in ``moe_layer_freq``, or a name, says which layers have experts; all but the first ones else.

    >>> routed_by_pattern(1)({"num_hidden_layers": 3, "moe_layer_freq": [0, 0, 1]})
    [0, 0, 1]
    """

    @rule("moe_layer_freq mlp_layer_types first_k_dense_replace")
    def routes(fields: Fields) -> list[int]:
        pattern = fields.get("moe_layer_freq")
        if not isinstance(pattern, list):
            return routed_as_named(dense)(fields)
        if any(entry not in (0, 1) for entry in pattern):
            msg = f"moe_layer_freq: given {shown(pattern)}, expected a list of 0 and 1"
            raise ValueError(msg)
        return [int(entry) for entry in pattern]

    return routes


@rule("indexer_types index_topk_pattern index_topk_freq index_skip_topk_offset")
def picking_as_named(fields: Fields) -> list[int]:
    """GLM-5: ``indexer_types``, or a pattern of letters, says which layers have an indexer, else each so many do.

    >>> picking_as_named({"num_hidden_layers": 7, "index_topk_freq": 4, "index_skip_topk_offset": 3})
    [1, 1, 1, 0, 0, 0, 1]
    """
    if fields.get("indexer_types") is not None:
        return _named(fields, "indexer_types", "full", "shared")
    pattern = fields.get("index_topk_pattern")
    if pattern is not None:
        return _named({"index_topk_pattern": list(pattern)}, "index_topk_pattern", "F", "S")
    period, first = max(whole(fields, "index_topk_freq", 1), 1), whole(fields, "index_skip_topk_offset", 2)
    return [int(max(layer - first + 1, 0) % period == 0) for layer in layers(fields)]


@rule("moe_layer_start_index moe_layer_end_index moe_layer_interval")
def routed_between(fields: Fields) -> list[int]:
    """ERNIE 4.5: every so many layers have experts, from one layer on, to another; -1 is the last."""
    first, period = whole(fields, "moe_layer_start_index", 1), max(whole(fields, "moe_layer_interval", 1), 1)
    stated = fields.get("moe_layer_end_index")
    last = MAX_LAYERS if stated in (None, -1) else whole(fields, "moe_layer_end_index", 0)
    return [int((layer + 1) % period == 0 and first <= layer <= last) for layer in layers(fields)]


@rule("moe_layers interleave_moe_layer_step")
def routed_as_listed(fields: Fields) -> list[int]:
    """Llama 4: ``moe_layers`` lists them by number, else each ``interleave_moe_layer_step``-th has experts."""
    if fields.get("moe_layers") is None:
        return routed_every("interleave_moe_layer_step", but="")(fields)
    listed = numbers(fields, "moe_layers")
    return [int(layer in listed) for layer in layers(fields)]


def chunked_where_rotated(fields: Fields) -> list[str]:
    """Llama 4: layers with rotation attend within chunks, the others in full."""
    return [CHUNKED if rotated else FULL for rotated in fields["no_rope_layers"]]


def numbers(fields: Fields, name: str) -> set[int]:
    """A field that lists layers by their numbers; none where it is absent."""
    value = [] if fields.get(name) is None else fields[name]
    if not isinstance(value, list) or not all(isinstance(entry, int) for entry in value):
        msg = f"{name}: given {shown(value)}, expected a list of layer numbers"
        raise ValueError(msg)
    return set(value)


def unless_null(name: str, default: Any) -> Callable[[Fields], Any]:
    """An option whose absence means ``default``, and whose null means none; ``name`` is what the file calls it."""
    return lambda fields: None if name in fields else default


@rule("head_dim")
def width_of_hidden(fields: Fields) -> int | None:
    """Helium: the width of a head; its output projection is square, so that all are as wide as the hidden size."""
    if fields.get("head_dim", 128) is None:
        return None
    width, heads, hidden = whole(fields, "head_dim", 128), fields.get("num_attention_heads"), fields.get("hidden_size")
    if isinstance(heads, int) and isinstance(hidden, int) and width * heads != hidden:
        given = f"head_dim {width} of num_attention_heads {shown(heads)}"
        msg = f"{given}: expected hidden_size {shown(hidden)} in all, of which the output projection is made"
        raise ValueError(msg)
    return width


def alternating_from_the_first(name: str, default: int) -> Rule[list[str]]:
    """ModernBERT: the first and each ``name``-th layer after it attend in full, the others in the window.

    >>> alternating_from_the_first("n", 3)({"num_hidden_layers": 5})
    ['full_attention', 'sliding_attention', 'sliding_attention', 'full_attention', 'sliding_attention']
    """

    @rule(name)
    def kinds(fields: Fields) -> list[str]:
        period = max(whole(fields, name, default), 1)
        return [SLIDING if layer % period else FULL for layer in layers(fields)]

    return kinds


@rule("num_labels id2label")
def label_count(fields: Fields) -> int:
    """The labels of a classifier: as many as ``id2label`` names, two where the file says nothing."""
    if fields.get("num_labels") is not None:
        return whole(fields, "num_labels", 2)
    named = fields.get("id2label") or {}
    if not isinstance(named, Mapping):
        msg = f"id2label: given {shown(named)}, expected a mapping of the labels"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return len(named) or 2


def unless_equal(name: str, other: str, default: int) -> Rule[int | None]:
    """A field that matters only where it differs from ``other``.

    >>> unless_equal("e", "h", 128)({"e": 64, "h": 64}) is None
    True
    """

    @rule(name)
    def width(fields: Fields) -> int | None:
        value = whole(fields, name, default)
        return None if value == fields.get(other) else value

    return width
