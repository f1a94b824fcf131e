"""The decoders that attend to what an indexer picks of blocks or compressed entries: MiniMax-M3, DeepSeek-V4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Family, Fields, Rule, causal, rule
from roofline.models.families.mixtures import MIXTURE
from roofline.models.families.recurrent_rules import listed
from roofline.models.families.rules import FULL, SLIDING, layers, routed_by_pattern, whole

_SPARSE, _HEAVY = "compressed_sparse_attention", "heavily_compressed_attention"
_BLOCKS = "block_sparse_attention"
_RATES = {0: SLIDING, 4: _SPARSE, 128: _HEAVY}


@rule("layer_types compress_ratios")
def _compressed_by_ratio(fields: Fields) -> list[Any]:
    """``compress_ratios`` lists tokens to an entry, 0 for a window alone; those of layers ahead are left out."""
    count = len(layers(fields))
    ratios = fields.get("compress_ratios")
    stated = listed(fields, "layer_types")
    if stated is not None:
        return stated[:count]
    if ratios is None:
        return [_SPARSE if layer > 1 and layer % 2 else _HEAVY for layer in range(count)]
    if not isinstance(ratios, list) or any(not isinstance(each, int) or each not in _RATES for each in ratios):
        msg = f"compress_ratios: given {shown(ratios)}, expected a list of {', '.join(map(str, _RATES))}"
        raise ValueError(msg)
    return [_RATES[each] for each in ratios[:count]]


def _rate(kind: str, legacy: str, default: int) -> Rule[int]:
    """Tokens to an entry, by the kind of attention."""

    @rule(f"compress_rates {legacy}")
    def rate(fields: Fields) -> int:
        rates = fields.get("compress_rates") or {}
        if not isinstance(rates, Mapping):
            msg = f"compress_rates: given {shown(rates)}, expected a mapping, {{name: value}}"
            raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
        return whole(fields, legacy, whole(rates, kind, default))

    return rate


@rule("qk_rope_head_dim partial_rotary_factor")
def _rotated_part(fields: Fields) -> int:
    given, width = fields.get("partial_rotary_factor"), fields["head_dim"]
    if given is None:
        return whole(fields, "qk_rope_head_dim", int(width * 64 / 512))
    if not isinstance(given, int | float) or not 0 < given <= 1:
        msg = f"partial_rotary_factor: given {shown(given)}, expected a number above 0, up to 1"
        raise ValueError(msg)
    return int(width * given)


_INNER = "sparse_attention_config"


@rule(f"layer_types {_INNER}.sparse_attention_freq")
def _sparse_by_number(fields: Fields) -> list[Any]:
    """MiniMax-M3: 1 in ``sparse_attention_freq`` is attention to blocks, or the name of it in ``layer_types``."""
    given = fields.get(f"{_INNER}.sparse_attention_freq")
    stated = listed(fields, "layer_types")
    if stated is not None:
        return [_BLOCKS if kind == "minimax_m3_sparse" else kind for kind in stated]
    if given is None:
        return [FULL for _ in layers(fields)]
    if not isinstance(given, list) or any(entry not in (0, 1) for entry in given):
        msg = f"{_INNER}.sparse_attention_freq: given {shown(given)}, expected a list of 0 and 1"
        raise ValueError(msg)
    return [_BLOCKS if entry else FULL for entry in given[: len(layers(fields))]]


def _of_indexer(name: str, inner: str, default: int) -> Rule[int]:
    """A size of MiniMax-M3's indexer, within ``sparse_attention_config`` or beside it."""
    path = f"{_INNER}.{inner}"
    return Rule(f"{name} {path}", lambda fields: whole(fields, path, whole(fields, name, default)))


COMPRESSED: dict[str, Family] = {
    "minimax_m3_vl_text": replace(
        MIXTURE.but(
            causal("MiniMaxM3VL", "MiniMaxM3VLText") | causal("MiniMaxM3") | causal("MiniMaxM3Sparse"),
            without="attention_bias",
            rename={
                "intermediate_size": "moe_intermediate_size",
                "dense_intermediate_size": "intermediate_size",
                "shared_intermediate_size": "shared_expert_intermediate_size",
            },
            options={
                "num_key_value_heads": 4,
                "head_dim": 128,
                "num_local_experts": 128,
                "num_experts_per_tok": 4,
                "moe_intermediate_size": 3072,
                "intermediate_size": 12288,
                "shared_expert_intermediate_size": 3072,
            },
            fixed={
                "query_key_norm": "shared",
                "hidden_act": "silu",
                "expert_activation": "clamped_silu",
                "packed_gate": True,
                "layer_types": _sparse_by_number,
                "moe_layers": routed_by_pattern(0),
                "index_n_heads": _of_indexer("index_n_heads", "sparse_num_index_heads", 4),
                "index_head_dim": _of_indexer("index_head_dim", "sparse_index_dim", 128),
                "index_block_size": _of_indexer("index_block_size", "sparse_block_size", 128),
                "index_topk_blocks": _of_indexer("index_topk_blocks", "sparse_topk_blocks", 16),
            },
            only={
                "n_shared_experts": 1,
                "use_qk_norm": True,
                "qk_norm_type": "per_head",
                "attention_output_gate": False,
                f"{_INNER}.sparse_init_block": 0,
                f"{_INNER}.use_sparse_attention": True,
            },
            inert="hidden_act rotary_dim partial_rotary_factor use_gemma_norm use_routing_bias scoring_func "
            "swiglu_alpha swiglu_limit routed_scaling_factor index_local_blocks num_mtp_modules mtp_transformer_layers "
            f"{_INNER}.sparse_local_block {_INNER}.sparse_score_type {_INNER}.sparse_disable_index_value",
        ),
        nested=(_INNER,),
    ),
    "deepseek_v4": MIXTURE.but(
        causal("DeepseekV4"),
        without="attention_bias num_key_value_heads",
        rename={
            "n_routed_experts": "num_local_experts",
            "hc_mult": "residual_streams",
            "hc_sinkhorn_iters": "stream_rounds",
        },
        options={
            "head_dim": 512,
            "q_lora_rank": 1024,
            "o_groups": 8,
            "o_lora_rank": 1024,
            "sliding_window": 128,
            "index_n_heads": 64,
            "index_head_dim": 128,
            "index_topk": 512,
            "num_local_experts": 256,
            "num_experts_per_tok": 6,
            "moe_intermediate_size": 2048,
            "residual_streams": 4,
            "stream_rounds": 20,
        },
        fixed={
            "num_key_value_heads": 1,
            "intermediate_size": rule("intermediate_size")(lambda fields: fields["moe_intermediate_size"]),
            "qk_rope_head_dim": _rotated_part,
            "layer_types": _compressed_by_ratio,
            "csa_rate": _rate(_SPARSE, "compress_rate_csa", 4),
            "hca_rate": _rate(_HEAVY, "compress_rate_hca", 128),
            "shared_expert_intermediate_size": rule("shared_expert_intermediate_size")(
                lambda fields: fields["moe_intermediate_size"]
            ),
        },
        only={"num_key_value_heads": 1, "attention_bias": False, "mlp_bias": False, "n_shared_experts": 1},
        inert="scoring_func topk_method norm_topk_prob routed_scaling_factor hc_eps compress_rope_theta "
        "num_hash_layers mlp_layer_types swiglu_limit expert_dtype n_group topk_group",
    ),
}
