"""Heads: what turns hidden states into scores over the vocabulary or a pooled vector."""

from __future__ import annotations

from roofline.layers.feed_forward import Activation, activation
from roofline.layers.normalization import Norm, norm
from roofline.program.op import TOKEN_TABLE, Op, PerElement, Tensor, contract, elementwise, weight


def lm_head(*, tied: bool, bias: bool = False, fixed_bias: bool = False, source: str = "h") -> Op:
    """Scores over the vocabulary; a tied head reads the token embedding's table, which is resident once.

    A ``fixed_bias`` is added and read like a trained ``bias``, but is no parameter: BART keeps one as a buffer.

    >>> from sympy import symbols
    >>> lm_head(tied=True).flops(dict(zip("BTDV", symbols("B T D V"))))
    2*B*D*T*V
    >>> print(lm_head(tied=False))
    lm_head: h[B T D], w_head[V D] -> logits[B T V]
    >>> [tensor.role for tensor in lm_head(tied=False, fixed_bias=True).reads]
    ['activation', 'weight', 'input']

    Source: Press and Wolf 2016, Using the Output Embedding (arXiv 1608.05859).
    """
    table = weight(TOKEN_TABLE, "V D", tied=True) if tied else weight("w_head", "V D")
    fixed = Tensor("logits_bias", "V", "input") if fixed_bias else None
    offset = weight("b_head", "V") if bias else fixed
    return contract("lm_head", Tensor(source, "B T D"), table, Tensor("logits", "B T V"), bias=offset)


def sampling(*, cap: bool = False) -> Op:
    """Softmax over the vocabulary for the last token of each sequence, and the pick of the next one.

    ``cap`` bounds the scores by a tanh first.

    >>> op = sampling()
    >>> op.special({"B": 2, "T": 7, "V": 100}), op.flops({"B": 2, "T": 7, "V": 100})
    (200, 0)

    Assumes: one pass over the scores; 5 vector FLOPs (scale, maximum, subtract, sum, compare) and one exponential each.
    Source: Holtzman et al. 2019 (arXiv 1904.09751), eq. 4.
    """
    logits, token = Tensor("logits", "B T V"), Tensor("next_token", "B T", "index")
    op = elementwise(
        "sampling",
        [logits],
        token,
        PerElement(5 + 2 * cap, special=1 + cap, over=logits),
        kind="softmax",
        mixes="V",
        function="sampling",
    )
    return op.rebound(T=1)


def pooler(
    *, function: Activation = "tanh", bias: bool = True, source: str = "x", every: bool = False
) -> tuple[Op, ...]:
    """BERT's pooler: a D x D layer and tanh on the first token of each sequence (F stands for the second D).

    Other networks have another ``function``, or run it on ``every`` token.

    >>> matmul, tanh = pooler()
    >>> matmul.flops({"B": 2, "T": 128, "D": 8, "F": 32})  # 2*B*D*D, one token
    256

    Source: Devlin et al. 2018, BERT (arXiv 1810.04805), section 3.1 and its published code.
    """
    y, pooled = Tensor("pooler_sum", "B T F"), Tensor("pooled", "B T F")
    offset = weight("b_pooler", "F") if bias else None
    dense = contract("pooler", Tensor(source, "B T D"), weight("w_pooler", "D F"), y, bias=offset)
    ops = tuple(op.rebound(F="D") for op in (dense, activation(f"pooler_{function}", y, pooled, function)))
    return ops if every else tuple(op.rebound(T=1) for op in ops)


def mean_pooling(*, source: str = "x") -> Op:
    """The mean over the tokens of each sequence.

    >>> print(mean_pooling())
    mean_pooling: x[B T D] -> mean[B D]

    Source: Reimers and Gurevych 2019, Sentence-BERT (arXiv 1908.10084), section 3.
    """
    x = Tensor(source, "B T D")
    return elementwise("mean_pooling", [x], Tensor("mean", "B D"), PerElement(1, over=x), mixes="T")


def classifier(*, labels: int, source: str = "pooled", every: bool = False, bias: bool = True) -> Op:
    """Scores for each of ``labels``, of the one vector of a sequence that the pooler wrote, or of ``every`` token.

    >>> classifier(labels=3).flops({"B": 2, "T": 128, "D": 8, "V": 30_522})  # 2 B D 3, one vector
    96

    Source: Devlin et al. 2018, BERT (arXiv 1810.04805), sections 4.1 and 4.2.
    """
    scores, offset = Tensor("logits", "B T V"), weight("b_classifier", "V") if bias else None
    op = contract("classifier", Tensor(source, "B T D"), weight("w_classifier", "V D"), scores, bias=offset)
    return op.rebound(V=labels) if every else op.rebound(V=labels, T=1)


