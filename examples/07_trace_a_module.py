"""Three modules that no library knows, and what they cost: layers in letters, a graph with edges, a network of images.

python examples/07_trace_a_module.py     (needs pip install '.[torch]')
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import roofline


class Layer(nn.Module):
    """A layer of a decoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (8, -1)).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        context = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(context.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Decoder(nn.Module):
    """Four of them, between tokens and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(32_000, 512), nn.Embedding(2048, 512)
        self.layers = nn.ModuleList(Layer(512) for _ in range(4))
        self.norm, self.head = nn.LayerNorm(512), nn.Linear(512, 32_000, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Graph(nn.Module):
    """Messages along edges, gathered from the nodes and added up at their ends."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(64, 64), nn.Linear(128, 64)

    def forward(self, nodes: Tensor, start_index: Tensor, end_index: Tensor) -> Tensor:
        received = torch.zeros_like(nodes).index_add(0, end_index, self.message(nodes[start_index]))
        return self.update(torch.cat([nodes, received], -1))


class Images(nn.Module):
    """Two convolutions and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 32, 8, stride=8), nn.Conv2d(32, 64, 3, padding=1)
        self.head = nn.Linear(64, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.deep(nn.functional.relu(self.stem(x))))
        return self.head(x.mean((2, 3)))


def main() -> None:
    """The formulas, and one prediction."""
    decoder = roofline.trace(Decoder(), {"tokens": "B,S"})
    print(roofline.formula(decoder))
    print(roofline.formula(decoder, op="attention"))
    print(roofline.formula(roofline.trace(Images(), {"x": "B,3,M,M"}, dims={"M": 224}), op="stem", keep="M"))
    prediction = roofline.predict(decoder, "h100", batch=16, prompt=1024)
    print(f"{prediction.parameters:,} parameters, {1e3 * prediction.request_s:.3g} ms on an H100")


if __name__ == "__main__":
    main()
