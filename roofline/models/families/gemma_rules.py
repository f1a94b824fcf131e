"""How the fields of Gemma 4 follow from others: its layers that attend in full, its experts beside a dense layer."""

from __future__ import annotations

from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Fields, Rule, rule
from roofline.models.families.rules import FULL, flag, full_every, layers, whole


def full_every_and_last(period: int) -> Rule[list[str]]:
    """Each ``period``-th layer attends in full, and the last one.

    >>> full_every_and_last(3)({"num_hidden_layers": 4})
    ['sliding_attention', 'sliding_attention', 'full_attention', 'full_attention']
    """
    return Rule("", lambda fields: [*full_every(period, "")(fields)[:-1], FULL])


@rule("hidden_size_per_layer_input")
def per_layer_width(fields: Fields) -> int | None:
    """The width of the embeddings that each layer has for itself; null and 0 ask for none."""
    absent = 0 if "hidden_size_per_layer_input" in fields else 256
    return whole(fields, "hidden_size_per_layer_input", absent) or None


def borrowing_last(absent: int) -> Rule[list[int]]:
    """The last ``num_kv_shared_layers`` borrow the keys and values of the last layer of their kind before them.

    >>> borrowing_last(0)({"num_hidden_layers": 3, "num_kv_shared_layers": 1})
    [0, 0, 1]
    """

    @rule("num_kv_shared_layers")
    def borrowing(fields: Fields) -> list[int]:
        shared, numbers = whole(fields, "num_kv_shared_layers", absent), layers(fields)
        if shared > len(numbers):
            msg = f"num_kv_shared_layers: given {shown(shared)}, expected fewer than num_hidden_layers, {len(numbers)}"
            raise ValueError(msg)
        return [int(number >= len(numbers) - shared) for number in numbers]

    return borrowing


@rule("use_double_wide_mlp")
def borrowing_width(fields: Fields) -> int | None:
    """Twice the feed-forward width in layers that borrow keys and values, where the file asks for it."""
    if not flag(fields, "use_double_wide_mlp", False):
        return None
    if flag(fields, "enable_moe_block", False):
        msg = "use_double_wide_mlp true is not modelled beside experts; expected false"
        raise ValueError(msg)
    return 2 * whole(fields, "intermediate_size", 0)


@rule("intermediate_size")
def one_width(fields: Fields) -> int:
    """Gemma 3n: the feed-forward width, or a list of it, whose entries are the same."""
    given = fields.get("intermediate_size", 16_384)
    if isinstance(given, list) and given and all(each == given[0] for each in given):
        given = given[0]
    if isinstance(given, list):
        msg = f"intermediate_size: given {shown(given)}, expected one width for all layers"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return whole({"intermediate_size": given}, "intermediate_size", 0)


@rule("num_global_key_value_heads")
def global_key_heads(fields: Fields) -> int | None:
    """The key/value heads of layers that attend in full, which only have a number of their own without values."""
    own = whole(fields, "num_global_key_value_heads", 0) or None
    if own and (heads := whole(fields, "num_attention_heads", 0)) % own:
        msg = f"num_global_key_value_heads {own} does not divide num_attention_heads {heads}"
        raise ValueError(msg)
    return own if flag(fields, "attention_k_eq_v", False) else None


def _where_routed(name: str) -> Rule[int | None]:
    @rule(name)
    def routed(fields: Fields) -> int | None:
        if not flag(fields, "enable_moe_block", False):
            return None
        if (given := fields.get(name)) is not None and not whole(fields, name, 0):
            msg = f"{name}: given {shown(given)}, expected a whole number from 1 on, since enable_moe_block is true"
            raise ValueError(msg)
        return whole(fields, name, 0) or None

    return routed


@rule("enable_moe_block")
def _dense_width(fields: Fields) -> int:
    return whole(fields, "intermediate_size", 0) if flag(fields, "enable_moe_block", False) else 0


gemma_experts: dict[str, Any] = {
    "num_local_experts": _where_routed("num_experts"),
    "num_experts_per_tok": _where_routed("top_k_experts"),
    "moe_intermediate_size": _where_routed("moe_intermediate_size"),
    "shared_expert_intermediate_size": _dense_width,
    "router_bias": True,  # a scale of each expert, which is as large
    "expert_norms": True,
}
"""Experts, where there are any, beside the dense layer, which goes as what all tokens share."""
