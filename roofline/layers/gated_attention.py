"""Attention whose heads a gate scales, element by element or each as a whole, before the output projection."""

from __future__ import annotations

from roofline.layers.attention import projections
from roofline.program.op import Op, PerElement, Tensor, contract, elementwise, fuse, weight

_CONTEXT = Tensor("context", "B T K G H")


def gated_projections(
    *, bias: bool = False, packed: bool = False, source: str = "h", held: str = "B S K H", per_head: bool = False
) -> tuple[Op, ...]:
    """The query, key and value projections, and the gate's, in one matmul with the queries.

    ``per_head``: one score for each head in place of one for each element (Step 3.5).

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDKGH", symbols("B T D K G H")))
    >>> [(op.name, op.flops(sizes)) for op in gated_projections()]
    [('q_gate_proj', 4*B*D*G*H*K*T), ('k_proj', 2*B*D*H*K*T), ('v_proj', 2*B*D*H*K*T)]

    Source: Qiu et al. 2025, Gated Attention for Large Language Models (arXiv 2505.06708), section 2.2; Qwen3-Next's
    published code.
    """
    output = _gate(per_head)
    axes = " ".join(output.letters[2:])
    offset = weight("b_attention_gate", axes) if bias else None
    matrix = weight("w_attention_gate", f"D {axes}")
    gate = contract("attention_gate", Tensor(source, "B T D"), matrix, output, bias=offset)
    first, *others = projections(bias=bias, packed=packed, source=source, held=held)
    if packed:
        return (fuse("qkv_gate_proj", [*first.parts, gate], kind="matmul"),)
    return fuse("q_gate_proj", [first, gate], kind="matmul"), *others


def attention_gate(*, per_head: bool = False) -> Op:
    """What the heads say, times the sigmoid of the gate: an exponential, a sum, a quotient and a product per element.

    >>> print(attention_gate())
    attention_gate: attention_gate[B T K G H], context[B T K G H] -> context[B T K G H]
    >>> print(attention_gate(per_head=True))
    attention_gate: attention_gate[B T K G], context[B T K G H] -> context[B T K G H]

    Assumes: ``per_head`` too, the sigmoid is computed for each element, as kernels that fuse it do.

    Source: Qiu et al. 2025, Gated Attention for Large Language Models (arXiv 2505.06708), section 2.2.
    """
    return elementwise("attention_gate", [_gate(per_head), _CONTEXT], _CONTEXT, PerElement(3, special=1))


def _gate(per_head: bool) -> Tensor:
    return Tensor("attention_gate", "B T K G" if per_head else "B T K G H")
