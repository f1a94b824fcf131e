"""Manifold-constrained hyper-connections: a residual of h streams, mixed before and behind each branch.

The formula, with j = h (h + 2) coefficients a token from one projection of all streams, ``mixes = w[j h D] x[h D]``:
the branch reads ``sum over h of pre[h] x[h D]``, and ``x[h D] = post[h] branch[D] + comb[h h] x[h D]`` behind it. The
matrix comb is made doubly stochastic by dividing its rows and columns by their sums, over and over.
"""

from __future__ import annotations

from roofline.layers.normalization import Norm, norm
from roofline.program.op import Op, PerElement, Tensor, Work, contract, elementwise, fuse, weight

_STREAMS, _H = Tensor("x", "B T h D"), Tensor("h", "B T D")
_COLLAPSE_FLOPS = 2  # a product and a sum for each element of each stream


def spread(source: str = "x_token") -> Op:
    """Each token's embedding as all h streams.

    >>> print(spread())
    spread: x_token[B T D] -> x[B T h D]

    Source: ``DeepseekV4Model`` of transformers.
    """
    return elementwise("spread", [Tensor(source, "B T D")], _STREAMS, PerElement(0), linear=True)


def collapse(name: str, *, kind: Norm, rounds: int) -> tuple[Op, ...]:
    """The coefficients of a branch from all streams, one stream made of them, and the norm that the branch reads.

    ``rounds``: how often comb's rows and columns are divided by their sums.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDhj", symbols("B T D h j")))
    >>> [(op.name, op.flops(sizes)) for op in collapse("ffn", kind="rms", rounds=20)]
    [('ffn_mix', 2*B*D*T*h*j), ('ffn_norm', 0)]

    Source: Xie et al. 2026, mHC (arXiv 2512.24880); ``DeepseekV4HyperConnection`` of transformers.
    """
    mixes, scales = (
        Tensor(f"{name}_mixes", "B T j"),
        [weight(f"{name}_mix_{part}", "") for part in ("pre", "post", "comb")],
    )
    normed = norm(f"{name}_stream_norm", _STREAMS, Tensor("normed_streams", "B T h D"), kind="rms_bare")
    project = contract(
        f"{name}_mix",
        Tensor("normed_streams", "B T h D"),
        weight(f"w_{name}_mix", "j h D"),
        mixes,
        bias=weight(f"b_{name}_mix", "j"),
    )
    balance = elementwise(f"{name}_balance", [mixes, *scales], mixes, PerElement(2 + 4 * rounds, special=1))
    return fuse(f"{name}_mix", [normed, project, balance], kind="matmul"), _into_one(name, mixes, kind)


def _into_one(name: str, mixes: Tensor, kind: Norm) -> Op:
    one = elementwise(
        f"{name}_collapse", [_STREAMS, mixes], Tensor("one", "B T D"), PerElement(_COLLAPSE_FLOPS, over=_STREAMS)
    )
    return fuse(f"{name}_norm", [one, norm(f"{name}_norm", Tensor("one", "B T D"), _H, kind=kind)], kind="norm")


def expand(name: str, branch: str) -> Op:
    """What a branch says, added to each stream by its share, and the streams mixed.

    >>> expand("ffn", "f").flops({"B": 1, "T": 1, "h": 4, "D": 100})
    3200

    Source: Xie et al. 2026, mHC (arXiv 2512.24880); ``DeepseekV4DecoderLayer`` of transformers.
    """
    reads = (Tensor(branch, "B T D"), _STREAMS, Tensor(f"{name}_mixes", "B T j"))
    work = (Work("matrix", 2, tuple("BThhD")), Work("vector", 2, tuple("BThD")))
    return Op(f"{name}_expand", "elementwise", reads, (_STREAMS,), work)


def last_collapse(*, kind: Norm) -> tuple[Op, ...]:
    """The streams made one behind the last layer, by h coefficients of one more projection, and the final norm.

    >>> [op.name for op in last_collapse(kind="rms")]
    ['final_mix', 'final_norm']

    Source: ``DeepseekV4HyperHead`` of transformers.
    """
    mixes = Tensor("final_mixes", "B T j")
    normed = norm("final_stream_norm", _STREAMS, Tensor("normed_streams", "B T h D"), kind="rms_bare")
    project = contract(
        "final_mix",
        Tensor("normed_streams", "B T h D"),
        weight("w_final_mix", "j h D"),
        mixes,
        bias=weight("b_final_mix", "j"),
    )
    gate = elementwise("final_gate", [mixes, weight("final_mix_scale", "")], mixes, PerElement(3, special=1))
    ops = fuse("final_mix", [normed, project, gate], kind="matmul"), _into_one("final", mixes, kind)
    return tuple(op.rebound(j="h") for op in ops)
