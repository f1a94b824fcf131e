"""What a calibration times: designed shapes of each kind of kernel, some of them kept out of the fit.

The shapes are those of no shipped model; the checks share no dimension of their weights, heads or rows with the fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from roofline.classes import frozen
from roofline.cost.eager_kernels import torch_kernel
from roofline.layers.attention import attention
from roofline.layers.embedding import token_embedding
from roofline.layers.normalization import norm
from roofline.program.op import Op, PerElement, Tensor, Work, contract, elementwise, weight
from roofline.training.kept.optimizers import OPTIMIZERS
from roofline.validation.devices import Call, Device

CPU_WEIGHTS = ((320, 1600), (576, 576), (640, 1792), (1792, 640), (896, 896), (896, 2560), (2560, 896), (1280, 1280),
               (1408, 3456), (3456, 1408), (640, 24000), (1152, 40000))  # fmt: skip
CPU_ROWS = (1, 2, 4, 8, 16, 40, 96, 224, 448)
CPU_CHECKS = ((704, 704), (704, 2112), (2112, 704), (960, 1472), (704, 28000))
CPU_CHECK_ROWS = (1, 3, 12, 80, 320)
GPU_WEIGHTS = ((512, 1536), (1536, 512), (1536, 1536), (1536, 6144), (6144, 1536), (3072, 3072), (3072, 10240),
               (10240, 3072), (6144, 6144), (12288, 3072), (3072, 49152))  # fmt: skip
GPU_ROWS = (1, 4, 16, 64, 192, 384, 768, 1536, 3072, 6144)
GPU_CHECKS = ((2560, 2560), (2560, 7680), (7680, 2560), (1280, 3584), (2560, 40960))
GPU_CHECK_ROWS = (2, 24, 128, 640, 2560)
MOST_FLOPS = {"cpu": 4e9, "mps": 4e11, "cuda": 1e13}
"""One call of more work than this is not timed: rounds would be few."""

ROWS_AND_COLUMNS = ((1, 640), (4, 640), (24, 896), (96, 640), (96, 2560), (224, 896), (224, 3456), (448, 1280),
                    (448, 3456), (900, 3456), (1800, 3456))  # fmt: skip
CHECK_ROWS_AND_COLUMNS = ((1, 704), (48, 704), (160, 2112), (640, 1472))
POOL_BYTES = 1 << 30
GPU_SCALE = 16  # rows of streaming kernels on a device with a thousand lanes

# batch, queries, keys, heads, heads per key/value head, head dimension
PREFILLS = ((1, 40, 40, 10, 1, 80), (1, 96, 96, 10, 1, 80), (1, 320, 320, 10, 1, 80), (1, 640, 640, 6, 1, 48),
            (3, 160, 160, 6, 1, 96), (6, 48, 48, 14, 1, 48), (1, 224, 224, 20, 4, 48),
            (2, 448, 448, 10, 2, 80))  # fmt: skip
CHECK_PREFILLS = ((2, 112, 112, 9, 1, 72), (1, 288, 288, 18, 3, 56))
DECODES = ((1, 1, 160, 10, 1, 80), (1, 1, 900, 10, 1, 80), (5, 1, 320, 10, 1, 80), (10, 1, 640, 6, 1, 96),
           (1, 1, 450, 14, 1, 48), (12, 1, 600, 14, 1, 48), (1, 1, 1500, 20, 4, 48), (6, 1, 200, 20, 4, 48),
           (14, 1, 450, 20, 5, 48), (3, 1, 2200, 10, 2, 80), (2, 1, 120, 6, 1, 96))  # fmt: skip
CHECK_DECODES = ((2, 1, 270, 9, 1, 72), (9, 1, 520, 18, 3, 56), (1, 1, 750, 9, 1, 72))

# images, channels in, their height and width, channels out, taps of a side, stride
CONVOLUTIONS = ((1, 3, 160, 48, 7, 2), (1, 48, 40, 48, 1, 1), (1, 48, 40, 48, 3, 1), (1, 48, 40, 192, 1, 1),
                (1, 192, 40, 48, 1, 1), (1, 96, 40, 96, 3, 2), (1, 160, 20, 160, 3, 1), (1, 160, 20, 640, 1, 1),
                (2, 320, 10, 320, 3, 1), (1, 320, 10, 1280, 1, 1), (1, 1280, 10, 320, 1, 1), (2, 640, 5, 640, 3, 1),
                (1, 384, 20, 768, 1, 2), (4, 40, 20, 80, 3, 2))  # fmt: skip
CHECK_CONVOLUTIONS = ((1, 3, 120, 56, 5, 2), (1, 56, 36, 56, 3, 1), (1, 224, 18, 224, 3, 1), (2, 112, 18, 448, 1, 1),
                      (1, 448, 9, 112, 1, 1), (1, 352, 9, 352, 3, 2))  # fmt: skip
# images, channels, height and width, taps of a side, stride
POOLS = ((1, 48, 80, 3, 2), (2, 48, 80, 3, 2), (1, 96, 40, 2, 2), (4, 96, 40, 3, 2), (1, 192, 20, 3, 1))
CHECK_POOLS = ((1, 56, 60, 3, 2), (2, 112, 36, 2, 2), (1, 224, 18, 3, 1))
# weights that an optimizer updates at once
UPDATES = (300_000, 1_500_000, 5_000_000, 12_000_000)
CHECK_UPDATES = (700_000, 3_000_000, 8_000_000)
GPU_IMAGES = 64  # times as many images on a device with a thousand lanes

_X, _Z, _Y = Tensor("x", "B D"), Tensor("z", "B D"), Tensor("y", "B D")
_ROW = Tensor("statistic", "B")
STREAMS: dict[str, Op] = {
    "add": torch_kernel("add", [_X, _Z], _Y),
    "mul": torch_kernel("mul", [_X, _Z], _Y),
    "neg": torch_kernel("neg", [_X], _Y),
    "cat": torch_kernel("cat", [_X], _Y, kind="copy"),
    "mean": torch_kernel("mean", [_X], _ROW, over=_X),
    "gelu": torch_kernel("gelu", [_X], _Y),
    "silu": torch_kernel("silu", [_X], _Y),
    "tanh": torch_kernel("tanh", [_X], _Y),
    "norm": norm("native_layer_norm", _X, _Y, kind="layer"),
    "softmax": elementwise("_softmax", [_X], _Y, PerElement(4, special=1), kind="softmax"),
    "embedding": token_embedding(),
    "cache_copy": torch_kernel(
        "cat", [Tensor("cache", "B D", "kv_cache")], Tensor("appended", "B D"), kind="cache_copy"
    ),
}
"""The kernels that move tensors, by name or kind of their constants; x, z and y are rows by columns."""

CONV = Op(
    "conv", "conv", (Tensor("x", "_x"), weight("w", "_k _n")), (Tensor("y", "_r _n"),),
    (Work("matrix", 2, ("_r", "_k", "_n")),),
)  # fmt: skip
MAX_POOL = Op(
    "max_pool", "max_pool", (Tensor("x", "_x"),), (Tensor("y", "_r"), Tensor("places", "_r", "index")),
    (Work("vector", 1, ("_r", "_k")),),
)  # fmt: skip
"""A convolution as the matmul of patches that it is, and the largest of each window, with where it was."""

UPDATE = Op(
    "optimizer_update", "elementwise", tuple(Tensor(name, "B") for name in ("w", "g", "m", "v")),
    tuple(Tensor(name, "B") for name in ("w", "m", "v")), (Work("vector", OPTIMIZERS["adamw"].flops, ("B",)),),
)  # fmt: skip
"""An update of AdamW as one kernel, which writes where it reads: nothing is fetched to be overwritten."""

_GROUPS = {"mul": "elementwise", "add": "elementwise", "neg": "elementwise", "cat": "copy"}


@frozen
class Point:
    """One shape: whose constants it tells of, its statement and sizes, how to run it, whether the fit may see it."""

    name: str
    group: str
    op: Op
    sizes: Mapping[str, int]
    call: Call
    held_out: bool = False


@dataclass(slots=True)
class Inputs:
    """Random tensors of a device: parts of one pool that fills the caches more than twice over; read only."""

    device: Device
    dtype: Any
    pool: Any

    @classmethod
    def on(cls, device: Device, dtype: Any, most: int) -> Inputs:
        """A pool as large as a model, so that its pages are as many; it holds tensors of up to ``most`` elements.

        One part is drawn at random and the rest repeats it, which no cache of a processor notices.
        """
        whole = max(round(2.5 * device.cache_bytes), min(POOL_BYTES, round(0.05 * device.memory_bytes)))
        part = device.random(1 << 22, dtype=dtype)
        times = -(-max(whole // dtype.itemsize, most) // part.numel())
        return cls(device, dtype, part.repeat(times))

    def cold(self, *shape: int) -> list[Any]:
        """So many parts of the pool that who takes one after another finds none of them in a cache."""
        size = math.prod(shape)
        return [self.pool[start : start + size].view(*shape) for start in range(0, self.pool.numel() - size + 1, size)]

    def warm(self, *shape: int, place: int = 0) -> Any:
        """The same part each time, which stays in the cache if it fits; another one at another place."""
        size = math.prod(shape)
        start = place * size % (self.pool.numel() - size + 1)
        return self.pool[start : start + size].view(*shape)


def designed_points(device: Device, dtype: str) -> list[Point]:
    """Every shape of a calibration in one dtype."""
    gpu = device.kind != "cpu"
    weights, rows = (GPU_WEIGHTS, GPU_ROWS) if gpu else (CPU_WEIGHTS, CPU_ROWS)
    most = max(depth * columns for depth, columns in weights)
    inputs = Inputs.on(device, device.dtype(dtype), most)
    checks, check_rows = (GPU_CHECKS, GPU_CHECK_ROWS) if gpu else (CPU_CHECKS, CPU_CHECK_ROWS)
    return [
        *_matmuls(inputs, weights, rows, held_out=False),
        *_matmuls(inputs, checks, check_rows, held_out=True),
        *_streams(inputs, ROWS_AND_COLUMNS, GPU_SCALE if gpu else 1, held_out=False),
        *_streams(inputs, CHECK_ROWS_AND_COLUMNS, GPU_SCALE if gpu else 1, held_out=True),
        *_convolutions(inputs, CONVOLUTIONS, GPU_IMAGES if gpu else 1, held_out=False),
        *_convolutions(inputs, CHECK_CONVOLUTIONS, GPU_IMAGES if gpu else 1, held_out=True),
        *_pools(inputs, POOLS, GPU_IMAGES if gpu else 1, held_out=False),
        *_pools(inputs, CHECK_POOLS, GPU_IMAGES if gpu else 1, held_out=True),
        *_updates(inputs),
        *_attentions(inputs, "attention_prefill", PREFILLS, 8 if gpu else 1, held_out=False),
        *_attentions(inputs, "attention_prefill", CHECK_PREFILLS, 8 if gpu else 1, held_out=True),
        *_attentions(inputs, "attention_decode", DECODES, 8 if gpu else 1, held_out=False),
        *_attentions(inputs, "attention_decode", CHECK_DECODES, 8 if gpu else 1, held_out=True),
    ]


def _matmuls(
    inputs: Inputs, weights: Sequence[tuple[int, int]], rows: Sequence[int], *, held_out: bool
) -> Iterator[Point]:
    """``x[m k] w[n k]``: cold weights, as in a step; a wide output, which is a head's, only for few rows."""
    op = contract("matmul", Tensor("x", "B D"), weight("w", "D F"), Tensor("y", "B F"))
    for depth, columns in weights:
        for many in rows:
            wide = columns > 8 * depth and many > 16
            if wide or 2 * many * depth * columns > MOST_FLOPS[inputs.device.kind]:
                continue
            sizes = {"B": many, "D": depth, "F": columns}
            yield Point(f"matmul {many}x{depth}x{columns}", "matmul", op, sizes, _linear(inputs, **sizes), held_out)


