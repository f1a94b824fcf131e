"""Cross-attention: T tokens of a decoder attend to the M tokens that an encoder has read.

The formula: ``scores[B K G T M] = q[B T K G H] k[B M K H]`` and ``context[B T K G H] = p[B K G T M] v[B M K H]``,
2 B K G H T M FLOPs each, without a mask. Keys and values are projected once, when the encoder has run, and stay; the
letter S stands for M here.
"""

from __future__ import annotations

from dataclasses import replace

from roofline.layers.attention import attention
from roofline.program.op import Op, Tensor, contract, weight

_HEADS = "B T K G H"


def cross_keys_values(*, bias: bool, key_bias: bool = True, source: str = "h") -> tuple[Op, ...]:
    """Keys and values of what the encoder read, for one layer of the decoder: a cache that no step adds to.

    >>> from sympy import symbols
    >>> ops = cross_keys_values(bias=False)
    >>> print(ops[0])
    cross_k_proj: h[B T D], w_cross_k[D K H] -> cross_k_cache[B T K H]
    >>> ops[0].flops(dict(zip("BTDKH", symbols("B M D K H"))))
    2*B*D*H*K*M

    Source: Vaswani et al. 2017 (arXiv 1706.03762), section 3.2.3.
    """
    h = Tensor(source, "B T D")

    def project(x: str, biased: bool) -> Op:
        cache = Tensor(f"cross_{x}_cache", "B T K H", "kv_cache", "B M K H")
        offset = weight(f"b_cross_{x}", "K H") if biased else None
        return contract(f"cross_{x}_proj", h, weight(f"w_cross_{x}", "D K H"), cache, bias=offset)

    return project("k", bias and key_bias), project("v", bias)


def cross_attention(
    *, bias: bool, out_bias: bool, source: str = "h", fused: bool = True, square: bool = False
) -> tuple[Op, ...]:
    """Queries of the new tokens, attention to the M cached keys and values, and the projection back.

    >>> from sympy import symbols
    >>> query, attend, out = cross_attention(bias=False, out_bias=False)
    >>> sizes = dict(zip("BTSMKGH", symbols("B T S M K G H")))
    >>> attend.flops(sizes)
    4*B*G*H*K*M*T
    >>> attend.bytes(sizes, lambda tensor: 2)
    4*B*G*H*K*T + 4*B*H*K*M
    >>> print(out)
    cross_out_proj: context[B T K G H], w_cross_out[K G H D] -> a[B T D]

    Source: Vaswani et al. 2017 (arXiv 1706.03762), section 3.2.3.
    """
    q, offset = Tensor("q", _HEADS), weight("b_cross_q", "K G H") if bias else None
    query = contract("cross_q_proj", Tensor(source, "B T D"), weight("w_cross_q", "D K G H"), q, bias=offset)
    core = attention(mask="full", fused=fused, square=square, cache="cross_")
    last, shift = weight("w_cross_out", "K G H D"), weight("b_cross_out", "D") if out_bias else None
    out = contract("cross_out_proj", Tensor("context", _HEADS), last, Tensor("a", "B T D"), bias=shift)
    return query, *(replace(op, name=f"cross_{op.name}").rebound(S="M") for op in core), out
