"""The decoders that attend to compressed entries: DeepSeek-V4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Family, Fields, Rule, causal, rule
from roofline.models.families.mixtures import MIXTURE, shared_width
from roofline.models.families.recurrent_rules import listed
from roofline.models.families.rules import SLIDING, layers, whole

_SPARSE, _HEAVY = "compressed_sparse_attention", "heavily_compressed_attention"
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


COMPRESSED: dict[str, Family] = {
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
            "shared_expert_intermediate_size": shared_width(1),
        },
        only={"num_key_value_heads": 1, "attention_bias": False, "mlp_bias": False},
        inert="scoring_func topk_method norm_topk_prob routed_scaling_factor hc_eps compress_rope_theta "
        "num_hash_layers mlp_layer_types swiglu_limit expert_dtype n_group topk_group",
    ),
}
