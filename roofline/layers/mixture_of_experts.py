"""Mixtures of experts: a router sends each token to A of E experts.

The formula: ``g[B T A F] = x[B T D] w_gate[E D F]`` and so on, 2 B T A D F FLOPs per matrix, whichever experts they
are. The weights that are read are those of the X experts that at least one token is sent to; all E stay resident.
"""

from __future__ import annotations

from roofline.layers.feed_forward import Activation, activation, feed_forward
from roofline.number import Number, power
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, Work, contract, elementwise, fuse, weight


def touched_experts(sizes: Sizes) -> Number:
    """Experts that at least one of B T tokens is sent to: E (1 - (1 - A/E)^(B T)) of them are expected.

    Every token picks A distinct experts, each set as likely as any other. Routing that is skewed touches fewer.

    >>> touched_experts({"B": 1, "T": 1, "E": 8, "A": 2}), touched_experts({"B": 2, "T": 1, "E": 8, "A": 2})
    (2.0, 3.5)
    >>> from sympy import symbols
    >>> touched_experts(dict(zip("BTEA", symbols("B T E A"))))
    E*(1 - (-A/E + 1)**(B*T))

    Source: linearity of expectation: a token misses a given expert with probability 1 - A/E.
    """
    batch, tokens, experts, picked = (size_of(letter, sizes) for letter in "BTEA")
    return experts * (1 - power(1 - picked / experts, batch * tokens))


def router(*, bias: bool = False, source: str = "h") -> tuple[Op, ...]:
    """Scores of all experts for each token, softmax or sigmoid over them, and the A best.

    >>> scores, _ = router()
    >>> print(scores)
    router: h[B T D], w_router[D E] -> router_scores[B T E]

    Assumes: one pass over the scores; 5 vector FLOPs (maximum, subtract, sum, divide, compare) and an exponential each.
    Source: Shazeer et al. 2017 (arXiv 1701.06538), section 2.1; Fedus et al. 2021, Switch Transformers
    (arXiv 2101.03961), section 2.
    """
    scores, offset = Tensor("router_scores", "B T E"), weight("b_router", "E") if bias else None
    matmul = contract("router", Tensor(source, "B T D"), weight("w_router", "D E"), scores, bias=offset)
    routes = Tensor("routes", "B T A")
    pick = elementwise("routing", [scores], routes, PerElement(5, special=1, over=scores), kind="softmax", mixes="E")
    return matmul, pick


def experts(
    *,
    function: Activation,
    bias: bool = False,
    glu: bool = True,
    source: str = "h",
    output: str = "f",
    axis: str = "D",
) -> tuple[Op, ...]:
    """The A experts of each token, feed-forward layers with a gate or without (``glu``), and the weighted sum of them.

    ``axis``: what they read and write, if not the hidden size.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTADF", symbols("B T A D F")))
    >>> [(op.name, op.flops(sizes)) for op in experts(function="silu")][:3]
    [('experts_gate_up', 4*A*B*D*F*T), ('experts_act', 0), ('experts_down', 2*A*B*D*F*T)]

    Assumes: grouped matmuls that read a token's input once, however many experts it goes to.
    Source: Shazeer et al. 2017 (arXiv 1701.06538), eq. 1; Mixtral (arXiv 2401.04088), section 2.1.
    """
    h, g, u, m = Tensor(source, f"B T {axis}"), *(Tensor(f"expert_{x}", "B T A F") for x in "gum")
    y, total = Tensor("expert_y", f"B T A {axis}"), Tensor(output, f"B T {axis}")
    up, gate = (_of_experts(name, h, f"{axis} F", z, bias) for name, z in (("up", u), ("gate", g)))
    return (
        fuse("experts_gate_up", [gate, up], kind="matmul") if glu else up,
        activation("experts_act", g, m, function, gate=u) if glu else activation("experts_act", u, m, function),
        _of_experts("down", m, f"F {axis}", y, bias),
        elementwise("experts_sum", [y, Tensor("routes", "B T A")], total, PerElement(2, over=y), linear=True),
    )


def latent_experts(
    *, function: Activation, bias: bool = False, glu: bool = True, source: str = "h", output: str = "f"
) -> tuple[Op, ...]:
    """Experts that read and write a latent of O elements: a projection down before them, one back up behind their sum.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTADFO", symbols("B T A D F O")))
    >>> [op.name for op in latent_experts(function="relu2", glu=False)][:2]
    ['latent_down', 'experts_up']
    >>> [op.flops(sizes) for op in latent_experts(function="relu2", glu=False)][:2]
    [2*B*D*O*T, 2*A*B*F*O*T]

    Source: NVIDIA Nemotron 3 (2025), LatentMoE; ``NemotronHMoE`` of transformers.
    """
    low, total = Tensor("expert_latent", "B T O"), Tensor("latent_sum", "B T O")
    return (
        contract("latent_down", Tensor(source, "B T D"), weight("w_latent_down", "D O"), low),
        *experts(function=function, bias=bias, glu=glu, source=low.name, output=total.name, axis="O"),
        contract("latent_up", total, weight("w_latent_up", "O D"), Tensor(output, "B T D")),
    )


def shared_experts(
    *, function: Activation, gated: bool = False, glu: bool = True, source: str = "h", output: str = "f"
) -> tuple[Op, ...]:
    """The experts that every token goes to, one feed-forward layer of their widths together, added to the others.

    ``gated``: a sigmoid of one score per token scales them (Qwen2-MoE). ``glu``: they have a gate within.

    >>> [op.name for op in shared_experts(function="silu")]
    ['shared_gate_up', 'shared_act', 'shared_down', 'shared_sum']

    Source: Dai et al. 2024, DeepSeekMoE (arXiv 2401.06066), section 3.2.
    """
    layer = feed_forward(function=function, gated=glu, packed=True, source=source, output="shared", prefix="shared_")
    total, shared, score = Tensor(output, "B T D"), Tensor("shared", "B T D"), Tensor("shared_score", "B T")
    if not gated:
        return *layer, elementwise("shared_sum", [shared, total], total, PerElement(1), linear=True, function="add")
    one = contract("shared_router", Tensor(source, "B T D"), weight("w_shared_router", "D"), score)
    return *layer, one, elementwise("shared_sum", [shared, score, total], total, PerElement(2), linear=True)


def _of_experts(name: str, x: Tensor, axes: str, y: Tensor, bias: bool) -> Op:
    """A matmul of each token with its A experts; the letters of the work are not those of the weights read."""
    matrix = weight(f"w_expert_{name}", f"X {axes}", stored=f"E {axes}")
    out = axes.rsplit(maxsplit=1)[-1]
    offset = (weight(f"b_expert_{name}", f"X {out}", stored=f"E {out}"),) if bias else ()
    work = Work("matrix", 2, ("B", "T", "A", *axes.split()))
    return Op(f"experts_{name}", "matmul", (x, matrix, *offset), (y,), (work,))
