"""The decoders with RMSNorm, rotary positions and gates, the line of Llama: one entry each."""

from __future__ import annotations

from roofline.models.families.family import BASE, CAUSAL, USUAL, Family, causal, names
from roofline.models.families.patterns import (
    as_attention_bias,
    every_layer_windowed,
    full_every,
    rotated_but_every,
    unless_null,
    windowed_from,
)
from roofline.models.shapes import decoder

MODERN = {"norm": "rms", "positions": "rotary", "gated": True}

LLAMA_LINE: dict[str, Family] = {
    "gemma": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads head_dim attention_bias tie_word_embeddings"),
        classes=causal("Gemma"),
        defaults={
            "tie_word_embeddings": True,
            "hidden_act": "gelu_pytorch_tanh",
            "head_dim": 256,
            "num_key_value_heads": 16,
            "attention_out_bias": as_attention_bias,
        },
        fixed=MODERN,
        only={**USUAL, "use_bidirectional_attention": None},
        inert=names("hidden_activation"),
    ),
    "gemma2": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names(
            "num_key_value_heads head_dim attention_bias tie_word_embeddings attn_logit_softcapping "
            "final_logit_softcapping sliding_window layer_types"
        ),
        classes=causal("Gemma2"),
        rename={"hidden_activation": "hidden_act"},
        defaults={
            "tie_word_embeddings": True,
            "hidden_act": "gelu_pytorch_tanh",
            "head_dim": 256,
            "num_key_value_heads": 4,
            "attention_out_bias": as_attention_bias,
            "sliding_window": 4096,
            "layer_types": full_every(2),
            "attn_logit_softcapping": unless_null("attn_logit_softcapping", 50.0),
            "final_logit_softcapping": unless_null("final_logit_softcapping", 30.0),
        },
        fixed={**MODERN, "blocks": "sandwich"},
        only={**USUAL, "use_bidirectional_attention": None},
        reads=names("sliding_window_pattern"),
        inert=names("query_pre_attn_scalar cache_implementation hidden_act"),
    ),
    "gemma3_text": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names(
            "num_key_value_heads head_dim attention_bias tie_word_embeddings attn_logit_softcapping "
            "final_logit_softcapping sliding_window layer_types"
        ),
        classes={"Gemma3ForCausalLM": CAUSAL, "Gemma3TextModel": BASE},
        rename={"hidden_activation": "hidden_act"},
        defaults={
            "tie_word_embeddings": True,
            "hidden_act": "gelu_pytorch_tanh",
            "head_dim": 256,
            "num_key_value_heads": 4,
            "attention_out_bias": as_attention_bias,
            "sliding_window": 4096,
            "layer_types": full_every(6),
        },
        fixed={**MODERN, "blocks": "sandwich", "query_key_norm": "shared"},
        only={**USUAL, "use_bidirectional_attention": False},
        reads=names("sliding_window_pattern"),
        inert=names(
            "query_pre_attn_scalar rope_local_base_freq cache_implementation _sliding_window_pattern hidden_act"
        ),
    ),
    "granite": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads attention_bias mlp_bias tie_word_embeddings"),
        classes=causal("Granite"),
        defaults={"tie_word_embeddings": False, "hidden_act": "silu", "attention_out_bias": as_attention_bias},
        fixed=MODERN,
        only=USUAL,
        inert=names("embedding_multiplier logits_scaling residual_multiplier attention_multiplier"),
    ),
    "llama": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads head_dim attention_bias mlp_bias tie_word_embeddings"),
        classes=causal("Llama"),
        defaults={"tie_word_embeddings": False, "hidden_act": "silu", "attention_out_bias": as_attention_bias},
        fixed=MODERN,
        only=USUAL,
    ),
    "mistral": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads head_dim tie_word_embeddings sliding_window"),
        classes=causal("Mistral"),
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "num_key_value_heads": 8,
            "sliding_window": unless_null("sliding_window", 4096),
            "layer_types": every_layer_windowed,
        },
        fixed=MODERN,
        only=USUAL,
    ),
    "olmo2": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads attention_bias tie_word_embeddings"),
        classes=causal("Olmo2"),
        defaults={"tie_word_embeddings": False, "hidden_act": "silu", "attention_out_bias": as_attention_bias},
        fixed={**MODERN, "blocks": "branch", "query_key_norm": "across"},
        only=USUAL,
    ),
    "phi3": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads tie_word_embeddings sliding_window"),
        classes=causal("Phi3"),
        defaults={"tie_word_embeddings": False, "hidden_act": "silu", "layer_types": every_layer_windowed},
        fixed={**MODERN, "packed_qkv": True, "packed_gate": True},
        only=USUAL,
        inert=names("original_max_position_embeddings partial_rotary_factor"),
    ),
    "qwen2": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads tie_word_embeddings sliding_window layer_types"),
        classes=causal("Qwen2"),
        defaults={"tie_word_embeddings": False, "hidden_act": "silu", "layer_types": windowed_from},
        fixed={**MODERN, "attention_bias": True},
        only=USUAL,
        reads=names("use_sliding_window max_window_layers"),
    ),
    "qwen3": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads head_dim attention_bias tie_word_embeddings sliding_window layer_types"),
        classes=causal("Qwen3"),
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "head_dim": 128,
            "attention_out_bias": as_attention_bias,
            "layer_types": windowed_from,
        },
        fixed={**MODERN, "query_key_norm": "shared"},
        only=USUAL,
        reads=names("use_sliding_window max_window_layers"),
    ),
    "smollm3": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads attention_bias mlp_bias tie_word_embeddings no_rope_layers"),
        classes=causal("SmolLM3"),
        defaults={
            "tie_word_embeddings": True,
            "hidden_act": "silu",
            "num_key_value_heads": 4,
            "attention_out_bias": as_attention_bias,
            "no_rope_layers": rotated_but_every(4),
        },
        fixed=MODERN,
        only={**USUAL, "use_sliding_window": False},
        reads=names("no_rope_layer_interval"),
        inert=names("sliding_window layer_types max_window_layers"),
    ),
}
