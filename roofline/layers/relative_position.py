"""Relative positions as a bias of the scores: a table of P distances by K heads."""

from __future__ import annotations

from roofline.layers.attention import POSITION_BIAS
from roofline.program.op import Op, Work, weight

_BUCKET_FLOPS = 8  # difference, absolute value, compare, divide, scale, add, minimum, select; and a logarithm


def position_bias() -> Op:
    """The bias of every (query, key) pair and head, once per stack: all layers add the same one to their scores.

    Statement: ``position_table[P K G] -> position_bias[K G T S]``. Distances fall into P buckets, exact ones when near,
    logarithmic ones beyond.

    >>> print(position_bias())
    position_bias: position_table[P K G] -> position_bias[K G T S]

    Assumes: the table is read once, the bucket of a pair is computed once for all heads.
    Source: Raffel et al. 2019, T5 (arXiv 1910.10683), section 2.1 and its published code.
    """
    table, pairs = weight("position_table", "P K G"), ("T", "S")
    work = (Work("vector", _BUCKET_FLOPS, pairs), Work("special", 1, pairs))
    return Op("position_bias", "elementwise", (table,), (POSITION_BIAS,), work)
