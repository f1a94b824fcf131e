"""Alternating updates: a residual of h streams of which a layer reads one and predicts the others (AltUp, Gemma 3n).

The formula: with coefficients ``c[h h]`` of a token, each stream is ``x[h D] + sum over h of c[h h] x[h D]`` before a
layer; behind it each gains its share of what the layer changed in the one that it read.
"""

from __future__ import annotations

from roofline.layers.normalization import Norm, norm, residual
from roofline.number import Number
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, Work, contract, elementwise, fuse, weight

_STREAMS, _ONE, _H = Tensor("x", "B T h D"), Tensor("x", "B T D"), Tensor("h", "B T D")
_ACTIVE, _ROUTED, _MODALITIES = Tensor("active", "B T D"), Tensor("routed", "B T D"), Tensor("modalities", "B T h")
_MAGNITUDE_FLOPS = 4  # square and sum of what was and of what is; a product with their ratio


def _others(sizes: Sizes) -> Number:
    """The streams beside the active one."""
    return size_of("h", sizes) - 1


def first_streams(source: str = "x_token") -> tuple[Op, ...]:
    """The streams beside the token's embedding: a matmul each, brought to its magnitude.

    >>> project, _ = first_streams()
    >>> project.flops({"B": 1, "T": 1, "h": 4, "D": 10})  # 3 matmuls of 10 x 10
    600

    Source: Baykal et al. 2023, Alternating Updates (arXiv 2301.13310); ``Gemma3nTextModel`` of transformers.
    """
    token, made = Tensor(source, "B T D"), Tensor("further_streams", "B T h O")
    project = contract("stream_projection", token, weight("w_stream_projection", "h D O"), made)
    stack = elementwise("stream_stack", [token, made], _STREAMS, PerElement(_MAGNITUDE_FLOPS))
    return project.rebound(h=_others, O="D"), stack.rebound(O="D")


def predict(*, kind: Norm) -> tuple[Op, ...]:
    """All streams predicted from all, and the norm of the active one, which the layer reads.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDhj", symbols("B T D h j")))
    >>> [(op.name, op.flops(sizes)) for op in predict(kind="rms")]
    [('router', 2*B*D*T*h), ('predict_coefficients', 2*B*T*h*j), ('predict', 2*B*D*T*h**2), ('input_norm', 0)]

    Source: Baykal et al. 2023 (arXiv 2301.13310), algorithm 1; ``Gemma3nTextAltUp.predict`` of transformers.
    """
    coefficients = Tensor("coefficients", "B T j")
    work = (Work("matrix", 2, tuple("BThhD")), Work("vector", 1, tuple("BThD")))
    return (
        _router(kind, _ONE, ""),
        contract("predict_coefficients", _MODALITIES, weight("w_predict", "h j"), coefficients),
        Op("predict", "elementwise", (_STREAMS, coefficients), (_STREAMS,), work),
        norm("input_norm", _ONE, _H, kind=kind),
    )


def _router(kind: Norm, source: Tensor, again: str) -> Op:
    """A number for each stream from one of them; the same weights before a layer and behind it."""
    normed = norm("router_norm", source, _ROUTED, kind=kind)
    route = contract("route", _ROUTED, weight("w_router_streams", "D h"), _MODALITIES)
    bounded = elementwise("bound", [_MODALITIES], _MODALITIES, PerElement(0, special=1), function="tanh")
    return fuse(f"router{again}", [normed, route, bounded], kind="matmul")


def learned_residual(*, kind: Norm) -> tuple[Op, ...]:
    """LAuReL: a projection of rank u beside attention, normed and added to what attention reads.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDu", symbols("B T D u")))
    >>> sum(op.flops(sizes) for op in learned_residual(kind="rms"))
    4*B*D*T*u

    Source: Menghani et al. 2024, LAuReL (arXiv 2411.07501), section 2; ``Gemma3nTextLaurelBlock`` of transformers.
    """
    low, high, said = Tensor("laurel_low", "B T u"), Tensor("laurel_high", "B T D"), Tensor("laurel", "B T D")
    normed = norm("laurel_norm", high, said, kind=kind)
    return (
        contract("laurel_left", _H, weight("w_laurel_left", "D u"), low),
        contract("laurel_right", low, weight("w_laurel_right", "u D"), high),
        fuse("laurel_norm", [normed, residual("laurel_sum", said, _H, said)], kind="norm", keep=["laurel"]),
    )


