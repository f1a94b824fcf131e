"""The statement of each kind of operator, with its letters bound to the sizes that its name suggests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from roofline.compression.quantization import QUANTIZE_FLOPS
from roofline.layers.attention import Mask, attention, window_keys
from roofline.layers.convolution import causal_convolution
from roofline.layers.delta_rule import chunked_delta_rule, recurrent_delta_rule
from roofline.layers.embedding import token_embedding
from roofline.layers.latent_attention import latent_attention
from roofline.layers.mamba2 import chunked_scan, recurrent_scan
from roofline.layers.mixture_of_experts import experts
from roofline.layers.normalization import norm
from roofline.number import exact
from roofline.operators.sizes import OPERATIONS, RULES, Columns
from roofline.program.axes import Sizes
from roofline.program.op import Op, PerElement, Tensor, Work, collective, contract, elementwise, weight
from roofline.program.transfers import Transfer


def statement_of(kind: str, columns: Columns) -> tuple[Op, Sizes]:
    """The statement of a kind and the sizes of its axes; ``inputs`` and ``causal`` must be alike in all rows.

    Attention without a mask is an encoder's, which keeps no cache. With a ``window``, in all rows or none, a query sees
    so many tokens at most.
    """
    return _STATEMENTS[kind](columns)


def _matmul(columns: Columns) -> tuple[Op, Sizes]:
    op = contract("matmul", Tensor("x", "B D"), weight("w", "D F"), Tensor("y", "B F"))
    return op, {"B": columns["m"], "D": columns["k"], "F": columns["n"]}


def _grouped_matmul(columns: Columns) -> tuple[Op, Sizes]:
    """The first matmul of experts; how many of them are touched is the routing's to say."""
    op, *_ = experts(function="relu", glu=False)
    letters = {"B": "tokens", "E": "experts", "A": "topk", "D": "k", "F": "n"}
    return op, {letter: columns[name] for letter, name in letters.items()} | {"T": 1}


def _attention(columns: Columns) -> tuple[Op, Sizes]:
    causal, windowed = np.all(columns["causal"]), np.any(columns.get("window", 0))
    letters = {"B": "batch", "T": "query", "S": "context", "K": "kv_heads", "H": "head_dim", "U": "value_dim"}
    mask: Mask = "sliding" if windowed else "causal" if causal else "full"
    (op,) = attention(mask=mask, cached=bool(causal), values="U" if "value_dim" in columns else "H")
    groups = columns["heads"] // columns["kv_heads"]
    sizes = {**{letter: columns[name] for letter, name in letters.items() if name in columns}, "G": groups}
    return (op.rebound(S=window_keys, g="S"), {**sizes, "W": columns["window"]}) if windowed else (op, sizes)


def _latent_attention(columns: Columns) -> tuple[Op, Sizes]:
    """One new token attends to the latents themselves, several to the keys and values that are made of them."""
    absorbed = bool(np.all(columns["query"] == 1))
    (op,) = (each for each in latent_attention(absorbed=absorbed) if each.kind == "attention")
    letters = {"B": "batch", "T": "query", "S": "context", "K": "heads", "R": "latent_dim", "J": "rope_dim",
               "H": "head_dim", "U": "value_dim"}  # fmt: skip
    return op, {**{letter: columns[name] for letter, name in letters.items()}, "G": 1}


def _scan(columns: Columns) -> tuple[Op, Sizes]:
    """One token goes on from the state, several go chunk by chunk."""
    step = bool(np.all(columns["query"] == 1))
    rule = RULES[int(np.ravel(columns["rule"])[0]) if np.size(columns["rule"]) else 0]
    op = _SCANS[rule, step]()
    letters = {"B": "batch", "T": "query", "K": "key_heads", "N": "key_dim", "H": "head_dim", "W": "chunk"}
    sizes = {letter: columns[name] for letter, name in letters.items()}
    return op, {**sizes, "G": columns["heads"] // columns["key_heads"]}


def _convolution(columns: Columns) -> tuple[Op, Sizes]:
    step = bool(np.all(columns["query"] == 1))
    op = causal_convolution("convolution", Tensor("x", "B T F"), Tensor("y", "B T F"), step=step, bias=False)
    letters = {"B": "batch", "T": "query", "F": "channels", "Z": "taps"}
    return op, {**{letter: columns[name] for letter, name in letters.items()}, "c": columns["taps"] - 1}


_SCANS: dict[tuple[str, bool], Callable[[], Op]] = {
    ("delta_rule", True): recurrent_delta_rule,
    ("delta_rule", False): chunked_delta_rule,
    ("mamba2", True): recurrent_scan,
    ("mamba2", False): chunked_scan,
}


def _elementwise(columns: Columns) -> tuple[Op, Sizes]:
    """One operation per element and tensor beyond the first, as an addition of them; one for a single tensor."""
    inputs = int(np.ravel(columns["inputs"])[0]) if np.size(columns["inputs"]) else 1
    tensors = [Tensor(f"x{i}", "B D") for i in range(inputs)]
    op = elementwise("elementwise", tensors, Tensor("y", "B D"), PerElement(max(1, inputs - 1)))
    return op, _grid(columns)


def _quantize(columns: Columns) -> tuple[Op, Sizes]:
    """A copy in 8 bits, and a scale for each row."""
    x, narrow = Tensor("x", "B D"), Tensor("narrow", "B D", dtype="fp8")
    work = (Work("vector", QUANTIZE_FLOPS, x.letters),)
    return Op("quantize", "quantize", (x,), (narrow, Tensor("scale", "B", dtype="fp32")), work), _grid(columns)


def _norm(columns: Columns) -> tuple[Op, Sizes]:
    return norm("norm", Tensor("x", "B D"), Tensor("y", "B D"), kind="rms"), _grid(columns)


def _softmax(columns: Columns) -> tuple[Op, Sizes]:
    _, op, _ = attention(mask="full", fused=False)
    return op, {"B": columns["rows"], "S": columns["columns"], "K": 1, "G": 1, "T": 1}


def _embedding(columns: Columns) -> tuple[Op, Sizes]:
    return token_embedding(), {"B": columns["tokens"], "T": 1, "D": columns["columns"]}


def _collective(columns: Columns) -> tuple[Op, Sizes]:
    operation = OPERATIONS[int(np.ravel(columns["operation"])[0]) if np.size(columns["operation"]) else 0]
    transfer, written = Transfer(operation, columns["devices"]), columns["message_bytes"]
    if operation == "reduce_scatter":  # the message is the whole, and each device is left with its part
        written = (written if isinstance(written, np.ndarray) else exact(written)) / columns["devices"]
    return collective("collective", transfer, Tensor("message", "B")), {"B": written}


def _grid(columns: Columns) -> Sizes:
    return {"B": columns["rows"], "D": columns["columns"]}


_STATEMENTS: dict[str, Callable[[Columns], tuple[Op, Sizes]]] = {
    "matmul": _matmul,
    "grouped_matmul": _grouped_matmul,
    "attention": _attention,
    "latent_attention": _latent_attention,
    "scan": _scan,
    "convolution": _convolution,
    "elementwise": _elementwise,
    "quantize": _quantize,
    "norm": _norm,
    "softmax": _softmax,
    "embedding": _embedding,
    "collective": _collective,
}
