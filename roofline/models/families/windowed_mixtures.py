"""The decoders with experts and with windows in some layers: AFMoE, Command A, K-EXAONE, MiMo, Step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Family, Fields, Rule, causal, rule
from roofline.models.families.llama_line import LLAMA_LINE
from roofline.models.families.mixtures import DENSE_FIRST, MIXTURE, shared_width
from roofline.models.families.recurrent_rules import listed
from roofline.models.families.rules import (
    FULL,
    SLIDING,
    full_every,
    layers,
    numbers,
    rotated_where_windowed,
    routed_as_named,
    routed_by_pattern,
    routed_from,
    unless_null,
    whole,
)

_ROUTER = "output_router_logits norm_topk_prob n_group topk_group routed_scaling_factor scoring_func topk_method"


@rule("hybrid_layer_pattern layer_types")
def _windowed_by_pattern(fields: Fields) -> list[Any]:
    """MiMo: 1 in ``hybrid_layer_pattern`` is a window; else the first layer and each sixth attend in full."""
    pattern = fields.get("hybrid_layer_pattern")
    if pattern is None:
        usual = [FULL if layer == 0 or (layer + 1) % 6 == 0 else SLIDING for layer in layers(fields)]
        return listed(fields, "layer_types") or usual
    if not isinstance(pattern, list) or any(entry not in (0, 1) for entry in pattern):
        msg = f"hybrid_layer_pattern: given {shown(pattern)}, expected a list of 0 and 1"
        raise ValueError(msg)
    return [SLIDING if entry else FULL for entry in pattern]


@rule("num_key_value_heads swa_num_key_value_heads")
def _windowed_key_heads(fields: Fields) -> int:
    """MiMo: layers with a window have twice the key/value heads of those that attend in full."""
    return whole(fields, "swa_num_key_value_heads", 2 * whole(fields, "num_key_value_heads", 4))


@rule("sliding_window sliding_window_size")
def _window_with_itself(fields: Fields) -> int:
    """MiMo: ``sliding_window_size`` counts the tokens before the one that looks, ``sliding_window`` that one too."""
    if fields.get("sliding_window_size") is not None:
        return whole(fields, "sliding_window_size", 128) + 1
    return whole(fields, "sliding_window", 129)


@rule("num_attention_heads attention_other_setting num_sliding_attention_heads")
def _windowed_heads(fields: Fields) -> int:
    """Step: the query heads of layers with a window, as many as in full ones where the file does not say."""
    other, heads = fields.get("attention_other_setting"), whole(fields, "num_attention_heads", 64)
    if fields.get("num_sliding_attention_heads") is not None or other is None:
        return whole(fields, "num_sliding_attention_heads", heads)
    if not isinstance(other, Mapping):
        msg = f"attention_other_setting: given {shown(other)}, expected a mapping, {{name: value}}"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return whole(other, "num_attention_heads", heads)


def _is_per_head(fields: Fields) -> bool:
    """Laguna: whether a gate is one number for a head, where ``gating`` is true or says so."""
    return fields.get("gating") in (None, True, "per-head")


def _heads_of(kind: str) -> Rule[int]:
    """Laguna: the query heads of all layers of a kind, by ``num_attention_heads_per_layer``."""

    @rule("num_attention_heads num_attention_heads_per_layer layer_types")
    def heads(fields: Fields) -> int:
        usual, given = whole(fields, "num_attention_heads", 48), fields.get("num_attention_heads_per_layer")
        if given is None:
            return usual
        kinds = listed(fields, "layer_types") or [FULL for _ in layers(fields)]
        if not isinstance(given, list) or len(given) != len(kinds):
            msg = f"num_attention_heads_per_layer: given {shown(given)}, expected a number for each layer"
            raise ValueError(msg)
        own = {each for each, its in zip(given, kinds, strict=True) if its == kind}
        if len(own) > 1:
            msg = f"num_attention_heads_per_layer: given {shown(given)}, expected one number for all layers of {kind}"
            raise ValueError(msg)
        return whole({"heads": next(iter(own), usual)}, "heads", usual)

    return heads


@rule("layer_types num_nextn_predict_layers")
def _without_those_ahead(fields: Fields) -> list[Any]:
    """Step: the kinds of the layers; those of multi-token prediction that a file lists behind them are left out."""
    kinds = listed(fields, "layer_types") or [FULL for _ in layers(fields)]
    return kinds[: len(layers(fields))]


def _routed_by_number_or(first: int, last: int | None = None) -> Rule[list[int]]:
    """Step: ``moe_layers_enum`` numbers the layers with experts, by commas or in a list; else from ``first`` to those
    before ``last``, as a slice."""

    @rule("mlp_layer_types moe_layers_enum")
    def routed(fields: Fields) -> list[int]:
        if fields.get("mlp_layer_types") is not None:
            return routed_as_named(first)(fields)[: len(layers(fields))]
        given = fields.get("moe_layers_enum")
        if given is None:
            given = list(layers(fields))[first:last]
        if isinstance(given, str):
            words = [word.strip() for word in given.split(",") if word.strip()]
            if not all(word.isdecimal() for word in words):
                msg = f"moe_layers_enum: given {shown(given)}, expected numbers of layers between commas"
                raise ValueError(msg)
            given = [int(word) for word in words]
        chosen = numbers({"moe_layers_enum": given}, "moe_layers_enum")
        return [int(layer in chosen) for layer in layers(fields)]

    return routed


@rule("is_moe_layer mlp_layer_types first_k_dense_replace first_last_k_dense_replace")
def _routed_where_true(fields: Fields) -> list[int]:
    """K-EXAONE: ``is_moe_layer`` says true for each layer with experts; else they are named, or all but the first."""
    given = fields.get("is_moe_layer")
    if given is None:
        return routed_as_named(1)(fields)
    if not isinstance(given, list) or not all(isinstance(entry, bool) for entry in given):
        msg = f"is_moe_layer: given {shown(given)}, expected a list of true and false"
        raise ValueError(msg)
    return [int(entry) for entry in given]


@rule("first_k_dense_replace prefix_dense_sliding_window_pattern sliding_window_pattern layer_types")
def _prefix_then_pattern(fields: Fields) -> list[Any]:
    """Command A: each so many layers attend in full, those before the experts by a period of their own."""
    first = min(whole(fields, "first_k_dense_replace", 0), len(layers(fields)))
    period = max(whole(fields, "prefix_dense_sliding_window_pattern", 1), 1)
    rest = full_every(max(whole(fields, "sliding_window_pattern", 4), 1), "")
    before = [FULL if (layer + 1) % period == 0 else SLIDING for layer in range(first)]
    return listed(fields, "layer_types") or before + rest({"num_hidden_layers": len(layers(fields)) - first})


@rule("prefix_dense_sliding_window_pattern")
def _rotated_before_experts(fields: Fields) -> list[int]:
    """Command A: layers with a window rotate, and dense ones before the experts, unless they have windows too."""
    forced = whole(fields, "prefix_dense_sliding_window_pattern", 1) == 1
    windowed, routed = rotated_where_windowed(fields), fields["moe_layers"]
    return [int(each or (forced and not sent)) for each, sent in zip(windowed, routed, strict=False)]


def _stated_before(name: str, default: int) -> Rule[int]:
    """A number as the file states it; its entry stands before that of the rule that gives the name another value."""
    return Rule("", lambda fields: whole(fields, name, default))


_NORM = {"norm": rule("rms_norm_eps")(lambda fields: "layer_gain" if fields.get("rms_norm_eps") is None else "rms")}

WINDOWED_MIXTURES: dict[str, Family] = {
    "afmoe": MIXTURE.but(
        causal("Afmoe"),
        without="attention_bias",
        rename={"num_experts": "num_local_experts"},
        options={
            "head_dim": unless_null("head_dim", 128),
            "sliding_window": unless_null("sliding_window", 1024),
            "layer_types": full_every(4, "global_attn_every_n_layers"),
            "num_local_experts": 64,
            "num_experts_per_tok": 6,
            "moe_intermediate_size": 1408,
        },
        fixed={
            "blocks": "sandwich",
            "query_key_norm": "shared",
            "attention_gate": "element",
            "no_rope_layers": rotated_where_windowed,
            "router_bias": True,  # of the scores that choose, not of those that weigh
            "shared_expert_intermediate_size": shared_width(2, "num_shared_experts"),
            "moe_layers": routed_from("num_dense_layers", 1),
        },
        only={"attention_bias": False},
        inert="route_scale route_norm score_func mup_enabled load_balance_coeff n_group topk_group",
    ),
    "cohere2_moe": MIXTURE.but(
        causal("Cohere2Moe"),
        rename={
            "num_experts": "num_local_experts",
            "intermediate_size": "moe_intermediate_size",
            "prefix_dense_intermediate_size": "intermediate_size",
        },
        options={
            "head_dim": 128,
            "tie_word_embeddings": True,
            "sliding_window": unless_null("sliding_window", 4096),
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 22528,
            "intermediate_size": lambda fields: fields["moe_intermediate_size"],
        },
        fixed={
            **_NORM,
            "blocks": "parallel",
            "layer_types": _prefix_then_pattern,
            "moe_layers": rule("mlp_layer_types first_k_dense_replace")(routed_as_named(0)),
            "no_rope_layers": _rotated_before_experts,
            "shared_expert_intermediate_size": rule("num_shared_experts")(
                lambda fields: whole(fields, "num_shared_experts", 0) * int(fields["moe_intermediate_size"])
            ),
        },
        inert="logit_scale expert_selection_fn shared_expert_combination_strategy use_parallel_block use_qk_norm",
    ),
    "exaone_moe": LLAMA_LINE["exaone4"].but(
        causal("ExaoneMoe") | {"ExaoneMoEForCausalLM": {"head": True}},
        rename={"num_experts": "num_local_experts"},
        options={"num_local_experts": 64, "num_experts_per_tok": 8, "moe_intermediate_size": 1024},
        fixed={
            "blocks": "pre",
            "shared_expert_intermediate_size": shared_width(1, "num_shared_experts"),
            "moe_layers": _routed_where_true,
        },
        inert=_ROUTER,
    ),
    "laguna": MIXTURE.but(
        causal("Laguna"),
        without="attention_bias",
        rename={"num_experts": "num_local_experts"},
        options={
            "num_key_value_heads": 8,
            "head_dim": 128,
            "sliding_window": unless_null("sliding_window", 512),
            "num_local_experts": 256,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 512,
            "shared_expert_intermediate_size": 512,
        },
        fixed={
            "query_key_norm": "shared",
            "layer_types": _without_those_ahead,
            "attention_gate": rule("gating")(lambda fields: "head" if _is_per_head(fields) else "element"),
            "global_attention_heads": _heads_of(FULL),
            "num_attention_heads": _heads_of(SLIDING),
            "router_bias": True,  # of the scores that choose, not of those that weigh
            "moe_layers": routed_as_named(1),
        },
        only={"attention_bias": False},
        inert="moe_routed_scaling_factor moe_apply_router_weight_on_input moe_router_logit_softcapping "
        "use_bidirectional_attention partial_rotary_factor",
    ),
    "mimo_v2_flash": DENSE_FIRST.but(
        causal("MiMoV2Flash"),
        options={
            "head_dim": 192,
            "v_head_dim": 128,
            "num_local_experts": 256,
            "moe_intermediate_size": 2048,
        },
        fixed={
            "global_key_value_heads": _stated_before("num_key_value_heads", 4),
            "num_key_value_heads": _windowed_key_heads,
            "sliding_window": _window_with_itself,
            "layer_types": _windowed_by_pattern,
            "sinks": "sliding",
            "moe_layers": routed_by_pattern(1),
            "shared_expert_intermediate_size": 0,
        },
        only={"add_swa_attention_sink_bias": True, "add_full_attention_sink_bias": False, "n_shared_experts": None},
        inert="attention_value_scale swa_num_attention_heads swa_head_dim swa_v_head_dim swa_rope_theta "
        "attention_chunk_size attention_projection_layout hybrid_block_size",
    ),
    "step3_text": MIXTURE.but(
        {"Step3TextForCausalLM": {"head": True}, "Step3VLForConditionalGeneration": {"head": True}}
        | {"Step3TextModel": {"head": False}},
        without="attention_bias num_key_value_heads",
        rename={
            "max_position_embedding": "max_position_embeddings",
            "share_q_dim": "q_lora_rank",
            "moe_num_experts": "num_local_experts",
            "moe_top_k": "num_experts_per_tok",
            "share_expert_dim": "shared_expert_intermediate_size",
        },
        options={
            "vocab_size": 128_815,
            "hidden_size": 7168,
            "intermediate_size": 18_432,
            "num_hidden_layers": 61,
            "num_attention_heads": 64,
            "max_position_embeddings": 65_536,
            "head_dim": 256,
            "q_lora_rank": 2048,
            "num_local_experts": 48,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 5120,
            "shared_expert_intermediate_size": 5120,
        },
        fixed={"num_key_value_heads": 1, "moe_layers": _routed_by_number_or(4, -1)},
        only={"num_attention_groups": 1},
        inert="max_seq_len norm_expert_weight",
    ),
    "step3p5": MIXTURE.but(
        causal("Step3p5") | {"Step3p7ForConditionalGeneration": {"head": True}, "Step3p7TextModel": {"head": False}},
        without="attention_bias",
        rename={
            "num_attention_groups": "num_key_value_heads",
            "moe_num_experts": "num_local_experts",
            "n_routed_experts": "num_local_experts",
            "moe_top_k": "num_experts_per_tok",
            "share_expert_dims": "shared_expert_intermediate_size",
            "share_expert_dim": "shared_expert_intermediate_size",
        },
        options={
            "num_key_value_heads": 8,
            "head_dim": 128,
            "sliding_window": None,
            "num_local_experts": 288,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 1280,
            "shared_expert_intermediate_size": 1280,
        },
        fixed={
            "query_key_norm": "shared",
            "attention_gate": "head",
            "global_attention_heads": _stated_before("num_attention_heads", 64),
            "num_attention_heads": _windowed_heads,
            "layer_types": _without_those_ahead,
            "moe_layers": _routed_by_number_or(3),
        },
        only={"attention_bias": False, "mlp_bias": False, "use_qk_norm": True, "use_head_wise_attn_gate": True},
        inert="query_pre_attn_scalar moe_router_scaling_factor moe_router_activation swiglu_limits "
        "swiglu_limits_shared partial_rotary_factors use_moe use_moe_router_bias need_fp32_gate zero_centered "
        "max_seq_len yarn_only_types mtp_layer_types mtp_mlp_layer_types norm_expert_weight sink att_impl_type "
        "use_rope_layers num_mtp_layers",
    ),
}