def _linear(inputs: Inputs, B: int, D: int, F: int) -> Call:  # noqa: N803  (the letters of the legend)
    linear, x, weights = inputs.device.torch.nn.functional.linear, inputs.warm(B, D), inputs.cold(F, D)
    return lambda turn: linear(x, weights[turn % len(weights)])


def _convolutions(inputs: Inputs, shapes: Sequence[tuple[int, ...]], scale: int, *, held_out: bool) -> Iterator[Point]:
    """Convolutions of images that the kernel before has just written, each with weights that lie in no cache."""
    for images, into, side, out, taps, stride in shapes:
        many, places = images * scale, (side + 2 * (taps // 2) - taps) // stride + 1
        sizes = {"_x": many * into * side**2, "_r": many * places**2, "_k": into * taps**2, "_n": out}
        x, weights = inputs.warm(many, into, side, side), inputs.cold(out, into, taps, taps)
        call = partial(_convolve, inputs.device.torch.nn.functional.conv2d, x, weights, stride, taps // 2)
        yield Point(f"conv {many}x{into}x{side} {out}x{taps}/{stride}", "conv", CONV, sizes, call, held_out)


def _convolve(conv2d: Any, x: Any, weights: Sequence[Any], stride: int, padding: int, turn: int) -> Any:
    return conv2d(x, weights[turn % len(weights)], None, stride, padding)


def _pools(inputs: Inputs, shapes: Sequence[tuple[int, ...]], scale: int, *, held_out: bool) -> Iterator[Point]:
    """The largest of windows, of images that the kernel before has just written."""
    for images, channels, side, taps, stride in shapes:
        many, places = images * scale, (side + 2 * (taps // 2) - taps) // stride + 1
        sizes = {"_x": many * channels * side**2, "_r": many * channels * places**2, "_k": taps**2}
        pooled = inputs.device.torch.ops.aten.max_pool2d_with_indices
        call = partial(_pool, pooled, inputs.warm(many, channels, side, side), taps, stride)
        yield Point(f"max_pool {many}x{channels}x{side} {taps}/{stride}", "max_pool", MAX_POOL, sizes, call, held_out)


def _pool(pooled: Any, x: Any, taps: int, stride: int, _: int) -> Any:
    return pooled(x, [taps, taps], [stride, stride], [taps // 2, taps // 2])


def adamw_update(torch: Any, lists: tuple[list[Any], list[Any], list[Any], list[Any]], step: Any) -> None:
    """AdamW of weights, gradients and both moments as one kernel: reads four tensors, writes three where they lie."""
    torch._fused_adamw_(
        *lists, [], [step], lr=1e-6, beta1=0.9, beta2=0.999, weight_decay=0.01, eps=1e-8, amsgrad=False, maximize=False
    )


@dataclass(slots=True)
class Updated:
    """Weights, gradients and both moments that updates take parts of, so many that none is in a cache when it comes."""

    inputs: Inputs
    most: int
    kept: Sequence[Any] = ()

    def update(self, many: int, turn: int) -> None:
        """One update of AdamW of the part whose turn it is; all of it is made when it is first asked for."""
        torch, device, dtype = self.inputs.device.torch, self.inputs.device, self.inputs.dtype
        if not self.kept:
            whole = max(self.most, math.ceil(2.5 * device.cache_bytes / (4 * dtype.itemsize)))
            parts = [torch.ones(whole, dtype=dtype, device=device.kind) for _ in range(4)]
            self.kept = (*parts, torch.ones((), device=device.kind))
        start = turn % max(1, len(self.kept[0]) // many) * many
        weights, gradients, first, second = ([each[start : start + many]] for each in self.kept[:4])
        adamw_update(torch, (weights, gradients, first, second), self.kept[4])


def _updates(inputs: Inputs) -> Iterator[Point]:
    """Updates in one kernel; Apple's devices have none."""
    if inputs.device.kind == "mps":
        return
    updated = Updated(inputs, max(*UPDATES, *CHECK_UPDATES))
    for shapes, held_out in ((UPDATES, False), (CHECK_UPDATES, True)):
        for many in shapes:
            yield Point(
                f"update {many}", "optimizer_update", UPDATE, {"B": many}, partial(updated.update, many), held_out
            )


def _streams(inputs: Inputs, shapes: Sequence[tuple[int, int]], scale: int, *, held_out: bool) -> Iterator[Point]:
    for kind, op in STREAMS.items():
        for rows, columns in shapes:
            many = rows * scale
            call = _stream(inputs, kind, many, columns)
            sizes = {"B": many, "D": columns, **({"T": 1, "V": 2 * many} if kind == "embedding" else {})}
            yield Point(f"{kind} {many}x{columns}", _GROUPS.get(kind, kind), op, sizes, call, held_out)


def _stream(inputs: Inputs, kind: str, rows: int, columns: int) -> Call:
    """One kernel on a tensor that the one before it has just written; a cache is cold, since each layer has its own."""
    torch, function = inputs.device.torch, inputs.device.torch.nn.functional
    if kind == "cache_copy":
        caches, new = inputs.cold(rows, columns), inputs.warm(1, columns)
        return lambda turn: torch.cat([caches[turn % len(caches)], new])
    x, z = inputs.warm(rows, columns), inputs.warm(rows, columns, place=1)
    left, right = x.chunk(2, dim=1)
    index = torch.randint(0, 2 * rows, (rows,), device=x.device)
    table = inputs.warm(2 * rows, columns)
    gain = inputs.warm(columns)
    calls: dict[str, Call] = {
        "add": lambda _: x + z,
        "mul": lambda _: x * z,
        "neg": lambda _: -x,
        "cat": lambda _: torch.cat([left, right], dim=1),
        "mean": lambda _: x.mean(-1),
        "gelu": lambda _: function.gelu(x),
        "silu": lambda _: function.silu(x),
        "tanh": lambda _: torch.tanh(x),
        "norm": lambda _: function.layer_norm(x, (columns,), gain, gain),
        "softmax": lambda _: x.softmax(-1),
        "embedding": lambda _: function.embedding(index, table),
    }
    return calls[kind]


def _attentions(
    inputs: Inputs, group: str, shapes: Sequence[tuple[int, ...]], scale: int, *, held_out: bool
) -> Iterator[Point]:
    """Attention as a model calls it: heads are a view of rows of tokens, keys and values warm from their projection."""
    causal = attention(mask="causal")[0], attention(mask="full")[0]
    for batch, queries, keys, heads, group_size, width in shapes:
        for masked, op in zip((True, False), causal, strict=True):
            if queries == 1 and not masked:
                continue
            many = 1 if queries == 1 else queries * (scale if scale > 1 else 1)
            span = keys * scale if queries == 1 else many
            sizes = {"B": batch, "T": many, "S": span, "K": heads // group_size, "G": group_size, "H": width}
            name = f"{group} {batch}x{many}x{span} {heads}/{group_size}x{width}{' causal' if masked else ''}"
            yield Point(name, group, op, sizes, _attend(inputs, sizes, masked and queries > 1), held_out)


def _attend(inputs: Inputs, sizes: Mapping[str, int], causal: bool) -> Call:
    function = inputs.device.torch.nn.functional.scaled_dot_product_attention
    b, t, s, k, g, h = (sizes[letter] for letter in "BTSKGH")
    q = inputs.warm(b, t, k * g, h).transpose(1, 2)
    keys, values = (inputs.warm(b, k, s, h, place=place) for place in (1, 2))
    return lambda _: function(q, keys, values, is_causal=causal, enable_gqa=g > 1)
