"""Embeddings: rows gathered from tables."""

from __future__ import annotations

from roofline.program.op import TOKEN_TABLE, Op, PerElement, Role, Tensor, contract, elementwise, gather, weight


def token_embedding(*, output: str = "x", tied: bool = False) -> Op:
    """Token embedding: one row of the V x D table per token.

    Statement: ``token_table[B T D], tokens[B T] -> x[B T D]``, V D resident. No FLOPs: a gather is not a matmul.

    >>> op = token_embedding()
    >>> op.flops({"B": 1, "T": 1, "D": 8, "V": 100})
    0
    >>> from sympy import symbols
    >>> B, T, D, V = symbols("B T D V")
    >>> op.bytes({"B": B, "T": T, "D": D, "V": V}, lambda tensor: 2 if tensor.role != "index" else 8)
    4*B*D*T + 8*B*T

    Assumes: token numbers of 8 bytes, as torch keeps them.
    Source: Vaswani et al. 2017, Attention Is All You Need (arXiv 1706.03762), section 3.4.
    """
    table = weight(TOKEN_TABLE, "B T D", stored="V D", tied=tied)
    return gather("token_embedding", table, Tensor("tokens", "B T", "index"), Tensor(output, "B T D"))


def position_embedding() -> Op:
    """Learned position embedding: T rows of the P x D table, the same for every sequence.

    Statement: ``position_table[T D], positions[T] -> position[T D]``, P D resident.

    >>> print(position_embedding())
    position_embedding: position_table[T D], positions[T] -> position[T D]

    Source: Devlin et al. 2018, BERT (arXiv 1810.04805), section 3; Radford et al. 2018, section 3.1.
    """
    table = weight("position_table", "T D", stored="P D")
    return gather("position_embedding", table, Tensor("positions", "T", "index"), Tensor("position", "T D"))


def segment_embedding() -> Op:
    """Segment (token type) embedding: one of Y rows per token.

    Statement: ``segment_table[B T D], segments[B T] -> segment[B T D]``, Y D resident.

    >>> print(segment_embedding())
    segment_embedding: segment_table[B T D], segments[B T] -> segment[B T D]

    Source: Devlin et al. 2018, BERT (arXiv 1810.04805), figure 2.
    """
    table = weight("segment_table", "B T D", stored="Y D")
    return gather("segment_embedding", table, Tensor("segments", "B T", "index"), Tensor("segment", "B T D"))


def embedding_sum(*, position: bool, segment: bool, stream: str = "x", given: bool = False) -> Op:
    """The sum of the token, position and segment rows: one add per element and extra table.

    Statement: ``x[B T D], position[T D], segment[B T D] -> x[B T D]``. Positions that are ``given`` are no parameters:
    sines and cosines that were computed before.

    >>> embedding_sum(position=True, segment=True).vector_flops({"B": 1, "T": 2, "D": 8})
    32

    Source: Devlin et al. 2018, BERT (arXiv 1810.04805), figure 2.
    """
    place: Role = "input" if given else "activation"
    tables = [Tensor("position", "T D", place)] * position + [Tensor("segment", "B T D")] * segment
    x = Tensor(stream, "B T D")
    return elementwise("embedding_sum", [x, *tables], x, PerElement(len(tables)), linear=True, function="add")


def embedding_projection() -> Op:
    """Embeddings of a width O of their own, brought to the hidden size.

    >>> print(embedding_projection())
    embedding_projection: e[B T O], w_embedding[O D], b_embedding[D] -> x[B T D]

    Source: Lan et al. 2019, ALBERT (arXiv 1909.11942), section 3.1.
    """
    matrix, offset = weight("w_embedding", "O D"), weight("b_embedding", "D")
    return contract("embedding_projection", Tensor("e", "B T O"), matrix, Tensor("x", "B T D"), bias=offset)