def attended(*, kind: Norm) -> Op:
    """What attention says, normed, added to the active stream and to the learned residual; then the next norm.

    >>> print(attended(kind="rms"))
    ffn_norm: a[B T D], ffn_norm_branch_gain[D], x[B T D], laurel[B T D], ffn_norm_gain[D] -> active[B T D], h[B T D]

    Source: ``Gemma3nTextDecoderLayer`` of transformers.
    """
    normed = Tensor("normed", "B T D")
    ops = [
        norm("ffn_norm_branch", Tensor("a", "B T D"), normed, kind=kind),
        elementwise("ffn_norm.sum", [normed, _ONE, Tensor("laurel", "B T D")], _ACTIVE, PerElement(3), linear=True),
        norm("ffn_norm", _ACTIVE, _H, kind=kind),
    ]
    return fuse("ffn_norm", ops, kind="norm", keep=["active"])


def correct(*, kind: Norm) -> tuple[Op, ...]:
    """What the feed-forward layer says, normed and added; each stream gains its share of the change, one is scaled.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDhj", symbols("B T D h j")))
    >>> [(op.name, op.flops({**sizes, **dict.fromkeys(op.local, sizes["h"])})) for op in correct(kind="rms")]
    [('output_norm', 0), ('router.corrected', 2*B*D*T*h), ('correct_coefficients', 2*B*T*h**2), ('correct', 0)]

    Source: Baykal et al. 2023 (arXiv 2301.13310), algorithm 1; ``Gemma3nTextAltUp.correct`` of transformers.
    """
    normed, shares, first = Tensor("normed", "B T D"), Tensor("shares", "B T j"), Tensor("first", "B T D")
    behind = [
        norm("output_norm", Tensor("f", "B T D"), normed, kind=kind),
        residual("output_norm.residual", normed, _ACTIVE, _ACTIVE),
    ]
    change = elementwise("change", [_STREAMS, _ACTIVE, shares], _STREAMS, PerElement(3), linear=True)
    scale = elementwise("scale", [_ONE, weight("first_scale", "D")], first, PerElement(1), linear=True)
    return (
        fuse("output_norm", behind, kind="norm"),
        _router(kind, _ACTIVE, ".corrected"),
        contract("correct_coefficients", _MODALITIES, weight("w_correct", "h j"), shares).rebound(j="h"),
        fuse("correct", [change, scale], kind="elementwise", keep=["x"]).rebound(j="h"),
    )


def added_to_others(branch: str, *, kind: Norm) -> Op:
    """A branch, normed and added to all streams but the active one.

    >>> print(added_to_others("p", kind="rms"))
    per_layer_norm: p[B T D], per_layer_norm_gain[D], x[B T h D] -> x[B T h D]

    Source: ``Gemma3nTextDecoderLayer`` of transformers.
    """
    normed = Tensor("normed", "B T D")
    ops = [
        norm("per_layer_norm", Tensor(branch, "B T D"), normed, kind=kind),
        elementwise("per_layer_norm.sum", [normed, _STREAMS], _STREAMS, PerElement(1), linear=True),
    ]
    return fuse("per_layer_norm", ops, kind="norm", keep=["x"])


def last_streams(*, kind: Norm) -> tuple[Op, ...]:
    """The mean of the active stream and a matmul of each of the others, brought to its magnitude; the final norm.

    >>> [op.name for op in last_streams(kind="rms")]
    ['stream_unprojection', 'final_norm']

    Source: ``Gemma3nTextModel`` of transformers.
    """
    others, made, mean = Tensor("x", "B T h D"), Tensor("made_streams", "B T h O"), Tensor("mean", "B T D")
    project = contract("stream_unprojection", others, weight("w_stream_unprojection", "h D O"), made)
    one = elementwise("stream_mean", [_ONE, made], mean, PerElement(_MAGNITUDE_FLOPS + 1, over=made))
    both = fuse("final_norm", [one, norm("final_norm", mean, _H, kind=kind)], kind="norm")
    return project.rebound(h=_others, O="D"), both.rebound(h=_others, O="D")
