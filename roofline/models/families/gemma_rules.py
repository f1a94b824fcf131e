"""How the fields of Gemma 4 follow from others: its layers that attend in full, its experts beside a dense layer."""

from __future__ import annotations

from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Fields, Rule, rule
from roofline.models.families.rules import FULL, flag, full_every, whole


def full_every_and_last(period: int) -> Rule[list[str]]:
    """Each ``period``-th layer attends in full, and the last one.

    >>> full_every_and_last(3)({"num_hidden_layers": 4})
    ['sliding_attention', 'sliding_attention', 'full_attention', 'full_attention']
    """
    return Rule("", lambda fields: [*full_every(period, "")(fields)[:-1], FULL])


@rule("global_head_dim hidden_size_per_layer_input")
def global_width(fields: Fields) -> int:
    """The head dimension of layers that attend in full; embeddings of each layer (Gemma 3n) are refused."""
    absent = 0 if "hidden_size_per_layer_input" in fields else 256  # null asks for none
    if (own := whole(fields, "hidden_size_per_layer_input", absent)) != 0:
        msg = f"hidden_size_per_layer_input {shown(own)} is not modelled; expected 0"
        raise ValueError(msg)
    return whole(fields, "global_head_dim", 512)


@rule("num_global_key_value_heads")
def global_key_heads(fields: Fields) -> int | None:
    """The key/value heads of layers that attend in full, which only have a number of their own without values."""
    own = whole(fields, "num_global_key_value_heads", 0) or None
    return own if flag(fields, "attention_k_eq_v", False) else None


def _where_routed(name: str) -> Rule[int | None]:
    return Rule(
        name, lambda fields: whole(fields, name, 0) or None if flag(fields, "enable_moe_block", False) else None
    )


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
