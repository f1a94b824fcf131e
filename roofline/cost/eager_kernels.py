"""What eager torch runs for an operator: the kernels of its Python code, each with traffic and a launch of its own.

A graph compiler fuses elementwise work; eager torch runs one kernel for each operation and stores what lies between.
Kernels bear the names of torch's operators, so that what a profiler sees can be laid beside them.

Source: the modules of transformers 5 and torch's operators, as seen by TorchDispatchMode in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from roofline.cost.eager_backward import BACKWARD
from roofline.number import Number, exact
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, elementwise


def _half(sizes: Sizes) -> Number:
    return size_of("H", sizes) / exact(2)


_TAKEN_APART = ("norm", "elementwise", "softmax", "embedding", "max_pool")
_SPECIAL = ("gelu", "silu", "tanh")


def kernels_of(op: Op) -> tuple[Op, ...]:
    """The kernels that eager torch runs for ``op``, in order; ``op`` itself where it is one kernel.

    A norm of root mean squares is six kernels, a rotation five for each of queries and keys, a residual addition one;
    attention is one fused kernel, behind a copy of the cache that appends the new keys and values.

    >>> from roofline.layers.normalization import norm
    >>> op = norm("input_norm", Tensor("x", "B T D"), Tensor("h", "B T D"), kind="rms")
    >>> [kernel.name for kernel in kernels_of(op)]
    ['pow', 'mean', 'add', 'rsqrt', 'mul', 'mul']
    >>> sum(kernel.bytes({"B": 1, "T": 1, "D": 100}, lambda tensor: 4) for kernel in kernels_of(op))  # fused: 1200
    3224
    """
    if op.kind in _TAKEN_APART and op.parts:
        inner = (replace(part, local={**part.local, **op.local}) for part in op.parts)
        return tuple(kernel for part in inner for kernel in kernels_of(part))
    if op.kind == "attention" and any(tensor.role == "kv_cache" for tensor in op.reads):
        return (*_appended(op), op)
    expand = _EXPANSIONS.get(op.function)
    found = expand(op) if expand else (op,)
    return tuple(replace(kernel, local={**op.local, **kernel.local}) for kernel in found)


def torch_kernel(
    name: str, reads: Sequence[Tensor], output: Tensor, *, over: Tensor | None = None, kind: str = ""
) -> Op:
    """One call of torch: one vector operation per element, or one transcendental one."""
    special = int(name in _SPECIAL)
    kind = kind or "elementwise"
    return elementwise(
        name, list(dict.fromkeys(reads)), output, PerElement(1 - special, special=special, over=over), kind=kind
    )


def _between(tensor: Tensor, name: str = "between") -> Tensor:
    """What a kernel leaves for the next one: an activation, whatever it was computed from."""
    return Tensor(name, tensor.axes)


def _sums(op: Op) -> tuple[Op, ...]:
    """n tensors are added in n - 1 kernels."""
    (y,) = op.writes
    first, *others = op.reads
    return tuple(torch_kernel("add", [first if i == 0 else _between(y), x], _between(y)) for i, x in enumerate(others))


def _layer_norm(op: Op) -> tuple[Op, ...]:
    return (replace(op, name="native_layer_norm", kind="norm"),)


def _rms_norm(op: Op) -> tuple[Op, ...]:
    """x / sqrt(mean(x^2) + eps), times the gain if there is one."""
    x, *gains = op.reads
    t = _between(x)
    normed = set(gains[0].letters) if gains else {x.letters[-1]}
    rest = Tensor("statistic", " ".join(letter for letter in x.letters if letter not in normed))
    return (
        torch_kernel("pow", [x], t),
        torch_kernel("mean", [t], rest, over=t),
        torch_kernel("add", [rest], rest),
        torch_kernel("rsqrt", [rest], rest),
        torch_kernel("mul", [x, rest], t),
        *(torch_kernel("mul", [t, gain], t) for gain in gains),
    )


def _rotation(op: Op) -> tuple[Op, ...]:
    """x cos + rotate_half(x) sin, where the half is negated and the halves are put together anew."""
    (x,) = op.reads
    x = _between(x, "x")
    t, half = _between(x), _between(x, "half")
    return (
        torch_kernel("mul", [x], t),
        replace(torch_kernel("neg", [half], half), local={"H": _half}),
        torch_kernel("cat", [x], t, kind="copy"),
        torch_kernel("mul", [t], t),
        torch_kernel("add", [x, t], t),
    )


def _activation(op: Op) -> tuple[Op, ...]:
    """One kernel for the function, one more for the gate."""
    first, *others = op.reads
    t = _between(first)
    return (torch_kernel(op.function, [first], t), *(torch_kernel("mul", [t, other], t) for other in others))


def _written_out_gelu(op: Op) -> tuple[Op, ...]:
    """0.5 x (1 + tanh(a (x + b x^3))), operation by operation."""
    x, *others = op.reads
    t = _between(x)
    first = [torch_kernel(name, [x], t) for name in ("mul", "pow", "mul")]
    sums = [torch_kernel("add", [x, t], t), *(torch_kernel(name, [t], t) for name in ("mul", "tanh", "add"))]
    return (*first, *sums, *(torch_kernel("mul", [t, other], t) for other in (x, *others)))


def _pick(op: Op) -> tuple[Op, ...]:
    """Softmax over the vocabulary, then the largest."""
    (logits,), (token,) = op.reads, op.writes
    p = _between(logits, "probabilities")
    softmax = elementwise("_softmax", [logits], p, PerElement(4, special=1), kind="softmax")
    return softmax, torch_kernel("argmax", [p], token, over=p)


def _loss(op: Op) -> tuple[Op, ...]:
    """Logarithms of all probabilities; picking one of each row is nothing beside them."""
    logits, logarithms = op.reads[0], Tensor("logarithms", op.writes[1].axes)
    return (elementwise("_log_softmax", [_between(logits)], logarithms, PerElement(4, special=1), kind="softmax"),)


def _appended(op: Op) -> tuple[Op, ...]:
    """The cache is put together anew in each step: all of it is read and written."""
    cached = [tensor for tensor in op.reads if tensor.role == "kv_cache"]
    return tuple(
        replace(torch_kernel("cat", [tensor], _between(tensor, "appended"), kind="cache_copy"), local=op.local)
        for tensor in cached
    )


_EXPANSIONS: dict[str, Callable[[Op], tuple[Op, ...]]] = {
    "add": _sums,
    "layer": _layer_norm,
    "layer_gain": _layer_norm,
    "layer_bare": _layer_norm,
    "rms": _rms_norm,
    "rms_bare": _rms_norm,
    "rotary": _rotation,
    "relu": _activation,
    "gelu": _activation,
    "silu": _activation,
    "tanh": _activation,
    "gelu_new": _written_out_gelu,
    "sampling": _pick,
    "cross_entropy_written_out": _loss,
    **BACKWARD,
}
