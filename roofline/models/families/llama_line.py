"""The decoders with RMSNorm, rotary positions and gates: Llama, and how each of its line departs from it."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import USUAL, Family, Fields, Rule, causal, text_part
from roofline.models.families.gemma_rules import (
    borrowing_last,
    borrowing_width,
    full_every_and_last,
    gemma_experts,
    global_key_heads,
    one_width,
    per_layer_width,
)
from roofline.models.families.rules import (
    as_attention_bias,
    by_flag,
    every_layer_windowed,
    full_every,
    full_first_and_every,
    rotated_but_every,
    rotated_in_windows,
    rotated_unless_zero,
    stated,
    unless_null,
    width_of_hidden,
    windowed_but_every,
    windowed_from,
)
from roofline.models.shapes import decoder

LLAMA = Family(
    decoder.DecoderConfig,
    decoder.program,
    classes=causal("Llama"),
    options={
        "num_key_value_heads": None,  # as many as query heads
        "head_dim": None,  # the hidden size shared among the heads
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    },
    fixed={"norm": "rms", "positions": "rotary", "gated": True, "attention_out_bias": as_attention_bias},
    only=USUAL,
)
"""What ``LlamaConfig`` of transformers has as defaults, and what its ``modeling_llama.py`` builds in."""

_GEMMA = LLAMA.but(
    without="mlp_bias",
    options={"head_dim": 256, "tie_word_embeddings": True, "hidden_act": "gelu_pytorch_tanh"},
    only={"use_bidirectional_attention": None},
)
_WINDOWED_GEMMA = _GEMMA.but(
    rename={"hidden_activation": "hidden_act"},
    options={
        "num_key_value_heads": 4,
        "sliding_window": 4096,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
    },
    fixed={"blocks": "sandwich"},
    inert="query_pre_attn_scalar cache_implementation hidden_act",
)
_CAPPED_GEMMA = _WINDOWED_GEMMA.but(
    options={
        "layer_types": full_every(2),
        "attn_logit_softcapping": unless_null("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": unless_null("final_logit_softcapping", 30.0),
    },
)
_GLM = LLAMA.but(
    causal("Glm"),
    without="mlp_bias",
    options={"num_key_value_heads": 2, "head_dim": unless_null("head_dim", 128), "attention_bias": True},
    fixed={"attention_out_bias": False, "packed_gate": True},
    inert="partial_rotary_factor",
)
GRANITE = LLAMA.but(
    causal("Granite"),
    without="head_dim",
    inert="embedding_multiplier logits_scaling residual_multiplier attention_multiplier",
)
_MISTRAL = LLAMA.but(
    causal("Mistral"),
    without="attention_bias mlp_bias",
    options={"num_key_value_heads": 8, "sliding_window": unless_null("sliding_window", 4096)},
    fixed={"layer_types": every_layer_windowed},
)
_OLMO2 = LLAMA.but(causal("Olmo2"), without="head_dim mlp_bias", fixed={"blocks": "branch", "query_key_norm": "across"})
_QWEN: Fields = {
    "num_key_value_heads": unless_null("num_key_value_heads", 32),
    "sliding_window": None,
    "layer_types": windowed_from,
}

_QWEN2 = LLAMA.but(
    causal("Qwen2"),
    without="head_dim mlp_bias",
    options=_QWEN,
    fixed={"attention_bias": True, "attention_out_bias": False},
)
_QWEN3 = LLAMA.but(
    causal("Qwen3"),
    without="mlp_bias",
    options={"head_dim": 128, **_QWEN},
    fixed={"query_key_norm": "shared"},
)
_SEEING_QWEN2: dict[str, Any] = {
    "without": "sliding_window layer_types",
    "options": {"num_key_value_heads": unless_null("num_key_value_heads", 8)},
    "only": {"use_sliding_window": False},
    "inert": "sliding_window layer_types max_window_layers vision_token_id",
}
_ERNIE: Fields = dict.fromkeys(("attention_bias", "attention_out_bias", "mlp_bias"), by_flag("use_bias", False))

LLAMA_LINE: dict[str, Family] = {
    "apertus": LLAMA.but(
        causal("Apertus"),
        without="head_dim mlp_bias",
        options={"hidden_act": "xielu"},
        fixed={"gated": False, "query_key_norm": "shared"},
        only={"post_norm": False, "qk_norm": True, "mlp_bias": False},
    ),
    "arcee": LLAMA.but(causal("Arcee"), options={"hidden_act": "relu2"}, fixed={"gated": False}),
    "bitnet": LLAMA.but(
        causal("BitNet"),
        without="head_dim mlp_bias",
        options={"num_key_value_heads": unless_null("num_key_value_heads", 5), "hidden_act": "relu2"},
        fixed={"inner_norms": True},
    ),
    "cwm": LLAMA.but(
        causal("Cwm"),
        without="attention_bias",
        options={
            "num_key_value_heads": 8,
            "head_dim": 128,
            "sliding_window": 8192,
            "layer_types": full_first_and_every(4),
        },
    ),
    "ernie4_5": LLAMA.but(
        causal("Ernie4_5"),
        options={
            "num_key_value_heads": unless_null("num_key_value_heads", 2),
            "head_dim": unless_null("head_dim", 128),
            "tie_word_embeddings": True,
        },
        fixed=_ERNIE,
    ),
    "exaone4": LLAMA.but(
        causal("Exaone4"),
        without="attention_bias mlp_bias",
        options={
            "num_key_value_heads": 32,
            "sliding_window": unless_null("sliding_window", 4096),
            "layer_types": windowed_but_every("sliding_window_pattern", 4),
        },
        fixed={"blocks": "branch", "query_key_norm": "shared", "no_rope_layers": rotated_in_windows},
    ),
    "gemma": _GEMMA.but(causal("Gemma"), options={"num_key_value_heads": 16}, inert="hidden_activation"),
    "gemma2": _CAPPED_GEMMA.but(causal("Gemma2")),
    "gemma3_text": _WINDOWED_GEMMA.but(
        causal("Gemma3", "Gemma3Text"),
        options={
            "layer_types": full_every(6),
            "vocab_size": 262_208,  # published wrappers of text and images leave these out
            "num_attention_heads": 8,
            "max_position_embeddings": 131_072,
        },
        fixed={"query_key_norm": "shared"},
        only={"use_bidirectional_attention": False},
        inert="rope_local_base_freq _sliding_window_pattern",
    ),
    "gemma3n_text": _WINDOWED_GEMMA.but(
        causal("Gemma3n", "Gemma3nText"),
        without="attn_logit_softcapping",
        rename={"altup_num_inputs": "residual_streams"},
        options={
            "vocab_size": 262_400,
            "hidden_size": 2048,
            "num_hidden_layers": 35,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32_768,
            "sliding_window": 512,
            "final_logit_softcapping": unless_null("final_logit_softcapping", 30.0),
            "layer_types": full_every(5, ""),
            "residual_streams": 4,
            "laurel_rank": 64,
        },
        fixed={
            "intermediate_size": one_width,
            "query_key_norm": "shared",
            "value_norm": True,
            "stream_updates": "alternating",
            "per_layer_input_size": stated("hidden_size_per_layer_input", 256),
            "per_layer_vocab_size": stated("vocab_size_per_layer_input", 262_144),
            "borrowing": borrowing_last(15),
        },
        inert="altup_active_idx altup_coef_clip altup_correct_scale activation_sparsity_pattern rope_local_base_freq",
    ),
    "gemma4_text": _WINDOWED_GEMMA.but(
        causal("Gemma4", "Gemma4Text"),
        without="attn_logit_softcapping",
        options={
            "vocab_size": 262_144,
            "num_attention_heads": 8,
            "max_position_embeddings": 131_072,
            "sliding_window": 512,
            "layer_types": full_every_and_last(6),
        },
        fixed={
            "query_key_norm": "shared",
            "value_norm": True,
            "keys_as_values": by_flag("attention_k_eq_v", False),
            "global_head_dim": stated("global_head_dim", 512),
            "per_layer_input_size": per_layer_width,
            "per_layer_vocab_size": stated("vocab_size_per_layer_input", 262_144),
            "borrowing": borrowing_last(0),
            "borrowing_intermediate_size": borrowing_width,
            "global_key_value_heads": global_key_heads,
            **gemma_experts,
        },
        only={"use_bidirectional_attention": "vision"},
    ),
    "glm": _GLM,
    "glm4": _GLM.but(causal("Glm4"), fixed={"blocks": "sandwich"}),
    "glm4v_text": _GLM.but(
        text_part("Glm4v"),
        without="head_dim attention_bias",
        options={"num_key_value_heads": unless_null("num_key_value_heads", 2)},
        fixed={"blocks": "sandwich", "attention_bias": True},
    ),
    "granite": GRANITE,
    "granite_swa": GRANITE.but(
        causal("GraniteSWA"),
        options={
            "num_key_value_heads": unless_null("num_key_value_heads", 4),
            "tie_word_embeddings": True,
            "sliding_window": unless_null("sliding_window", 128),
            "layer_types": full_first_and_every(4),
        },
        fixed={"sinks": "all", "no_rope_layers": rotated_unless_zero},
    ),
    "helium": LLAMA.but(
        causal("Helium"),
        without="head_dim",
        options={"num_key_value_heads": 20},
        fixed={"attention_out_bias": False, "head_dim": width_of_hidden},
    ),
    "hyperclovax": GRANITE.but(
        causal("HyperCLOVAX"),
        options={"head_dim": None},
        fixed={"blocks": by_flag("use_post_norm", True, yes="sandwich", no="pre")},
    ),
    "hunyuan_v1_dense": LLAMA.but(
        causal("HunYuanDenseV1"), without="mlp_bias", fixed={"query_key_norm": "shared"}, inert="use_qk_norm"
    ),
    "internlm3": LLAMA.but(
        {**causal("InternLM3"), **causal("Llama")},  # transformers builds it as a Llama
        rename={"qkv_bias": "attention_bias", "bias": "mlp_bias"},
        options={"num_key_value_heads": unless_null("num_key_value_heads", 2), "head_dim": 128},
    ),
    "iquestcoder": LLAMA.but(
        {**causal("IQuestCoder"), **causal("Llama")},
        options={"num_key_value_heads": unless_null("num_key_value_heads", 8), "head_dim": 128},
        only={"clip_qkv": None, "use_sliding_window": False},
        inert="sliding_window max_window_layers",
    ),
    "jais2": LLAMA.but(
        causal("Jais2"),
        options={"attention_bias": True, "mlp_bias": True, "hidden_act": "relu2"},
        fixed={"norm": "layer", "gated": False},
    ),
    "llama": LLAMA,
    "mimo": _QWEN2.but(
        causal("MiMo"),
        options={"head_dim": None},
        only={"attention_bias": True, "use_mrope": False},
    ),
    "ministral": _MISTRAL.but(causal("Ministral"), options={"layer_types": Rule("", every_layer_windowed)}),
    "ministral3": _MISTRAL.but(
        causal("Ministral3"), options={"head_dim": unless_null("head_dim", 128), "sliding_window": None}
    ),
    "mistral": _MISTRAL,
    "nemotron": LLAMA.but(
        causal("Nemotron"),
        options={"hidden_act": "relu2"},
        fixed={"norm": "layer", "gated": False},
        inert="norm_eps partial_rotary_factor",
    ),
    "olmo": LLAMA.but(causal("Olmo"), without="head_dim mlp_bias", fixed={"norm": "layer_bare"}, inert="clip_qkv"),
    "olmo2": _OLMO2,
    "olmo3": _OLMO2.but(
        causal("Olmo3"),
        options={"sliding_window": 4096, "layer_types": full_every(4, "")},
    ),
    "phi3": LLAMA.but(
        causal("Phi3"),
        without="head_dim attention_bias mlp_bias",
        options={"sliding_window": None},
        fixed={"layer_types": every_layer_windowed, "packed_qkv": True, "packed_gate": True},
        inert="original_max_position_embeddings partial_rotary_factor",
    ),
    "qwen2": _QWEN2,
    "qwen2_5_omni_text": _QWEN2.but(
        text_part("Qwen2_5OmniThinker"),
        **{
            **_SEEING_QWEN2,
            "options": {"num_key_value_heads": unless_null("num_key_value_heads", 4), "tie_word_embeddings": True},
        },
    ),
    "qwen2_5_vl_text": _QWEN2.but(text_part("Qwen2_5_VL"), **_SEEING_QWEN2),
    "qwen2_vl_text": _QWEN2.but(text_part("Qwen2VL"), **_SEEING_QWEN2),
    "qwen3": _QWEN3,
    "qwen3_vl_text": _QWEN3.but(
        text_part("Qwen3VL"), without="sliding_window layer_types", only={"use_sliding_window": False}
    ),
    "seed_oss": LLAMA.but(
        causal("SeedOss"),
        options={
            "num_key_value_heads": unless_null("num_key_value_heads", 8),
            "head_dim": unless_null("head_dim", 128),
            "attention_bias": True,
            "attention_out_bias": False,
        },
        inert="residual_dropout",
    ),
    "vaultgemma": _CAPPED_GEMMA.but(causal("VaultGemma"), fixed={"blocks": "pre"}),
    "smollm3": LLAMA.but(
        causal("SmolLM3"),
        without="head_dim",
        options={
            "num_key_value_heads": unless_null("num_key_value_heads", 4),
            "tie_word_embeddings": True,
            "no_rope_layers": rotated_but_every(4),
        },
        only={"use_sliding_window": False},
        inert="sliding_window layer_types max_window_layers",
    ),
}
