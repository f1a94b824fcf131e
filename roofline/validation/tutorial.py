"""The encoder of the tutorial, as a module that runs.

As published it does not: its linear layers lack their second size, and its attention takes the sequence first while its
data has the batch first. Both are mended here, nothing else: a norm before each branch, no residuals, ReLU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class TutorialLayer(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Norm, self-attention, norm, two linear layers with a ReLU between them."""

    def __init__(self, hidden: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(hidden, hidden) for _ in range(4))
        self.ffn_norm = nn.LayerNorm(hidden)
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.heads = heads

    def forward(self, x: Any) -> Any:
        """[B T D] -> [B T D]."""
        batch, length, hidden = x.shape
        h = self.attention_norm(x)
        q, k, v = (
            project(h).view(batch, length, self.heads, -1).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        h = self.ffn_norm(self.out_proj(attended.reshape(batch, length, hidden)))
        return self.down(torch.relu(self.up(h)))


class TutorialEncoder(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Token and position embedding, then the layers; sizes under their Hugging Face names."""

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        intermediate_size: int,
        num_hidden_layers: int,
        num_attention_heads: int,
        max_position_embeddings: int,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, hidden_size)
        self.positions = nn.Embedding(max_position_embeddings, hidden_size)
        self.layers = nn.ModuleList(
            TutorialLayer(hidden_size, num_attention_heads, intermediate_size) for _ in range(num_hidden_layers)
        )
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Any) -> Any:
        """[B T] -> [B T V]."""
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for layer in self.layers:
            x = layer(x)
        return self.head(x)
