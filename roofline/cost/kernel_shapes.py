"""What a kernel spreads over the units of a device: rows and columns of a matmul, sequences and heads of attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, replace
from typing import TypeAlias

from roofline.classes import frozen
from roofline.number import Number, added, maximum, minimum, product
from roofline.program.axes import Sizes, rebind, size_of
from roofline.program.op import Op, Role, Tensor
from roofline.program.workload import BLOCKS

_SUPER_BLOCK = 256  # weights of a K-quant's or an I-quant's


@frozen
class MatmulShape:
    """A matmul with weights: ``y[rows columns] = x[rows depth] w[depth columns]``.

    weight_bytes: what the weights alone move. narrow: 1 where they are stored in fewer bits than the activations have.
    blocked: whether blocks of weights have scales of their own. nested: whether those have scales too, as in the
    super-blocks of GGUF.
    """

    rows: Number
    columns: Number
    depth: Number
    weight_bytes: Number = field(default=0, compare=False, repr=False)
    narrow: Number = field(default=0, compare=False, repr=False)
    blocked: bool = field(default=False, compare=False, repr=False)
    nested: bool = field(default=False, compare=False, repr=False)


@frozen
class GroupedShape:
    """A matmul of each token with its experts: ``groups`` experts are touched, ``rows`` go to them all together.

    weight_bytes: what the weights alone move. unpacked: how many of them are stored in fewer bits than the activations
    have. nested: whether scales of their blocks have scales too. columns: of an expert's output. blocked: whether
    blocks of weights have scales of their own. packed: whether they are stored in 4 bits or fewer, and multiplied in
    more. written_bytes: what its outputs alone move. spread: pairs of a token and any expert, wherever it is, for each
    pair of them at hand. held: experts at hand, touched or not. Of the first matmul of a mixture, and 0 of the others:
    tokens, which are sorted by expert before it, experts at hand, and row_bytes of a token's copy for one of them.
    """

    groups: Number
    rows: Number
    weight_bytes: Number = field(default=0, compare=False, repr=False)
    blocked: bool = field(default=False, compare=False, repr=False)
    tokens: Number = field(default=0, compare=False, repr=False)
    experts: Number = field(default=0, compare=False, repr=False)
    row_bytes: Number = field(default=0, compare=False, repr=False)
    packed: bool = field(default=False, compare=False, repr=False)
    columns: Number = field(default=0, compare=False, repr=False)
    unpacked: Number = field(default=0, compare=False, repr=False)
    nested: bool = field(default=False, compare=False, repr=False)
    written_bytes: Number = field(default=0, compare=False, repr=False)
    spread: Number = field(default=1, compare=False, repr=False)
    held: Number = field(default=0, compare=False, repr=False)


@frozen
class AttentionShape:
    """Fused attention: queries and keys are tokens, ``groups`` query heads share one of ``kv_heads``.

    Over latents themselves all query heads share one, as they do in multi-query attention.
    pair_flops: contraction FLOPs of one attended pair over all heads and sequences. cache_bytes: keys and values read.
    window: tokens that a query sees at most, 0 where it sees all. context: of a sequence, of which a window leaves
    ``keys``; 0 where those are all. bidirectional: an encoder's, without a mask or a
    cache. latent: keys and values are one latent for all heads. backward: a backward pass, of 5 matmuls in place of 2.
    """

    batch: Number
    queries: Number
    keys: Number
    kv_heads: Number
    groups: Number
    pair_flops: Number
    cache_bytes: Number
    window: Number = 0
    bidirectional: bool = False
    latent: bool = False
    backward: bool = False
    context: Number = field(default=0, compare=False, repr=False)

    @property
    def heads(self) -> Number:
        """Query heads of all sequences."""
        return self.batch * self.kv_heads * self.groups

    @property
    def readers(self) -> Number:
        """Blocks that read keys by themselves: each query head, over latents all of a sequence together."""
        return self.batch if self.latent else self.heads

    @property
    def head_dim(self) -> Number:
        """The width of a head: half of keys' and values' together."""
        return self.pair_flops / ((10 if self.backward else 4) * self.heads)

    @property
    def windowed(self) -> Number:
        """1 where there is a window, else 0: a number, so that rows of both kinds share a formula."""
        return minimum(self.window, 1)


@frozen
class RowShape:
    """An operator that works row by row: a norm, a softmax, an activation, a rotation, a gather.

    row_bytes: what one row moves, without what all rows share. routed: whether it works on what experts read or wrote,
    or picks them, as kernels of the chain that is timed whole do; then pair_bytes: what has a row for each pair of a
    token and an expert at hand; spread: pairs of a token and any expert, wherever it is, for each of those.
    """

    rows: Number
    row_bytes: Number
    routed: bool = False
    pair_bytes: Number = field(default=0, compare=False, repr=False)
    spread: Number = field(default=1, compare=False, repr=False)


@frozen
class ScanShape:
    """A scan over tokens with a state per sequence and head; ``chunk`` tokens of a prompt at once.

    rule: what it computes, ``delta_rule`` or ``mamba2``. state_bytes: what the states alone move. apart: whether new
    states are written beside the old ones, and not where they were read.
    """

    rule: str
    batch: Number
    tokens: Number
    chunk: Number
    heads: Number
    state_bytes: Number
    apart: bool = False


@frozen
class ConvolutionShape:
    """A causal convolution of each channel by itself. state_bytes: what the inputs that are kept move."""

    batch: Number
    tokens: Number
    channels: Number
    state_bytes: Number

    @property
    def rule(self) -> str:
        """What it computes."""
        return "convolution"


Shape: TypeAlias = MatmulShape | GroupedShape | AttentionShape | RowShape | ScanShape | ConvolutionShape | None


def shape_of(op: Op, sizes: Sizes, width: Callable[[Tensor], Number]) -> Shape:
    """The shape of an operator, where ``width`` gives a tensor's bytes per element; None for what is not told apart.

    A fused projection counts as one matmul with the columns of all its parts.

    >>> from roofline.program.op import contract, weight
    >>> up = contract("up", Tensor("x", "B T D"), weight("w", "D F"), Tensor("h", "B T F"))
    >>> shape_of(up, {"B": 2, "T": 3, "D": 4, "F": 5}, lambda tensor: 2)
    MatmulShape(rows=6, columns=5, depth=4)
    """
    bound = rebind(sizes, op.local)
    found = _shape(op, bound, width)
    if isinstance(found, GroupedShape) or (isinstance(found, RowShape) and found.routed):
        return replace(found, spread=_spread(sizes, bound)) if "A" in op.local and "A" in sizes else found
    return found


def _spread(sizes: Sizes, bound: Sizes) -> Number:
    """Pairs of the tokens that a device has, with any expert, for each pair that it works on; tokens sent to it beside
    are there for its own experts.
    """
    return maximum(1, _size(["B", "T", "A"], sizes) / _size(["B", "T", "A"], bound))


def _shape(op: Op, bound: Sizes, width: Callable[[Tensor], Number]) -> Shape:
    if op.kind == "matmul":
        return _matmul(op, bound, width)
    if op.kind == "attention" and op.parts:
        return _attention(op, bound, width)
    if op.kind == "scan" and op.function:
        return _scan(op, bound, width)
    if any(tensor.role == "conv_state" for tensor in op.writes):
        return _convolution(op, bound, width)
    if op.kind in ("elementwise", "quantize", "norm", "softmax", "embedding"):
        return _rows(op, bound, width)
    return None


def _matmul(op: Op, sizes: Sizes, width: Callable[[Tensor], Number]) -> MatmulShape | GroupedShape | None:
    shapes = []
    parts = [part for part in op.parts or (op,) if part.kind == "matmul"]  # the others are in the epilogue
    if "X" in parts[0].reads[1].letters:
        return _grouped(op, parts, sizes, width)
    for part in parts:
        a, b = part.reads[:2]
        out = part.writes[0].letters
        shared = any(x in out for x in a.letters if x in b.letters)
        if a.role == "weight" or b.role not in ("weight", "widened") or b.share != 1 or shared:
            return None
        rows = _size([x for x in out if x in a.letters], sizes)
        columns = _size([x for x in out if x in b.letters], sizes)
        depth = _size([x for x in b.letters if x not in out and x in a.letters], sizes)
        narrow = int(_is_narrow(b, a, width))
        moved = columns * depth * width(b) * _size([x for x in b.letters if x not in (*a.letters, *out)], sizes)
        shapes.append(MatmulShape(rows, columns, depth, moved, narrow, nested=_is_nested(b)))
    first = shapes[0]
    columns, moved = added(shape.columns for shape in shapes), added(shape.weight_bytes for shape in shapes)
    return replace(first, columns=columns, weight_bytes=moved, blocked=_is_blocked(op))


def _grouped(op: Op, parts: Sequence[Op], sizes: Sizes, width: Callable[[Tensor], Number]) -> GroupedShape:
    """Matmuls of experts that share an input: of each token, or, behind the first, of each token and expert."""
    x, first = parts[0].reads[:2]
    rows = _size([letter for letter in parts[0].writes[0].letters if letter not in first.letters], sizes)
    moved = added(part.reads[1].elements(sizes) * width(part.reads[1]) for part in parts)
    packed = float(width(first)) <= 0.5 < float(width(x))
    unpacked = added(part.reads[1].elements(sizes) for part in parts) if _is_narrow(first, x, width) else 0
    columns = added(_size([x for x in part.writes[0].letters if x in first.letters], sizes) for part in parts)
    groups, blocked = size_of("X", sizes), _is_blocked(op)
    whole = GroupedShape(groups, rows, moved, blocked, packed=packed, columns=columns, unpacked=unpacked)
    written = added(tensor.elements(sizes) * width(tensor) for part in parts for tensor in part.writes)
    whole = replace(whole, nested=_is_nested(first), written_bytes=written, held=size_of("E", sizes))
    if "A" in x.letters:
        return whole
    tokens = _size([letter for letter in x.letters if letter not in first.letters], sizes)
    depth = _size([letter for letter in x.letters if letter in first.letters], sizes)
    return replace(whole, tokens=tokens, experts=whole.held, row_bytes=depth * width(x))


def _is_narrow(weight: Tensor, x: Tensor, width: Callable[[Tensor], Number]) -> bool:
    """Whether weights are stored in fewer bits than what they multiply; scales make no width equal."""
    return float(width(weight)) < 0.75 * float(width(x))


def _is_nested(weight: Tensor) -> bool:
    """Whether a weight lies in super-blocks: scales of blocks have a scale of their own."""
    return BLOCKS.get(weight.dtype, (0, 0))[0] == _SUPER_BLOCK


def _is_blocked(op: Op) -> bool:
    """Whether blocks of weights have scales of their own."""
    return any(tensor.role == "scale" and "z" in tensor.letters for tensor in op.reads)


def _attention(op: Op, sizes: Sizes, width: Callable[[Tensor], Number]) -> AttentionShape:
    batch, queries, keys, kv_heads, groups = (size_of(letter, sizes) for letter in "BTSKG")
    cached = [tensor for tensor in op.reads if {"S", "s"} & set(tensor.letters)]
    if any("s" in tensor.letters for tensor in cached):
        keys = keys + size_of("s", sizes)
    shared = not any("K" in tensor.letters for tensor in cached)  # the latent itself, by all heads
    return AttentionShape(
        batch,
        queries,
        keys,
        1 if shared else kv_heads,
        kv_heads * groups if shared else groups,
        _pair_flops(op, sizes),
        cache_bytes=added(tensor.elements(sizes) * width(tensor) for tensor in cached),
        window=_window(op, sizes, queries),
        bidirectional=op.mask in ("full", "local") and not any(tensor.role == "kv_cache" for tensor in cached),
        latent=is_latent(op),
        backward=any(tensor.gradient_of for tensor in op.writes),
        context=sizes.get("g", 0),
    )


def _window(op: Op, sizes: Sizes, queries: Number) -> Number:
    """Tokens that a query sees at most; on average where an indexer picks them, k in place of S."""
    if any("k" in work.axes for work in op.work):
        whole = added(work.count(sizes) for work in op.work if work.unit == "matrix")
        return whole / (_pair_flops(op, sizes) * queries)
    return size_of("W", sizes) if op.mask in ("sliding", "chunked") else 0


def _pair_flops(op: Op, sizes: Sizes) -> Number:
    """Contraction FLOPs of one attended pair over all heads and sequences, of those that are picked where some are."""
    each = [work for work in op.work if work.unit == "matrix"]
    picked = [work for work in each if "k" in work.axes]
    return added(work.per_element * _size([x for x in work.axes if x not in "TSk"], sizes) for work in picked or each)


def is_latent(op: Op) -> bool:
    """Whether attention reads one latent for all heads, in place of keys and values."""
    return not any("G" in tensor.letters for tensor in op.reads)


def _rows(op: Op, sizes: Sizes, width: Callable[[Tensor], Number]) -> RowShape:
    """Tokens where there are any, else all but the last axis."""
    letters = op.writes[0].letters
    rows = [x for x in letters if x in "BT"] if "T" in letters and op.kind != "softmax" else list(letters[:-1])
    own = [tensor for tensor in (*op.reads, *op.writes) if set(rows) <= set(tensor.letters)]
    row_bytes = added(_size([x for x in tensor.letters if x not in rows], sizes) * width(tensor) for tensor in own)
    routed = op.kind == "elementwise" and any("A" in tensor.letters for tensor in op.reads)
    if op.kind == "softmax" and "E" in op.mixes and "A" in letters:
        return RowShape(_size(rows, sizes), row_bytes, routed=True)
    if not routed:
        return RowShape(_size(rows, sizes), row_bytes)
    pairs = (tensor for tensor in (*op.reads, *op.writes) if "A" in tensor.letters)
    moved = added(tensor.elements(sizes) * width(tensor) for tensor in pairs)
    return RowShape(_size(rows, sizes), row_bytes, routed, moved)


def _scan(op: Op, sizes: Sizes, width: Callable[[Tensor], Number]) -> ScanShape:
    batch, tokens, kv_heads, groups = (size_of(letter, sizes) for letter in "BTKG")
    old, new = ({each.name for each in tensors if each.role == "state"} for tensors in (op.reads, op.writes))
    heads, moved = batch * kv_heads * groups, _moved(op, "state", sizes, width)
    return ScanShape(op.function, batch, tokens, sizes.get("W", 1), heads, moved, apart=bool(old - new))


def _convolution(op: Op, sizes: Sizes, width: Callable[[Tensor], Number]) -> ConvolutionShape:
    batch, tokens = size_of("B", sizes), size_of("T", sizes)
    kept = [tensor for tensor in op.writes if tensor.role == "conv_state"]
    channels = added(_size(tensor.letters[1:-1], sizes) for tensor in kept)
    return ConvolutionShape(batch, tokens, batch * channels, _moved(op, "conv_state", sizes, width))


def _moved(op: Op, role: Role, sizes: Sizes, width: Callable[[Tensor], Number]) -> Number:
    """Bytes of the tensors of one role. [B]"""
    own = (tensor for tensor in (*op.reads, *op.writes) if tensor.role == role)
    return added(tensor.elements(sizes) * width(tensor) for tensor in own)


def _size(letters: list[str] | tuple[str, ...], sizes: Sizes) -> Number:
    return product(size_of(letter, sizes) for letter in letters)
