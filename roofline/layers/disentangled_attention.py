"""Disentangled attention: content attends to distances and distances to content, beside content to content.

The formula: ``score = q k + q pos_k[distance] + k pos_q[-distance]``, where pos_k and pos_q are the layer's own key and
query projections of P trained distances, the same for all sequences: ``content_to_position[B T K G P] = q[B T K G H]
pos_k[P K H]`` and ``position_to_content[B S K G P] = k[B S K H] pos_q[P K G H]``, from which each pair of tokens picks
the score of its distance.
"""

from __future__ import annotations

from dataclasses import replace

from roofline.layers.attention import projections
from roofline.layers.normalization import norm
from roofline.program.op import Op, Tensor, contract, weight

_DISTANCES = Tensor("distances", "P D")
_KEYS, _QUERIES = Tensor("position_keys", "P K H"), Tensor("position_queries", "P K G H")
CONTENT_TO_POSITION = Tensor("content_to_position", "B T K G P")
POSITION_TO_CONTENT = Tensor("position_to_content", "B S K G P")


def distance_norm() -> Op:
    """The table of P distances, normed, once per stack: all layers project the same ones.

    >>> print(distance_norm())
    distance_norm: distance_table[P D], distance_norm_gain[D], distance_norm_shift[D] -> distances[P D]

    Source: He et al. 2021, DeBERTaV3 (arXiv 2111.09543), its published code.
    """
    op = norm("distance_norm", _DISTANCES, _DISTANCES, kind="layer")
    return replace(op, reads=(weight("distance_table", "P D"), *op.reads[1:]))


def disentangled_projections(*, source: str = "x") -> tuple[Op, ...]:
    """Queries, keys and values of the tokens, and queries and keys of the distances by the same matrices.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDKGHP", symbols("B T D K G H P")))
    >>> [(op.name, op.flops(sizes)) for op in disentangled_projections()][3:]
    [('q_proj.positions', 2*D*G*H*K*P), ('k_proj.positions', 2*D*H*K*P)]

    Assumes: the distances are projected anew in every pass, as the published code does, once for all sequences.
    Source: He et al. 2020, DeBERTa (arXiv 2006.03654), section 3.1 and eq. 4; shared matrices: its section A.1.
    """
    content = projections(bias=True, cached=False, source=source)
    positions = [
        contract(f"{op.name}.positions", _DISTANCES, op.reads[1], y, bias=op.reads[2])
        for op, y in zip(content[:2], (_QUERIES, _KEYS), strict=True)
    ]
    return (*content, *positions)


def disentangled_scores() -> tuple[Op, ...]:
    """Scores of each query with all distances, and of all distances with each key.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTSKGHP", symbols("B T S K G H P")))
    >>> [op.flops(sizes) for op in disentangled_scores()]
    [2*B*G*H*K*P*T, 2*B*G*H*K*P*S]

    Assumes: all P distances are scored and stored, and attention reads them all, as the published code does.
    Source: He et al. 2020, DeBERTa (arXiv 2006.03654), eq. 4 and algorithm 1.
    """
    q, k = Tensor("q", "B T K G H"), Tensor("k", "B S K H")
    return (
        contract("content_to_position", q, _KEYS, CONTENT_TO_POSITION),
        contract("position_to_content", k, _QUERIES, POSITION_TO_CONTENT),
    )
