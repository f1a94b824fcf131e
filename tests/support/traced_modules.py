"""Small modules to trace: what people write themselves, and the traps among it."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """A layer of a decoder: packed projections, fused attention, GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.unflatten(-1, (4, -1)).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        x = x + self.out(nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Decoder(nn.Module):
    """Tokens in, logits out: a table of positions, layers, a tied head, and a parameter that nothing reads."""

    def __init__(self, width: int = 32, layers: int = 3, vocabulary: int = 101) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(64, width)
        self.layers = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        self.spare = nn.Linear(3, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class OwnAttention(nn.Module):
    """Attention as it is written on a blackboard: scores, a mask, a softmax, in einsum and matmul."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(32, 32) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.einsum("btd,bsd->bts", self.q(x), self.k(x))
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), float("-inf"))
        return scores.softmax(-1) @ self.v(x)


class Convolutions(nn.Module):
    """A small network of images: strides, groups, a batch norm, pooling, a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.apart, self.back = nn.Conv2d(8, 16, 3, groups=4), nn.ConvTranspose2d(16, 4, 2, stride=2)
        self.head = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(nn.functional.relu(self.norm(self.first(x))), 2)
        return self.head(self.back(self.apart(x)).mean((2, 3)))


class Recommender(nn.Module):
    """Bags of embeddings, and a product of all pairs of them."""

    def __init__(self) -> None:
        super().__init__()
        self.bags = nn.ModuleList(nn.Embedding(100, 16) for _ in range(3))
        self.dense, self.top = nn.Linear(13, 16), nn.Linear(16 + 16, 1)

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        found = torch.stack([self.dense(dense), *(bag(ids).sum(1) for bag in self.bags)], 1)
        pairs = (found @ found.transpose(1, 2)).flatten(1)
        return self.top(torch.cat([pairs, found[:, 0]], 1))


class GraphLayer(nn.Module):
    """Messages along edges: gathered from the nodes, added up at their ends."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(16, 16), nn.Linear(32, 16)

    def forward(self, nodes: torch.Tensor, start_index: torch.Tensor, end_index: torch.Tensor) -> torch.Tensor:
        sent = self.message(nodes[start_index])
        received = torch.zeros_like(nodes).index_add(0, end_index, sent)
        return self.update(torch.cat([nodes, received], -1))


class Shared(nn.Module):
    """One layer, run four times, as ALBERT has it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Block(32), Block(32)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(4):
            x = self.layers[0](x)
        return self.layers[1](x)
