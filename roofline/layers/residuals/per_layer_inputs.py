"""Per-layer embeddings: each layer adds what it makes of an embedding of the token that is its own (Gemma 3n, Gemma 4).

The formula: of tables ``e[V L O]``, with L layers and O elements for each, layer l adds
``norm(w_up gelu(w_gate x) * e[token, l])`` to its stream.
"""

from __future__ import annotations

from roofline.layers.feed_forward import Activation, activation
from roofline.layers.normalization import Norm, norm
from roofline.program.op import Op, PerElement, Tensor, contract, elementwise, fuse, gather, weight

_ALL = "B T L O"
_OWN = "per_layer_inputs"


def per_layer_inputs(*, kind: Norm, rows: int, source: str = "x") -> tuple[Op, ...]:
    """The embeddings of all layers: ``rows`` of a table of their own, and a projection of the token's embedding.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDLO", symbols("B T D L O")))
    >>> [(op.name, op.flops(sizes)) for op in per_layer_inputs(kind="rms", rows=100)]
    [('per_layer_embedding', 0), ('per_layer_projection', 2*B*D*L*O*T), ('per_layer_sum', 0)]

    Assumes: the table lies in the device's memory; engines may keep it on the host.
    Source: Gemma 3n model card; ``Gemma3nTextModel.project_per_layer_inputs`` of transformers.
    """
    looked_up, projected = Tensor("per_layer_rows", _ALL), Tensor("per_layer_projected", _ALL)
    table = weight("per_layer_table", _ALL, stored="V L O")
    rest = weight("w_per_layer_projection", "D L O")
    normed = norm("per_layer_projection_norm", projected, projected, kind=kind, axis="O")
    total = elementwise("per_layer_add", [projected, looked_up], Tensor(_OWN, _ALL), PerElement(2), function="add")
    return (
        gather("per_layer_embedding", table, Tensor("tokens", "B T", "index"), looked_up).rebound(V=rows),
        contract("per_layer_projection", Tensor(source, "B T D"), rest, projected),
        fuse("per_layer_sum", [normed, total], kind="norm"),
    )


def per_layer_branch(*, function: Activation, source: str = "x", output: str = "p") -> tuple[Op, ...]:
    """What a layer makes of its embedding: a gate of O elements from the stream, times it, back to the hidden size.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDO", symbols("B T D O")))
    >>> sum(op.flops(sizes) for op in per_layer_branch(function="gelu"))
    4*B*D*O*T

    Source: ``Gemma3nTextDecoderLayer`` and ``Gemma4TextDecoderLayer`` of transformers.
    """
    gate, own, acted = (Tensor(name, "B T O") for name in ("per_layer_gated", _OWN, "per_layer_acted"))
    return (
        contract("per_layer_gate", Tensor(source, "B T D"), weight("w_per_layer_gate", "D O"), gate),
        activation("per_layer_act", gate, acted, function, gate=own),
        contract("per_layer_up", acted, weight("w_per_layer_up", "O D"), Tensor(output, "B T D")),
    )