def embedding_head(name: str, *, source: str = "h") -> tuple[Op, ...]:
    """The embedding of a sequence, one of its tokens projected to a width O and divided by its length.

    >>> [op.name for op in embedding_head("image")]
    ['image_projection', 'image_normalize']
    >>> embedding_head("image")[0].flops({"B": 2, "T": 50, "D": 8, "O": 4})  # 2 B D O, one token
    128

    Source: Radford et al. 2021, CLIP (arXiv 2103.00020), section 2.3 and figure 3.
    """
    y, z = Tensor(f"{name}_projected", "B T O"), Tensor(f"{name}_embedding", "B T O")
    project = contract(f"{name}_projection", Tensor(source, "B T D"), weight(f"w_{name}_projection", "O D"), y)
    normalize = elementwise(f"{name}_normalize", [y], z, PerElement(3), kind="norm", mixes="O")  # square, sum, divide
    return project.rebound(T=1), normalize.rebound(T=1)


def similarity() -> tuple[Op, ...]:
    """The similarity of each of B texts to each of B images (T stands for those), times a trained scale.

    >>> compare, scale = similarity()
    >>> compare.flops({"B": 3, "O": 4})  # 2 B B O
    72

    Source: Radford et al. 2021, CLIP (arXiv 2103.00020), section 2.3 and figure 3.
    """
    texts, images, scores = Tensor("text_embedding", "B O"), Tensor("image_embedding", "T O"), Tensor("scores", "B T")
    compare = contract("similarity", texts, images, scores)
    scale = elementwise("similarity_scale", [scores, weight("logit_scale", "")], scores, PerElement(1))
    return compare.rebound(T="B"), scale.rebound(T="B")


def masked_lm_head(
    *, function: Activation, kind: Norm, tied: bool, width: str = "D", bias: bool = True, source: str = "x"
) -> tuple[Op, ...]:
    """BERT's masked-LM head: a dense layer, activation, norm, then scores over the vocabulary for every token.

    The dense layer is D x D, or D x ``width``, the letter of the embeddings' own one. F stands for that width.

    >>> [op.name for op in masked_lm_head(function="gelu", kind="layer", tied=True)]
    ['mlm_dense', 'mlm_act', 'mlm_norm', 'lm_head']

    Source: Devlin et al. 2018, BERT (arXiv 1810.04805), section 3.1 and its published code.
    """
    y, z, h = Tensor("mlm_sum", "B T F"), Tensor("mlm", "B T F"), Tensor("mlm_normed", "B T F")
    offset = weight("b_mlm", "F") if bias else None
    dense = contract("mlm_dense", Tensor(source, "B T D"), weight("w_mlm", "D F"), y, bias=offset)
    square = (dense, activation("mlm_act", y, z, function), norm("mlm_norm", z, h, kind=kind, axis="F"))
    scores = lm_head(tied=tied, bias=True, source="mlm_normed")
    return (*(op.rebound(F=width) for op in square), scores if width == "D" else scores.rebound(D=width))


def joined_state(*, kind: Norm, stream: str = "x") -> tuple[Op, ...]:
    """A head of multi-token prediction joins a token's embedding and the network's last state: norms, and a projection.

    Statement: ``mtp_inputs[B T h D], w_mtp[h D O] -> x[B T O]``, both inputs beside each other (h = 2, O = D).

    The state is as large as the embedding, which stands for it.

    >>> from sympy import symbols
    >>> *_, project = joined_state(kind="rms")
    >>> project.flops(dict(zip("BTD", symbols("B T D"))))
    4*B*D**2*T

    Source: DeepSeek-AI 2024, DeepSeek-V3 (arXiv 2412.19437), eq. 21; Li et al. 2024, EAGLE (arXiv 2401.15077), section
    3.1, without the norms.
    """
    x, both = Tensor(stream, "B T D"), Tensor("mtp_inputs", "B T h D")
    parts = [Tensor(f"mtp_{name}", "B T D") for name in ("token", "state")]
    norms = [norm(f"{part.name}_norm", x, part, kind=kind) for part in parts]
    join = elementwise("mtp_join", parts, both, PerElement(0), linear=True)
    project = contract("mtp_proj", both, weight("w_mtp", "h D O"), Tensor(stream, "B T O"))
    return *norms, join.rebound(h=2), project.rebound(h=2, O="D")
