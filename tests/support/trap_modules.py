"""Modules that a trace may get wrong: what each does that is odd stands in its name."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Forward = Callable[[nn.Module, torch.Tensor], torch.Tensor]


@torch.library.custom_op("roofline_tests::mystery", mutates_args=())
def mystery(x: torch.Tensor) -> torch.Tensor:
    """An operator that nobody knows the cost of."""
    return x * 2


@mystery.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


class Trap(nn.Module):
    """A linear layer of 8 to 8, and what ``forward`` does with it."""

    def __init__(self, forward: Forward, **parts: nn.Module) -> None:
        super().__init__()
        self.linear, self.does = nn.Linear(8, 8), forward
        for name, part in parts.items():
            self.add_module(name, part)
        self.register_buffer("cache", torch.zeros(4, 32, 8))
        self.register_buffer("table", torch.arange(16) % 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.does(self, x)


def cache_in_place(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
    self.cache[: x.shape[0], : x.shape[1]] = self.linear(x)
    return x @ self.cache[: x.shape[0], : x.shape[1]].transpose(1, 2)


def loop(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
    for place in range(x.shape[1]):
        x = x + self.linear(x[:, place : place + 1])
    return x


def hooked() -> nn.Module:
    module = Trap(lambda self, x: self.linear(x))
    module.linear.register_forward_hook(lambda own, given, out: out @ own.weight)
    return module


def twice(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return self.linear(self.linear(x))


def patched(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return self.linear(x)


RIGHT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "flex attention": (
        lambda: Trap(lambda self, x: nn.attention.flex_attention.flex_attention(x[:, None], x[:, None], x[:, None])),
        "32*B*S**2",
    ),
    "a cache written in place": (lambda: Trap(cache_in_place), "16*B*S*(S + 8)"),
    "a hook": (hooked, "256*B*S"),
    "one layer twice": (lambda: Trap(twice), "256*B*S"),
    "an einsum": (lambda: Trap(lambda self, x: torch.einsum("bsd,btd->bst", self.linear(x), x)), "16*B*S*(S + 8)"),
    "a compiled part": (lambda: Trap(lambda self, x: torch.compile(self.linear)(x)), "128*B*S"),
    "checkpoints": (lambda: Trap(lambda self, x: checkpoint(self.linear, x, use_reentrant=False)), "128*B*S"),
    "autocast": (lambda: Trap(patched), "128*B*S"),
    "inference mode": (lambda: Trap(torch.inference_mode()(lambda self, x: self.linear(x))), "128*B*S"),
    "a batch of matrices": (lambda: Trap(lambda self, x: torch.bmm(self.linear(x), x.mT)), "16*B*S*(S + 8)"),
    "a vmap": (lambda: Trap(lambda self, x: torch.vmap(self.linear)(x)), "128*B*S"),
    "weights that are normed": (
        lambda: Trap(lambda self, x: self.part(x), part=nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))),
        "128*B*S",
    ),
    "multi-head attention": (
        lambda: Trap(lambda self, x: self.part(x, x, x)[0], part=nn.MultiheadAttention(8, 2, batch_first=True)),
        "32*B*S*(S + 16)",
    ),
    "a dropout in training": (lambda: Trap(lambda self, x: nn.functional.dropout(self.linear(x), 0.5)), "128*B*S"),
    "a mapping returned": (lambda: Trap(lambda self, x: {"y": self.linear(x)}), "128*B*S"),
    "columns picked by a table": (lambda: Trap(lambda self, x: self.linear(x[:, :, self.table[:8]])), "128*B*S"),
    "a number out of data": (lambda: Trap(lambda self, x: self.linear(x * x[0, 0].tolist()[0])), "128*B*S"),
    "random numbers": (lambda: Trap(lambda self, x: self.linear(x + torch.randn_like(x))), "128*B*S"),
    "a convolution of sound": (
        lambda: Trap(lambda self, x: self.part(x.mT), part=nn.Conv1d(8, 4, 3, padding=1)),
        "192*B*S",
    ),
    "more places, each as its neighbour": (
        lambda: Trap(
            lambda self, x: self.part(nn.functional.interpolate(x, scale_factor=2)), part=nn.Linear(16, 4, bias=False)
        ),
        "128*B*S",
    ),
    "a mean over the batch": (lambda: Trap(lambda self, x: self.linear(x - x.mean(0))), "128*B*S"),
    "no_grad within": (lambda: Trap(torch.no_grad()(lambda self, x: self.linear(x))), "128*B*S"),
}

AT_LEAST: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "an operator of one's own": (lambda: Trap(lambda self, x: mystery(self.linear(x))), "mystery"),
    "a sort": (lambda: Trap(lambda self, x: self.linear(x.sort(1)[0])), "sort"),
    "a solve": (lambda: Trap(lambda self, x: torch.linalg.solve(x.mT @ x, x.mT)), "solve"),
    "a singular value decomposition": (lambda: Trap(lambda self, x: torch.linalg.svdvals(x)), "svd"),
    "distances": (lambda: Trap(lambda self, x: torch.cdist(x, x)), "cdist"),
}

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a branch on data": (lambda: Trap(lambda self, x: x if x.sum() > 0 else -x), "depends on some"),
    "a loop over time": (lambda: Trap(loop), "S is fixed by the code"),
    "a number of a size": (lambda: Trap(lambda self, x: x * int(x.shape[1])), "S is fixed by the code"),
    "a Fourier transform": (lambda: Trap(lambda self, x: torch.fft.rfft(x).real), "RuntimeError"),
    "an array of numpy": (lambda: Trap(lambda self, x: torch.from_numpy(x.numpy())), "depends on some"),
    "complex numbers": (
        lambda: Trap(lambda self, x: torch.view_as_real(torch.complex(x, x) * 2j)),
        "fixed by the code",
    ),
    "rows that data pick": (lambda: Trap(lambda self, x: self.linear(x[x[:, :, 0] > 0])), "give --dims"),
    "an LSTM": (lambda: Trap(lambda self, x: self.part(x)[0], part=nn.LSTM(8, 8, batch_first=True)), "symbolic sizes"),
    "a GRU": (lambda: Trap(lambda self, x: self.part(x)[0], part=nn.GRU(8, 8, batch_first=True)), "fixed by the code"),
    "a sparse tensor": (lambda: Trap(lambda self, x: x.to_sparse() @ self.linear.weight), "_to_sparse"),
    "a nested tensor": (
        lambda: Trap(lambda self, x: self.linear(torch.nested.as_nested_tensor(list(x)))),
        "_nested_tensor",
    ),
    "quantised weights": (
        lambda: Trap(lambda self, x: self.part(x), part=torch.ao.nn.quantized.dynamic.Linear(8, 8)),
        "linear_dynamic",
    ),
    "another device": (lambda: Trap(lambda self, x: self.linear(x.to("cuda"))), "RuntimeError"),
    "a wrong size": (lambda: Trap(lambda self, x: self.linear(x[..., :7])), "RuntimeError"),
    "an endless recursion": (lambda: Trap(lambda self, x: self(x)), "RecursionError"),
    "a process that ends": (lambda: Trap(lambda self, x: sys.exit(3)), "SystemExit"),
}
