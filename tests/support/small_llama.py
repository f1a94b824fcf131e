"""Llamas small enough to count by hand: one's sizes, and the elements of its matrices and of all else; a tiny one."""

from __future__ import annotations

from typing import Any

D, F, L, V, K, G, H = 256, 384, 2, 1000, 2, 2, 64
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": V,
    "hidden_size": D,
    "intermediate_size": F,
    "num_hidden_layers": L,
    "num_attention_heads": K * G,
    "num_key_value_heads": K,
    "head_dim": H,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
MATRICES = [  # depth and outputs of q, k, v, out, gate, up, down
    *((D, K * G * H), (D, K * H), (D, K * H), (K * G * H, D)),
    *((D, F), (D, F), (F, D)),
]
NARROW = L * sum(depth * out for depth, out in MATRICES)
LEFT = 2 * V * D + L * 2 * D + D  # token table, head; two norms a layer and the last

TINY: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 10,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "max_position_embeddings": 32,
    "hidden_act": "silu",
}
